"""Utterances to look at and to hear: examples of localisation, worst errors, votes of heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixframe.audio import io as audio
from mixframe.audio import manifest
from mixframe.audio.frames import FrameGrid, Labels, read_grid
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.audio.splicing.planning import read_plan
from mixframe.audio.splicing.rendering import Recipe, as_recorded, load, recipes
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_object
from mixframe.base.tables import Columns, read_parquet
from mixframe.experiment.layout import HELDOUT, Layout
from mixframe.experiment.params import Grid, Preset
from mixframe.metrics import detection, scorefiles
from mixframe.metrics.frames import frame_threshold, read_frames

VOTES: Columns = {"set": "text", "utterance": "text", "chosen": "ints", "attention": "numbers"}
AUDIO_BYTES = 6 * 2**20
"""Of sounds on the page beside those of splices; what comes later has no player. With them, base64
and the drawings, a page stays well below 15 MB."""


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
class Voting:
    """Votes of all voting systems.

    Attributes:
        table: a row a system and set: system, set, utterances, share and chance (fractions of the
            chosen frames that were injected, and of all frames).
        chosen: for each example, by system, (T,) in how many blocks each frame was chosen.
        attention: for each example, by system, (T,) attention from the class token to each frame.
    """

    table: pd.DataFrame
    examples: list[Example]
    chosen: list[dict[str, np.ndarray]]
    attention: list[dict[str, np.ndarray]]


def collect_localisation(
    preset: Preset, files: Layout, grid: Grid, table: pd.DataFrame
) -> Localisation:
    """Read the frame-level results and choose the examples.

    Raises:
        MixframeError: a file is missing, or the localiser is not in the grid.
    """
    localiser = preset.report.localiser
    if localiser not in grid.posttrained:
        raise MixframeError(
            f"report.localiser = {localiser!r}: expected a post-trained system of the grid, "
            f"one of {', '.join(grid.posttrained)}"
        )
    rows = [
        {"system": system, "set": name, **figures}
        for system in grid.posttrained
        for name, figures in read_object(need_file(files.frame_metrics(system), "evaluate")).items()
    ]
    frames = read_frames(files.frames(localiser))
    heldout = frames[frames["set"] == HELDOUT]
    threshold = frame_threshold(heldout)
    spacing = _spacing(files)
    where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
    plan = read_plan(files.plan(HELDOUT))
    candidates, examples = {}, []
    for name in frames["set"].unique():
        of_set = frames[frames["set"] == name].reset_index(drop=True)
        ranked = rank(of_set["labels"].tolist(), of_set["scores"].tolist())
        candidates[str(name)] = len(ranked)
        wanted = preset.report.examples if name == HELDOUT else min(1, preset.report.examples)
        for place in spread(len(ranked), wanted):
            auc, row = ranked[place]
            utterance, truth, scored = (
                of_set[c].iloc[row] for c in ("utterance", "labels", "scores")
            )
            if name == HELDOUT:
                recipe = recipes(plan.iloc[[row]], where)[0]
                injector = str(plan["injector"].iloc[row])
            else:
                recipe = as_recorded(table[table["utterance"] == utterance])[0]
                injector = ""
            shown = _example(recipe, spacing, truth, scored)
            share = (place + 0.5) / len(ranked)
            examples.append(
                Example(str(name), utterance, injector, recipe.label, auc, share, *shown)
            )
    return Localisation(
        pd.DataFrame(rows), localiser, float(_probability(threshold)), candidates, examples
    )


def rank(labels: Sequence[Labels], scores: Sequence[np.ndarray]) -> list[tuple[float, int]]:
    """Rank utterances that have frames of both kinds by the AUC of their frames.

    Args:
        labels: (T,) 1 = injected, of each utterance.
        scores: (T,) higher = not injected.

    Returns:
        (auc, position in the arguments), ascending.
    """
    ranked = []
    for row, (truth, values) in enumerate(zip(labels, scores, strict=True)):
        inside, outside = values[truth == 1], values[truth == 0]
        if inside.size and outside.size:
            below = (inside[:, None] < outside[None]).mean()
            ties = (inside[:, None] == outside[None]).mean()
            ranked.append((float(below + ties / 2), row))
    return sorted(ranked)


def spread(total: int, count: int) -> list[int]:
    """Return places at even steps of a ranking of `total`, none of its ends.

    One is the median; three are at 1/6, 1/2 and 5/6. Fewer than `count` if there are fewer.
    """
    count = min(count, total)
    return [total * (2 * i + 1) // (2 * count) for i in range(count)]


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
    errors = {}
    if scores[highest] > threshold:
        errors["accepted"] = highest
    if scores[lowest] <= threshold:
        errors["rejected"] = lowest
    return errors, threshold


def collect_mistakes(
    scored: dict[str, dict[str, pd.DataFrame]],
    preset: Preset,
    files: Layout,
    grid: Grid,
    table: pd.DataFrame,
) -> list[Mistake]:
    """Collect the worst errors; an utterance that several systems get wrong is there once."""
    whose: dict[tuple[str, str, int], list[tuple[str, float, float]]] = {}
    for system, sets in scored.items():
        for name, of_set in sets.items():
            rows, threshold = worst(of_set)
            for kind, row in rows.items():
                entry = (system, float(of_set["score"].iloc[row]), threshold)
                whose.setdefault((name, kind, row), []).append(entry)
    curves = _known_curves(preset, files, grid)
    first = next(iter(scored.values()))
    longest = int(preset.score.max_seconds * SAMPLE_RATE)
    room, mistakes = AUDIO_BYTES, []
    for name, kind, row in sorted(whose, key=lambda k: (grid.set.index(k[0]), k[1], k[2])):
        trial = first[name].iloc[row]
        utterance = str(trial["trial"])
        wave = audio.read(manifest.ref(trial))[:longest]
        size = len(audio.encode_flac(wave))
        fits = size <= room
        room -= size if fits else 0
        mistakes.append(
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
    return mistakes


def _known_curves(preset: Preset, files: Layout, grid: Grid) -> pd.DataFrame | None:
    """Return the frames that the localiser has scored, by set and utterance."""
    if preset.report.localiser not in grid.posttrained:
        return None
    frames = read_frames(files.frames(preset.report.localiser))
    return frames[frames["set"].isin(grid.set)].set_index(["set", "utterance"])


def _mistake_curve(
    curves: pd.DataFrame | None, table: pd.DataFrame, files: Layout, name: str, utterance: str
) -> Example | None:
    if curves is None or (name, utterance) not in curves.index:
        return None
    truth, scores = curves.loc[(name, utterance), ["labels", "scores"]]
    recipe = as_recorded(table[table["utterance"] == utterance])[0]
    shown = _example(recipe, _spacing(files), truth, scores)
    return Example(name, utterance, "", recipe.label, np.nan, np.nan, *shown)


def _spacing(files: Layout) -> FrameGrid:
    return read_grid(files.foundation / "config.json")


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


def collect_votes(files: Layout, grid: Grid, examples: Sequence[Example]) -> Voting | None:
    """Read the votes of the grid; None where no system votes.

    Raises:
        MixframeError: the votes of a system are missing.
    """
    if not grid.voting:
        return None
    rows, votes = [], {}
    for system in grid.voting:
        figures = read_object(need_file(files.vote_metrics(system), "vote"))
        rows += [{"system": system, "set": name, **found} for name, found in figures.items()]
        votes[system] = read_parquet(files.votes(system), VOTES, "vote").set_index(
            ["set", "utterance"]
        )
    shown = [e for e in examples if all((e.set, e.utterance) in v.index for v in votes.values())]

    def by_example(column: str) -> list[dict[str, np.ndarray]]:
        return [
            {system: np.asarray(v.loc[(e.set, e.utterance), column]) for system, v in votes.items()}
            for e in shown
        ]

    columns = ["system", "set", "utterances", "share", "chance"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    return Voting(table, shown, by_example("chosen"), by_example("attention"))
