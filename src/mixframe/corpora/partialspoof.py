"""PartialSpoof v1.2 (Zhang et al., 2021 and 2023): ASVspoof 2019 LA, spliced.

Lines read `SPEAKER UTT - CON KEY`. Every spoof has the one attack CON; bona fide utterances are
those of ASVspoof 2019 LA with their ids, so the two do not go into one manifest, and a system that
trained on one has heard the other. `database/vad/<set>/UTT.vad` says where the fake parts are.
"""

from mixframe.corpora.localised import PartialCorpus
from mixframe.corpora.source import Part
from mixframe.metrics.trialfiles import ASVSPOOF2019_LA

SETS = ("train", "dev", "eval")
ASV = "PartialSpoof_LA_asv_scores/PartialSpoof.LA.asv"

CORPUS = PartialCorpus(
    title="PartialSpoof",
    page="https://zenodo.org/records/5766198",
    licence="CC BY 4.0",
    labels="vad",
    parts={
        name: Part(
            f"PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.{name}.trl.txt", f"{name}/con_wav"
        )
        for name in SETS
    },
    form=ASVSPOOF2019_LA,
    regions={name: f"vad/{name}" for name in SETS},
    asv=(f"{ASV}.dev.gi.trl.scores.txt", f"{ASV}.eval.gi.trl.scores.txt"),
)
