"""What is known of a corpus whose labels say where utterances are fake."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mixframe.corpora.source import Part
from mixframe.metrics.trialfiles import Format


@dataclass(frozen=True)
class PartialCorpus:
    """A partly spoofed corpus.

    Attributes:
        page: where its authors publish it.
        licence: what a user agrees to by using it.
        labels: the form of the labels, by its name in `mixframe.metrics.regionfiles.READERS`.
        parts: by name. The audio lies anywhere below the folder of a part. Where there is no `form`
            the protocol is the file of labels.
        describe: returns speaker and attack, given an utterance and whether it is spoof; "-" where
            an id does not tell.
        form: of a protocol with a line a trial that stands beside the labels.
        regions: path of the labels, or its end, of each part, where there is a `form`.
        by_path: whether labels name utterances by their path, part and all, and not by file name.
        suffix: of the audio files.
        asv: files with scores of a speaker verification system, which need not be there.
    """

    title: str
    page: str
    licence: str
    labels: str
    parts: Mapping[str, Part]
    describe: Callable[[str, bool], tuple[str, str]] = lambda utterance, spoof: (
        "-",
        "unknown" if spoof else "-",
    )
    form: Format | None = None
    regions: Mapping[str, str] = field(default_factory=dict)
    by_path: bool = False
    suffix: str = ".wav"
    asv: tuple[str, ...] = ()
