"""The page: what was collected and drawn, as one file that asks for nothing else."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.cm import ScalarMappable

from mixframe.audio.io import Waveform, encode_flac
from mixframe.base.shown import visible
from mixframe.experiment.params import Grid
from mixframe.metrics.scorefiles import sign_warning
from mixframe.metrics.tables import latex, markdown, note, percent, robustness_table, span, tables
from mixframe.report import draw
from mixframe.report.collect import Collected
from mixframe.report.distorted import Fallen
from mixframe.report.draw import Drawing, Key
from mixframe.report.figures import localisation
from mixframe.report.figures.localisation import TRACK
from mixframe.report.paper import Beside

VARIABLES = {
    draw.INK: "currentColor",
    draw.MUTED: "var(--muted)",
    draw.RULE: "var(--rule)",
    draw.BLUE: "var(--blue)",
    draw.ORANGE: "var(--orange)",
    draw.GREEN: "var(--green)",
    draw.VERMILLION: "var(--vermillion)",
    draw.SKY: "var(--sky)",
    draw.PURPLE: "var(--purple)",
    "#ffffff": "var(--ground)",
}
"""The colours of a drawing as the page's own, which differ by day and night."""

TABLES = ("attacks", "codecs")
"""Figures that the page has as tables, with intervals and the numbers of trials."""

SEVERAL_SEEDS_KEYS = ("low", "high", "p_value", "p_holm")
ONE_SEED_KEYS = ("trials_low", "trials_high", "trials_p", "trials_p_holm")
"""Columns of the comparisons that say what is known of a difference."""

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


