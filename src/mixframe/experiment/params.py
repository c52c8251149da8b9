"""Parameters: params.yaml chooses a preset and a grid, presets/<name>.yaml holds every value.

Each class is a section of a preset. A section named after a stage is what that stage depends on;
`compute` and `title` never change a result and no stage depends on them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from mixframe.audio.io import SAMPLE_RATE
from mixframe.audio.splicing.params import Splice
from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.schema import Count, Positive, Section, Seed, Share, validate
from mixframe.base.yamlfiles import read_yaml
from mixframe.corpora.kinds import DownloadParams, ProtocolParams
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.robustness import ITSELF, Robustness
from mixframe.metrics.params import Evaluate
from mixframe.models.params import Encoder
from mixframe.training.params import Foundation, Posttrain, Score, Scratch, UtteranceTraining
from mixframe.training.systems import AnySystem

PRESETS = Path("presets")

BASE_SECTIONS = ("download", "protocol", "pretrain")
"""Sections that a preset takes from its base."""

TRAINED_SECTIONS = (
    "grid",
    "seed",
    "splice",
    "encoder",
    "posttrain",
    "finetune",
    "score",
    "vote",
    "embed",
    "evaluate",
)
"""Sections that a preset takes from the one whose trained systems it uses."""


class Protocol(Section):
    """Stage protocol.

    Attributes:
        shortcut_min_eer: the stage fails if a trivial statistic separates the classes of a set
            with a lower EER than this.
        corpora: how to read each corpus.
    """

    shortcut_min_eer: Share
    corpora: dict[str, ProtocolParams]


class Vote(Section):
    """Stage vote.

    Attributes:
        sets: sets with known regions whose votes are counted, besides the held-out splices.
    """

    sets: list[str]


class Embed(Section):
    """Stage embed.

    Attributes:
        set: whose utterances are embedded.
        utterances: so many of the bona fide ones and of each attack.
        splices: held-out splices whose frames are held against each other.
    """

    set: str
    utterances: Positive
    splices: Positive


class Report(Section):
    """Stage report.

    Attributes:
        examples: utterances of each set with spoofed parts that are shown with waveform, truth and
            the frame curves of every localiser.
        localiser: a system with frame scores, which rank the examples; its frame classifier where
            it is post-trained.
    """

    examples: Count
    localiser: str


class Grid(Section):
    """The cells of the experiment; the lists `classical`, `foundation`, `posttrained` and
    `borrowing` say where a system's encoder comes from and together make up `system`.

    Attributes:
        system: rows of the result table, in this order.
        borrowing: systems on the encoder that is post-trained for the system `lender`.
        voting: systems whose head votes for frames; their votes are kept.
        localising: systems whose head judges frames; the scores of frames are kept.
        seed: of splice plans and training; each system is trained once with each.
        set: evaluation sets, in this order.
    """

    system: list[str]
    classical: list[str]
    foundation: list[str]
    posttrained: list[str]
    borrowing: list[str]
    lender: str
    voting: list[str]
    localising: list[str]
    seed: Annotated[list[Seed], Field(min_length=1)]
    set: list[str]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        parts = [*self.classical, *self.foundation, *self.posttrained, *self.borrowing]
        if sorted(parts) != sorted(self.system):
            raise ValueError(
                f"system = {self.system} must list exactly the systems of classical, foundation, "
                f"posttrained and borrowing = {parts}"
            )
        if self.borrowing and self.lender not in self.posttrained:
            raise ValueError(
                f"lender = {self.lender!r}: expected one of posttrained = {self.posttrained}"
            )
        for key in ("voting", "localising"):
            listed = getattr(self, key)
            if not set(listed) <= set(self.system):
                raise ValueError(f"{key} = {listed}: not all of them are in system")
        if len(set(self.seed)) < len(self.seed):
            raise ValueError(f"seed = {self.seed}: each seed must be there once")
        return self


class Preset(Section):
    """Everything a run depends on.

    Attributes:
        base: the preset whose download, protocol and pretrain this one uses; where it is another
            one, these sections stand there alone, and its corpus and foundation model are shared.
        trained: the preset whose systems this one uses; these sections stand there alone, and
            nothing is trained again. Without it the systems are its own.
        grid: the cells that `mixframe use` puts into params.yaml, where the pipeline reads them.
        robustness: what is heard under distortions; without it nothing is.
    """

    title: str
    base: str
    trained: str = ""
    grid: Grid
    seed: Seed
    compute: Compute
    download: dict[str, DownloadParams]
    protocol: Protocol
    splice: dict[str, Splice]
    pretrain: Foundation
    encoder: Encoder
    posttrain: dict[str, Posttrain]
    finetune: dict[str, AnySystem]
    score: Score
    vote: Vote
    embed: Embed
    evaluate: Evaluate
    report: Report
    robustness: Robustness | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "heldout" not in self.splice:
            raise ValueError("splice.heldout: missing; frame-level EER is measured on its splices")
        for name in self.posttrain:
            if name not in self.splice:
                raise ValueError(f"posttrain.{name}: splice.{name} is missing")
        encoders = ["random", "foundation", *self.posttrain]
        for name, system in self.finetune.items():
            if system.starts_from not in (None, *encoders):
                raise ValueError(
                    f"finetune.{name}.encoder = {system.starts_from!r}: expected one of "
                    f"{', '.join(encoders)}"
                )
        if self.posttrain and self.report.localiser not in self.posttrain:
            raise ValueError(
                f"report.localiser = {self.report.localiser!r}: expected one of "
                f"{', '.join(self.posttrain)}"
            )
        problem = (
            _misplaced(self.grid, self.finetune)
            or _unheard(self.grid, self.robustness)
            or _unfused(self.grid, self.evaluate.fuse)
        )
        if problem:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _fits_the_encoder(self) -> Self:
        if not isinstance(self.pretrain, Scratch):
            # What a model that was trained elsewhere is like stands in its files.
            return self
        shape = self.pretrain.architecture
        for key, seconds in self._heard().items():
            if int(seconds * SAMPLE_RATE) < shape.receptive_field:
                raise ValueError(
                    f"{key} = {seconds}: {int(seconds * SAMPLE_RATE)} samples, but one frame of "
                    f"pretrain.architecture sees {shape.receptive_field}"
                )
        return self

    def _heard(self) -> dict[str, float]:
        """Return how much the encoder hears at once, in seconds, by key."""
        crops = {
            f"finetune.{name}.crop_seconds": system.crop_seconds
            for name, system in self.finetune.items()
            if isinstance(system, UtteranceTraining)
        }
        splices = {f"splice.{name}.max_seconds": s.max_seconds for name, s in self.splice.items()}
        return {**splices, **crops, "score.max_seconds": self.score.max_seconds}


class RobustCells(Section):
    """Systems and sets that are heard under distortions."""

    system: list[str]
    set: list[str]


class Choice(Section):
    """params.yaml; all but the grid follows from the preset."""

    preset: str
    base: str
    trained: str
    grid: Grid
    robust: RobustCells


def check_grid(grid: Grid, preset: Preset) -> None:
    """Check that every system of a grid is in the preset and starts where the grid says.

    Raises:
        MixframeError: the first system that does not, what its encoder is and what it should be; or
            what section robustness lists and the grid has not; or a fused row of systems that are
            not in the grid.
    """
    problem = (
        _misplaced(grid, preset.finetune)
        or _unheard(grid, preset.robustness)
        or _unfused(grid, preset.evaluate.fuse)
    )
    if problem:
        raise MixframeError(problem)


def need_own_systems(preset: Preset, name: str) -> None:
    """Check that a preset has sections of its own to copy.

    Raises:
        MixframeError: its systems are those of another one.
    """
    if preset.trained not in ("", name):
        raise MixframeError(
            f"{PRESETS / name}.yaml: its systems stand in {PRESETS / preset.trained}.yaml: "
            "copy that one"
        )


def choice_of(name: str, preset: Preset) -> dict[str, Any]:
    """Return what params.yaml says where a preset is chosen, with the preset's own grid."""
    return {
        "preset": name,
        "base": preset.base,
        "trained": preset.trained or name,
        "grid": preset.grid.model_dump(),
        "robust": robust_cells(preset.model_dump()),
    }


