"""One recording heard by a detector: score, decision, timeline, and what makes them doubtful."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from scipy.special import expit

from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.audio.stream import AudioStream
from mixframe.base.errors import MixframeError
from mixframe.bundle.conditions import Conditions, Warned
from mixframe.bundle.overview import Overview
from mixframe.bundle.windows import Timeline, cut, regions

if TYPE_CHECKING:
    from mixframe.bundle.detector import Detector

UNCALIBRATED = Warned(
    name="uncalibrated",
    text="the bundle has no calibration: the score is no log-likelihood ratio, prior and costs "
    "count for nothing, and the decision is that of the threshold at the EER of the dev set",
)


class TooLong(MixframeError):
    """A recording is longer than is allowed."""


class Rule(BaseModel, frozen=True):
    """How scores become decisions.

    Attributes:
        prior: probability of spoof before anything is heard, in (0, 1).
        cost_accept: above 0, of taking a spoof for bona fide (c_fa of ASVspoof's plans).
        cost_reject: above 0, of taking bona fide for spoof (c_miss).
        pool: the file's score is the lowest of its windows' (min), or their mean.
        min_region: shortest region of the timeline, seconds; None for the bundle's.
        frame_prior: share of spliced speech that is expected, in (0, 1); None for the bundle's.
    """

    prior: float = 0.5
    cost_accept: float = 1.0
    cost_reject: float = 1.0
    pool: Literal["min", "mean"] = "min"
    min_region: float | None = None
    frame_prior: float | None = None

    @property
    def threshold(self) -> float:
        """The log-likelihood ratio from which bona fide costs less (Bayes)."""
        accepting, rejecting = self.prior * self.cost_accept, (1 - self.prior) * self.cost_reject
        return math.log(accepting / rejecting)

    def p_spoof(self, llr: float) -> float:
        """Return the probability of spoof after the recording was heard."""
        return float(expit(math.log(self.prior / (1 - self.prior)) - llr))


class Window(BaseModel, frozen=True):
    """A part of a recording: seconds, and the countermeasure score (higher = more bona fide)."""

    start: float
    end: float
    score: float


class Region(BaseModel, frozen=True):
    """Where something was spliced in: seconds, and the mean evidence of its frames.

    That is a natural log-likelihood ratio of spliced in to not, `mixframe.bundle.contents.Frames`.
    """

    start: float
    end: float
    score: float


class Result(BaseModel, frozen=True):
    """What is said of a file.

    Attributes:
        file: its name.
        error: why it could not be judged; then nothing else is known.
        seconds, rate, channels: of the recording; rate in Hz.
        score: countermeasure score; higher = more bona fide.
        llr: natural log-likelihood ratio of bona fide to spoof; None without calibration.
        p_spoof: probability of spoof at the prior; None without calibration.
        decision: bonafide or spoof.
        windows: the parts that were scored.
        regions: what the frame classifier takes for spliced in; None without one. The decision
            does not depend on it.
        warnings: what makes the score doubtful.
    """

    file: str
    error: str | None = None
    seconds: float | None = None
    rate: int | None = None
    channels: int | None = None
    score: float | None = None
    llr: float | None = None
    p_spoof: float | None = None
    decision: Literal["bonafide", "spoof"] | None = None
    windows: list[Window] = []
    regions: list[Region] | None = None
    warnings: list[Warned] = []


@dataclass(frozen=True)
class Picture:
    """What a drawing needs besides the result.

    Attributes:
        overview: envelope and spectrogram.
        times: (T,) seconds, the middles of the frames; T = 0 without a frame classifier.
        probability: (T,) that a frame was spliced in, at the prior of frames; it counts from 0.5.
    """

    overview: Overview
    times: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]


class Analysis:
    """A file that is being heard; what is said of it depends on file, detector and rule alone.

    A recording no longer than the detector hears is scored whole, as `mixframe score` does it; a
    longer one in windows, see `mixframe.bundle.windows`.
    """

    def __init__(
        self,
        detector: "Detector",
        file: BinaryIO,
        name: str,
        rule: Rule,
        longest: float = math.inf,
    ) -> None:
        """Read the header of a file.

        Args:
            file: open and seekable.
            name: what messages and the result call it.
            longest: seconds that are allowed.

        Raises:
            MixframeError: it has no audio that can be decoded.
            TooLong: it says that it is longer than `longest`.
        """
        self._detector, self._name, self._rule, self._longest = detector, name, rule, longest
        self._stream = AudioStream(file, name)
        self._check_length(self.seconds_expected)
        self._conditions, self._overview = Conditions(), Overview()
        self._hop = detector.grid.hop if detector.grid is not None else 1
        self._timeline = Timeline(self._hop)
        self._windows: list[Window] = []

    @property
    def seconds_expected(self) -> float:
        """Duration as the header says; 0 if it does not."""
        return self._stream.seconds or 0.0

    def steps(self) -> Iterator[float]:
        """Hear the file window by window.

        Yields:
            the seconds heard so far.

        Raises:
            MixframeError: it cannot be decoded, or has fewer samples than make a frame.
            TooLong: it is longer than is allowed.
        """
        detector = self._detector
        for start, wave in cut(self._blocks(), detector.max_samples, self._hop):
            if wave.size < detector.min_samples:
                raise MixframeError(
                    f"{self._name}: {wave.size} samples at 16 kHz are less than the "
                    f"{detector.min_samples} that one frame of the detector sees"
                )
            begin, end = start / SAMPLE_RATE, (start + wave.size) / SAMPLE_RATE
            score = detector.score(wave)
            if not math.isfinite(score):
                raise MixframeError(f"{self._name}: the score at {begin:.1f} s is not finite")
            self._windows.append(Window(start=begin, end=end, score=score))
            if detector.has_frames:
                self._timeline.add(start, detector.frames(wave))
            yield end

    def result(self) -> Result:
        """Return what is said of the file, after all steps."""
        heard, stream, contents = self._conditions, self._stream, self._detector.contents
        scores = [window.score for window in self._windows]
        score = min(scores) if self._rule.pool == "min" else float(np.mean(scores))
        llr = self._detector.llr(score)
        warnings = heard.warnings(contents.trained_on, stream.rate, stream.lost)
        if llr is None:
            warnings.append(UNCALIBRATED)
            bonafide = score >= contents.threshold
        else:
            bonafide = llr >= self._rule.threshold
        return Result(
            file=self._name,
            seconds=heard.seconds,
            rate=stream.rate,
            channels=stream.channels,
            score=score,
            llr=llr,
            p_spoof=None if llr is None else self._rule.p_spoof(llr),
            decision="bonafide" if bonafide else "spoof",
            windows=self._windows,
            regions=self._regions(),
            warnings=warnings,
        )

    def picture(self) -> Picture:
        """Return what a drawing needs, after all steps."""
        frames = self._detector.contents.frames
        if frames is None:
            return Picture(self._overview, np.zeros(0), np.zeros(0))
        evidence = frames.evidence(self._timeline.logits())
        times = self._detector.frame_times(len(evidence)).mean(axis=1)
        return Picture(self._overview, times, expit(evidence - frames.cut(self._rule.frame_prior)))

    def _regions(self) -> list[Region] | None:
        frames, rule = self._detector.contents.frames, self._rule
        if frames is None:
            return None
        evidence = frames.evidence(self._timeline.logits())
        times = self._detector.frame_times(len(evidence))
        shortest = rule.min_region
        if shortest is None:
            shortest = frames.shortest * self._hop / SAMPLE_RATE
        cut_at, seconds = frames.cut(rule.frame_prior), self._conditions.seconds
        kept = regions(evidence, times, cut_at, shortest, seconds)
        return [Region(start=start, end=end, score=score) for start, end, score in kept]

    def _blocks(self) -> Iterator[Waveform]:
        for block in self._stream.blocks():
            self._conditions.add(block)
            self._overview.add(block)
            self._check_length(self._conditions.seconds)
            yield block

    def _check_length(self, seconds: float) -> None:
        if seconds > self._longest:
            raise TooLong(f"{self._name}: longer than {self._longest:g} s, which is the limit here")


def analyse(
    detector: "Detector", file: BinaryIO, name: str, rule: Rule, longest: float = math.inf
) -> tuple[Result, Picture]:
    """Hear a file at one go; arguments and errors are those of `Analysis`."""
    analysis = Analysis(detector, file, name, rule, longest)
    for _ in analysis.steps():
        pass
    return analysis.result(), analysis.picture()


def excerpts(file: BinaryIO, name: str, spans: Sequence[tuple[float, float]]) -> list[Waveform]:
    """Decode a file again and return parts of it.

    Args:
        file: open and seekable.
        spans: start and end of each part, seconds.

    Returns:
        (n,) float32 at 16 kHz for each span.
    """
    parts: list[list[Waveform]] = [[] for _ in spans]
    at = 0
    for block in AudioStream(file, name).blocks():
        for part, (start, end) in zip(parts, spans, strict=True):
            first = max(0, round(start * SAMPLE_RATE) - at)
            part.append(block[first : max(0, round(end * SAMPLE_RATE) - at)])
        at += block.size
    return [np.concatenate(part) for part in parts]
