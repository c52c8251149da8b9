"""What the report shows, read from the files of a preset."""

import io
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixframe import audio, manifest, metrics, params, scorefiles
from mixframe.audio import SAMPLE_RATE, Waveform
from mixframe.errors import MixframeError
from mixframe.files import need_file, read_json
from mixframe.frames import FrameGrid, Labels
from mixframe.layout import Layout
from mixframe.params import Grid, Preset
from mixframe.report.pipeline import Pipeline, read_pipeline
from mixframe.splicing import Recipe, as_recorded, load, read_plan, recipes

PACKAGES = ("mixframe", "torch", "torchaudio", "transformers", "peft", "dvc", "snakemake", "numpy")
STAGES = (
    "download",
    "protocol",
    "pretrain",
    "splice",
    "posttrain",
    "finetune",
    "score",
    "evaluate",
    "report",
)
"""In the order in which they run."""
BINS = 48
"""Bins of a score histogram."""
OUTLIERS = 0.002
"""Share of scores at either end that the outermost bins of a histogram take in."""


@dataclass(frozen=True)
class Example:
    """One utterance with what a frame classifier says about it.

    Attributes:
        set: heldout, or a set of the manifest.
        utterance: the base utterance.
        injector: whose frames were spliced in; "" if the manifest knows the regions only.
        label: the label of the base utterance.
        auc: area under the ROC curve of its frames; 1 = every injected frame scores above every
            other one.
        rank: place among the set's spliced utterances by AUC, 0 = lowest, 1 = highest.
        wave: (n,) float32 at 16 kHz.
        regions: injected parts, half-open intervals in seconds.
        times: (T,) seconds, the centres of the frames.
        probability: (T,) probability of "injected".
    """

    set: str
    utterance: str
    injector: str
    label: str
    auc: float
    rank: float
    wave: Waveform
    regions: list[tuple[float, float]]
    times: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Localisation:
    """Frame-level results.

    Attributes:
        table: a row a post-trained system and set: system, set and the figures of stage evaluate.
        threshold: probability of "injected" at the frame-level EER on the held-out splices.
        candidates: spliced utterances of each set, from which the examples were taken.
    """

    table: pd.DataFrame
    localiser: str
    threshold: float
    candidates: dict[str, int]
    examples: list[Example]


@dataclass(frozen=True)
class Collected:
    """Everything on the page.

    Attributes:
        corpus: a row a set: set, bonafide, spoof, speakers, attacks, hours.
        results: a row a system and set: the pooled figures of stage evaluate.
        attacks: a row a system, set and attack: eer, eer_low, eer_high, n_spoof, seen (in train).
        det: system, set, p_fa, p_miss, x, y.
        histograms: system, set, left, right (bin edges), bonafide, spoof (trials).
        curves: stage, system, axis (step or inverse_regularisation), at, figure, value.
        shortcuts: set, statistic, eer.
        localisation: None where no system of the grid is post-trained.
        parameters: a row a system: system, trainable, total.
        timings: a row a stage: stage, cells, seconds, longest; None if nothing was measured.
        yaml: the preset, as written.
    """

    name: str
    preset: Preset
    grid: Grid
    summary: dict[str, Any]
    corpus: pd.DataFrame
    results: pd.DataFrame
    attacks: pd.DataFrame
    det: pd.DataFrame
    histograms: pd.DataFrame
    curves: pd.DataFrame
    shortcuts: pd.DataFrame
    localisation: Localisation | None
    pipeline: Pipeline
    parameters: pd.DataFrame
    timings: pd.DataFrame | None
    yaml: str
    versions: list[tuple[str, str]]