def robust_cells(values: Any) -> dict[str, list[str]]:
    """Return what params.yaml has as `robust` for the values of a preset."""
    section = values.get("robustness") or {}
    return {"system": section.get("systems", []), "set": section.get("sets", [])}


def _unheard(grid: Grid, robustness: Robustness | None) -> str | None:
    """Say which system or set of section robustness the grid lacks, if there is one."""
    if robustness is not None:
        for key, listed, known in (
            ("systems", robustness.systems, grid.system),
            ("sets", robustness.sets, grid.set),
        ):
            for name in listed:
                if name not in known:
                    return (
                        f"robustness.{key}: the grid has no {name!r}; expected some of "
                        f"{', '.join(known)}"
                    )
        for name, condition in robustness.adversarial.items():
            if condition.made_on not in (ITSELF, *grid.system):
                return (
                    f"robustness.adversarial.{name}.made_on = {condition.made_on!r}: expected one "
                    f"of {', '.join([ITSELF, *grid.system])}"
                )
    return None


def _misplaced(grid: Grid, finetune: Mapping[str, AnySystem]) -> str | None:
    """Say which system of a grid is not where the grid says, if there is one."""
    for name in grid.system:
        if name not in finetune:
            return f"finetune.{name}: not in the preset; expected one of {', '.join(finetune)}"
        system = finetune[name]
        if name in grid.classical:
            fits, expected = system.starts_from is None, "a classical system"
        elif name in grid.foundation:
            fits = system.starts_from in ("random", "foundation")
            expected = "encoder random or foundation"
        else:
            wanted = name if name in grid.posttrained else grid.lender
            fits = system.starts_from == wanted
            expected = f"encoder {wanted}"
        if name in grid.voting and not system.votes_for_frames:
            return f"finetune.{name} is in grid.voting, but has no head that votes for frames"
        if not fits:
            actual = f"encoder {system.starts_from}" if system.starts_from else system.kind
            return f"finetune.{name} has {actual}, but its place in the grid wants {expected}"
    return None


