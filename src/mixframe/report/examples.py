"""Utterances to look at and to hear: examples of localisation, worst errors, votes of heads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixframe.audio import io as audio
from mixframe.audio import manifest
from mixframe.audio.frames import FrameGrid, Labels, read_grid
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.audio.splicing.planning import read_plan
from mixframe.audio.splicing.rendering import Recipe, as_recorded, load, recipes
from mixframe.audio.spoofed import whole_utterances
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_object
from mixframe.base.tables import Columns, read_parquet
from mixframe.experiment.layout import HELDOUT, Layout
from mixframe.experiment.params import Grid, Preset
from mixframe.experiment.scored import localiser_name, read_localisers
from mixframe.metrics import detection, scorefiles
from mixframe.metrics.frames import frame_threshold

VOTES: Columns = {"set": "text", "utterance": "text", "chosen": "ints", "attention": "numbers"}
AUDIO_BYTES = 6 * 2**20
"""Of sounds on the page beside those of splices; what comes later has no player. With them, base64
and the drawings, a page stays well below 15 MB."""


@dataclass(frozen=True)
class Example:
    """One utterance with what localisers say about it.

    Attributes:
        set: heldout, or a set of the manifest.
        utterance: the base utterance.
        injector: whose frames were spliced in; "" if the manifest knows the regions only.
        label: the label of the base utterance.
        auc: by localiser, the area under the ROC curve of its frames; 1 = every injected frame
            scores above every other one.
        rank: place among the set's spliced utterances by the AUC of the report's localiser, 0 =
            lowest, 1 = highest.
        wave: (n,) float32 at 16 kHz.
        regions: injected parts, half-open intervals in seconds.
        times: (T,) seconds, the centres of the frames.
        curves: by localiser, that of the report first, the (T,) probability of "injected", moved
            in log odds so that the threshold at the EER of held-out frames lies at one half.
    """

    set: str
    utterance: str
    injector: str
    label: str
    auc: dict[str, float]
    rank: float
    wave: Waveform
    regions: list[tuple[float, float]]
    times: np.ndarray
    curves: dict[str, np.ndarray]


@dataclass(frozen=True)
class Localiser:
    """What one localiser says of frames, with the first seed.

    Attributes:
        sets: a table a set, as of `read_frames`, with rows from 0.
        threshold: score at the EER of the frames of the held-out splices.
    """

    sets: dict[str, pd.DataFrame]
    threshold: float


@dataclass(frozen=True)
class Localisation:
    """Frame-level results.

    Attributes:
        table: a row a post-trained system and set: system, set and the figures of stage
            evaluate_frames.
        stage, system: what trained the localiser of the report, whose frames rank the examples.
        localisers: by name, that of the report first.
        candidates: spliced utterances of each set, from which the examples were taken.
    """

    table: pd.DataFrame
    stage: str
    system: str
    localisers: dict[str, Localiser]
    candidates: dict[str, int]
    examples: list[Example]

    @property
    def localiser(self) -> str:
        """Name of the localiser of the report."""
        return localiser_name(self.stage, self.system)


@dataclass(frozen=True)
class Mistake:
    """An utterance that is some system's worst error on its set.

    Attributes:
        kind: accepted (spoofed, and taken for bona fide) or rejected (bona fide, and not).
        systems: (system, score, threshold at its EER on this set), of those whose worst error it
            is.
        wave: (n,) float32 at 16 kHz, as far as scoring hears it; None where the page has no room.
        curve: what the localisers say about it, where they were asked.
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
    frames = read_localisers(files, grid)
    chosen = next((key for key in frames if key[1] == preset.report.localiser), None)
    if chosen is None:
        raise MixframeError(
            f"report.localiser = {preset.report.localiser!r}: expected a system of the grid with "
            f"frame scores, one of {', '.join(dict.fromkeys(system for _, system in frames))}"
        )
    rows = [
        {"system": system, "set": name, **figures}
        for system in grid.posttrained
        for name, figures in read_object(
            need_file(files.frame_metrics(system), "evaluate_frames")
        ).items()
    ]
    ordered = [chosen, *(key for key in frames if key != chosen)]
    localisers = {localiser_name(*key): _localiser(frames[key]) for key in ordered}
    spacing = _spacing(files)
    where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
    plan = read_plan(files.plan(HELDOUT))
    candidates, examples = {}, []
    for name, of_set in localisers[localiser_name(*chosen)].sets.items():
        ranked = rank(of_set["labels"].tolist(), of_set["scores"].tolist())
        candidates[name] = len(ranked)
        for place in spread(len(ranked), preset.report.examples):
            row = ranked[place][1]
            utterance = of_set["utterance"].iloc[row]
            if name == HELDOUT:
                recipe = recipes(plan.iloc[[row]], where)[0]
                injector = str(plan["injector"].iloc[row])
            else:
                recipe = as_recorded(table[table["utterance"] == utterance])[0]
                injector = ""
            share = (place + 0.5) / len(ranked)
            examples.append(
                _example(localisers, name, row, utterance, recipe, spacing, injector, share)
            )
    return Localisation(pd.DataFrame(rows), *chosen, localisers, candidates, examples)


