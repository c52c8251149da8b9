"""Presets are complete and every mistake is named with its key, its value and the choices."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mixframe.base.errors import MixframeError
from mixframe.cli import main
from mixframe.experiment import params

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "presets").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_valid_and_every_yaml_key_is_read(name):
    preset = params.read_preset(name, ROOT)
    written = yaml.safe_load((ROOT / "presets" / f"{name}.yaml").read_text())
    if preset.base != name:
        base = yaml.safe_load((ROOT / "presets" / f"{preset.base}.yaml").read_text())
        written |= {key: base[key] for key in params.BASE_SECTIONS}
    assert preset.model_dump() == written


def test_params_yaml_begins_with_the_preset_and_its_grid_is_in_it():
    assert (ROOT / "params.yaml").read_text().startswith("preset: demo")
    choice = params.read_choice(ROOT)
    preset = params.read_preset(choice.preset, ROOT)
    assert set(choice.grid.system) <= set(preset.finetune)
    assert set(choice.grid.posttrained) <= set(preset.posttrain)


def change(tmp_path, edit):
    values = yaml.safe_load((ROOT / "presets" / "smoke.yaml").read_text())
    values["base"] = "changed"
    edit(values)
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "changed.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(MixframeError) as error:
        params.read_preset("changed", tmp_path)
    return str(error.value)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda v: v["score"].update(batchsize=3), "score.batchsize = 3: unknown key"),
        (lambda v: v["score"].pop("batch"), "score.batch: missing"),
        (lambda v: v["score"].update(batch="8"), "score.batch = '8': input should be a valid int"),
        (lambda v: v["score"].update(batch=0), "score.batch = 0: input should be greater than"),
        (
            lambda v: v["splice"]["mfpt"].update(injector="fake"),
            "splice.mfpt.injector = 'fake': input should be 'bonafide', 'spoof' or 'any'",
        ),
        (
            lambda v: v["splice"]["mfpt"]["pattern"].update(name="zigzag"),
            "splice.mfpt.pattern.name = 'zigzag': input should be 'regions', 'short'",
        ),
        (
            lambda v: v["splice"]["mfpt"]["pattern"].update(min_frames=99),
            "min_frames 99 exceeds max_frames",
        ),
        (
            lambda v: v["posttrain"]["mfpt"]["train"].update(slices=3),
            "batch 8 is not a multiple of slices 3",
        ),
        (
            lambda v: v["finetune"]["lora"].update(patience=1),
            "patience = 1 can never end training before its last validation: train.steps 8 with "
            "evaluate_every 4 gives 2 validations; expected at most 0, where 0 is never",
        ),
        (lambda v: v["splice"].pop("heldout"), "splice.heldout: missing"),
        (lambda v: v["splice"].pop("mfpt"), "posttrain.mfpt: splice.mfpt is missing"),
        (
            lambda v: v["posttrain"].pop("mfpt"),
            "finetune.mfpt.encoder = 'mfpt': expected one of random, foundation",
        ),
        (lambda v: v["report"].update(localiser="x"), "report.localiser = 'x': expected one of"),
        (lambda v: v["pretrain"].update(kind="magic"), "'scratch', 'hub', 'folder'"),
        (lambda v: v["posttrain"]["mfpt"]["train"].update(lr=float("nan")), "train.lr = nan"),
    ],
)
def test_a_mistake_is_named(tmp_path, edit, expected):
    assert expected in change(tmp_path, edit)


def test_all_mistakes_come_at_once(tmp_path):
    def edit(values):
        values["score"]["batch"] = -1
        values["seed"] = "one"
        values["extra"] = 1

    message = change(tmp_path, edit)
    assert all(part in message for part in ("score.batch = -1", "seed = 'one'", "extra = 1"))


def test_yaml_errors_have_their_line(tmp_path):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "bad.yaml").write_text("title: x\nseed: : 1\n")
    with pytest.raises(MixframeError, match=r"bad\.yaml, line 2: not YAML"):
        params.read_preset("bad", tmp_path)


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(MixframeError, match=r"preset = 'dmeo': expected one of .*demo, smoke"):
        params.read_preset("dmeo", ROOT)


def test_the_grid_must_be_consistent(tmp_path):
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["grid"]["system"].append("unheard_of")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(MixframeError, match="must list exactly the systems"):
        params.read_choice(tmp_path)


def test_params_prints_what_it_read(monkeypatch):
    monkeypatch.chdir(ROOT)
    run = CliRunner().invoke
    whole = run(main, ["params", "--preset", "smoke"])
    assert yaml.safe_load(whole.output) == yaml.safe_load(Path("presets/smoke.yaml").read_text())
    part = run(main, ["params", "finetune.lora.adapter", "--preset", "smoke"])
    assert yaml.safe_load(part.output)["kind"] == "lora"
    wrong = run(main, ["params", "finetune.loar", "--preset", "smoke"])
    assert wrong.exit_code == 1
    assert "finetune has no 'loar'; expected one of" in wrong.stderr


def test_every_stage_says_what_it_reads_and_writes():
    for stage in (
        "download",
        "protocol",
        "splice",
        "pretrain",
        "posttrain",
        "finetune",
        "score",
        "evaluate",
        "report",
    ):
        # `evaluate` without a system is about files.
        system = ["--system", "mfpt"] if stage == "evaluate" else []
        text = CliRunner().invoke(main, [stage, *system, "--help"]).output
        assert "Reads:" in text, stage
        assert "Writes:" in text, stage


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda g: g.update(lender="x"), "lender = 'x': expected one of posttrained = ['mfpt']"),
        (lambda g: g.update(voting=["lora", "x"]), "voting = ['lora', 'x']: not all of them are"),
        (lambda g: g.update(localising=["x"]), "localising = ['x']: not all of them are in system"),
        (lambda g: g.update(seed=[1, 1]), "each seed must be there once"),
        (lambda g: g.update(seed=[]), "seed"),
        (lambda g: g.update(borrowing=[]), "must list exactly the systems of"),
    ],
)
def test_a_grid_that_does_not_add_up_is_refused(tmp_path, edit, expected):
    assert expected in change(tmp_path, lambda values: edit(values["grid"]))


@pytest.mark.parametrize(
    ("system", "section", "expected"),
    [
        ("lora", {"encoder": "mfpt"}, "finetune.lora has encoder mfpt, .* encoder random or found"),
        ("mfpt_fgfm", {"encoder": "foundation"}, "finetune.mfpt_fgfm has encoder foundation, "),
    ],
)
def test_a_system_must_start_where_the_grid_says(system, section, expected):
    preset = params.read_preset("smoke", ROOT)
    params.check_grid(preset.grid, preset)
    changed = preset.finetune[system].model_copy(update=section)
    other = preset.model_copy(update={"finetune": {**preset.finetune, system: changed}})
    with pytest.raises(MixframeError, match=expected):
        params.check_grid(preset.grid, other)


def test_the_recipe_of_2021_df_is_that_of_2021_la_but_for_the_augmentation():
    other = params.read_preset("asvspoof2019la_df", ROOT)
    for system, preset in (
        ("conformer", "asvspoof2019la_conformer"),
        ("conformer_fgfm", "asvspoof2019la_fgfm"),
    ):
        values = other.finetune[system].model_dump()
        assert values["augment"]["algorithm"] == 3
        values["augment"]["algorithm"] = 5
        assert values == params.read_preset(preset, ROOT).finetune[system].model_dump()