def inline_svg(text: str, prefix: str, label: str) -> Markup:
    """Turn matplotlib's SVG into an element of an HTML page.

    Args:
        prefix: makes the ids of this drawing its own on the page.
        label: what a screen reader says.
    """
    root = ElementTree.fromstring(text)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.tail = None
        if element.tag not in ("text", "tspan"):
            element.text = None
        given = dict(element.attrib)
        element.attrib.clear()
        for key, value in given.items():
            if key == "id" and value not in used:
                continue
            name = "href" if key == _LINK else key
            element.set(name, _attribute(name, value, prefix))
    width = float(root.attrib.pop("width").removesuffix("pt")) * 96 / 72
    root.attrib.pop("height")
    root.attrib.pop("version")
    root.set("style", f"max-width:{width:.0f}px")
    root.set("role", "img")
    root.set("aria-label", visible(label))
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _attribute(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href" and value.startswith("#"):
        return f"#{prefix}-{value.removeprefix('#')}"
    value = value.replace("url(#", f"url(#{prefix}-")
    if name == "style":
        # Without a family, text takes the page's font, and matplotlib's list names dozens.
        value = re.sub(r"font-family: [^;]+;? ?", "", value)
        return re.sub(r"#[0-9a-f]{6}\b", lambda m: VARIABLES.get(m[0], m[0]), value)
    if name in ("d", "x", "y", "transform", "width", "height", "points", "clip-path"):
        value = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
    return " ".join(value.split())


def render(data: Collected, drawings: dict[str, Drawing]) -> str:
    """Return the report as HTML; `drawings` are by name."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "count": "{:,}".format,
        "breakable": breakable,
    }
    where = data.localisation
    further = {name: d.title for name, d in drawings.items() if d.title}
    return environment.get_template("report.html.j2").render(
        data=data,
        preset=data.preset,
        sets=data.grid.set,
        sections=_sections(
            {
                "localisation": where is not None,
                "regions": bool(data.regions),
                "votes": data.voting is not None,
                "codecs": not data.codecs.empty,
                "robustness": bool(data.robustness),
                "mistakes": bool(data.mistakes),
            },
            further,
        ),
        corpus=data.corpus.to_dict("records"),
        totals=data.corpus[["bonafide", "spoof", "hours"]].sum().to_dict(),
        table=result_rows(data.results, data.grid.system, data.grid.set),
        readings=readings(data.results, data.comparisons, data.grid.set),
        differences=[
            (name, difference_rows(data.comparisons, data.grid.system, name))
            for name in data.grid.set
        ],
        published=[published_row(row) for row in data.published],
        warnings=[
            f"{row['system']} on {row['set']}: {warning}"
            for row in data.results.to_dict("records")
            if (warning := sign_warning(row["eer"]))
        ],
        note=note(data.summary),
        further_tables=tables(data.summary)[1:],
        markdown=markdown(data.summary),
        latex=latex(data.summary),
        figures={name: _figure(name, drawing) for name, drawing in drawings.items()},
        further=further,
        heat=_maps(data.attacks, data.grid),
        codecs=_maps(data.codecs, data.grid),
        frames=where.table.to_dict("records") if where else [],
        localisation=where,
        regions=data.regions,
        sounds=[_sound(example.wave) for example in where.examples] if where else [],
        votes=data.voting.table.to_dict("records") if data.voting else [],
        mistakes=_mistakes(data),
        robust=data.robustness,
        robust_tables={name: robustness_table(d) for name, d in data.robustness.items()},
        fallen=[(case, _sounds(case)) for case in data.fallen],
        track=TRACK,
        splice=data.preset.splice[where.localiser] if where else None,
        shortcuts=_shortcut_map(data.shortcuts),
        scale=[_heat(p / 100, draw.HEAT, f"{p}") for p in (0, 1, 2, 5, 10, 20, 30, 40, 50)],
        stages=[(s.name, s.command) for s in data.pipeline.stages],
        parameters=data.parameters.to_dict("records"),
        version=dict(data.versions)["mixframe"],
    )


def _sections(present: dict[str, bool], further: dict[str, str]) -> dict[str, tuple[int, str]]:
    """Number the sections that the page has; those not named in `present` are always there.

    `further` are the titles of figures with a section of their own.
    """
    titles = {
        "run": "What was run",
        "results": "Results",
        "published": "Published figures",
        "det": "Detection error trade-off",
        "scores": "Scores",
        "calibration": "Calibration",
        "attacks": "By attack",
        "codecs": "By codec",
        "localisation": "Localisation",
        "regions": "Where in an utterance",
        "votes": "Votes of the heads",
        "robustness": "Under distortions",
        "mistakes": "Worst errors, to listen to",
        "training": "Training",
        **further,
        "shortcuts": "Shortcut check",
        "pipeline": "Pipeline",
        "size": "Size of the systems",
        "parameters": "Parameters, versions, assumptions",
    }
    kept = [key for key in titles if present.get(key, True)]
    return {key: (number, titles[key]) for number, key in enumerate(kept, start=1)}


def result_rows(
    results: pd.DataFrame, systems: Sequence[str], sets: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the result table: a row a system, in it a cell a set.

    A cell has the figures of stage evaluate, `low` and `high` (its interval, over trainings too
    where there are several), `best` (no other system's EER is lower on this set) and `bar`: the
    interval's left end and width and the EER, in percent of the set's widest interval's upper end.
    """
    figures = {(row["system"], row["set"]): row for row in results.to_dict("records")}
    lowest = results.groupby("set")["eer"].min()
    high = results.get("eer_both_high", results["eer_high"])
    top = high.groupby(results["set"]).max()
    rows = []
    for system in systems:
        cells = []
        for name in sets:
            cell = figures[system, name]
            scale = 100 / (top[name] or 1)
            cell["low"], cell["high"] = span(cell) or (cell["eer"], cell["eer"])
            low, width = cell["low"] * scale, (cell["high"] - cell["low"]) * scale
            bar = {
                "left": f"{low:.1f}%",
                "width": f"{width:.1f}%",
                "at": f"{cell['eer'] * scale:.1f}%",
            }
            cells.append({**cell, "best": cell["eer"] == lowest[name], "bar": bar})
        rows.append({"system": system, "cells": cells})
    return rows


def readings(
    results: pd.DataFrame, comparisons: pd.DataFrame, sets: Sequence[str]
) -> list[dict[str, Any]]:
    """Say for each set which system has the lowest EER, and which others are supported as higher.

    Returns:
        set, best (its row of the results), apart and level: the other systems, by whether the
        difference from the best is supported.
    """
    said = []
    for name in sets:
        rows = results[results["set"] == name].to_dict("records")
        best = min(rows, key=lambda row: row["eer"])
        pairs = _pairs(comparisons, name)
        others = [row["system"] for row in rows if row["system"] != best["system"]]
        apart = [s for s in others if pairs[best["system"], s]["supported"]]
        level = [s for s in others if s not in apart]
        said.append({"set": name, "best": best, "apart": apart, "level": level})
    return said


def _pairs(comparisons: pd.DataFrame, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the comparisons of a set by (system, other), each pair in both directions."""
    pairs = {}
    for row in comparisons[comparisons["set"] == name].to_dict("records"):
        pairs[row["first"], row["second"]] = row
        turned = {"difference": -row["difference"]}
        for begin in ("", "trials_"):
            turned |= {f"{begin}low": -row[f"{begin}high"], f"{begin}high": -row[f"{begin}low"]}
        pairs[row["second"], row["first"]] = {**row, **turned}
    return pairs


def difference_rows(
    comparisons: pd.DataFrame, systems: Sequence[str], name: str
) -> list[tuple[str, list[dict[str, str]]]]:
    """Return a table of the differences on a set: EER of the row's system minus the column's.

    A cell has text (percentage points), title and class: lower or higher where the difference is
    supported, else open.
    """
    pairs = _pairs(comparisons, name)
    rows = []
    for system in systems:
        cells = []
        for other in systems:
            if system == other:
                cells.append({"text": "", "class": "same", "title": ""})
                continue
            row = pairs[system, other]
            side = "lower" if row["difference"] < 0 else "higher"
            points = round(100 * row["difference"], 2)
            unknown = pd.isna(row["low"])
            low, high, p, corrected = (
                row[key] for key in (ONE_SEED_KEYS if unknown else SEVERAL_SEEDS_KEYS)
            )
            interval = f"{percent(low)} to {percent(high)}"
            cells.append(
                {
                    "text": f"{points:+.2f}".replace("-", "\N{MINUS SIGN}") if points else "0.00",
                    "class": side if row["supported"] else "open",
                    "title": f"{system} minus {other}: interval {interval}"
                    f"{' (trials only)' if unknown else ''}, "
                    f"p {p:.4f}, after Holm's correction {corrected:.4f}"
                    + ("" if row["supported"] else f"; not supported: {row['reason']}"),
                }
            )
        rows.append((system, cells))
    return rows


def published_row(row: Beside) -> dict[str, str]:
    """Return a published figure and what was measured as text; "\N{EN DASH}" where nothing was."""
    figure = row.published
    metric = {
        "eer": "EER, %",
        "eer_gap": f"EER, distance to {figure.other}, points",
        "eer_reduction": f"EER, lower than {figure.other.rpartition('/')[2]} by, %",
    }[figure.metric]
    measured = "\N{EN DASH}" if row.measured is None else percent(row.measured)
    if row.low is not None and row.high is not None:
        measured += f" [{percent(row.low)}, {percent(row.high)}]"
        measured += "" if row.trained else " trials"
    return {
        "paper": figure.title,
        "system": figure.system,
        "where": figure.set,
        "corpus": figure.corpus,
        "subset": figure.subset,
        "metric": metric,
        "published": percent(figure.value),
        "measured": measured,
        "preset": figure.preset,
        "source": figure.source,
    }


def _swatch(key: Key) -> Markup:
    colour = VARIABLES[key.line.colour]
    if key.opacity is not None:
        style = f"background:{colour};opacity:{key.opacity:g}"
        return Markup(f'<span class="chip" style="{style}"></span>')
    dashes = " ".join(f"{2 * d:g}" for d in key.line.dashes)
    return Markup(
        '<svg class="swatch" viewBox="0 0 30 8" aria-hidden="true">'
        '<line x1="0" y1="4" x2="30" y2="4" stroke-width="2.2" '
        f'style="stroke:{colour}" stroke-dasharray="{dashes}"></line></svg>'
    )


def _figure(name: str, drawing: Drawing) -> dict[str, Any]:
    """Return panels, legend and caption; no panels of what the page has as a table."""
    drawn = [] if name in TABLES else zip(drawing.page(), drawing.panels, strict=True)
    return {
        "panels": [inline_svg(svg, f"{name}{i}", label) for i, (svg, label) in enumerate(drawn)],
        "legend": [(key.label, _swatch(key)) for key in drawing.legend],
        "caption": Markup(drawing.caption),
    }


def _heat(value: float, scale: ScalarMappable, text: str, title: str = "") -> dict[str, str]:
    ground, ink = draw.cell_colours(value, scale)
    return {"text": text, "style": f"background:{ground};color:{ink}", "title": title}


def _maps(rates: pd.DataFrame, grid: Grid) -> list[dict[str, Any]]:
    """Return the map of every set that has conditions."""
    known = set(rates["set"])
    return [_condition_map(rates, grid.system, name) for name in grid.set if name in known]


def _condition_map(rates: pd.DataFrame, systems: Sequence[str], name: str) -> dict[str, Any]:
    by_condition = {
        (row["system"], row["value"]): row for row in rates[rates["set"] == name].to_dict("records")
    }
    heads = [row for (system, _), row in by_condition.items() if system == systems[0]]
    rows = []
    for system in systems:
        cells = []
        for head in heads:
            row = by_condition[system, head["value"]]
            if pd.isna(row["eer"]):
                cells.append(
                    {"text": "\N{EN DASH}", "style": "", "title": "one class has no trial"}
                )
                continue
            title = f"{system}, {head['value']}"
            if not pd.isna(row["eer_low"]):
                title += f": interval {percent(row['eer_low'])} to {percent(row['eer_high'])}"
            cells.append(_heat(row["eer"], draw.HEAT, percent(row["eer"]), title))
        rows.append((system, cells))
    return {"set": name, "columns": heads, "rows": rows}


def _shortcut_map(table: pd.DataFrame) -> dict[str, Any]:
    records = table.to_dict("records")
    rates = {(row["statistic"], row["set"]): row["eer"] for row in records}
    sets = list(dict.fromkeys(row["set"] for row in records))
    statistics = dict.fromkeys(row["statistic"] for row in records)
    rows = [
        (s, [_heat(rates[s, n], draw.LEAK, percent(rates[s, n])) for n in sets]) for s in statistics
    ]
    return {"sets": sets, "rows": rows, "lowest": min(records, key=lambda row: row["eer"])}


def _sound(wave: Waveform) -> str:
    return "data:audio/flac;base64," + base64.b64encode(encode_flac(wave)).decode()


def _sounds(case: Fallen) -> list[tuple[str, str]]:
    """Return players of a case, by what is heard."""
    waves = {"clean": case.clean, "distorted": case.distorted, "difference": case.difference}
    return [(name, _sound(wave)) for name, wave in waves.items() if wave is not None]


def _mistakes(data: Collected) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the panels of the worst errors, by set."""
    panels: dict[str, list[dict[str, Any]]] = {name: [] for name in data.grid.set}
    for i, mistake in enumerate(data.mistakes):
        drawn = None
        if data.localisation and mistake.curve:
            drawing = localisation.drawing([mistake.curve], data.localisation.threshold)
            label = f"Waveform and frame curve of {mistake.utterance}"
            drawn = inline_svg(drawing.page()[0], f"err{i}", label)
        sound = None if mistake.wave is None else _sound(mistake.wave)
        panels[mistake.set].append({"about": mistake, "svg": drawn, "audio": sound})
    return [(name, shown) for name, shown in panels.items() if shown]


def shown(value: Any) -> Any:
    """Return what a template writes of a value: text with nothing unseen in it."""
    plain = isinstance(value, str) and not isinstance(value, Markup)
    return visible(value) if plain else value


def breakable(name: str) -> Markup:
    """Return a name as HTML in which a line may break after an underscore."""
    return escape(visible(name)).replace("_", Markup("_<wbr>"))
