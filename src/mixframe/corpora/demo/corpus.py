"""The demo corpus: real prompts, real attacks on them, and one final chain for both classes.

Prompts are decoded, duplicates dropped, long ones cut at pauses, and prompts held out; the attacks
are run; every utterance, bona fide or not, then passes the same chain (filter, trim, level, dither,
G.722) and becomes FLAC. Each utterance draws from generators of its own that depend on the seed and
its id alone, so the number of workers changes nothing.
"""

import hashlib
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, create_model, model_validator

from mixframe.audio.io import AudioRef, TarWriter, encode_flac
from mixframe.audio.splicing.rendering import render
from mixframe.base import pools
from mixframe.base.errors import MixframeError, listing
from mixframe.base.progress import log, progress
from mixframe.base.schema import Count, Positive, Section
from mixframe.corpora.demo.attacks import ATTACKS, AttackNames, needs_target, synthesise
from mixframe.corpora.demo.attacks.analysis import Conversion, voice_statistics
from mixframe.corpora.demo.attacks.context import Context, VoiceStatistics, Wave
from mixframe.corpora.demo.signal import (
    Chain,
    Partial,
    Pieces,
    band_limit,
    cut,
    decode_g722,
    draw_regions,
    finish,
    trim,
)


class Voice(Section):
    """One voice of the source recordings.

    Attributes:
        speaker: who speaks; two voices may be one person.
        language: the espeak-ng voice of the language.
        side: whether training hears the voice.
    """

    speaker: Annotated[str, Field(pattern=r"^\S+$")]
    language: str
    side: Literal["seen", "unseen"]


class SetSize(Section):
    """Size of one set.

    Attributes:
        share: of the pieces of its side's voices that the set takes from.
        bonafide: bona fide utterances.
        spoof_per_attack: spoof utterances of each attack.
    """

    share: Annotated[float, Field(gt=0, le=1)]
    bonafide: Positive
    spoof_per_attack: Positive


class PartialSize(Section):
    """Size of the partly spoofed training set; its pieces are those of train.

    Attributes:
        bonafide: bona fide utterances.
        spoof_per_attack: partly spoofed utterances of each attack.
    """

    bonafide: Positive
    spoof_per_attack: Positive


class Sets(Section):
    """The sets. train, dev and eval_seen share out the prompts of the seen voices.

    Attributes:
        train_partial: may be left out: utterances in which attacks of train spoof regions only.
    """

    train: SetSize
    dev: SetSize
    eval_seen: SetSize
    eval_unseen: SetSize
    eval_partial: SetSize
    train_partial: PartialSize | None = Field(default=None, exclude_if=lambda size: size is None)


AttackParams: Any = create_model(
    "AttackParams",
    __base__=Section,
    __module__=__name__,
    **{name: (attack.Params | None, None) for name, attack in ATTACKS.items()},  # type: ignore[call-overload]
)
"""A section that has the parameters of each attack under its name; None where not given."""


class Protocol(Section):
    """How the demo corpus is made.

    Attributes:
        voices: by the name of their tar.
        exclude: prompts that are no speech, as patterns of the path without voice and suffix.
        max_unreadable: how many prompts may hold no audio or not be decodable.
        attacks_train: attacks of train, dev and train_partial.
        attacks_eval: attacks of eval_seen and eval_unseen.
        attacks: parameters of each attack that is named in one of the lists.
    """

    kind: Literal["demo"]
    voices: Annotated[dict[str, Voice], Field(min_length=1)]
    exclude: list[str]
    max_unreadable: Count
    pieces: Pieces
    sets: Sets
    attacks_train: AttackNames
    attacks_eval: AttackNames
    partial: Partial
    chain: Chain
    attacks: AttackParams

    @model_validator(mode="after")
    def _consistent(self) -> "Protocol":
        for names in SIDES.values():
            total = sum(getattr(self.sets, name).share for name in names)
            if abs(total - 1) > 1e-6:
                raise ValueError(f"the shares of {', '.join(names)} add up to {total:g}, not 1")
        absent = [name for name in self.used() if getattr(self.attacks, name) is None]
        if absent:
            raise ValueError(f"no parameters of {', '.join(absent)} under attacks")
        return self

    def used(self) -> list[str]:
        """Return the attacks that any set has, in the order of `ATTACKS`."""
        names = {*self.attacks_train, *self.attacks_eval, *self.partial.attacks}
        return [name for name in ATTACKS if name in names]

    def attack_names(self, set_name: str) -> list[str]:
        """Return the attacks of a set."""
        return {
            "train": self.attacks_train,
            "dev": self.attacks_train,
            "train_partial": self.attacks_train,
            "eval_partial": self.partial.attacks,
        }.get(set_name, self.attacks_eval)