def _unfused(grid: Grid, fuse: Mapping[str, list[str]]) -> str | None:
    """Say which fused row cannot be made of the systems of a grid, if there is one."""
    for name, systems in fuse.items():
        if name in grid.system:
            return f"evaluate.fuse.{name}: there is a system of this name; expected another"
        if len(set(systems)) < len(systems) or not set(systems) <= set(grid.system):
            return (
                f"evaluate.fuse.{name} = {systems}: expected different ones of grid.system, "
                f"{', '.join(grid.system)}"
            )
    return None


def grid_differences(choice: Choice, preset: Preset) -> dict[str, tuple[Any, Any]]:
    """Return where the grid of params.yaml differs from its preset's: both values by key."""
    own, theirs = choice.grid.model_dump(), preset.grid.model_dump()
    return {key: (own[key], theirs[key]) for key in own if own[key] != theirs[key]}


def check_cell(grid: Grid, cell: Mapping[str, str], seed: int | None) -> None:
    """Check that a grid has a cell: what lies outside it, no later stage would look at.

    Raises:
        MixframeError: the first value it does not have, and its choices.
    """
    known: dict[str, tuple[str, Sequence[object]]] = {
        "system": ("system", grid.system),
        "policy": ("posttrained", [HELDOUT, *grid.posttrained]),
        "set_name": ("set", grid.set),
        "seed": ("seed", grid.seed),
    }
    for key, value in (cell if seed is None else {**cell, "seed": seed}).items():
        name, values = known[key]
        if value not in values:
            raise MixframeError(
                f"grid.{name} has no {value!r}; expected one of {', '.join(map(str, values))}"
            )


def need_project(root: Path = Path()) -> None:
    """Check that a folder is a project.

    Raises:
        MixframeError: it is not.
    """
    if not (root / "params.yaml").is_file():
        raise MixframeError(
            f"{root.absolute()} is no mixframe project: there is no params.yaml; "
            "`mixframe init` makes one"
        )


