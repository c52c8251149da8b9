"""What makes a score doubtful: conditions of a recording, each a warning with a name."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from scipy.signal import welch

from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.bundle import measures
from mixframe.bundle.contents import Spread, TrainedOn

SHORT_SECONDS = 0.5

SILENT_DB = -60.0
"""Frames of 20 ms whose RMS is below this, in dB of full scale, are silent."""
SOUND_SECONDS, SOUND_SHARE = 0.25, 0.1
"""A recording with less sound than this, or a smaller share of it, counts as silence."""

FULL_SCALE, FULL_SHARE = 0.99, 0.001
"""More samples than this share at full scale, and a recording counts as clipped."""
PEAK_DB, PEAK_SHARE = 0.2, 0.02
"""Or more than this share so close below its peak: clipped, then made quieter. Of the bona fide
and spoofed utterances of the demo corpus none of 300 has more than 1.1 %."""

TELEPHONE_HZ = (2000.0, 3400.0)
EMPTY_HZ = (4600.0, 6600.0)
TELEPHONE_DB = -40.0
"""Mean level of the band EMPTY_HZ over that of TELEPHONE_HZ below which a recording counts as
narrowband. 300 utterances of the demo corpus have at least -32 dB, and at most -47 dB after a
telephone's band-pass or a sampling rate of 8 kHz."""

LEVEL_MARGIN_DB, BANDWIDTH_MARGIN_HZ = 6.0, 500.0
"""How far outside percentiles 1 and 99 of the training utterances a recording may be."""
USUAL_LEVEL = Spread(low=-40.0, median=-26.0, high=-12.0)
"""Where a bundle does not say what its training utterances had. ITU-T P.56 speech at -26 dB is the
level to which speech material is commonly brought."""

FRAME = SAMPLE_RATE // 50
BIN_DB, LOWEST_DB, BINS = 0.1, -100.0, 2000
"""Bins in which magnitudes of samples are counted, from -100 dB of full scale."""
FREQUENCIES = np.fft.rfftfreq(measures.WINDOW, 1 / SAMPLE_RATE)


class Warned(BaseModel, frozen=True):
    """A warning.

    Attributes:
        name: short, silence, clipped, narrowband, upsampled, level, bandwidth, damaged or
            uncalibrated.
        text: what was measured and what it means.
    """

    name: str
    text: str