def _localiser(frames: pd.DataFrame) -> Localiser:
    sets = {
        str(name): rows.reset_index(drop=True) for name, rows in frames.groupby("set", sort=False)
    }
    return Localiser(sets, frame_threshold(sets[HELDOUT]))


def auc(labels: Labels, scores: np.ndarray) -> float | None:
    """Return the area under the ROC curve of the (T,) frames of an utterance.

    None where they are of one kind; ties count half.
    """
    inside, outside = scores[labels == 1], scores[labels == 0]
    if not (inside.size and outside.size):
        return None
    below = (inside[:, None] < outside[None]).mean()
    ties = (inside[:, None] == outside[None]).mean()
    return float(below + ties / 2)


def rank(labels: Sequence[Labels], scores: Sequence[np.ndarray]) -> list[tuple[float, int]]:
    """Rank utterances that have frames of both kinds by the AUC of their frames.

    Args:
        labels: (T,) 1 = injected, of each utterance.
        scores: (T,) higher = not injected.

    Returns:
        (auc, position in the arguments), ascending.
    """
    areas = [auc(truth, values) for truth, values in zip(labels, scores, strict=True)]
    return sorted((area, row) for row, area in enumerate(areas) if area is not None)


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
    localisers: dict[str, Localiser],
) -> list[Mistake]:
    """Collect the worst errors; an utterance that several systems get wrong is there once."""
    whose: dict[tuple[str, str, int], list[tuple[str, float, float]]] = {}
    for system, sets in scored.items():
        for name, of_set in sets.items():
            rows, threshold = worst(of_set)
            for kind, row in rows.items():
                entry = (system, float(of_set["score"].iloc[row]), threshold)
                whose.setdefault((name, kind, row), []).append(entry)
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
                _mistake_curve(localisers, table, files, name, utterance),
            )
        )
    return mistakes


def _mistake_curve(
    localisers: dict[str, Localiser],
    table: pd.DataFrame,
    files: Layout,
    name: str,
    utterance: str,
) -> Example | None:
    asked = next((x.sets[name] for x in localisers.values() if name in x.sets), None)
    if asked is None:
        return None
    row = asked["utterance"].tolist().index(utterance)
    recipe = whole_utterances(table[table["utterance"] == utterance])[0]
    return _example(localisers, name, row, utterance, recipe, _spacing(files), "", np.nan)


def _spacing(files: Layout) -> FrameGrid:
    return read_grid(files.foundation / "config.json")


def _example(
    localisers: dict[str, Localiser],
    name: str,
    row: int,
    utterance: str,
    recipe: Recipe,
    grid: FrameGrid,
    injector: str,
    share: float,
) -> Example:
    """Return the utterance in this row of a set, with what every localiser says that was asked."""
    wave, labels = load(recipe, grid, audio.read)
    # To post-training, an utterance that is spoofed as a whole has no spliced frames.
    parted = 0 < labels.sum() < labels.size
    areas, curves = {}, {}
    for localiser, known in localisers.items():
        if name not in known.sets:
            continue
        scored = known.sets[name].iloc[row]
        same = scored["utterance"] == utterance and len(scored["scores"]) == labels.size
        if not same or (parted and not np.array_equal(scored["labels"], labels)):
            raise MixframeError(
                f"{localiser}: {name}, {utterance} ({recipe.base.path} at byte "
                f"{recipe.base.offset}): its frames are not those that were scored; run "
                "`dvc repro` to bring them together"
            )
        area = auc(labels, scored["scores"])
        if area is not None:
            areas[localiser] = area
        above = scored["scores"].astype(np.float64) - known.threshold
        curves[localiser] = 1 / (1 + np.exp(above))
    centres = (np.arange(len(labels)) * grid.hop + grid.receptive_field / 2) / SAMPLE_RATE
    regions = [(s / SAMPLE_RATE, e / SAMPLE_RATE) for s, e in recipe.regions]
    return Example(
        name, utterance, injector, recipe.label, areas, share, wave, regions, centres, curves
    )


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
