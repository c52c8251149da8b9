"""Presets are complete and every mistake is named with its key, its value and the choices."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mixframe.base.errors import MixframeError
from mixframe.cli import main
from mixframe.experiment import params
from tests.conftest import choice_of

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "presets").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_valid_and_every_yaml_key_is_read(name):
    preset = params.read_preset(name, ROOT)
    written = yaml.safe_load((ROOT / "presets" / f"{name}.yaml").read_text())
    if preset.base != name:
        base = yaml.safe_load((ROOT / "presets" / f"{preset.base}.yaml").read_text())
        written |= {key: base[key] for key in params.BASE_SECTIONS}
    if preset.trained:
        theirs = yaml.safe_load((ROOT / "presets" / f"{preset.trained}.yaml").read_text())
        written |= {key: theirs[key] for key in params.TRAINED_SECTIONS}
    # Alone among all keys these may be left out.
    written = {"trained": "", "robustness": None, **written}
    assert preset.model_dump() == written


def test_params_yaml_begins_with_the_preset_and_its_grid_is_in_it():
    assert (ROOT / "params.yaml").read_text().startswith("preset: demo")
    choice = params.read_choice(ROOT)
    preset = params.read_preset(choice.preset, ROOT)
    assert set(choice.grid.system) <= set(preset.finetune)
    assert set(choice.grid.posttrained) <= set(preset.posttrain)


def lora(values):
    return values["finetune"]["lora"]["adapter"]


def shape(values):
    return values["pretrain"]["architecture"]


def targets(values):
    return values["pretrain"]["targets"]


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
        (lambda v: lora(v).update(targets=[]), "adapter.lora.targets = []: list should have at"),
        (
            lambda v: v["finetune"]["lora"].update(class_weights=[1.0]),
            "class_weights = [1.0]: expected auto, or two numbers: [spoof, bonafide]",
        ),
        (
            lambda v: shape(v).update(conv_strides=[5, 2]),
            "conv_kernels [10, 3, 3, 3, 3, 2, 2] and conv_strides [5, 2] are not equally many",
        ),
        (
            lambda v: shape(v).update(conv_kernels=[], conv_strides=[]),
            "architecture.conv_kernels = []: list should have at least 1 item",
        ),
        (lambda v: shape(v).update(heads=3), "heads 3 does not divide hidden 32"),
        (lambda v: shape(v).update(position_groups=5), "position_groups 5 does not divide hidden"),
        (
            lambda v: shape(v).update(conv_kernels=[99999, 3, 3, 3, 3, 2, 2]),
            "crop_seconds 1.0 is 16000 samples, but one frame of architecture sees 100389",
        ),
        (
            lambda v: v["pretrain"].update(crop_seconds=0.02),
            "crop_seconds 0.02 is 320 samples, but one frame of architecture sees 400",
        ),
        (
            lambda v: v["finetune"]["lora"].update(crop_seconds=0.02),
            "finetune.lora.crop_seconds = 0.02: 320 samples, but one frame of "
            "pretrain.architecture sees 400",
        ),
        (lambda v: v["score"].update(max_seconds=0.02), "score.max_seconds = 0.02: 320 samples"),
        *(
            (
                lambda v, place=place, key=key: place(v).update({key: 1e308}),
                f"{key} = 1e+308: input",
            )
            for place, key in (
                (lambda v: v["score"], "max_seconds"),
                (lambda v: v["pretrain"], "crop_seconds"),
                (lambda v: v["finetune"]["lora"], "crop_seconds"),
                (lambda v: v["splice"]["mfpt"], "max_seconds"),
            )
        ),
        (
            lambda v: v["splice"]["mfpt"].update(max_seconds=0.02),
            "splice.mfpt.max_seconds = 0.02: 320 samples",
        ),
        (lambda v: targets(v).update(n_mfcc=41), "n_mfcc 41 exceeds n_mels 40"),
        (lambda v: targets(v).update(cluster_frames=15), "cluster_frames 15 are fewer than clust"),
        (lambda v: v["finetune"]["lfcc"].update(n_lfcc=21), "n_lfcc 21 exceeds n_filter 20"),
        (
            lambda v: v["finetune"]["lfcc"].update(n_filter=258),
            "n_filter 258 exceeds the 257 frequencies of n_fft 512",
        ),
        (lambda v: v["finetune"]["lfcc"].update(n_fft=2**31), "n_fft 2147483648 is over a second"),
        (lambda v: v["finetune"]["lfcc"].update(max_frames=7), "max_frames 7 are fewer than comp"),
        (
            lambda v: v["finetune"]["mfpt_fgfm"]["head"].update(squeeze=17),
            "squeeze 17 leaves nothing of dim 16",
        ),
        *(
            (lambda v, seed=seed: v.update(seed=seed), f"seed = {seed!r}: input should be")
            for seed in (-1, 1.0, 2**32, 10**23)
        ),
        *(
            (
                lambda v, seed=seed: v["grid"].update(seed=[0, seed]),
                f"grid.seed.1 = {seed!r}: input should be",
            )
            for seed in (-1, 1.0, 2**32, 10**23)
        ),
        (
            lambda v: v["grid"].update(system=["nowhere"], classical=["nowhere"]),
            "must list exactly the systems",
        ),
        (lambda v: v["finetune"].pop("lfcc"), "finetune.lfcc: not in the preset; expected one of"),
        (
            lambda v: v["grid"].update(voting=["lora"]),
            "finetune.lora is in grid.voting, but has no head that votes for frames",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path, edit, expected):
    assert expected in change(tmp_path, edit)


def test_what_no_model_can_be_made_of_is_said_without_torch_and_transformers(tmp_path):
    values = yaml.safe_load((ROOT / "presets" / "smoke.yaml").read_text())
    shape(values).update(heads=3)
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "smoke.yaml").write_text(yaml.safe_dump(values))
    choice = choice_of("smoke", values)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(choice))
    script = (
        "import sys; from click.testing import CliRunner; from mixframe.cli import main\n"
        "result = CliRunner().invoke(main, sys.argv[1:])\n"
        "print(result.exit_code, result.stderr, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, "pretrain"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 ")
    assert "heads 3 does not divide hidden 32" in done.stdout
    assert done.stdout.endswith("False\n")


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
    with pytest.raises(
        MixframeError, match=r"preset = 'dmeo': expected one of .*demo, patterns, robustness, smoke"
    ):
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


def test_published_encoders_keep_their_convolutions_in_post_training_alone():
    for name in NAMES:
        preset = params.read_preset(name, ROOT)
        published = preset.pretrain.kind == "hub"
        freeze = {p.adapter.freeze for n, p in preset.posttrain.items() if "freeze" not in n}
        assert freeze <= {"convolutions" if published else "none"}, name
        for system, section in preset.finetune.items():
            if "freeze" in system or getattr(section, "adapter", None) is None:
                continue
            if section.adapter.kind == "full":
                assert section.adapter.freeze == "none", (name, system)


def keys_of(values):
    """Every key of nested mappings."""
    for key, value in values.items():
        yield key
        if isinstance(value, dict):
            yield from keys_of(value)


def test_what_the_methods_mark_as_ours_names_its_key():
    keys = {key for name in NAMES for key in keys_of(params.read_preset(name, ROOT).model_dump())}
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    _, marked = text.split("and names it.", 1)
    items = [item for item in re.split(r"\n\n|\n(?=[-|])", marked) if re.search(r"\bours\b", item)]
    assert len(items) > 10
    for item in items:
        named = {part for code in re.findall(r"`([^`]+)`", item) for part in re.split(r"\W+", code)}
        assert named & keys, item


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
