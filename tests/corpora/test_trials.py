"""From protocol and audio to the manifest: conditions kept, conversions noted, gaps counted."""

import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from pydantic import ValidationError

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.corpora import trials
from mixframe.stages.protocol import combine
from tests.conftest import tone
from tests.corpora.build import LAYOUT, unpacked

SETS = {
    "asvspoof2019_la": {"train": "train", "dev": "dev", "eval": "eval_19la"},
    "asvspoof2021_la": {"eval": "eval_21la"},
    "asvspoof2021_df": {"eval": "eval_21df", "hidden": "hidden_21df"},
    "asvspoof5": {"train": "train", "dev": "dev", "eval": "eval"},
    "in_the_wild": {"eval": "eval_itw"},
}


def section(kind, **changes):
    values = {
        "kind": kind,
        "sets": SETS[kind],
        "trials": dict.fromkeys(LAYOUT[kind], 8),
        "decode": True,
        "max_missing": 0,
        "max_orphans": 0,
    }
    return trials.Protocol.model_validate(values | changes)


def entry(kind, folder):
    paths = [folder / protocol for protocol, *_ in LAYOUT[kind].values()]
    return {"roots": [str(folder)], "files": [{"path": str(p)} for p in paths]}


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(kind, change=None, **changes):
        folder = unpacked(kind, tmp_path / kind)
        if change:
            change(folder)
        return trials.protocol(section(kind, **changes), 1, entry(kind, folder), None, 1)

    return run


@pytest.mark.parametrize("kind", LAYOUT)
def test_every_corpus_becomes_a_manifest(make, kind):
    table = manifest.check(make(kind), kind)
    assert set(table["set"]) == set(SETS[kind].values())
    assert set(table["label"]) == {"bonafide", "spoof"}
    assert (table["attack"] == "-").equals(table["label"] == "bonafide")
    assert set(table["samples"]) <= {8000 + 800 * i for i in range(5)}
    assert set(table["source_rate"]) == {16_000}
    assert not table.isna().any(axis=None)
    for row in table.itertuples():
        assert soundfile.info(row.path).frames == row.samples


def test_only_the_chosen_subset_is_pooled(make):
    table = make("asvspoof2021_la")
    assert set(table["subset"]) == {"eval"}
    assert len(table) == 4
    assert set(table["codec"]) == {"alaw"}
    assert set(table["transmission"]) == {"ita_tx"}
    assert set(make("asvspoof2021_df")["subset"]) == {"eval", "hidden"}


def test_spaces_in_speakers_names_are_kept(make):
    table = make("in_the_wild")
    assert "Alec Guinness" in set(table["speaker"])
    assert set(table.loc[table["label"] == "spoof", "attack"]) == {"unknown"}


def test_missing_and_orphan_audio_is_named_with_file_and_line(make):
    def change(folder):
        (folder / "flac_T" / "T_0000000002.flac").unlink()
        (folder / "flac_D" / "D_0000000099.flac").write_bytes(b"")
        (folder / "flac_E_eval" / "E_0000000003.flac").write_bytes(b"fLaC and no more")

    with pytest.raises(MixframeError) as error:
        make("asvspoof5", change)
    text = str(error.value)
    assert re.search(r"ASVspoof5\.train\.tsv, line 3: T_0000000002: no audio file", text)
    assert re.search(r"\.flac: D_0000000099 is not in .*ASVspoof5\.dev\.track_1\.tsv", text)
    assert re.search(r"eval\.track_1\.tsv, line 4: E_0000000003: .*not decodable", text)
    assert "2 trials without usable audio, max_missing allows 0" in text
    assert "1 audio files without a trial, max_orphans allows 0" in text


def test_what_is_allowed_to_lack_is_listed(make):
    def change(folder):
        (folder / "flac_T" / "T_0000000002.flac").unlink()
        (folder / "flac_D" / "D_0000000099.flac").write_bytes(b"")

    table = make("asvspoof5", change, max_missing=1, max_orphans=1)
    assert len(table) == 23
    missing, orphan = sorted(table.attrs["left_out"], key=lambda row: row.set, reverse=True)
    assert missing == ("ASVspoof 5", "train", "T_0000000002", "spoof", "no audio file")
    assert orphan == ("ASVspoof 5", "-", "D_0000000099", "-", "audio without a trial")


def test_other_rates_and_channels_are_converted_and_noted(make):
    def change(folder):
        wave = np.stack([tone(22_050, 1)] * 2, 1)
        soundfile.write(folder / "release_in_the_wild" / "3.wav", wave, 22_050)

    row = make("in_the_wild", change).set_index("utterance").loc["3"]
    assert (row["samples"], row["source_rate"], row["source_channels"]) == (16_000, 22_050, 2)


def test_problems_of_all_protocols_come_in_one_message(make):
    def change(folder):
        for part in ("train", "eval"):
            path = folder / LAYOUT["asvspoof2019_la"][part][0]
            path.write_text(path.read_text() + "one line too many\n")

    with pytest.raises(MixframeError) as error:
        make("asvspoof2019_la", change)
    assert "cm.train.trn.txt, line 9: 4 fields" in str(error.value)
    assert "cm.eval.trl.txt, line 9: 4 fields" in str(error.value)


def test_a_protocol_that_is_nowhere_is_named(tmp_path):
    folder = unpacked("asvspoof5", tmp_path / "a")
    found = entry("asvspoof5", folder)
    found["files"].pop(1)
    with pytest.raises(MixframeError, match=r"part dev: expected one ASVspoof5\.dev\.track_1"):
        trials.protocol(section("asvspoof5"), 1, found, None, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sets": {"progress": "a", "test": "b"}}, "'test' is not of this corpus; it has eval"),
        ({"trials": {"eval": 8}}, "expected a number for keys"),
    ],
)
def test_unknown_parts_are_refused(changes, expected):
    with pytest.raises(ValidationError, match=expected):
        section("asvspoof2021_la", **changes)


def test_columns_that_a_corpus_lacks_are_filled():
    one = pd.DataFrame({"utterance": ["a"], "gender": ["F"], "source_rate": [8000]})
    two = pd.DataFrame({"utterance": ["b"], "vocoder": ["x"]})
    both = combine([one, two]).to_dict("list")
    assert both == {
        "utterance": ["a", "b"],
        "gender": ["F", "-"],
        "source_rate": [8000, 0],
        "vocoder": ["-", "x"],
    }
