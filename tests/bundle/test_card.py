"""README.md of a bundle: a card that the hub reads, and that data cannot break."""

import json
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard

from mixframe.base.files import sha256_file
from mixframe.bundle.card import escaped, front_matter, interval, write_card
from mixframe.bundle.contents import read_contents
from mixframe.bundle.output import about
from tests.bundle.build import EVAL, SYSTEMS


def card(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def changed(contents, **sections):
    """Return contents with other values in sections of them, or other sections."""
    values = contents.model_dump()
    for name, value in sections.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return type(contents).model_validate(values)


def table_of(text, header):
    """Return the rows of cells of the Markdown table that begins with a header."""
    lines = text[text.index(header) :].split("\n\n")[0].splitlines()
    assert len({line.count("|") - line.count("\\|") for line in lines}) == 1
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_hub_reads_the_front_matter(bundle, system):
    data = ModelCard(card(bundle(system))).data
    assert data.library_name == "mixframe"
    assert data.pipeline_tag == "audio-classification"
    assert data.license == "cc-by-4.0"
    assert data.datasets == ["demo"]
    assert data.model_name == system
    assert "base_model" not in data.to_dict()
    (result,) = data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == (EVAL, "eer", 12.5)
    assert result.metric_name == "EER in % (95 % interval 5.00 to 25.00; 12 trials)"


def test_a_base_model_on_the_hub_is_named(bundle):
    contents = read_contents(bundle("mfpt"))
    on_hub = changed(contents, trained_on={"base_model": "facebook/mms-300m@" + "a" * 40})
    assert yaml.safe_load(front_matter(on_hub, "mit"))["base_model"] == "facebook/mms-300m"


def test_the_card_says_how_to_verify(bundle):
    folder = bundle("mfpt")
    rows = table_of(card(folder), "| file | sha256 |")[2:]
    said = {name.replace("\\", ""): sha for name, sha in rows}
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    del files["README.md"]
    assert said == {name: sha256_file(path) for name, path in files.items()}


def test_other_systems_stand_beside(bundle):
    rows = table_of(card(bundle("mfpt")), "| system |")
    assert rows[0] == ["system", escaped(EVAL)]
    names = [row[0].replace("\\", "") for row in rows[2:]]
    assert names[0] == "mfpt"
    assert sorted(names) == sorted(SYSTEMS)
    assert rows[2][1] == "12.50 (5.00 to 25.00)"


@pytest.mark.parametrize(
    ("system", "peft", "frames"),
    [("mfpt", True, True), ("lora", True, False), ("conformer", False, False)],
)
def test_the_card_says_what_the_bundle_has(bundle, system, peft, frames):
    text = card(bundle(system))
    assert ("from peft import PeftModel" in text) == peft
    assert ("Frames are judged by a running median of" in text) == frames
    assert ("does not say where" in text) != frames


def test_the_card_says_that_wavlm_needs_mixframe(bundle, tmp_path):
    shutil.copytree(bundle("lora"), tmp_path / "copy")
    config = tmp_path / "copy" / "encoder" / "config.json"
    config.write_text(config.read_text().replace('"hubert"', '"wavlm"'))
    write_card(tmp_path / "copy", read_contents(bundle("lora")), "mit", {})
    assert "WavLM" in card(tmp_path / "copy")
    assert "WavLM" not in card(bundle("lora"))


def test_commit_lock_native_training_and_missing_calibration_are_said(bundle, tmp_path):
    shutil.copytree(bundle("lora"), tmp_path / "copy")
    made_by = {"commit": "c" * 40, "dvc_lock": "d" * 64, "isa": "native"}
    contents = changed(read_contents(tmp_path / "copy"), made_by=made_by, calibration=None)
    write_card(tmp_path / "copy", contents, "mit", {})
    text = card(tmp_path / "copy")
    assert f"git commit of the experiment: {'c' * 40}" in text
    assert f"sha256 of its dvc.lock: {'d' * 64}" in text
    assert "It has no calibration" in text
    assert "instruction set of the training: native, chosen by the processor" in text
    before = card(bundle("lora"))
    assert "log-likelihood ratio" in before
    assert "git commit" not in before
    assert "chosen by the processor" not in before


def test_no_name_of_the_data_breaks_the_card(bundle, tmp_path):
    shutil.copytree(bundle("lora"), tmp_path / "copy")
    folder = tmp_path / "copy"
    evil = "x: [y]\n---\n# <script>alert(1)</script> | `c` *b* [l](http://e)"
    contents = read_contents(folder)
    figures = contents.evaluated[EVAL].model_dump()
    broken = changed(
        contents,
        name=evil,
        title=evil,
        trained_on={"attacks": [evil], "corpora": [evil], "preset": evil},
        evaluated={evil: figures},
    )
    write_card(folder, broken, evil, {evil: broken.evaluated})
    text = card(folder)
    data = ModelCard(text).data
    assert data.model_name == evil
    assert data.license == evil
    assert data.datasets == [evil]
    assert evil in [result.dataset_name for result in data.eval_results]
    body = text.split("\n---\n\n", 1)[1]
    assert "\n# <" not in body
    assert body.replace("\\<", "").count("<") == 0
    table_of(body, "| system |")


def test_escaping_keeps_one_line_and_its_text():
    assert escaped("a_b\n|c|") == r"a\_b \|c\|"
    assert escaped("plain, text. (1-2)") == "plain, text. (1-2)"


def test_an_interval_in_words(bundle):
    figures = read_contents(bundle("lora")).evaluated[EVAL]
    assert interval(figures) == "95 % interval 5.00 to 25.00"


def test_figures_of_several_trainings_say_so(bundle, tmp_path):
    shutil.copytree(bundle("lora"), tmp_path / "copy")
    contents = read_contents(tmp_path / "copy")
    values = json.loads((tmp_path / "copy" / "bundle.json").read_text())["evaluated"]
    values[EVAL]["seeds"] = [1, 2, 3]
    several = changed(contents, evaluated=values)
    write_card(tmp_path / "copy", several, "mit", {})
    assert "means over 3 trainings; this is the one of seed 1" in card(tmp_path / "copy")
    assert "EER (mean of 3 trainings) 12.50 %" in about(several)
    assert "EER 12.50 %" in about(contents)