def collect(name: str, preset: Preset, files: Layout, grid: Grid) -> Collected:
    """Read everything the report shows.

    Raises:
        MixframeError: a file is missing, the results are of another grid, or the localiser is not
            in the grid.
    """
    table = manifest.read(files.manifest)
    summary = read_json(need_file(files.summary, "summary"))
    if [summary["sets"], list(summary["systems"])] != [grid.set, grid.system]:
        raise MixframeError(
            f"{files.summary}: has the systems {', '.join(summary['systems'])} and the sets "
            f"{', '.join(summary['sets'])}, params.yaml another grid; run `dvc repro`"
        )
    details = {
        system: read_json(need_file(files.details(system), "evaluate")) for system in grid.system
    }
    attacks_train = set(table.loc[table["set"] == "train", "attack"])
    return Collected(
        name=name,
        preset=preset,
        grid=grid,
        summary=summary,
        corpus=corpus(table),
        results=_results(details, grid),
        attacks=_attacks(details, grid, attacks_train),
        det=pd.concat(
            [
                pd.read_csv(need_file(files.det(system), "evaluate")).assign(system=system)
                for system in grid.system
            ],
            ignore_index=True,
        ),
        histograms=_histograms(files, grid, table),
        curves=_curves(files, grid),
        shortcuts=pd.read_csv(need_file(files.shortcuts, "protocol")),
        localisation=_localisation(preset, files, grid, table) if grid.posttrained else None,
        pipeline=read_pipeline(Path("dvc.yaml")),
        parameters=pd.DataFrame(
            [
                (system, entry["trainable_parameters"], entry["total_parameters"])
                for system, entry in summary["systems"].items()
            ],
            columns=["system", "trainable", "total"],
        ),
        timings=_timings(files.root / "timings.json"),
        yaml=params.preset_path(name).read_text(encoding="utf-8"),
        versions=[("python", platform.python_version()), *((p, version(p)) for p in PACKAGES)],
    )


def corpus(table: pd.DataFrame) -> pd.DataFrame:
    """Count the utterances, speakers, attacks and hours of each set of a manifest."""
    rows = []
    for name in table["set"].unique():
        some = table[table["set"] == name]
        spoof = some["label"] == "spoof"
        rows.append(
            {
                "set": name,
                "bonafide": int((~spoof).sum()),
                "spoof": int(spoof.sum()),
                "speakers": some["speaker"].nunique(),
                "attacks": some.loc[spoof, "attack"].nunique(),
                "hours": some["samples"].sum() / SAMPLE_RATE / 3600,
            }
        )
    return pd.DataFrame(rows)


def _results(details: dict[str, Any], grid: Grid) -> pd.DataFrame:
    rows = [
        {"system": system, "set": name, **{k: v for k, v in d[name].items() if k != "by_attack"}}
        for system, d in details.items()
        for name in grid.set
    ]
    return pd.DataFrame(rows)


def _attacks(details: dict[str, Any], grid: Grid, seen: set[str]) -> pd.DataFrame:
    rows = [
        {"system": system, "set": name, "attack": attack, "seen": attack in seen, **figures}
        for system, d in details.items()
        for name in grid.set
        for attack, figures in sorted(
            d[name]["by_attack"].items(), key=lambda item: (item[0] not in seen, item[0])
        )
    ]
    return pd.DataFrame(rows)


def _histograms(files: Layout, grid: Grid, table: pd.DataFrame) -> pd.DataFrame:
    """Bin the scores of each system; its sets share their bins, so that shifts show."""
    trials = {n: table[table["set"] == n].rename(columns={"utterance": "trial"}) for n in grid.set}
    parts = []
    for system in grid.system:
        scored = {}
        for name in grid.set:
            read = scorefiles.read_scores(need_file(files.scores(system, name), "score"))
            scored[name] = scorefiles.by_class(scorefiles.align(read, trials[name]))
        pooled = np.concatenate([values for classes in scored.values() for values in classes])
        low, high = np.quantile(pooled, [OUTLIERS, 1 - OUTLIERS])
        margin = 0.02 * (high - low) or 0.5
        edges = np.linspace(low - margin, high + margin, BINS + 1)
        for name, classes in scored.items():
            counts = {
                label: np.histogram(values.clip(edges[0], edges[-1]), edges)[0]
                for label, values in zip(manifest.LABELS, classes, strict=True)
            }
            ends = {"left": edges[:-1], "right": edges[1:]}
            parts.append(pd.DataFrame({"system": system, "set": name, **ends, **counts}))
    return pd.concat(parts, ignore_index=True)


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


def _timings(path: Path) -> pd.DataFrame | None:
    """Sum the seconds of the cells of each stage, in the order in which stages run."""
    if not path.is_file():
        return None
    cells = pd.DataFrame(
        [(key.partition("@")[0], seconds) for key, seconds in read_json(path).items()],
        columns=["stage", "seconds"],
    )
    groups = cells.groupby("stage", sort=False)["seconds"]
    summed = groups.agg(cells="count", seconds="sum", longest="max").reset_index()
    return summed.sort_values("stage", key=lambda names: names.map(_place), ignore_index=True)


