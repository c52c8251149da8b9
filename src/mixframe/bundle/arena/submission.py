"""The files of a submission to the Speech Anti-Spoofing Arena, versions 4 and 5 of its schema.

github.com/lab260ru/speech_spoof_bench, src/speech_spoof_bench/schema/submission.schema.json and
docs/submitting. A submission is `submissions/<slug>.yaml` in the repository of a data set; it
names a score file in the repository of a model, by commit and sha256.
"""

import datetime
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mixframe.base.errors import MixframeError
from mixframe.base.schema import AtLeast0, Count, Section, validate
from mixframe.base.yamlfiles import read_yaml


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://\S+", text):
        raise ValueError("expected an address, https://...")
    return text


def _pinned(url: str) -> str:
    if not re.match(r"https://huggingface\.co/[^/]+/[^/]+/resolve/[0-9a-f]{7,40}/.", url):
        raise ValueError(
            "expected https://huggingface.co/<owner>/<model>/resolve/<commit>/<file>, with a "
            "commit of 7 to 40 hexadecimal digits and no branch, whose file may change"
        )
    return url


def _quoted(value: Any) -> Any:
    if isinstance(value, datetime.date):
        raise ValueError("a date without quotes; write it as text, '2026-06-21'")
    return value


def _date(text: str) -> str:
    datetime.date.fromisoformat(text)
    return text


Text = Annotated[str, Field(min_length=1)]
Address = Annotated[str, AfterValidator(_address)]
Repository = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")]
Date = Annotated[str, BeforeValidator(_quoted), AfterValidator(_date)]

METRICS = ("eer_percent", "srr_complement")
TEST: Literal["test"] = "test"
"""The only split of the data sets."""


class Part(Section):
    """A part of a submission. Keys with a default may be left out, but not be null."""

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Any) -> Any:
        for key, value in values.items() if isinstance(values, dict) else ():
            if value is None:
                raise ValueError(f"{key} is null; give a value or leave the key out")
        return values


class Paper(Part):
    """The paper of a system; without one it is shown, and not ranked.

    Attributes:
        arxiv_id: of a paper that is not there its DOI, as the maintainers do.
    """

    arxiv_id: Text
    url: Address
    bibtex: Text


class System(Part):
    """A system, as the board shows it.

    Attributes:
        slug: of all its submissions, and of the badges.
        code, checkpoint: where they are.
        params_millions: number of parameters.
    """

    name: Text
    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str
    code: Address
    checkpoint: Address
    paper: Paper | None = None
    params_millions: AtLeast0 | None = None


class Trained(System):
    """A system and, since version 5, the Arena's data sets that it was trained on."""

    trained_on: list[Repository] | None = None


class Dataset(Part):
    """The data set at a commit."""

    id: Repository
    revision: Commit
    split: Literal["test"]


class Scores(Part):
    """What was scored, and how well.

    Attributes:
        n_trials: of the data set, with those that have no score.
        n_skipped: trials without a score.
        eer_percent: `metrics.arena.eer`.
        srr_complement: `metrics.arena.srr_complement`, in percent.
    """

    n_trials: Count
    n_skipped: Count
    eer_percent: AtLeast0 | None = None
    srr_complement: AtLeast0 | None = None

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if not self.metrics:
            raise ValueError(f"no metric; expected one of {' and '.join(METRICS)}, or both")
        return self

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that are given."""
        given = {name: getattr(self, name) for name in METRICS}
        return {name: value for name, value in given.items() if value is not None}


class Artifact(Part):
    """The score file.

    Attributes:
        scores_url: at a commit.
        bench_version: of the maintainers' package whose definitions the figures follow.
    """

    scores_url: Annotated[str, AfterValidator(_pinned)]
    scores_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bench_version: Text


class Reproduction(Part):
    """What a maintainer fills in; empty in a submission."""

    reproduced_by: Text | None = None
    reproduced_at: Date | None = None
    reproduced_bench_version: Text | None = None
    match: Literal["scoring", "inference", "organizer", "closed-eval"] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.model_fields_set) not in (0, len(type(self).model_fields)):
            raise ValueError(f"expected nothing, or {', '.join(type(self).model_fields)}")
        return self


class Calibration(Part):
    """Since version 5: the EER threshold of the same system on another data set."""

    source_dataset: Repository
    threshold: float


class Submitter(Part):
    """Who answers for a submission."""

    hf_username: Text
    contact: Text


class Submission(Part):
    """A submission.

    Attributes:
        schema_version: 4, or 5 for `system.trained_on` and `calibration`.
        submitted_at: YYYY-MM-DD.
    """

    schema_version: Literal[4, 5]
    system: Trained
    dataset: Dataset
    scores: Scores
    artifact: Artifact
    reproduction: Reproduction = Reproduction()
    submitter: Submitter
    submitted_at: Date
    notes: str | None = None
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _of_its_version(self) -> Self:
        if self.schema_version == 4:
            for key, value in (
                ("system.trained_on", self.system.trained_on),
                ("calibration", self.calibration),
            ):
                if value is not None:
                    raise ValueError(f"{key} needs schema_version 5")
        if self.scores.srr_complement is not None and self.calibration is None:
            raise ValueError("scores.srr_complement needs calibration, and schema_version 5")
        return self


class Meta(Part):
    """What only the submitter knows, in a file beside the results.

    `system` and `notes` are those of the maintainers' own tool.

    Attributes:
        model_repo: on the hub, where the score files go.
    """

    system: System
    submitter: Submitter
    model_repo: Repository
    notes: str | None = None


def read_submission(path: Path) -> Submission:
    """Read a submission.

    Raises:
        MixframeError: the file is missing, not YAML or not after the schema, each key named; or its
            name is not that of its system.
    """
    submission = validate(Submission, read_yaml(path), str(path))
    if path.name != f"{submission.system.slug}.yaml":
        raise MixframeError(
            f"{path}: system.slug = {submission.system.slug!r}: expected the file name "
            f"{submission.system.slug}.yaml"
        )
    return submission


def read_meta(path: Path) -> Meta:
    """Read a meta.yaml.

    Raises:
        MixframeError: the file is missing, not YAML, or keys are wrong, each named.
    """
    return validate(Meta, read_yaml(path), str(path))