SIDES = {
    "seen": ("train", "dev", "eval_seen"),
    "unseen": ("eval_unseen", "eval_partial"),
}
"""The sets that each side's voices are shared out to."""

LETTERS = {
    "train": "T",
    "dev": "D",
    "eval_seen": "S",
    "eval_unseen": "U",
    "eval_partial": "P",
    "train_partial": "L",
}
"""The letter of each set in its ids, D_T_0000000; L learns where."""


@dataclass(frozen=True)
class Piece:
    """A part of a prompt.

    Attributes:
        voice: name of the voice.
        prompt: path inside the voice's folder, without suffix.
        source: the encoded prompt.
        start, end: half-open sample interval.
    """

    voice: str
    prompt: str
    source: AudioRef
    start: int
    end: int

    @property
    def path(self) -> str:
        """Voice and prompt."""
        return f"{self.voice}/{self.prompt}"


@dataclass(frozen=True)
class Job:
    """One utterance to make.

    Attributes:
        attack: "-" for bona fide.
        spliced: whether only regions are spoofed.
        other: where spliced parts come from, if not from the piece itself.
    """

    utterance: str
    set: str
    attack: str
    piece: Piece
    context: Context
    spliced: bool = False
    other: Piece | None = None


class Made(NamedTuple):
    """A finished utterance: FLAC, number of samples, and flat region bounds."""

    flac: bytes
    samples: int
    regions: list[int]


def protocol(
    params: Protocol, seed: int, entry: dict[str, Any], audio: TarWriter, workers: int
) -> pd.DataFrame:
    """Make the corpus: add the audio to a tar and return its manifest rows.

    Args:
        entry: the corpus's entry of download.json; its `files` are the tars of the voices.
        workers: processes; the result is the same for any number.

    Returns:
        The columns of `mixframe.audio.manifest` and `voice` and `language`; sorted by set and id.
        `attrs["unreadable"]` lists the prompts that could not be used, "name: reason";
        `attrs["dropped"]` counts the other losses by reason.

    Raises:
        MixframeError: a tar is missing; too many prompts are unreadable; there are fewer pieces
            than a set wants; no voice to convert to; an attack fails.
    """
    with pools.processes(workers) as pool:
        run = partial(pools.ordered, pool, ahead=16 * workers)
        pieces, unreadable, dropped = _scan(params, entry, run)
        by_set = _hold_out(params, seed, pieces)
        targets = _targets(params, by_set["train"], run)
        jobs = _jobs(params, seed, by_set, targets)
        made = run(partial(make, params, seed), jobs)
        shown = progress(made, len(jobs), "demo corpus", "utterances")
        rows = [_row(params, job, result, audio) for job, result in zip(jobs, shown, strict=True)]
    table = pd.DataFrame(rows)
    table.attrs["unreadable"] = unreadable
    table.attrs["dropped"] = dict(dropped)
    return table


def _row(params: Protocol, job: Job, made: Made, audio: TarWriter) -> dict[str, Any]:
    ref = audio.add(f"flac/{job.utterance}.flac", made.flac)
    voice = params.voices[job.piece.voice]
    return {
        "utterance": job.utterance,
        "set": job.set,
        "label": "bonafide" if job.attack == "-" else "spoof",
        "speaker": voice.speaker,
        "attack": job.attack,
        "codec": "-",
        "subset": "-",
        "prompt": job.piece.path,
        **asdict(ref),
        "samples": made.samples,
        "regions": made.regions,
        "voice": job.piece.voice,
        "language": voice.language,
    }


def stable_hash(text: str) -> int:
    """Return 64 bits of the sha256 of `text`; Python's own `hash` differs between processes."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on the seed and the names and on nothing else."""
    return np.random.default_rng(np.random.SeedSequence([seed, *map(stable_hash, names)]))


def _prompts(params: Protocol, entry: dict[str, Any]) -> list[Piece]:
    """List the members of the voices' tars that the patterns do not exclude."""
    tars = {Path(file["path"]).stem: Path(file["path"]) for file in entry["files"]}
    absent = [voice for voice in params.voices if voice not in tars]
    if absent:
        raise MixframeError(
            f"voices without a downloaded tar: {', '.join(absent)}; there are {', '.join(tars)}"
        )
    prompts = []
    for voice in params.voices:
        with tarfile.open(tars[voice]) as archive:
            for member in archive:
                name = member.name.removeprefix(f"{voice}/").removesuffix(".g722")
                if not any(fnmatchcase(name, pattern) for pattern in params.exclude):
                    source = AudioRef(str(tars[voice]), member.offset_data, member.size)
                    # 64 kbit/s at 16 kHz is two samples a byte.
                    prompts.append(Piece(voice, name, source, 0, 2 * member.size))
    return prompts


