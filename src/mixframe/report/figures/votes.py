"""What voting heads look at: their votes and attention under a spectrogram, and a frame curve."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase
from scipy.signal import stft

from mixframe.audio.io import SAMPLE_RATE
from mixframe.report.collect import Collected
from mixframe.report.draw import BLUE, GREEN, ORANGE, VERMILLION, Drawing, Key, Line, plain
from mixframe.report.examples import Example, Voting
from mixframe.report.figures.localisation import TRACK

WINDOW, RANGE_DB = 400, 70.0
"""Samples of a spectrogram's window, and the range of levels it shows."""
CAPTION = """\
<b>What the heads chose and attended to</b>, below the spectrogram, and what the localiser that
ranks the examples above says of the same utterances. Attention is that of the class token, a mean
over heads and blocks, each curve up to its own maximum."""


def figure(data: Collected) -> Drawing:
    """Draw `data.voting`."""
    return drawing(data.voting)


def drawing(voting: Voting | None) -> Drawing:
    """Draw a panel an example."""
    shown = _shown(voting)
    panels = {
        f"Frames that heads chose in {example.utterance} of {example.set}": partial(
            panel, example=example, chosen=chosen, attention=attention
        )
        for example, chosen, attention in shown
    }
    return Drawing(
        vote_table(voting),
        panels,
        (6.4, 1.9 + 0.42 * len(shown[0][1] if shown else ())),
        CAPTION,
        note="No system votes for frames.",
        columns=1,
        legend=[
            Key("spliced in (truth)", Line(ORANGE), 0.3),
            Key("chosen, height: number of blocks", Line(GREEN), 0.45),
            Key("attention", Line(VERMILLION)),
            Key("localiser", Line(BLUE)),
        ],
        constrained=False,
    )


def _shown(
    voting: Voting | None,
) -> list[tuple[Example, dict[str, np.ndarray], dict[str, np.ndarray]]]:
    if voting is None:
        return []
    return list(zip(voting.examples, voting.chosen, voting.attention, strict=True))


def panel(
    canvas: FigureBase,
    example: Example,
    chosen: dict[str, np.ndarray],
    attention: dict[str, np.ndarray],
) -> None:
    """Draw one example; `chosen` and `attention` are by system."""
    axes = canvas.subplots(
        2 + len(chosen),
        1,
        sharex=True,
        height_ratios=[3, *[1.1] * len(chosen), 2],
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
    axes[0].set_title(plain(f"{example.set}: {example.utterance}"), fontsize=8, fontweight="normal")
    for axis, system in zip(axes[1:-1], chosen, strict=True):
        count = chosen[system]
        axis.bar(example.times, count, width=0.018, color=GREEN, alpha=0.45, linewidth=0)
        axis.set(yticks=[], ylim=(0, max(1, count.max())))
        beside = axis.twinx()
        beside.plot(example.times, attention[system], color=VERMILLION, linewidth=1.0)
        beside.set(yticks=[], ylim=(0, 1.05 * attention[system].max()))
        axis.set_ylabel(system, rotation=0, ha="right", va="center", fontsize=7)
    axes[-1].plot(example.times, next(iter(example.curves.values())), color=BLUE, linewidth=1.4)
    axes[-1].set(ylim=(-0.03, 1.03), yticks=[0, 1], ylabel="P(injected)", xlabel="time, s")
    axes[-1].set_xlim(0, example.wave.size / SAMPLE_RATE)
    for axis in axes:
        for start, end in example.regions:
            axis.axvspan(start, end, color=ORANGE, alpha=0.3, linewidth=0, zorder=3)


def vote_table(voting: Voting | None) -> pd.DataFrame:
    """Return the frames of the examples.

    Returns:
        set, utterance, system, time_s, injected, chosen (blocks), attention.
    """
    columns = ["set", "utterance", "system", "time_s", "injected", "chosen", "attention"]
    rows = []
    for example, chosen, attention in _shown(voting):
        injected = [
            any(start <= time < end for start, end in example.regions) for time in example.times
        ]
        for system in chosen:
            about = (example.set, example.utterance, system)
            frames = (example.times, injected, chosen[system], attention[system])
            rows += [(*about, *frame) for frame in zip(*frames, strict=True)]
    return pd.DataFrame(rows, columns=columns)
