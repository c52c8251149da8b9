"""Which frames the heads voted for: the figures, and examples over their spectrograms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.signal import stft

from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.files import need_file, read_json
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Grid
from mixframe.report.collect import Example
from mixframe.report.figures import BLUE, GREEN, INK, ORANGE, TRACK, note, style

WINDOW, RANGE_DB = 400, 70.0
"""Samples of a spectrogram's window, and the range of levels it shows."""


@dataclass(frozen=True)
class Voting:
    """Votes of all voting systems.

    Attributes:
        table: a row a system and set: system, set, utterances, share and chance (fractions of the
            chosen frames that were injected, and of all frames).
        chosen: for each example, by system, (T,) in how many blocks each frame was chosen.
    """

    table: pd.DataFrame
    examples: list[Example]
    chosen: list[dict[str, np.ndarray]]


def collect_votes(files: Layout, grid: Grid, examples: Sequence[Example]) -> Voting | None:
    """Read the votes of the grid; None where no system votes.

    Raises:
        MixframeError: the votes of a system are missing.
    """
    if not grid.voting:
        return None
    rows, votes = [], {}
    for system in grid.voting:
        figures = read_json(need_file(files.vote_metrics(system), "vote"))
        rows += [{"system": system, "set": name, **found} for name, found in figures.items()]
        table = pd.read_parquet(need_file(files.votes(system), "vote"))
        votes[system] = table.set_index(["set", "utterance"])["chosen"]
    shown, chosen = [], []
    for example in examples:
        key = (example.set, example.utterance)
        if all(key in found.index for found in votes.values()):
            shown.append(example)
            chosen.append({system: np.asarray(found.loc[key]) for system, found in votes.items()})
    columns = ["system", "set", "utterances", "share", "chance"]
    return Voting(pd.DataFrame(rows).reindex(columns=columns), shown, chosen)


@style()
def draw_votes(voting: Voting | None, which: Sequence[int], legend: bool) -> Figure:
    """Draw some examples: spectrogram, the votes of each system, the frame classifier's curve."""
    if voting is None or not which:
        return note("No system votes for frames.")
    systems = list(voting.chosen[0])
    heights = [1.9 + 0.28 * len(systems)] * len(which) + [0.3] * legend
    figure = Figure(figsize=(6.4, sum(heights)))
    blocks = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    for block, number in zip(blocks.flat, which, strict=False):
        example, chosen = voting.examples[number], voting.chosen[number]
        axes = block.subplots(
            2 + len(systems),
            1,
            sharex=True,
            height_ratios=[3, *[0.7] * len(systems), 2],
            gridspec_kw={"left": 0.2, "right": TRACK[1], "top": 0.9, "bottom": 0.16},
        )
        hertz, seconds, level = stft(example.wave, SAMPLE_RATE, nperseg=WINDOW, noverlap=240)
        power = 20 * np.log10(np.abs(level) + 1e-9)
        axes[0].pcolormesh(
            seconds,
            hertz / 1000,
            power,
            cmap="Greys",
            vmin=power.max() - RANGE_DB,
            vmax=power.max(),
            rasterized=True,
            shading="auto",
        )
        axes[0].set(ylabel="kHz", ylim=(0, 8), yticks=[0, 4, 8])
        axes[0].set_title(f"{example.set}: {example.utterance}", fontsize=8, fontweight="normal")
        for axis, system in zip(axes[1:-1], systems, strict=True):
            count = chosen[system]
            axis.bar(example.times, count, width=0.018, color=GREEN, linewidth=0)
            axis.set(yticks=[], ylim=(0, max(1, count.max())))
            axis.set_ylabel(system, rotation=0, ha="right", va="center", fontsize=7)
        axes[-1].plot(example.times, example.probability, color=BLUE, linewidth=1.4)
        axes[-1].set(ylim=(-0.03, 1.03), yticks=[0, 1], ylabel="P(injected)", xlabel="time, s")
        axes[-1].set_xlim(0, example.wave.size / SAMPLE_RATE)
        for axis in axes:
            for start, end in example.regions:
                axis.axvspan(start, end, color=ORANGE, alpha=0.3, linewidth=0, zorder=3)
    if legend:
        handles = [
            Patch(color=ORANGE, alpha=0.3, label="spliced in (truth)"),
            Patch(color=GREEN, label="chosen, height: number of blocks"),
            Line2D([], [], color=BLUE, label='frame classifier, P("injected")'),
        ]
        figure.legend(handles=handles, loc="lower center", ncols=3, labelcolor=INK)
    return figure


def vote_table(voting: Voting | None) -> pd.DataFrame:
    """Return the frames of the examples: set, utterance, system, time_s, injected, chosen."""
    columns = ["set", "utterance", "system", "time_s", "injected", "chosen"]
    rows = []
    if voting is not None:
        for example, chosen in zip(voting.examples, voting.chosen, strict=True):
            for system, counts in chosen.items():
                for time, count in zip(example.times.tolist(), counts.tolist(), strict=True):
                    injected = any(start <= time < end for start, end in example.regions)
                    rows.append((example.set, example.utterance, system, time, injected, count))
    return pd.DataFrame(rows, columns=columns)
