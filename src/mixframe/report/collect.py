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

from mixframe.audio import io as audio
from mixframe.audio import manifest
from mixframe.audio.frames import FrameGrid, Labels
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_json
from mixframe.experiment import params
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Grid, Preset
from mixframe.metrics import detection, scorefiles
from mixframe.report import paper
from mixframe.report.pipeline import Pipeline, read_pipeline
from mixframe.splicing.planning import read_plan
from mixframe.splicing.rendering import Recipe, as_recorded, load, recipes

PACKAGES = ("mixframe", "torch", "torchaudio", "transformers", "peft", "dvc", "snakemake", "numpy")
BINS = 48
"""Bins of a score histogram."""
AUDIO_BYTES = 6 * 2**20
"""Of sounds on the page beside those of splices; what comes later has no player. With them, base64
and the drawings, a page stays well below 15 MB."""
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
class Mistake:
    """An utterance that is some system's worst error on its set.

    Attributes:
        kind: accepted (spoofed, and taken for bona fide) or rejected (bona fide, and not).
        systems: (system, score, threshold at its EER on this set), of those whose worst error it
            is.
        wave: (n,) float32 at 16 kHz, as far as scoring hears it; None where the page has no room.
        curve: what the localiser's frame classifier says about it, where it was asked.
    """

    set: str
    utterance: str
    label: str
    attack: str
    speaker: str
    kind: str
    systems: list[tuple[str, float, float]]
    wave: Waveform | None
    curve: Example | None


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
        det: system, set, p_fa, p_miss, x, y.
        histograms: system, set, left, right (bin edges), bonafide, spoof (trials).
        curves: stage, system, axis (step or inverse_regularisation), at, figure, value.
        shortcuts: set, statistic, eer.
        localisation: None where no system of the grid is post-trained.
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
    det: pd.DataFrame
    histograms: pd.DataFrame
    curves: pd.DataFrame
    shortcuts: pd.DataFrame
    localisation: Localisation | None
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
    summary = read_json(need_file(files.summary, "summary"))
    if [summary["sets"], list(summary["systems"])] != [grid.set, grid.system]:
        raise MixframeError(
            f"{files.summary}: has the systems {', '.join(summary['systems'])} and the sets "
            f"{', '.join(summary['sets'])}, params.yaml another grid; run `dvc repro`"
        )
    details = {
        system: read_json(need_file(files.details(system), "evaluate")) for system in grid.system
    }
    train = table[table["set"] == "train"]
    scored = _scored(files, grid, table)
    localisation = _localisation(preset, files, grid, table) if grid.posttrained else None
    published = paper.read(paper.PAPER)
    return Collected(
        name=name,
        preset=preset,
        grid=grid,
        summary=summary,
        corpus=corpus(table),
        results=_results(details, grid),
        comparisons=pd.read_csv(need_file(files.comparisons, "summary")),
        attacks=_conditions(details, grid, "by_attack", set(train["attack"])),
        codecs=_conditions(details, grid, "by_codec", set(train["codec"])),
        det=pd.concat(
            [
                pd.read_csv(need_file(files.det(system), "evaluate")).assign(system=system)
                for system in grid.system
            ],
            ignore_index=True,
        ),
        histograms=_histograms(scored, grid),
        curves=_curves(files, grid),
        shortcuts=pd.read_csv(need_file(files.shortcuts, "protocol")),
        localisation=localisation,
        mistakes=_mistakes(scored, preset, files, grid, table),
        pipeline=read_pipeline(Path("dvc.yaml")),
        parameters=pd.DataFrame(
            [
                (system, entry["trainable_parameters"], entry["total_parameters"])
                for system, entry in summary["systems"].items()
            ],
            columns=["system", "trainable", "total"],
        ),
        published=paper.beside(published, paper.summaries(published)),
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
    nested = ("by_attack", "by_codec", "calibrated")
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
                for label, values in zip(manifest.LABELS, classes, strict=True)
            }
            ends = {"left": edges[:-1], "right": edges[1:]}
            parts.append(pd.DataFrame({"system": system, "set": name, **ends, **counts}))
    return pd.concat(parts, ignore_index=True)


