"""Attacks: finite, of the right duration, repeatable, and doing what their names say."""

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixframe.base.errors import MixframeError
from mixframe.base.schema import validate
from mixframe.base.yamlfiles import read_yaml
from mixframe.corpora.demo import attacks
from mixframe.corpora.demo.attacks import ATTACKS, analysis
from mixframe.corpora.demo.attacks.context import Context, VoiceStatistics, Wave

PRESET = read_yaml(Path(__file__).parents[1] / "presets" / "demo.yaml")
SECTIONS = PRESET["protocol"]["corpora"]["demo"]["attacks"]
KEEP_TIME = ["world", "griffin_lim", "lpc", "vc", "world_coded"]
RATE = 16_000


def params(name: str) -> Any:
    return validate(ATTACKS[name].Params, SECTIONS[name], name)


def vowel(f0: float, formants: tuple[float, ...], seconds: float = 1.2) -> Wave:
    """Harmonics of a slightly moving pitch under formants, and noise in the middle of them."""
    rng = np.random.default_rng(7)
    size = int(seconds * RATE)
    times = np.arange(size) / RATE
    phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.03 * np.sin(2 * np.pi * 3 * times))) / RATE
    wave = np.zeros(size)
    for harmonic in range(1, int(7500 / f0)):
        hertz = harmonic * f0
        gain = sum(1 / (1 + ((hertz - f) / 150) ** 2) for f in formants) / hertz
        wave += gain * np.sin(harmonic * phase)
    wave /= np.abs(wave).max()
    wave[size // 2 : size // 2 + RATE // 8] = 0.05 * rng.standard_normal(RATE // 8)
    fade = np.minimum(1, np.minimum(times, times[::-1]) / 0.05)
    return 0.3 * fade * wave + 1e-5 * rng.standard_normal(size)


SPEECH = vowel(120, (700, 1200, 2600, 5200))


@pytest.fixture(scope="module")
def context() -> Context:
    statistics = analysis.voice_statistics(
        "other", [vowel(210, (400, 2000, 3000, 5500))], params("vc")
    )
    return Context("it", statistics)


def levels(wave: Wave) -> Wave:
    frames = wave[: wave.size // 320 * 320].reshape(-1, 320)
    return np.log10(np.mean(frames**2, axis=1) + 1e-9)


def median_f0(wave: Wave) -> float:
    f0, _ = analysis.f0_track(wave, params("world"))
    return float(np.median(f0[f0 > 0]))


@pytest.mark.parametrize("name", list(ATTACKS))
def test_attack_is_finite_of_about_the_same_duration_and_not_the_input(
    name: str, context: Context
) -> None:
    made = attacks.synthesise(name, SPEECH, np.random.default_rng(0), context, params(name))
    assert made.dtype == np.float64
    assert np.isfinite(made).all()
    assert abs(made.size / SPEECH.size - 1) < 0.2
    shared = min(made.size, SPEECH.size)
    assert np.abs(made[:shared] - SPEECH[:shared]).max() > 0.05 * np.abs(SPEECH).max()
    assert 0.2 < np.std(made) / np.std(SPEECH) < 5


@pytest.mark.parametrize("name", KEEP_TIME)
def test_attack_keeps_time_and_loudness_over_time(name: str, context: Context) -> None:
    made = attacks.synthesise(name, SPEECH, np.random.default_rng(0), context, params(name))
    assert made.size == SPEECH.size
    assert np.corrcoef(levels(made), levels(SPEECH))[0, 1] > 0.85


@pytest.mark.parametrize("name", list(ATTACKS))
def test_attack_depends_on_its_arguments_alone(name: str, context: Context) -> None:
    def run(seed: int, wave: Wave) -> Wave:
        return attacks.synthesise(name, wave, np.random.default_rng(seed), context, params(name))

    first = run(0, SPEECH)
    run(1, SPEECH[: RATE // 2])
    np.testing.assert_array_equal(run(0, SPEECH), first)


@pytest.mark.parametrize("name", ["griffin_lim", "lpc", "tts", "psola"])
def test_attack_that_draws_uses_its_generator(name: str, context: Context) -> None:
    made = [
        attacks.synthesise(name, SPEECH, np.random.default_rng(seed), context, params(name))
        for seed in (0, 1)
    ]
    assert not np.array_equal(*made)


@pytest.mark.parametrize("name", [n for n in ATTACKS if n != "tts"])
def test_attack_takes_noise_without_a_pitch(name: str, context: Context) -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal(RATE)
    made = attacks.synthesise(name, noise, np.random.default_rng(0), context, params(name))
    assert np.isfinite(made).all()


@pytest.mark.parametrize("name", ["world", "world_coded", "griffin_lim", "lpc"])
def test_copy_synthesis_keeps_the_pitch(name: str, context: Context) -> None:
    made = attacks.synthesise(name, SPEECH, np.random.default_rng(0), context, params(name))
    assert median_f0(made) == pytest.approx(median_f0(SPEECH), rel=0.03)


def test_voice_conversion_has_the_pitch_of_the_target(context: Context) -> None:
    made = attacks.synthesise("vc", SPEECH, np.random.default_rng(0), context, params("vc"))
    assert median_f0(made) == pytest.approx(210, rel=0.05)


def test_psola_shifts_the_pitch_within_its_limits(context: Context) -> None:
    low, high = params("psola").pitch_semitones
    shifts = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        made = attacks.synthesise("psola", SPEECH, rng, context, params("psola"))
        shifts.append(12 * np.log2(median_f0(made) / median_f0(SPEECH)))
    assert all(low - 0.3 < abs(s) < high + 0.3 for s in shifts)
    assert min(shifts) < 0 < max(shifts)


def test_coded_envelope_is_farther_from_the_speech_than_the_full_one(context: Context) -> None:
    def distance(name: str, **changes: int) -> float:
        section = params(name).model_copy(update=changes)
        made = attacks.synthesise(name, SPEECH, np.random.default_rng(0), context, section)
        envelope = [analysis.analyse(w, params("world")).envelope for w in (made, SPEECH)]
        return float(np.mean(np.abs(np.log(envelope[0]) - np.log(envelope[1]))))

    assert distance("world") < distance("world_coded", envelope_dims=5)


def test_tts_has_words_of_the_language_and_about_the_wanted_duration() -> None:
    section = params("tts")
    words = ATTACKS["tts"].text(2.0, np.random.default_rng(0), "ru", section).split()
    assert len(words) == round(2 * section.words_per_second)
    spoken = " ".join(section.sentences["ru"])
    assert all(word in spoken for word in words)
    for seconds in (1.0, 2.5, 4.0):
        wave = np.zeros(int(seconds * RATE))
        made = ATTACKS["tts"].synthesise(wave, np.random.default_rng(0), Context("ru"), section)
        assert made.size / RATE == pytest.approx(seconds, rel=0.15)


def test_tts_does_not_depend_on_the_clock() -> None:
    """espeak-ng seeds its breath and flutter by the second in which it starts."""
    source = np.random.default_rng(0).standard_normal(32_000) * 0.1
    section = params("tts")

    def speak() -> list[Wave]:
        rngs = [np.random.default_rng(seed) for seed in range(8)]
        return [attacks.synthesise("tts", source, rng, Context("it"), section) for rng in rngs]

    first = speak()
    time.sleep(1.1)
    again = speak()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_tts_names_a_language_or_voice_it_does_not_have() -> None:
    wave, rng = SPEECH, np.random.default_rng(0)
    with pytest.raises(MixframeError, match="no sentences for the language 'de'"):
        attacks.synthesise("tts", wave, rng, Context("de"), params("tts"))
    section = params("tts").model_copy(update={"sentences": {"nowhere": ["no words"]}})
    with pytest.raises(MixframeError, match=r"voice nowhere\+\w+: exit status 1: no such voice"):
        attacks.synthesise("tts", wave, rng, Context("nowhere"), section)


def test_unknown_attack_is_refused_with_the_choices() -> None:
    with pytest.raises(MixframeError, match="unknown attack 'wold'; choices: world, griffin_lim"):
        attacks.synthesise("wold", SPEECH, np.random.default_rng(0), Context("it"), None)


def test_conversion_without_target_is_refused() -> None:
    with pytest.raises(MixframeError, match="'vc' needs a target voice"):
        attacks.synthesise("vc", SPEECH, np.random.default_rng(0), Context("it"), params("vc"))


def test_target_of_another_analysis_is_refused() -> None:
    target = VoiceStatistics("other", 5.0, 0.1, np.zeros(100))
    with pytest.raises(MixframeError, match="voice other: a mean envelope of 100 bins"):
        attacks.synthesise(
            "vc", SPEECH, np.random.default_rng(0), Context("it", target), params("vc")
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.full(100, np.nan), "100 samples, 100 of them not finite"),
        (np.zeros(50), "50 samples, 0 of them not finite and 0 of them not 0"),
        (np.zeros(0), "gave 0 samples"),
    ],
)
def test_output_that_is_no_audio_is_refused(
    given: Wave, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ATTACKS["world"], "synthesise", lambda *_: given)
    with pytest.raises(MixframeError, match=f"attack 'world'.* {said}|attack 'world' {said}"):
        attacks.synthesise("world", SPEECH, np.random.default_rng(0), Context("it"), None)


def test_new_attack_is_one_file_and_one_line(tmp_path: Path) -> None:
    """In a copy of the package, an attack that turns speech upside down; with a preset's values."""
    source = Path(attacks.__file__).parents[3]
    package = tmp_path / source.name
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    folder = package / Path(attacks.__file__).parent.relative_to(source)
    (folder / "upside_down.py").write_text(UPSIDE_DOWN)
    registry = folder / "__init__.py"
    lines = registry.read_text().splitlines(keepends=True)
    lines.insert(lines.index('        "world",\n'), '        "upside_down",\n')
    registry.write_text("".join(lines))
    section = copy.deepcopy(PRESET["protocol"]["corpora"]["demo"])
    section["attacks_train"] = section["attacks_eval"] = ["upside_down"]
    section["partial"]["attacks"] = ["upside_down"]
    # Attacks that no list names need no values.
    section["attacks"] = {"upside_down": {"gain": 0.5}}
    done = subprocess.run(
        [sys.executable, "-c", USE_UPSIDE_DOWN],
        input=json.dumps(section),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [str(folder / "upside_down.py"), [-0.05, 0.1]]


UPSIDE_DOWN = """
from mixframe.base.schema import Section

class Params(Section):
    gain: float

def synthesise(wave, rng, context, params):
    return -params.gain * wave
"""

USE_UPSIDE_DOWN = """
import json, sys
import numpy as np
from mixframe.base.schema import validate
from mixframe.corpora.demo import corpus
from mixframe.corpora.demo.attacks import synthesise
from mixframe.corpora.demo.attacks.context import Context

own = validate(corpus.Protocol, json.load(sys.stdin), "copy").attacks.upside_down
wave = np.array([0.1, -0.2])
made = synthesise("upside_down", wave, np.random.default_rng(0), Context("it"), own)
print(json.dumps([sys.modules[type(own).__module__].__file__, made.tolist()]))
"""


@pytest.mark.parametrize("name", list(ATTACKS))
def test_section_is_defined_in_the_file_of_its_attack(name: str) -> None:
    assert ATTACKS[name].Params.__module__ == ATTACKS[name].__name__


def test_heavy_libraries_are_imported_when_used() -> None:
    code = "import sys, mixframe.corpora.demo.attacks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "torchaudio", "pyworld", "parselmouth", "espeakng_loader"}
    assert not heavy & set(done.stdout.split())
