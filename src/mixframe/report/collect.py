"""What the report shows, read from the files of a preset."""

import io
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_json, read_object
from mixframe.base.labels import LABELS
from mixframe.base.tables import Columns, read_csv, read_parquet
from mixframe.experiment import params
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Grid, Preset
from mixframe.experiment.scored import read_runs
from mixframe.metrics import scorefiles
from mixframe.report import paper, spliced
from mixframe.report.distorted import Fallen, collect_fallen, collect_robustness
from mixframe.report.examples import (
    Localisation,
    Mistake,
    Voting,
    collect_localisation,
    collect_mistakes,
    collect_votes,
)
from mixframe.report.pipeline import Pipeline, read_pipeline

PACKAGES = ("mixframe", "torch", "torchaudio", "transformers", "peft", "dvc", "snakemake", "numpy")
BINS = 48
"""Bins of a score histogram."""
COMPARISONS: Columns = {
    "set": "text",
    "first": "text",
    "second": "text",
    "difference": "number",
    "supported": "number",
}
DET: Columns = {"set": "text", "p_fa": "number", "p_miss": "number", "x": "number", "y": "number"}
SHORTCUTS: Columns = {"set": "text", "statistic": "text", "eer": "number"}
EMBEDDINGS: Columns = {
    "encoder": "text",
    "utterance": "text",
    "label": "text",
    "attack": "text",
    "embedding": "numbers",
}
SIMILARITIES: Columns = {
    "encoder": "text",
    "splice": "int",
    "utterance": "text",
    "labels": "ints",
    "similarity": "numbers",
}
OUTLIERS = 0.002
"""Share of scores at either end that the outermost bins of a histogram take in."""


@dataclass(frozen=True)
class Collected:
    """Everything on the page.

    Attributes:
        corpus: a row a set: set, bonafide, spoof, speakers, attacks, hours.
        results: a row a system and set: the pooled figures of stage evaluate, calibrated_act_dcf
            and calibrated_cllr (NaN where dev cannot calibrate).
        comparisons: set, first, second and the columns of `evaluation.differences`.
        attacks: a row a system, set and attack: value, eer, eer_low, eer_high, n_spoof, seen (in
            train).
        codecs: the same by codec, of the sets that have several; no rows where none has.
        spliced: set, system and the columns of `mixframe.report.spliced.by_region`, of the sets
            that have spliced trials.
        det: system, set, p_fa, p_miss, x, y.
        histograms: system, set, left, right (bin edges), bonafide, spoof (trials).
        curves: stage, system, axis (step or inverse_regularisation), at, figure, value.
        shortcuts: set, statistic, eer.
        localisation: None where no system of the grid is post-trained.
        regions: a row a localiser and set: stage, system, set, the figures of stage
            evaluate_frames, and as `range` and by seconds in `segments` eer, low and high; no rows
            where there is none.
        voting: None where no system votes for frames.
        embeddings: a row an encoder (foundation and each post-trained system) and utterance:
            encoder, utterance, label, attack, embedding (D,); no rows where none is post-trained.
        similarities: a row an encoder and held-out splice: encoder, splice (its number),
            utterance, labels (T,) with 1 = injected, similarity (T * T,); no rows where none is
            post-trained.
        robustness: by set what stage evaluate_robust has written; empty without section robustness.
        fallen: of each set and system the worst of its worst condition, to listen to.
        mistakes: the worst errors of each system on each set, by set and utterance.
        parameters: a row a system: system, trainable, total.
        published: every figure that the papers print, beside what its preset has measured here.
        yaml: the preset, as written.
    """

    name: str
    preset: Preset
    grid: Grid
    summary: dict[str, Any]
    corpus: pd.DataFrame
    results: pd.DataFrame
    comparisons: pd.DataFrame
    attacks: pd.DataFrame
    codecs: pd.DataFrame
    spliced: pd.DataFrame
    det: pd.DataFrame
    histograms: pd.DataFrame
    curves: pd.DataFrame
    shortcuts: pd.DataFrame
    localisation: Localisation | None
    regions: list[dict[str, Any]]
    voting: Voting | None
    embeddings: pd.DataFrame
    similarities: pd.DataFrame
    robustness: dict[str, dict[str, Any]]
    fallen: list[Fallen]
    mistakes: list[Mistake]
    pipeline: Pipeline
    parameters: pd.DataFrame
    published: list[paper.Beside]
    yaml: str
    versions: list[tuple[str, str]]