def _scan_prompt(params: Pieces, prompt: Piece) -> tuple[bytes, list[Piece], Counter[str], str]:
    """Decode a prompt.

    Returns:
        hash of the samples; its pieces; how many parts were dropped for which reason; why the
        prompt cannot be used, "" if it can.
    """
    pcm, problem = np.zeros(0, dtype=np.int16), "no samples"
    # A length of 0 stands for the rest of the tar in an AudioRef.
    if prompt.source.n_bytes:
        try:
            pcm = decode_g722(prompt.source.open().getvalue())
        except MixframeError as error:
            problem = str(error)
    intervals, lost = cut(pcm / 32768.0, params)
    pieces = [replace(prompt, start=start, end=end) for start, end in intervals]
    return hashlib.sha256(pcm.tobytes()).digest(), pieces, lost, "" if pcm.size else problem


Runner = Callable[..., Iterator[Any]]


def _scan(
    params: Protocol, entry: dict[str, Any], run: Runner
) -> tuple[list[Piece], list[str], Counter[str]]:
    """Decode every prompt once; return the pieces, the unreadable prompts and other losses."""
    prompts = _prompts(params, entry)
    pieces: list[Piece] = []
    unreadable: list[str] = []
    dropped: Counter[str] = Counter()
    heard: set[bytes] = set()
    scanned = run(partial(_scan_prompt, params.pieces), prompts)
    shown = progress(scanned, len(prompts), "decode prompts", "prompts")
    for prompt, (content, cut_out, lost, problem) in zip(prompts, shown, strict=True):
        if problem:
            unreadable.append(f"{prompt.path}: {problem}")
        elif content in heard:
            dropped["duplicate"] += 1
        else:
            heard.add(content)
            dropped += lost
            pieces += cut_out
    if len(unreadable) > params.max_unreadable:
        raise MixframeError(
            f"{len(unreadable)} prompts are unreadable, max_unreadable allows "
            f"{params.max_unreadable}:\n{listing(unreadable)}"
        )
    if unreadable:
        log(f"left out as unreadable:\n{listing(unreadable)}")
    return pieces, unreadable, dropped


def _hold_out(params: Protocol, seed: int, pieces: list[Piece]) -> dict[str, list[Piece]]:
    """Share the pieces out among the sets, in random order; train_partial has those of train.

    All pieces of a prompt go to one set, and so do the prompts of one path in all voices of a
    side, which are one text in several languages.
    """
    by_set: dict[str, list[Piece]] = {name: [] for names in SIDES.values() for name in names}
    for side, names in SIDES.items():
        by_path: dict[str, list[Piece]] = defaultdict(list)
        for piece in pieces:
            if params.voices[piece.voice].side == side:
                by_path[piece.prompt].append(piece)
        paths = sorted(by_path)
        given = 0
        for index in generator(seed, "prompts", side).permutation(len(paths)):
            given += len(by_path[paths[index]])
            # The set that is furthest behind its share.
            behind = {n: getattr(params.sets, n).share * given - len(by_set[n]) for n in names}
            by_set[max(names, key=behind.__getitem__)] += by_path[paths[index]]
    for name, held in by_set.items():
        order = generator(seed, "pieces", name).permutation(len(held))
        by_set[name] = [held[index] for index in order]
    if params.sets.train_partial is not None:
        by_set["train_partial"] = by_set["train"]
    return by_set


def _targets(
    params: Protocol, pieces: list[Piece], run: Runner
) -> dict[str, list[VoiceStatistics]]:
    """Return the statistics of the seen voices for each attack that converts to one.

    Args:
        pieces: those of the training set.

    Returns:
        by attack, in the order of the voices' names.
    """
    by_voice: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_voice[piece.voice].append(piece)
    targets = {}
    for name in filter(needs_target, params.used()):
        conversion: Conversion = getattr(params.attacks, name)
        heard = [by_voice[voice][: conversion.statistics_pieces] for voice in sorted(by_voice)]
        targets[name] = list(run(partial(_statistics, conversion), heard))
    return targets


def _statistics(params: Conversion, pieces: list[Piece]) -> VoiceStatistics:
    return voice_statistics(pieces[0].voice, [load(piece) for piece in pieces], params)


