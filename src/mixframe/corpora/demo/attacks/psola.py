"""PSOLA: pitch and speed are changed by overlap-add of the speech's own periods (Praat)."""

import numpy as np

from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.schema import Section
from mixframe.corpora.demo.attacks.context import Context, Wave
from mixframe.corpora.demo.attacks.packages import need


class Params(Section):
    """How much is changed.

    Attributes:
        pitch_floor_hz: lowest pitch Praat looks for.
        pitch_ceil_hz: highest pitch.
        step_ms: time between pitch measurements.
        pitch_semitones: least and greatest shift of pitch, either up or down.
        stretch: greatest change of duration; the factor is drawn from 1 / stretch to stretch.
    """

    pitch_floor_hz: float
    pitch_ceil_hz: float
    step_ms: float
    pitch_semitones: list[float]
    stretch: float


def synthesise(wave: Wave, rng: np.random.Generator, context: Context, params: Params) -> Wave:
    """Return (m,) speech at another pitch and speed from (n,) speech, both at 16 kHz.

    The stretch is drawn symmetrically in its logarithm, so durations do not grow on average.
    """
    parselmouth = need("parselmouth")
    call, run = parselmouth.praat.call, parselmouth.praat.run
    low, high = params.pitch_semitones
    shift = rng.uniform(low, high) * rng.choice([-1.0, 1.0])
    stretch = params.stretch ** rng.uniform(-1.0, 1.0)
    sound = parselmouth.Sound(wave, sampling_frequency=SAMPLE_RATE)
    whole = (sound.xmin, sound.xmax)
    manipulation = call(
        sound,
        "To Manipulation",
        params.step_ms / 1000,
        params.pitch_floor_hz,
        params.pitch_ceil_hz,
    )
    pitch = call(manipulation, "Extract pitch tier")
    call(pitch, "Shift frequencies", *whole, shift, "semitones")
    call([pitch, manipulation], "Replace pitch tier")
    duration = call("Create DurationTier", "stretch", *whole)
    call(duration, "Add point", sum(whole) / 2, stretch)
    call([duration, manipulation], "Replace duration tier")
    # Praat places the periods of unvoiced parts by its own generator.
    run(f"random_initializeWithSeedUnsafelyButPredictably({int(rng.integers(2**31))})")
    made: Wave = call(manipulation, "Get resynthesis (overlap-add)").values[0]
    return made.copy()