def collect(name: str, preset: Preset, files: Layout, grid: Grid) -> Collected:
    """Read everything the report shows.

    Raises:
        MixframeError: a file is missing, the results are of another grid, or the localiser is not
            in the grid.
    """
    table = manifest.read(files.manifest)
    summary = read_object(need_file(files.summary, "summary"))
    sets, systems = list(summary.get("sets") or []), list(summary.get("systems") or {})
    if [sets, systems] != [grid.set, grid.system]:
        raise MixframeError(
            f"{files.summary}: has the systems {', '.join(map(str, systems))} and the sets "
            f"{', '.join(map(str, sets))}, params.yaml another grid; run `dvc repro`"
        )
    details = {
        system: read_object(need_file(files.details(system), "evaluate")) for system in grid.system
    }
    train = table[table["set"] == "train"]
    scored = _scored(files, grid, table)
    localisation = collect_localisation(preset, files, grid, table) if grid.posttrained else None
    published = paper.read(paper.PAPER)
    measured = paper.summaries(published)
    return Collected(
        name=name,
        preset=preset,
        grid=grid,
        summary=summary,
        corpus=corpus(table),
        results=_results(details, grid),
        comparisons=read_csv(files.comparisons, COMPARISONS, "summary", may_be_empty=True),
        attacks=_conditions(details, grid, "by_attack", set(train["attack"])),
        codecs=_conditions(details, grid, "by_codec", set(train["codec"])),
        spliced=_spliced(files, grid, table),
        det=pd.concat(
            [
                read_csv(files.det(system), DET, "evaluate").assign(system=system)
                for system in grid.system
            ],
            ignore_index=True,
        ),
        histograms=_histograms(scored, grid),
        curves=_curves(files, grid),
        shortcuts=read_csv(files.shortcuts, SHORTCUTS, "protocol"),
        localisation=localisation,
        regions=read_json(need_file(files.regions, "evaluate_regions")),
        voting=collect_votes(files, grid, localisation.examples if localisation else []),
        embeddings=_encoders(grid, files.embeddings, EMBEDDINGS),
        similarities=_encoders(grid, files.similarities, SIMILARITIES),
        robustness=collect_robustness(preset, files),
        fallen=collect_fallen(preset, files),
        mistakes=collect_mistakes(scored, preset, files, grid, table),
        pipeline=read_pipeline(Path("dvc.yaml")),
        parameters=pd.DataFrame(
            [
                (system, entry["trainable_parameters"], entry["total_parameters"])
                for system, entry in summary["systems"].items()
            ],
            columns=["system", "trainable", "total"],
        ),
        published=paper.beside(published, measured, paper.intervals(published, measured)),
        yaml=params.preset_path(name).read_text(encoding="utf-8"),
        versions=[
            ("instruction set", ", ".join(sorted({e["isa"] for e in summary["systems"].values()}))),
            ("python", platform.python_version()),
            *((p, version(p)) for p in PACKAGES),
        ],
    )


def corpus(table: pd.DataFrame) -> pd.DataFrame:
    """Count the utterances, speakers, attacks and hours of each set of a manifest."""
    rows = []
    for name in table["set"].unique():
        of_set = table[table["set"] == name]
        spoof = of_set["label"] == "spoof"
        rows.append(
            {
                "set": name,
                "bonafide": int((~spoof).sum()),
                "spoof": int(spoof.sum()),
                "speakers": of_set["speaker"].nunique(),
                "attacks": of_set.loc[spoof, "attack"].nunique(),
                "hours": of_set["samples"].sum() / SAMPLE_RATE / 3600,
            }
        )
    return pd.DataFrame(rows)