def worst(scored: pd.DataFrame) -> tuple[dict[str, int], float]:
    """Return the trials that are furthest on the wrong side of the threshold at the EER.

    Args:
        scored: trial, label and score of one system on one set.

    Returns:
        row of the worst error by kind (accepted, rejected), a kind only if there is such an error;
        and the threshold.
    """
    threshold = detection.eer_threshold(*scorefiles.by_class(scored))
    scores = scored["score"].to_numpy()
    bonafide = (scored["label"] == "bonafide").to_numpy()
    highest = int(np.where(bonafide, -np.inf, scores).argmax())
    lowest = int(np.where(bonafide, scores, np.inf).argmin())
    found = {}
    if scores[highest] > threshold:
        found["accepted"] = highest
    if scores[lowest] <= threshold:
        found["rejected"] = lowest
    return found, threshold


def _mistakes(
    scored: dict[str, dict[str, pd.DataFrame]],
    preset: Preset,
    files: Layout,
    grid: Grid,
    table: pd.DataFrame,
) -> list[Mistake]:
    """Collect the worst errors; an utterance that several systems get wrong is there once."""
    whose: dict[tuple[str, str, int], list[tuple[str, float, float]]] = {}
    for system, sets in scored.items():
        for name, some in sets.items():
            rows, threshold = worst(some)
            for kind, row in rows.items():
                entry = (system, float(some["score"].iloc[row]), threshold)
                whose.setdefault((name, kind, row), []).append(entry)
    curves = _known_curves(preset, files, grid)
    first = next(iter(scored.values()))
    longest = int(preset.score.max_seconds * SAMPLE_RATE)
    room, found = AUDIO_BYTES, []
    for name, kind, row in sorted(whose, key=lambda k: (grid.set.index(k[0]), k[1], k[2])):
        trial = first[name].iloc[row]
        utterance = str(trial["trial"])
        wave = audio.read(manifest.ref(trial))[:longest]
        size = len(audio.encode_flac(wave))
        fits = size <= room
        room -= size if fits else 0
        found.append(
            Mistake(
                name,
                utterance,
                str(trial["label"]),
                str(trial["attack"]),
                str(trial["speaker"]),
                kind,
                whose[name, kind, row],
                wave if fits else None,
                _mistake_curve(curves, table, files, name, utterance),
            )
        )
    return found


def _known_curves(preset: Preset, files: Layout, grid: Grid) -> pd.DataFrame | None:
    """Return the frames that the localiser has scored, by set and utterance."""
    if preset.report.localiser not in grid.posttrained:
        return None
    frames = pd.read_parquet(need_file(files.frames(preset.report.localiser), "posttrain"))
    return frames[frames["set"].isin(grid.set)].set_index(["set", "utterance"])


def _mistake_curve(
    curves: pd.DataFrame | None, table: pd.DataFrame, files: Layout, name: str, utterance: str
) -> Example | None:
    if curves is None or (name, utterance) not in curves.index:
        return None
    truth, scores = curves.loc[(name, utterance), ["labels", "scores"]]
    recipe = as_recorded(table[table["utterance"] == utterance])[0]
    found = _example(recipe, _spacing(files), truth, scores)
    return Example(name, utterance, "", recipe.label, np.nan, np.nan, *found)


def _spacing(files: Layout) -> FrameGrid:
    config = read_json(need_file(files.foundation / "config.json", "pretrain"))
    return FrameGrid(tuple(config["conv_kernel"]), tuple(config["conv_stride"]))


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
    threshold = detection.eer_threshold(scores[labels == 0], scores[labels == 1])
    spacing = _spacing(files)
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