def _jobs(
    params: Protocol,
    seed: int,
    by_set: dict[str, list[Piece]],
    targets: dict[str, list[VoiceStatistics]],
) -> list[Job]:
    """List the utterances of all sets in the order of their ids, which says nothing of the class.

    Raises:
        MixframeError: a set wants more bona fide utterances than it has pieces.
    """
    jobs = []
    for name, pieces in by_set.items():
        size = getattr(params.sets, name)
        if len(pieces) < size.bonafide:
            raise MixframeError(
                f"sets.{name}.bonafide = {size.bonafide}, but the set has {len(pieces)} pieces of "
                "speech; lower it or raise the set's share"
            )
        # Spoof utterances go on where the bona fide ones ended, so that each piece serves about
        # as often as any other.
        attacks = ["-"] * size.bonafide
        for attack in params.attack_names(name):
            attacks += [attack] * size.spoof_per_attack
        chosen = [(attack, pieces[i % len(pieces)]) for i, attack in enumerate(attacks)]
        for number, index in enumerate(generator(seed, "order", name).permutation(len(chosen))):
            attack, piece = chosen[index]
            utterance = f"D_{LETTERS[name]}_{number:07d}"
            rng = generator(seed, "job", utterance)
            spliced = name.endswith("_partial") and attack != "-"
            other = None
            if spliced and params.partial.source == "other":
                other = _another(piece, pieces, rng)
            context = _context(params, attack, piece.voice, targets, rng)
            jobs.append(Job(utterance, name, attack, piece, context, spliced, other))
    return jobs


def _another(piece: Piece, pieces: list[Piece], rng: np.random.Generator) -> Piece:
    others = [p for p in pieces if p.voice == piece.voice and p.prompt != piece.prompt]
    if not others:
        raise MixframeError(
            f"partial.source = 'other', but {piece.path} is the voice's only prompt"
        )
    return others[int(rng.integers(len(others)))]


def _context(
    params: Protocol,
    attack: str,
    voice: str,
    targets: dict[str, list[VoiceStatistics]],
    rng: np.random.Generator,
) -> Context:
    """Return what the attack may know; a target voice is drawn if it needs one."""
    language, speaker = params.voices[voice].language, params.voices[voice].speaker
    if attack not in targets:
        return Context(language)
    others = [t for t in targets[attack] if params.voices[t.voice].speaker != speaker]
    if not others:
        raise MixframeError(
            f"attack '{attack}': no seen voice of another speaker than {speaker} to convert to"
        )
    return Context(language, others[int(rng.integers(len(others)))])


def load(piece: Piece) -> Wave:
    """Decode a piece: (n,) float64 at 16 kHz, full scale at 1."""
    pcm = decode_g722(piece.source.open().getvalue())
    return np.asarray(pcm[piece.start : piece.end] / 32768.0)


def make(params: Protocol, seed: int, job: Job) -> Made:
    """Make one utterance.

    Raises:
        MixframeError: the attack fails; the message has the utterance.
    """
    rng, chain_rng = generator(seed, job.utterance), generator(seed, "chain", job.utterance)
    chain = params.chain
    regions: list[tuple[int, int]] = []
    try:
        if job.spliced:
            signal, regions = _splice(params, job, rng, chain_rng)
        else:
            signal = _version(params, job, job.piece, rng)
            first, last = trim(signal, chain, chain_rng)
            signal = signal[first:last]
    except MixframeError as error:
        raise MixframeError(f"{job.utterance} from {job.piece.path}: {error}") from error
    pcm = finish(signal, chain, chain_rng)
    bounds = [edge for region in regions for edge in region]
    return Made(encode_flac(pcm / 32768.0), pcm.size, bounds)


def _version(params: Protocol, job: Job, piece: Piece, rng: np.random.Generator) -> Wave:
    """Return the piece, or what the job's attack makes of it, within the band of the chain."""
    wave = load(piece)
    if job.attack != "-":
        own = getattr(params.attacks, job.attack)
        wave = synthesise(job.attack, wave, rng, job.context, own)
    return band_limit(wave, params.chain)


def _splice(
    params: Protocol, job: Job, rng: np.random.Generator, chain_rng: np.random.Generator
) -> tuple[Wave, list[tuple[int, int]]]:
    """Return the trimmed piece with regions of the attack in it, and the regions."""
    clean = band_limit(load(job.piece), params.chain)
    first, last = trim(clean, params.chain, chain_rng)
    spoofed = _version(params, job, job.other or job.piece, rng)
    regions = draw_regions(clean[first:last], params.partial, rng)
    parts = []
    for start, end in regions:
        latest = spoofed.size - (end - start)
        if latest < 0:
            raise MixframeError(
                f"attack '{job.attack}' gave {spoofed.size} samples, a region needs {end - start}"
            )
        if job.other is None:
            # An attack that changes the duration has the same sound at the same share of it.
            begin = min(round((first + start) * spoofed.size / clean.size), latest)
        else:
            begin = int(rng.integers(latest + 1))
        parts.append(spoofed[begin : begin + end - start].astype(np.float32))
    base = clean[first:last].astype(np.float32)
    fade, gain_db = params.partial.crossfade_samples, params.partial.max_gain_db
    return render(base, parts, regions, fade, gain_db).astype(np.float64), regions