def _results(details: dict[str, Any], grid: Grid) -> pd.DataFrame:
    nested = ("by_attack", "by_codec", "calibrated", "known", "unknown")
    rows = []
    for system, entry in details.items():
        for name in grid.set:
            figures = {k: v for k, v in entry[name].items() if k not in nested}
            after = entry[name]["calibrated"] or {"act_dcf": np.nan, "cllr": np.nan}
            figures |= {f"calibrated_{key}": after[key] for key in ("act_dcf", "cllr")}
            rows.append({"system": system, "set": name, **figures})
    return pd.DataFrame(rows)


def _conditions(details: dict[str, Any], grid: Grid, key: str, seen: set[str]) -> pd.DataFrame:
    columns = ["system", "set", "value", "seen", "eer", "eer_low", "eer_high", "min_dcf"]
    columns += ["n_bonafide", "n_spoof"]
    rows = [
        {"system": system, "set": name, "value": value, "seen": value in seen, **figures}
        for system, entry in details.items()
        for name in grid.set
        for value, figures in sorted(
            entry[name][key].items(), key=lambda item: (item[0] not in seen, item[0])
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def _spliced(files: Layout, grid: Grid, table: pd.DataFrame) -> pd.DataFrame:
    """Judge every system on the quarters of the spliced trials, in the sets that have such."""
    rows = [
        {"set": name, "system": system, **figures}
        for name in grid.set
        if (table.loc[table["set"] == name, "regions"].map(len) > 0).any()
        for system in grid.system
        for figures in spliced.by_region(read_runs(files, table, system, name, grid))
    ]
    return pd.DataFrame(rows, columns=spliced.COLUMNS)


def _scored(files: Layout, grid: Grid, table: pd.DataFrame) -> dict[str, dict[str, pd.DataFrame]]:
    """Return the scored trials of each system and set, of the first seed."""
    trials = {n: table[table["set"] == n].rename(columns={"utterance": "trial"}) for n in grid.set}
    return {
        system: {
            name: scorefiles.align(
                scorefiles.read_scores(need_file(files.scores(system, name), "score")), trials[name]
            )
            for name in grid.set
        }
        for system in grid.system
    }


def _histograms(scored: dict[str, dict[str, pd.DataFrame]], grid: Grid) -> pd.DataFrame:
    """Bin the scores of each system; its sets share their bins, so that shifts show."""
    parts = []
    for system, sets in scored.items():
        pooled = np.concatenate([some["score"].to_numpy() for some in sets.values()])
        low, high = np.quantile(pooled, [OUTLIERS, 1 - OUTLIERS])
        margin = 0.02 * (high - low) or 0.5
        edges = np.linspace(low - margin, high + margin, BINS + 1)
        for name in grid.set:
            classes = scorefiles.by_class(sets[name])
            counts = {
                label: np.histogram(values.clip(edges[0], edges[-1]), edges)[0]
                for label, values in zip(LABELS, classes, strict=True)
            }
            ends = {"left": edges[:-1], "right": edges[1:]}
            parts.append(pd.DataFrame({"system": system, "set": name, **ends, **counts}))
    return pd.concat(parts, ignore_index=True)


def _encoders(grid: Grid, path: Callable[[str], Path], columns: Columns) -> pd.DataFrame:
    """Read what stage embed wrote of each post-trained system, of the foundation model once."""
    parts = []
    for place, system in enumerate(grid.posttrained):
        rows = read_parquet(path(system), columns, "embed")
        parts.append(rows if place == 0 else rows[rows["encoder"] == system])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*columns])


def _curves(files: Layout, grid: Grid) -> pd.DataFrame:
    runs = [("pretrain", "")]
    runs += [("posttrain", system) for system in grid.posttrained]
    runs += [("finetune", system) for system in grid.system]
    parts = []
    for stage, system in runs:
        text = need_file(files.curve(stage, system), stage).read_text(encoding="utf-8")
        # A foundation model that was not trained here has an empty curve, without a header.
        if not text.strip():
            continue
        rows = pd.read_csv(io.StringIO(text))
        axis = rows.columns[0]
        long = rows.melt(id_vars=[axis], var_name="figure", value_name="value")
        long = long.rename(columns={axis: "at"})
        parts.append(long.assign(stage=stage, system=system, axis=axis))
    columns = ["stage", "system", "axis", "at", "figure", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