def _place(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _localisation(preset: Preset, files: Layout, grid: Grid, table: pd.DataFrame) -> Localisation:
    localiser = preset.report.localiser
    if localiser not in grid.posttrained:
        raise MixframeError(
            f"report.localiser = {localiser!r}: expected a post-trained system of the grid, "
            f"one of {', '.join(grid.posttrained)}"
        )
    rows = [
        {"system": system, "set": name, **figures}
        for system in grid.posttrained
        for name, figures in read_json(need_file(files.frame_metrics(system), "evaluate")).items()
    ]
    frames = pd.read_parquet(need_file(files.frames(localiser), "posttrain"))
    heldout = frames[frames["set"] == "heldout"]
    labels = np.concatenate(heldout["labels"].to_numpy())
    scores = np.concatenate(heldout["scores"].to_numpy()).astype(np.float64)
    threshold = metrics.eer_threshold(scores[labels == 0], scores[labels == 1])
    config = read_json(need_file(files.foundation / "config.json", "pretrain"))
    spacing = FrameGrid(tuple(config["conv_kernel"]), tuple(config["conv_stride"]))
    where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
    plan = read_plan(files.plan("heldout"))
    candidates, examples = {}, []
    for name in frames["set"].unique():
        some = frames[frames["set"] == name].reset_index(drop=True)
        ranked = rank(some["labels"].tolist(), some["scores"].tolist())
        candidates[str(name)] = len(ranked)
        wanted = preset.report.examples if name == "heldout" else min(1, preset.report.examples)
        for place in spread(len(ranked), wanted):
            auc, row = ranked[place]
            utterance, truth, scored = (
                some[c].iloc[row] for c in ("utterance", "labels", "scores")
            )
            if name == "heldout":
                recipe = recipes(plan.iloc[[row]], where)[0]
                injector = str(plan["injector"].iloc[row])
            else:
                recipe = as_recorded(table[table["utterance"] == utterance])[0]
                injector = ""
            found = _example(recipe, spacing, truth, scored)
            share = (place + 0.5) / len(ranked)
            examples.append(
                Example(str(name), utterance, injector, recipe.label, auc, share, *found)
            )
    return Localisation(
        pd.DataFrame(rows), localiser, float(_probability(threshold)), candidates, examples
    )


def _probability(score: Any) -> Any:
    """Return the probability of "injected" of a frame score (minus the classifier's logit)."""
    return 1 / (1 + np.exp(np.asarray(score, dtype=np.float64)))


def _example(
    recipe: Recipe, grid: FrameGrid, labels: Labels, scores: np.ndarray
) -> tuple[Waveform, list[tuple[float, float]], np.ndarray, np.ndarray]:
    wave, rendered = load(recipe, grid, audio.read)
    if not np.array_equal(rendered, labels):
        raise MixframeError(
            f"{recipe.base.path} at byte {recipe.base.offset}: the frame labels of the splice are "
            "not those that were scored; run `dvc repro` to bring them together"
        )
    centres = (np.arange(len(labels)) * grid.hop + grid.receptive_field / 2) / SAMPLE_RATE
    regions = [(s / SAMPLE_RATE, e / SAMPLE_RATE) for s, e in recipe.regions]
    return wave, regions, centres, _probability(scores)


def rank(labels: Sequence[Labels], scores: Sequence[np.ndarray]) -> list[tuple[float, int]]:
    """Rank utterances that have frames of both kinds by the AUC of their frames.

    Args:
        labels: (T,) 1 = injected, of each utterance.
        scores: (T,) higher = not injected.

    Returns:
        (auc, position in the arguments), ascending.
    """
    found = []
    for row, (truth, values) in enumerate(zip(labels, scores, strict=True)):
        inside, outside = values[truth == 1], values[truth == 0]
        if inside.size and outside.size:
            below = (inside[:, None] < outside[None]).mean()
            ties = (inside[:, None] == outside[None]).mean()
            found.append((float(below + ties / 2), row))
    return sorted(found)


def spread(total: int, count: int) -> list[int]:
    """Return places at even steps of a ranking of `total`, none of its ends.

    One is the median; three are at 1/6, 1/2 and 5/6. Fewer than `count` if there are fewer.
    """
    count = min(count, total)
    return [total * (2 * i + 1) // (2 * count) for i in range(count)]
