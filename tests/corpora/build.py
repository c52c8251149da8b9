"""Small corpora in the exact layouts and formats of the published ones."""

import tarfile
import zipfile
from pathlib import Path

import soundfile

from tests.conftest import tone

ATTACKS = ("A07", "A13", "A19")


def line_2019(part: str, i: int) -> tuple[str, str]:
    """Return the id and the line of trial `i`."""
    letter = {"train": "T", "dev": "D", "eval": "E"}[part]
    name = f"LA_{letter}_{1138215 + i}"
    tail = "- bonafide" if i % 2 else f"{ATTACKS[i % 3]} spoof"
    return name, f"LA_{79 + i // 2 % 3:04d} {name} - {tail}"


def line_21la(part: str, i: int) -> tuple[str, str]:
    name, subset = f"LA_E_{9332881 + i}", ("eval", "eval", "progress", "hidden")[i // 2 % 4]
    tail = "bonafide bonafide" if i % 2 else f"{ATTACKS[i % 3]} spoof"
    return name, f"LA_{9 + i // 2 % 3:04d} {name} alaw ita_tx {tail} notrim {subset}"


def line_21df(part: str, i: int) -> tuple[str, str]:
    name, subset = f"DF_E_{2000011 + i}", ("eval", "eval", "progress", "hidden")[i // 2 % 4]
    if i % 2:
        rest = f"vcc2018 bonafide bonafide notrim {subset} bonafide VCC team01 FF E"
    else:
        rest = f"asvspoof {ATTACKS[i % 3]} spoof notrim {subset} traditional_vocoder - - - -"
    return name, f"LA_{23 + i // 2 % 3:04d} {name} low_mp3 {rest}"


def line_5(part: str, i: int) -> tuple[str, str]:
    letter = {"train": "T", "dev": "D", "eval": "E"}[part]
    name = f"{letter}_{i:010d}"
    tail = "- bonafide bonafide -" if i % 2 else f"AC3 {ATTACKS[i % 3]} spoof -"
    return name, f"{letter}_{4850 + i // 2 % 3} {name} F - - - {tail}"


def line_itw(part: str, i: int) -> tuple[str, str]:
    speaker = ("Alec Guinness", "Donald Trump", "Bill Clinton")[i // 2 % 3]
    return str(i), f"{i}.wav,{speaker},{'bona-fide' if i % 2 else 'spoof'}"


LAYOUT = {
    "asvspoof2019_la": {
        part: (
            f"LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{part}.{end}.txt",
            f"LA/ASVspoof2019_LA_{part}/flac",
            line_2019,
        )
        for part, end in (("train", "trn"), ("dev", "trl"), ("eval", "trl"))
    },
    "asvspoof2021_la": {
        "keys": ("keys/LA/CM/trial_metadata.txt", "ASVspoof2021_LA_eval/flac", line_21la)
    },
    "asvspoof2021_df": {
        "keys": ("keys/DF/CM/trial_metadata.txt", "ASVspoof2021_DF_eval/flac", line_21df)
    },
    "asvspoof5": {
        "train": ("ASVspoof5.train.tsv", "flac_T", line_5),
        "dev": ("ASVspoof5.dev.track_1.tsv", "flac_D", line_5),
        "eval": ("ASVspoof5.eval.track_1.tsv", "flac_E_eval", line_5),
    },
    "in_the_wild": {"eval": ("release_in_the_wild/meta.csv", "release_in_the_wild", line_itw)},
}
"""Kind, part, and where the protocol and the audio are, and how a line reads."""

ARCHIVES = {
    "asvspoof2019_la": {"LA.zip": ["LA"]},
    "asvspoof2021_la": {
        "LA-keys-full.tar.gz": ["keys"],
        "ASVspoof2021_LA_eval.tar.gz": ["ASVspoof2021_LA_eval"],
    },
    "asvspoof2021_df": {
        "DF-keys-full.tar.gz": ["keys"],
        "ASVspoof2021_DF_eval_part00.tar.gz": ["ASVspoof2021_DF_eval"],
    },
    "asvspoof5": {
        "ASVspoof5_protocols.tar.gz": [
            "ASVspoof5.train.tsv",
            "ASVspoof5.dev.track_1.tsv",
            "ASVspoof5.eval.track_1.tsv",
        ],
        "flac_T_aa.tar": ["flac_T"],
        "flac_D_aa.tar": ["flac_D"],
        "flac_E_aa.tar": ["flac_E_eval"],
    },
    "in_the_wild": {"release_in_the_wild.zip": ["release_in_the_wild"]},
}
"""Kind, archive, and what is in it."""

SCORES = "keys/LA/ASV/ASVTorch_Kaldi/score.txt"


def unpacked(kind: str, folder: Path, n_trials: int = 8) -> Path:
    """Write a corpus as it is after unpacking; every part has `n_trials`."""
    for part, (protocol, audio, line) in LAYOUT[kind].items():
        lines = []
        (folder / audio).mkdir(parents=True, exist_ok=True)
        for i in range(n_trials):
            name, text = line(part, i)
            lines.append(text)
            suffix = "wav" if kind == "in_the_wild" else "flac"
            wave = tone(8000 + 800 * (i % 5), seed=i, loud=0.05 if i % 2 else 0.3)
            soundfile.write(folder / audio / f"{name}.{suffix}", wave, 16_000)
        if kind == "in_the_wild":
            lines.insert(0, "file,speaker,label")
        path = folder / protocol
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{text}\n" for text in lines))
    if kind == "asvspoof2021_la":
        (folder / SCORES).parent.mkdir(parents=True)
        (folder / SCORES).write_text("LA_0009 LA_E_9332881 1.5\n")
    return folder


def packed(kind: str, source: Path, folder: Path) -> Path:
    """Pack what `unpacked` wrote into the archives in which the corpus is published."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, members in ARCHIVES[kind].items():
        files = [p for m in members for p in sorted([source / m, *(source / m).rglob("*")])]
        files = [p for p in files if p.is_file()]
        if name.endswith(".zip"):
            with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in files:
                    archive.write(path, path.relative_to(source))
        else:
            with tarfile.open(folder / name, "w:gz" if name.endswith("gz") else "w") as archive:
                for path in files:
                    archive.add(path, str(path.relative_to(source)))
    return folder
