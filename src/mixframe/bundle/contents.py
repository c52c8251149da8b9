"""What bundle.json says: a trained system in one folder, and the sha256 of every file of it.

The folder:

    bundle.json                   this
    README.md                     the same for people; not pinned, so that it can be edited
    encoder/                      config.json, model.safetensors, preprocessor_config.json
    adapter_config.json           LoRA adapters in PEFT's format; no other system has them
    adapter_model.safetensors
    head.safetensors              makes two logits of the encoder's frames
    classifier.safetensors        the frame classifier, where it is of exactly this encoder
    model.safetensors             LFCC systems have this one alone
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from numpy.typing import ArrayLike
from pydantic import AfterValidator, Field

from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_json, sha256_file
from mixframe.base.schema import Count, Positive, Section, Share, validate
from mixframe.metrics import decisions
from mixframe.metrics.calibration import Affine
from mixframe.metrics.decisions import smoothed
from mixframe.metrics.detection import FloatArray
from mixframe.models.params import Encoder
from mixframe.training.params import Score
from mixframe.training.systems import AnySystem

FORMAT: Final = 2
"""Of the folder. A change that older versions would misread gets a new number."""

CONTENTS = "bundle.json"
ENCODER = "encoder"
CLASSIFIER = "classifier.safetensors"


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    # The hub's client would take the other characters for patterns of several files.
    if path.is_absolute() or ".." in path.parts or set(name) & set("\\*?["):
        raise ValueError("expected a path inside the bundle")
    return name


Inside = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Calibration(Section):
    """Natural log-likelihood ratio = slope * score + offset; fitted on the development set."""

    slope: float
    offset: float

    def llr(self, scores: ArrayLike) -> FloatArray:
        """Return the log-likelihood ratios of scores, float64 of their shape."""
        return Affine(self.slope, self.offset)(scores)


class Frames(Section):
    """What judges frames: the frame classifier, or the head of a system of kind frames.

    Attributes:
        threshold: logit at the EER of held-out splices, where injected frames are as many as the
            splice policy makes them.
        prior: share of injected frames that is expected in a recording.
        smooth: frames of a running median of logits; chosen on held-out splices at `prior`.
        shortest: frames of the shortest region, chosen likewise.
        calibration: of smoothed logits, to natural log-likelihood ratios of injected to not;
            fitted on held-out splices, None where their classes do not overlap.
    """

    threshold: float
    prior: Annotated[float, Field(gt=0, lt=1)]
    smooth: Positive
    shortest: Positive
    calibration: Calibration | None

    def evidence(self, logits: ArrayLike) -> FloatArray:
        """Return how likely each of (T,) frames is injected, (T,) float64.

        It is the log-likelihood ratio of a running median of logits; without calibration, how far
        that is above `threshold`.
        """
        heard = smoothed(logits, self.smooth)
        return heard - self.threshold if self.calibration is None else self.calibration.llr(heard)

    def cut(self, prior: float | None = None) -> float:
        """Return the evidence from which a frame counts as injected, at equal costs.

        Args:
            prior: None for that of the bundle; without calibration it counts for nothing.
        """
        if self.calibration is None:
            return 0.0
        return decisions.cut(self.prior if prior is None else prior)


class Spread(Section):
    """A quantity over the training utterances: percentiles 1, 50 and 99."""

    low: float
    median: float
    high: float


class TrainedOn(Section):
    """What the system was trained on.

    Attributes:
        preset: the experiment.
        corpora: its corpora.
        base_model: name of the foundation model on the hub, its revision behind an @; "" where it
            was trained in the experiment or came from a folder.
        utterances: of the set train.
        attacks: spoofing systems of the set train.
        level_db: RMS in dB of full scale (`mixframe.bundle.measures.level_db`); None where the
            audio was not at hand.
        bandwidth_hz: `mixframe.bundle.measures.bandwidth_hz`; None likewise.
    """

    preset: str
    corpora: list[str]
    base_model: str
    utterances: Positive
    attacks: list[str]
    level_db: Spread | None
    bandwidth_hz: Spread | None


class Evaluated(Section):
    """Figures on one evaluation set.

    Attributes:
        eer: as a share; the mean over the seeds where there are several.
        low, high: interval of the EER.
        level: coverage of the interval.
        unit: what was drawn with replacement: trial, or a column of the manifest.
        trials: of the set.
        seeds: trainings behind the figures.
    """

    eer: Share
    low: Share
    high: Share
    level: Share
    unit: str
    trials: Positive
    seeds: list[Count]


class MadeBy(Section):
    """Where the bundle comes from.

    Attributes:
        version: of mixframe.
        commit: of the git repository, with -dirty behind it where files differ from it; "" where
            there is none.
        dvc_lock: sha256 of dvc.lock; "" where there is none.
        isa: instruction set of the training (`mixframe.base.isa`).
    """

    version: str
    commit: str
    dvc_lock: str
    isa: str


class Contents(Section):
    """bundle.json.

    Attributes:
        name: of the system in its preset.
        title: of the preset.
        system: the preset's finetune section of this system.
        encoder, score: the preset's sections of that name.
        seed: of the training.
        calibration: of bona fide to spoof; None where the dev scores of the classes do not overlap.
        threshold: raw score at the EER of the dev set; higher scores count as bona fide.
        frames: None where nothing judges frames.
        evaluated: figures by evaluation set.
        files: sha256 of every other file but README.md, by path relative to the folder.
    """

    format: Literal[2]
    name: str
    title: str
    system: AnySystem
    encoder: Encoder
    score: Score
    seed: Count
    calibration: Calibration | None
    threshold: float
    frames: Frames | None
    trained_on: TrainedOn
    evaluated: dict[str, Evaluated]
    made_by: MadeBy
    files: dict[Inside, Sha256]


def read_contents(folder: Path | str) -> Contents:
    """Read bundle.json and check the files that it names.

    Raises:
        MixframeError: there is no bundle.json, or it is not JSON, of another format or not valid;
            a file is missing or has another sha256.
    """
    folder = Path(folder)
    path = folder / CONTENTS
    if not folder.is_dir():
        raise MixframeError(f"{folder}: no such folder; a bundle is one, made by `mixframe export`")
    if not path.is_file():
        raise MixframeError(f"{path}: no such file, so {folder} is no bundle")
    try:
        values = read_json(path)
    except UnicodeDecodeError as error:
        raise MixframeError(f"{path}: not UTF-8 text, so no bundle.json") from error
    number = values.get("format") if isinstance(values, dict) else None
    if type(number) is not int or number != FORMAT:
        hint = ""
        if type(number) is int and number > 0:
            hint = "; a newer version reads it" if number > FORMAT else "; export it again"
        raise MixframeError(
            f"{path}: format {number!r}, but this version of mixframe reads format {FORMAT}{hint}"
        )
    contents = validate(Contents, values, str(path))
    for name, sha in contents.files.items():
        actual = sha256_file(need_file(folder / name))
        if actual != sha:
            raise MixframeError(f"{folder / name}: sha256 {actual}, but {path} says {sha}")
    return contents