def read_choice(root: Path = Path()) -> Choice:
    """Read params.yaml.

    Raises:
        MixframeError: unknown or missing keys, or a preset that does not exist.
    """
    need_project(root)
    path = root / "params.yaml"
    written = read_yaml(path)
    choice = validate(Choice, written, str(path))
    values = read_yaml(preset_path(choice.preset, root))
    expected = {
        "base": values.get("base"),
        "trained": values.get("trained", choice.preset),
        "robust": robust_cells(values),
    }
    for key, value in expected.items():
        if written[key] != value:
            raise MixframeError(
                f"{path}: {key} = {written[key]!r}, but preset {choice.preset} has {value!r}: "
                f"run `mixframe use {choice.preset}`"
            )
    return choice


def preset_path(name: str, root: Path = Path()) -> Path:
    """Return the file of a preset.

    Raises:
        MixframeError: there is none; the message lists those there are.
    """
    names = sorted(p.stem for p in (root / PRESETS).glob("*.yaml"))
    if name not in names:
        raise MixframeError(f"preset = {name!r}: expected one of {', '.join(names)}")
    return root / PRESETS / f"{name}.yaml"


def read_preset(name: str, root: Path = Path()) -> Preset:
    """Read and validate presets/<name>.yaml, with the sections of the presets it builds on.

    Raises:
        MixframeError: unknown or missing keys, wrong types, values out of range, all at once; a
            base that is not its own base, systems of a preset that has another base or uses those
            of a third one.
    """
    path = preset_path(name, root)
    return validate_preset(read_yaml(path), path, root)


def validate_preset(values: Any, path: Path, root: Path = Path()) -> Preset:
    """Validate what was read, or is to be written, as the preset `path`; see `read_preset`."""
    name = path.stem
    base = values.get("base", name) if isinstance(values, dict) else name
    if base != name:
        place = preset_path(str(base), root)
        theirs = read_yaml(place)
        if theirs.get("base") != base:
            raise MixframeError(f"{path}: base = {base!r}: that preset has a base of its own")
        _adopt(values, theirs, BASE_SECTIONS, path, f"its base, {place}")
    trained = values.get("trained", name) if isinstance(values, dict) else name
    if trained != name:
        place = preset_path(str(trained), root)
        theirs = read_yaml(place)
        if theirs.get("trained", trained) != trained:
            raise MixframeError(f"{path}: trained = {trained!r}: that preset trains nothing")
        if theirs.get("base") != base:
            raise MixframeError(
                f"{path}: base = {base!r}, but the systems of {trained} have {theirs.get('base')!r}"
            )
        _adopt(values, theirs, TRAINED_SECTIONS, path, str(place))
    return validate(Preset, values, str(path))


def _adopt(values: Any, theirs: Any, keys: Sequence[str], path: Path, where: str) -> None:
    """Take sections of another preset.

    Raises:
        MixframeError: one of them stands in this one as well.
    """
    for key in keys:
        if key in values:
            raise MixframeError(f"{path}: {key}: stands in {where}, alone")
        values[key] = theirs.get(key)


def lookup(table: dict[str, Any], name: str, key: str) -> Any:
    """Return `table[name]`.

    Raises:
        MixframeError: no such entry; the message names `key` and the choices.
    """
    if name not in table:
        raise MixframeError(f"{key}.{name}: not in the preset; expected one of {', '.join(table)}")
    return table[name]


def value_of(preset: Preset, key: str) -> Any:
    """Return the value of a dotted key of a preset, for instance splice.mfpt.pattern.

    Raises:
        MixframeError: there is no such key; the message names the part that is missing.
    """
    value: Any = preset
    walked: list[str] = []
    for name in key.split(".") if key else []:
        table = dict(value) if isinstance(value, Section) else value
        if not isinstance(table, dict) or name not in table:
            choices = ", ".join(table) if isinstance(table, dict) else "nothing below it"
            place = ".".join(walked) or "the preset"
            raise MixframeError(f"{key}: {place} has no {name!r}; expected one of {choices}")
        walked.append(name)
        value = table[name]
    return value
