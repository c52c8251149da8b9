"""What distortions do to the systems: figures by condition, and cases to listen to."""

import io
from dataclasses import dataclass
from typing import Any

import soundfile

from mixframe.audio.io import Waveform
from mixframe.base.files import need_file, read_object
from mixframe.base.tables import Columns, read_parquet
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Preset

EXAMPLES: Columns = {
    "system": "text",
    "condition": "text",
    "utterance": "text",
    "label": "text",
    "attack": "text",
    "clean_score": "number",
    "score": "number",
    "threshold": "number",
}


@dataclass(frozen=True)
class Fallen:
    """The trial whose score moved furthest to the wrong side, in a system's worst condition.

    Attributes:
        threshold: at the EER of the same trials clean.
        clean, distorted: (n,) and (m,) float32 at 16 kHz; None where no plan makes the condition.
    """

    set: str
    system: str
    condition: str
    utterance: str
    label: str
    attack: str
    clean_score: float
    score: float
    threshold: float
    clean: Waveform | None
    distorted: Waveform | None

    @property
    def difference(self) -> Waveform | None:
        """What the distortion added; None where it changes the length."""
        if self.clean is None or self.distorted is None:
            return None
        same = self.clean.size == self.distorted.size
        return self.distorted - self.clean if same else None


def collect_robustness(preset: Preset, files: Layout) -> dict[str, dict[str, Any]]:
    """Return by set what stage evaluate_robust has written."""
    sets = preset.robustness.sets if preset.robustness else []
    return {
        name: read_object(need_file(files.robust_details(name), "evaluate_robust")) for name in sets
    }


def collect_fallen(preset: Preset, files: Layout) -> list[Fallen]:
    """Return the worst case of each set and system."""
    cases = []
    for name in preset.robustness.sets if preset.robustness else []:
        table = read_parquet(files.robust_examples(name), EXAMPLES, "evaluate_robust")
        for row in table.to_dict("records"):
            given: dict[str, Any] = {key: row[key] for key in EXAMPLES}
            given |= {key: _decoded(row[key]) for key in ("clean", "distorted")}
            cases.append(Fallen(set=name, **given))
    return cases


def _decoded(flac: bytes) -> Waveform | None:
    return soundfile.read(io.BytesIO(flac), dtype="float32")[0] if flac else None