@dataclass
class Conditions:
    """Figures of a recording, gathered block by block."""

    samples: int = 0
    energy: float = 0.0
    full: int = 0
    sounding: int = 0
    _magnitudes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    _power: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(FREQUENCIES.size))
    _tail: Waveform = field(default_factory=lambda: np.zeros(0, np.float32))
    _frame_tail: Waveform = field(default_factory=lambda: np.zeros(0, np.float32))

    def add(self, block: Waveform) -> None:
        """Take the next (n,) samples at 16 kHz into account."""
        magnitude = np.abs(block)
        self.samples += block.size
        self.energy += float(np.square(block, dtype=np.float64).sum())
        self.full += int((magnitude >= FULL_SCALE).sum())
        level = 20 * np.log10(np.maximum(magnitude, 10 ** (LOWEST_DB / 20)))
        bins = np.minimum((level - LOWEST_DB) / BIN_DB, BINS - 1).astype(np.int64)
        self._magnitudes += np.bincount(bins, minlength=BINS)
        self._add_frames(block)
        self._add_spectrum(block)

    def _add_frames(self, block: Waveform) -> None:
        samples = np.concatenate([self._frame_tail, block])
        whole = samples.size // FRAME * FRAME
        power = np.square(samples[:whole], dtype=np.float64).reshape(-1, FRAME).mean(axis=1)
        self.sounding += int((power >= 10 ** (SILENT_DB / 10)).sum())
        self._frame_tail = samples[whole:]

    def _add_spectrum(self, block: Waveform) -> None:
        """Go on with Welch's method where the last block ended."""
        samples = np.concatenate([self._tail, block])
        hop = measures.WINDOW // 2
        n = (samples.size - hop) // hop
        if n > 0:
            part = samples[: (n + 1) * hop].astype(np.float64)
            self._power += n * welch(part, SAMPLE_RATE, nperseg=measures.WINDOW)[1]
            samples = samples[n * hop :]
        self._tail = samples

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples / SAMPLE_RATE

    def warnings(self, trained_on: TrainedOn, rate: int, lost: int) -> list[Warned]:
        """Return what is to be said of the recording.

        Args:
            trained_on: level and bandwidth of the training material, where known.
            rate: of the recording itself, Hz.
            lost: packets that could not be decoded.
        """
        silence = self._silence()
        said = {
            "damaged": f"{lost} packets could not be decoded and are left out" if lost else None,
            "short": self._short(),
            "silence": silence,
            "clipped": self._clipped(),
            "upsampled": self._upsampled(rate),
        }
        if silence is None:
            # Of silence neither level nor spectrum says more.
            said |= {
                "narrowband": self._narrowband(),
                "level": self._level(trained_on.level_db),
                "bandwidth": self._bandwidth(trained_on.bandwidth_hz),
            }
        return [Warned(name=name, text=text) for name, text in said.items() if text]

    def _short(self) -> str | None:
        if self.seconds >= SHORT_SECONDS:
            return None
        return f"{self.seconds:.2f} s is little to judge from"

    def _silence(self) -> str | None:
        sound = self.sounding * FRAME / SAMPLE_RATE
        least = max(min(SOUND_SECONDS, self.seconds / 2), SOUND_SHARE * self.seconds)
        if sound >= least:
            return None
        return f"{sound:.2f} of {self.seconds:.2f} s are louder than {SILENT_DB:g} dB of full scale"

    def _clipped(self) -> str | None:
        # Digital silence is in the lowest bin, below which nothing lies.
        counted = np.flatnonzero(self._magnitudes[1:]) + 1
        at_peak = 0
        if counted.size:
            peak = counted[-1] + 1
            at_peak = int(self._magnitudes[max(1, peak - round(PEAK_DB / BIN_DB)) : peak].sum())
        for n, share in ((self.full, FULL_SHARE), (at_peak, PEAK_SHARE)):
            if n > share * self.samples:
                return f"{100 * n / self.samples:.1f} % of the samples are as large as any"
        return None

    def _upsampled(self, rate: int) -> str | None:
        if rate >= SAMPLE_RATE:
            return None
        return f"recorded at {rate:,} Hz, so there is nothing above {rate // 2:,} Hz"

    def _narrowband(self) -> str | None:
        hertz = FREQUENCIES
        empty, full = (
            self._power[(hertz >= low) & (hertz <= high)].mean()
            for low, high in (EMPTY_HZ, TELEPHONE_HZ)
        )
        if empty >= full * 10 ** (TELEPHONE_DB / 10):
            return None
        return "hardly anything above 4 kHz, as after a telephone or a speech codec"

    def _level(self, usual: Spread | None) -> str | None:
        usual = usual or USUAL_LEVEL
        level = 10 * np.log10(max(self.energy / self.samples, measures.SILENT))
        if usual.low - LEVEL_MARGIN_DB <= level <= usual.high + LEVEL_MARGIN_DB:
            return None
        return f"{level:.0f} dB of full scale; trained on {usual.low:.0f} to {usual.high:.0f} dB"

    def _bandwidth(self, usual: Spread | None) -> str | None:
        if usual is None or not self._power.any():
            return None
        hertz = measures.highest_band(FREQUENCIES, self._power)
        if usual.low - BANDWIDTH_MARGIN_HZ <= hertz <= usual.high + BANDWIDTH_MARGIN_HZ:
            return None
        return f"energy up to {hertz:,.0f} Hz; trained on {usual.low:,.0f} to {usual.high:,.0f} Hz"
