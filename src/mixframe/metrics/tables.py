"""The result table as text. Percentages appear only here, where figures are printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "±": r"$\pm$"})


@dataclass(frozen=True)
class Cell:
    """A cell of the result table; lowest is the lowest EER of its set."""

    text: str
    interval: str = ""
    lowest: bool = False


def percent(value: float) -> str:
    """Write a fraction as a percentage with two decimals, without the sign."""
    return f"{100 * value:.2f}"


def note(summary: Mapping[str, Any]) -> str:
    """Say what the intervals of the result table are about."""
    n_seeds = len(summary["seeds"])
    if n_seeds == 1:
        return (
            "One seed: the intervals are of the trials only, and no difference between two "
            "trainings can be supported."
        )
    return f"{n_seeds} seeds: mean ± standard deviation; the intervals are of trials and trainings."


def span(figures: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the interval of an EER over trials and trainings, of one training over trials."""
    for keys in (("eer_both_low", "eer_both_high"), ("eer_low", "eer_high")):
        low, high = (figures.get(key) for key in keys)
        if low is not None and high is not None:
            return low, high
    return None


def table(summary: Mapping[str, Any]) -> list[list[Cell]]:
    """Return the result table of summary.json, the header first.

    An EER is in percent with its interval, `2.31` and `[1.52, 3.20]`; of several seeds it is the
    mean with its standard deviation, `2.31 ± 0.40`, and the interval is of trials and trainings.
    """
    sets, systems = summary["sets"], summary["systems"]
    rows = [[Cell(name) for name in ("system", *sets, "frame EER", "trained / all parameters")]]
    for system, entry in systems.items():
        row = [Cell(system)]
        for name in sets:
            figures = entry["sets"][name]
            deviation = f" ± {percent(figures['eer_std'])}" if "eer_std" in figures else ""
            lowest = min(other["sets"][name]["eer"] for other in systems.values())
            rate = percent(figures["eer"]) + deviation
            row.append(Cell(rate, _interval(figures), figures["eer"] == lowest))
        heldout = entry["frames"].get("heldout")
        row.append(Cell(percent(heldout["frame_eer"]) if heldout else ""))
        row.append(Cell(f"{entry['trainable_parameters']:,} / {entry['total_parameters']:,}"))
        rows.append(row)
    return rows


def _interval(figures: Mapping[str, Any]) -> str:
    ends = span(figures)
    return "" if ends is None else f"[{percent(ends[0])}, {percent(ends[1])}]"


def novelty_table(summary: Mapping[str, Any]) -> list[list[Cell]]:
    """Return the EER against known and unknown attacks by system and set, the header first.

    A cell is empty where the set has no such attack.
    """
    columns = [(name, kind) for name in summary["sets"] for kind in ("known", "unknown")]
    rows = [[Cell(text) for text in ("attacks", *(f"{n}, {kind}" for n, kind in columns))]]
    for system, entry in summary["systems"].items():
        row = [Cell(system)]
        for name, kind in columns:
            figures = entry["sets"][name][kind]
            none = figures["eer"] is None
            row.append(Cell("") if none else Cell(percent(figures["eer"]), _interval(figures)))
        rows.append(row)
    return rows


def split_table(summary: Mapping[str, Any]) -> list[list[Cell]]:
    """Return what trials and training vary each mean EER by, in points, the header first."""
    rows = [[Cell(text) for text in ("trials / training", *summary["sets"])]]
    for system, entry in summary["systems"].items():
        row = [Cell(system)]
        for name in summary["sets"]:
            parts = (entry["sets"][name][f"eer_sd_{part}"] for part in ("trials", "training"))
            row.append(Cell(" / ".join(percent(part) for part in parts)))
        rows.append(row)
    return rows


def tables(summary: Mapping[str, Any]) -> list[list[list[Cell]]]:
    """Return all tables: results, known and unknown attacks, with several seeds the variances."""
    several = [split_table(summary)] if len(summary["seeds"]) > 1 else []
    return [table(summary), novelty_table(summary), *several]


def markdown(summary: Mapping[str, Any]) -> str:
    """Return the tables in Markdown; the note is below the first."""
    first, *others = [_markdown(rows) for rows in tables(summary)]
    return "\n".join([first, f"{note(summary)}\n", *others])


def robustness_table(details: Mapping[str, Any]) -> list[list[Cell]]:
    """Return a row a system of what `mixframe.metrics.robustness.evaluate` returns, in percent.

    The lowest mean is marked.
    """
    n_conditions = len(next(iter(details["conditions"].values()))) - 1
    names = ("system", "clean", f"mean of {n_conditions} conditions", "worst", "condition")
    lowest = min(entry["mean"]["eer"] for entry in details["systems"].values())
    rows = [[Cell(name) for name in names]]
    for system, entry in details["systems"].items():
        row = [Cell(system)]
        for key in ("clean", "mean", "worst"):
            figures = entry[key]
            ends = f"[{percent(figures['low'])}, {percent(figures['high'])}]"
            best = key == "mean" and figures["eer"] == lowest
            row.append(Cell(percent(figures["eer"]), ends, best))
        rows.append([*row, Cell(entry["worst"]["condition"])])
    return rows


def robustness_markdown(details: Mapping[str, Any]) -> str:
    """Return that table in Markdown."""
    return _markdown(robustness_table(details))


def _markdown(cells: list[list[Cell]]) -> str:
    """Write a table in Markdown, columns aligned to be read as plain text as well."""
    rows = [[f"{cell.text} {cell.interval}".strip() for cell in row] for row in cells]
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)]
    lines = [[text.ljust(width) for text, width in zip(rows[0], widths, strict=True)]]
    lines.append(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    for first, *rest in rows[1:]:
        numbers = [text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)]
        lines.append([first.ljust(widths[0]), *numbers])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def latex(summary: Mapping[str, Any]) -> str:
    """Return the tables in LaTeX, for the package booktabs; the note is below the first.

    The interval is in small type, the lowest EER of a set is bold.
    """
    first, *others = [_latex(rows) for rows in tables(summary)]
    below = rf"\par{{\footnotesize {note(summary).translate(LATEX)}}}" + "\n"
    return "\n".join([r"% Needs \usepackage{booktabs}.", first, below, *others])


def _latex(rows: list[list[Cell]]) -> str:

    def write(cell: Cell) -> str:
        text = cell.text.translate(LATEX)
        if cell.lowest:
            text = rf"\textbf{{{text}}}"
        return rf"{text} {{\scriptsize {cell.interval}}}" if cell.interval else text

    header, *body = ["  " + " & ".join(write(cell) for cell in row) + r" \\" for row in rows]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}",
            r"  \toprule",
            header,
            r"  \midrule",
            *body,
            r"  \bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
