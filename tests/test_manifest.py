"""The manifest: complete, unique, and with both classes wherever they are needed."""

import pandas as pd
import pytest

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.stages.protocol import protocol_lines


def test_it_survives_its_file_byte_for_byte(make_manifest, tmp_path):
    table = make_manifest({"train": 3, "dev": 2})
    manifest.write(table, tmp_path / "a.parquet")
    manifest.write(manifest.read(tmp_path / "a.parquet"), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    dev = manifest.read(tmp_path / "a.parquet", ["dev"])
    assert set(dev["set"]) == {"dev"}
    assert len(dev) == 4


def test_every_bad_row_is_named_at_once(make_manifest):
    table = make_manifest({"train": 3})
    table.loc[1, "utterance"] = table.loc[0, "utterance"]
    table.loc[2, "label"] = "bona-fide"
    table.loc[3, "samples"] = 0
    table.loc[4, "offset"] = -1
    table.at[5, "regions"] = [1, 2, 3]
    with pytest.raises(MixframeError) as error:
        manifest.check(table, "here")
    text = str(error.value)
    assert "here: 5 bad rows" in text
    assert "train_004: its place in the file is below 0" in text
    assert "train_005: a region without an end" in text
    assert "train_000: 2 rows with this utterance id" in text
    assert "train_002: label is not bonafide or spoof" in text
    assert "train_003: no samples" in text


def test_missing_columns_sets_and_classes_are_named(make_manifest, tmp_path):
    table = make_manifest({"train": 2, "dev": 2})
    with pytest.raises(MixframeError, match="here: the manifest has no utterances"):
        manifest.check(table.iloc[:0], "here")
    with pytest.raises(MixframeError, match="lacks the columns codec, prompt"):
        manifest.check(table.drop(columns=["codec", "prompt"]), "here")
    path = tmp_path / "m.parquet"
    manifest.write(table[(table["set"] == "train") | (table["label"] == "spoof")], path)
    with pytest.raises(MixframeError, match="set 'dev' has no bonafide utterances"):
        manifest.read(path, ["dev"])
    with pytest.raises(MixframeError, match=r"set 'eval' has no bonafide .*\(sets: dev, train\)"):
        manifest.read(path, ["eval"])
    with pytest.raises(MixframeError, match="stage 'protocol' makes it"):
        manifest.read(tmp_path / "none.parquet")


def test_protocol_lines_are_those_of_asvspoof_2019():
    table = pd.DataFrame(
        {
            "speaker": ["LA_0079", "Alan Watts"],
            "utterance": ["LA_T_1138215", "x"],
            "attack": ["-", "A11"],
            "label": ["bonafide", "spoof"],
        }
    )
    assert protocol_lines(table) == "LA_0079 LA_T_1138215 - - bonafide\nAlan_Watts x - A11 spoof\n"


def test_a_file_with_bad_rows_is_no_manifest(make_manifest, tmp_path):
    table = make_manifest({"train": 2})
    table.loc[1, "utterance"] = table.loc[0, "utterance"]
    table.to_parquet(tmp_path / "m.parquet")
    with pytest.raises(MixframeError, match=r"m\.parquet: 1 bad rows"):
        manifest.read(tmp_path / "m.parquet")
