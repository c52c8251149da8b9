"""Text-to-speech by espeak-ng (formant synthesis) in the language of the speech it stands beside.

The prompts come without transcripts, so the text is other text of the same language: words in
running order from a list of sentences in the preset, as many as fill the duration of the speech.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from mixframe.audio.io import SAMPLE_RATE, resample
from mixframe.base.errors import MixframeError
from mixframe.base.schema import Section
from mixframe.corpora.demo.attacks.context import Context, Wave
from mixframe.corpora.demo.attacks.packages import need


class Params(Section):
    """What is said, and how.

    Attributes:
        sentences: for each espeak-ng voice, the sentences that texts are taken from.
        variants: espeak-ng voice variants (`f2`, `m3`), one drawn for an utterance.
        words_per_second: how many words are taken for a second of speech.
        rate_wpm: slowest and fastest speaking rate in words a minute; within them the rate is set
            so that the duration becomes that of the speech.
        pitch: lowest and highest base pitch, in espeak-ng's units of 0 to 100.
    """

    sentences: dict[str, list[str]]
    variants: list[str]
    words_per_second: float
    rate_wpm: list[int]
    pitch: list[int]


def synthesise(wave: Wave, rng: np.random.Generator, context: Context, params: Params) -> Wave:
    """Return (m,) synthetic speech at 16 kHz about as long as the (n,) speech.

    Each utterance has a process of its own: espeak-ng keeps state from one utterance to the next
    (also across its own terminate and initialise), so its samples would depend on what the same
    process said before.

    Raises:
        MixframeError: no sentences for the language, or espeak-ng fails.
    """
    espeakng_loader = need("espeakng_loader")
    request = {
        "library": espeakng_loader.get_library_path(),
        "data": espeakng_loader.get_data_path(),
        "voice": f"{context.language}+{rng.choice(params.variants)}",
        "text": text(wave.size / SAMPLE_RATE, rng, context.language, params),
        "seconds": wave.size / SAMPLE_RATE,
        "rate_wpm": params.rate_wpm,
        "pitch": int(rng.integers(params.pitch[0], params.pitch[1] + 1)),
        "seed": int(rng.integers(2**31)),
    }
    script = Path(__file__).with_name("tts_process.py")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script)],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise MixframeError(
            f"espeak-ng, voice {request['voice']}: exit status {done.returncode}: "
            f"{done.stderr.decode(errors='replace').strip()}"
        )
    header, _, pcm = done.stdout.partition(b"\n")
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64) / 32768.0
    spoken = np.flatnonzero(samples)
    if spoken.size == 0:
        raise MixframeError(f"espeak-ng, voice {request['voice']}: no sound for {request['text']}")
    return resample(samples[spoken[0] : spoken[-1] + 1], int(header)).astype(np.float64)


def text(seconds: float, rng: np.random.Generator, language: str, params: Params) -> str:
    """Return words that take about `seconds` to say, from a random sentence on.

    Raises:
        MixframeError: there are no sentences for `language`.
    """
    sentences = params.sentences.get(language)
    if not sentences:
        raise MixframeError(
            f"attack 'tts': no sentences for the language '{language}'; "
            f"the preset has {', '.join(params.sentences)}"
        )
    first = int(rng.integers(len(sentences)))
    words = " ".join(sentences[first:] + sentences[:first]).split()
    wanted = max(1, round(seconds * params.words_per_second))
    return " ".join(words[index % len(words)] for index in range(wanted))
