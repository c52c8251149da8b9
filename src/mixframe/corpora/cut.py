"""Trials that are parts of recordings, or whose files only FFmpeg reads: decoded, cut and kept.

What is cut goes as FLAC at 16 kHz into the tar of a preset's generated audio, since a row of the
manifest names whole encoded files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from mixframe.audio.io import (
    SAMPLE_RATE,
    AudioRef,
    TarWriter,
    Waveform,
    decode_ffmpeg,
    encode_flac,
    resample,
)
from mixframe.base.errors import MixframeError, listing
from mixframe.base.progress import log, progress
from mixframe.base.schema import Above0, Section
from mixframe.corpora.source import LeftOut
from mixframe.corpora.trials import Audited, manifest_rows

if TYPE_CHECKING:
    import pandas as pd

LATEST_S = 0.01
"""Seconds that the end of a segment may lie behind that of its file: times are rounded."""


class Whole(Section):
    """A trial is a file, which is read where it lies."""

    kind: Literal["whole"]


class Decoded(Section):
    """A trial is a file, of a format that only FFmpeg reads (m4a, mp4 ...)."""

    kind: Literal["decoded"]


class Times(Section):
    """A trial is a part of a file.

    Attributes:
        start, end: names of the values that say from where to where.
        unit: seconds that 1 stands for in them.
    """

    kind: Literal["times"]
    start: str
    end: str
    unit: Above0


class Windows(Section):
    """Trials are windows of a file, one behind another, named <utterance>-0000 and so on.

    Attributes:
        seconds: length of a window.
        least_seconds: the last one is dropped if it is shorter; a file that is shorter counts as
            one without usable audio.
    """

    kind: Literal["windows"]
    seconds: Above0
    least_seconds: Above0


Segments: Any = Annotated[Whole | Decoded | Times | Windows, Field(discriminator="kind")]


class Heard(NamedTuple):
    """A recording.

    Attributes:
        wave: (n,) at 16 kHz, full scale at 1.
        rate: Hz, as recorded.
        channels: as recorded; `wave` is their mean.
    """

    wave: Waveform
    rate: int
    channels: int


def decode(path: Path) -> Heard:
    """Decode the first audio stream of any file that FFmpeg reads.

    Raises:
        MixframeError: it reads no audio in it, or the file is missing.
    """
    try:
        samples, rate, _ = decode_ffmpeg(str(path))
    except MixframeError as error:
        raise MixframeError(f"{path}: {error}") from error
    mono = samples.mean(axis=0, dtype=np.float32)
    return Heard(mono if rate == SAMPLE_RATE else resample(mono, rate), rate, len(samples))


def segments(
    trials: "pd.DataFrame", root: Path, how: Any, audio: TarWriter, title: str, params: Audited
) -> "pd.DataFrame":
    """Cut the trials out of their recordings.

    Args:
        trials: as `table.rows` returns them.
        root: the folder that their audio is below.
        how: one of `Segments`.
        audio: where the segments go.
        title: of the corpus.

    Returns:
        what `trials.with_audio` returns; the columns `start` and `end` that `how` names are gone.

    Raises:
        MixframeError: more trials than `max_missing` without usable audio, each with file and line.
    """
    import pandas as pd

    rows, missing = list[dict[str, Any]](), list[str]()
    left_out = []
    last, heard = "", Heard(np.empty(0, np.float32), 0, 0)
    for index, row in enumerate(progress(_records(trials), len(trials), f"cut {title}", "trials")):
        try:
            if row["audio"] != last:
                last, heard = "", decode(root / row["audio"])
                last = row["audio"]
            pieces = list(_pieces(row, heard.wave, how))
            encoded = [(name, part, encode_flac(part)) for name, part in pieces]
        except MixframeError as error:
            missing.append(f"{row['file']}, line {row['line']}: {row['utterance']}: {error}")
            left_out.append(LeftOut(title, row["set"], row["utterance"], row["label"], str(error)))
            continue
        for name, part, flac in encoded:
            ref: AudioRef = audio.add(f"{index:07d}-{len(rows):07d}.flac", flac)
            place = {"path": ref.path, "offset": ref.offset, "n_bytes": ref.n_bytes}
            source = {"source_rate": heard.rate, "source_channels": heard.channels}
            rows.append({**row, "utterance": name, "samples": len(part), **place, **source})
    if len(missing) > params.max_missing:
        raise MixframeError(
            f"{title}: {len(missing):,} trials without usable audio, max_missing allows "
            f"{params.max_missing:,}:\n{listing(missing)}"
        )
    if missing:
        log(f"  {title}: {len(missing):,} trials without usable audio (allowed)")
    table = pd.DataFrame(rows)
    gone = ["file", "audio", *([how.start, how.end] if how.kind == "times" else [])]
    table = manifest_rows(table.drop(columns=gone))
    table.attrs["left_out"] = left_out
    return table


def _records(trials: "pd.DataFrame") -> Iterator[dict[str, Any]]:
    for values in trials.itertuples(index=False):
        yield dict(zip(trials.columns, values, strict=True))


def _pieces(row: dict[str, Any], wave: Waveform, how: Any) -> Iterator[tuple[str, Waveform]]:
    """Yield the name and the samples of each trial of a row.

    Raises:
        MixframeError: times that are no part of the recording, or a recording that is too short.
    """
    if how.kind == "decoded":
        yield row["utterance"], wave
    elif how.kind == "times":
        start, end = _time(row, how.start) * how.unit, _time(row, how.end) * how.unit
        length = len(wave) / SAMPLE_RATE
        if not 0 <= start < end <= length + LATEST_S:
            raise MixframeError(
                f"{start:g} to {end:g} s is no part of {row['audio']}, which has {length:g} s"
            )
        yield row["utterance"], wave[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    else:
        step, least = round(how.seconds * SAMPLE_RATE), round(how.least_seconds * SAMPLE_RATE)
        if len(wave) < least:
            raise MixframeError(f"{row['audio']} is shorter than {how.least_seconds:g} s")
        for i, start in enumerate(range(0, len(wave), step)):
            if len(wave) - start >= least:
                yield f"{row['utterance']}-{i:04d}", wave[start : start + step]


def _time(row: dict[str, Any], name: str) -> float:
    try:
        return float(row[name])
    except (KeyError, ValueError) as error:
        raise MixframeError(f"segments: {name} = {row.get(name)!r} is no number") from error
