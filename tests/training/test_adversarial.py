"""Attacks: closed-form answers of linear systems, balls, gradients through every system."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mixframe.audio import manifest
from mixframe.audio.io import read
from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.tensors import save_tensors
from mixframe.experiment.params import read_preset
from mixframe.models.building import VALUES
from mixframe.models.detector import Detector
from mixframe.models.frame_classifier import FrameClassifier
from mixframe.models.heads import HEADS
from mixframe.models.params import Encoder
from mixframe.training.adversarial import AnyAttack
from mixframe.training.adversarial.attack import Expectation, snr_db
from mixframe.training.adversarial.listeners import hearing, listener
from mixframe.training.adversarial.moves import STEP, attack, gradients, transformed
from mixframe.training.params import Score
from mixframe.training.scoring import Window
from mixframe.training.systems import lfcc
from mixframe.training.systems.localiser import FrameSystem
from mixframe.training.systems.system import System, Work
from tests.conftest import tone

PRESET = read_preset("smoke", Path(__file__).parents[2])
EXACT = {"draws": 1, "shift_ms": 0.0, "gain_db": 0.0, "noise_db": 0.0}
DRAWN = {"draws": 2, "shift_ms": 1.0, "gain_db": 3.0, "noise_db": 20.0}
SMALL = {"norm": "linf", "epsilon": 0.002}
QUIET = {"norm": "snr", "snr_db": 30.0}
PGD = {"kind": "pgd", "steps": 4, "step": 0.4, "starts": 2}
PINNED = Compute(device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned")


def section(ball, target="spoof", expectation=EXACT, **kind):
    values = {"ball": ball, "target": target, "expectation": expectation}
    return TypeAdapter(AnyAttack).validate_python({**(kind or {"kind": "fgsm"}), **values})


def rngs(n, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(n)]


def waves_of(*lengths, loud=0.1):
    tones = [tone(n, i, loud) for i, n in enumerate(lengths)]
    return [np.rint(wave / STEP).astype(np.float32) * np.float32(STEP) for wave in tones]


def linear(weights):
    """A system whose score is the inner product with weights."""
    return lambda waves: torch.stack([(weights[: len(w)] * w).sum() for w in waves])


def bent(weights):
    """A system whose score bends: a step may lower it."""
    return lambda waves: torch.stack(
        [torch.sin(40 * (weights[: len(w)] * w).sum()) + w.square().sum() for w in waves]
    )


@pytest.mark.parametrize("kind", [{"kind": "fgsm"}, PGD])
@pytest.mark.parametrize("label", ["spoof", "bonafide"])
def test_linear_systems_have_the_closed_form_answer(kind, label):
    drawn = np.random.default_rng(5).standard_normal(900).astype(np.float32)
    weights = torch.from_numpy(drawn)
    [wave] = waves_of(900)
    side = 1 if label == "spoof" else -1
    [made] = attack(linear(weights), [wave], [label], section(SMALL, "any", **kind), rngs(1))
    assert np.array_equal(made, wave + side * math.floor(0.002 / STEP) * STEP * np.sign(drawn))
    [made] = attack(linear(weights), [wave], [label], section(QUIET, "any", **kind), rngs(1))
    radius = np.linalg.norm(wave) * 10 ** (-30 / 20)
    wanted = side * radius * drawn / np.linalg.norm(drawn)
    assert np.abs(made - wave - wanted).max() <= STEP * 1.01


@pytest.mark.parametrize("expectation", [EXACT, DRAWN])
def test_with_budget_0_nothing_changes(expectation):
    waves = waves_of(400, 300)
    nothing = section({"norm": "linf", "epsilon": 0.0}, "any", expectation, **PGD)
    made = attack(bent(torch.ones(400)), waves, ["spoof", "bonafide"], nothing, rngs(2))
    assert all(np.array_equal(a, b) for a, b in zip(made, waves, strict=True))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    ball=st.one_of(
        st.builds(lambda e: {"norm": "linf", "epsilon": e}, st.floats(0, 0.05)),
        st.builds(lambda s: {"norm": "snr", "snr_db": s}, st.floats(0, 60)),
    ),
    loud=st.sampled_from([0.0, 0.01, 1.5]),
    expectation=st.sampled_from([EXACT, DRAWN]),
    steps=st.integers(1, 4),
    starts=st.integers(1, 2),
)
def test_pgd_is_no_worse_than_fgsm_and_both_stay_in_their_ball(
    seed, ball, loud, expectation, steps, starts
):
    rng = np.random.default_rng(seed)
    weights = torch.from_numpy(rng.standard_normal(300).astype(np.float32) / 10)
    waves = [w.clip(-1, 1) for w in waves_of(300, 200, loud=loud)]
    if loud == 0.0:
        waves[0] = np.zeros(300, dtype=np.float32)
    labels = ["spoof", "bonafide"]
    far = {"kind": "pgd", "steps": steps, "step": 0.3, "starts": starts}
    reached = {}
    for kind in ({"kind": "fgsm"}, far):
        chosen = section(ball, "any", expectation, **kind)
        made = attack(bent(weights), waves, labels, chosen, rngs(2, seed))
        for old, new in zip(waves, made, strict=True):
            old = np.clip(np.rint(old / STEP), -32768, 32767) * STEP
            assert new.dtype == np.float32
            assert np.array_equal(np.rint(new / STEP) * STEP, new)
            assert new.min() >= -1
            assert new.max() <= 1 - STEP
            if ball["norm"] == "linf":
                assert np.abs(new - old).max() <= ball["epsilon"]
            else:
                assert snr_db(old, new) >= ball["snr_db"] - 1e-4
        scores = bent(weights)([torch.from_numpy(w) for w in made])
        reached[kind["kind"]] = scores * torch.tensor([1.0, -1.0])
    assert bool((reached["pgd"] >= reached["fgsm"]).all())


def test_one_step_of_pgd_is_fgsm_where_fgsm_gains():
    weights, waves = torch.linspace(-1, 1, 500), waves_of(500, 400)
    one = {"kind": "pgd", "steps": 1, "step": 0.1, "starts": 1}
    made = [
        attack(linear(weights), waves, ["spoof"] * 2, section(QUIET, **kind), rngs(2))
        for kind in ({"kind": "fgsm"}, one)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True))


@pytest.mark.parametrize(
    ("key", "value"), [("steps", 9), ("step", 0.05), ("starts", 6), ("kind", "fgsm")]
)
def test_every_key_of_pgd_changes_what_it_finds(key, value):
    weights = torch.from_numpy(np.random.default_rng(1).standard_normal(300).astype(np.float32))
    waves = waves_of(300, 280)
    changed = {"kind": "fgsm"} if key == "kind" else {**PGD, key: value}
    made = [
        attack(bent(weights), waves, ["spoof"] * 2, section(SMALL, **kind), rngs(2))
        for kind in (PGD, changed)
    ]
    assert not all(np.array_equal(a, b) for a, b in zip(*made, strict=True))


@pytest.mark.parametrize("key", ["shift_ms", "gain_db", "noise_db"])
def test_every_transformation_is_drawn_and_passes_gradients(key):
    wave = torch.from_numpy(tone(4000, 0)).requires_grad_()
    expectation = Expectation(**{**EXACT, key: 10.0})
    assert not expectation.exact
    first, again, other = (transformed(wave, expectation, rngs(1, s)[0]) for s in (0, 0, 1))
    assert first.shape == wave.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    [gradient] = torch.autograd.grad(first.sum(), [wave])
    assert bool((gradient != 0).float().mean() > 0.9)
    if key == "noise_db":
        assert snr_db(wave.detach().numpy(), first.detach().numpy()) == pytest.approx(10, abs=0.5)
    if key == "gain_db":
        assert abs(20 * math.log10(float(first.detach().norm() / wave.detach().norm()))) <= 10
    if key == "shift_ms":
        assert any(torch.equal(first[n:], wave[: 4000 - n]) for n in range(161)) or any(
            torch.equal(first[: 4000 - n], wave[n:]) for n in range(161)
        )


def test_the_gradient_is_the_mean_over_the_draws():
    waves = [torch.from_numpy(w) for w in waves_of(600)]
    many = Expectation(draws=3, shift_ms=0.0, gain_db=6.0, noise_db=0.0)
    rng = rngs(1)[0]
    one = many.model_copy(update={"draws": 1})
    parts = [gradients(linear(torch.ones(600)), waves, one, [rng])[1][0] for _ in range(3)]
    value, [mean] = gradients(linear(torch.ones(600)), waves, many, rngs(1))
    assert torch.allclose(mean, torch.stack(parts).mean(0))
    assert float(value[0]) == pytest.approx(float(waves[0].sum()), rel=1e-5)


def test_only_targeted_utterances_change():
    waves, labels = waves_of(300, 310, 320), ["spoof", "bonafide", "spoof"]
    for target, changed in (("spoof", [1, 0, 1]), ("bonafide", [0, 1, 0]), ("any", [1, 1, 1])):
        made = attack(linear(torch.ones(320)), waves, labels, section(SMALL, target), rngs(3))
        assert [not np.array_equal(a, b) for a, b in zip(made, waves, strict=True)] == changed
    assert attack(linear(torch.ones(9)), [], [], section(SMALL), []) == []


@pytest.mark.parametrize(
    ("ball", "words"),
    [
        ({"norm": "linf", "epsilon": -0.1}, "epsilon"),
        ({"norm": "linf", "epsilon": 1.1}, "epsilon"),
        ({"norm": "snr", "snr_db": 200.0}, "snr_db"),
        ({"norm": "l1", "epsilon": 0.1}, "norm"),
    ],
)
def test_a_ball_that_is_none_is_refused(ball, words):
    with pytest.raises(ValidationError, match=words):
        section(ball)


def work(folder):
    return Work(
        folder,
        Encoder(dropout=0.0),
        Score(batch=2, batch_seconds=0.0, max_seconds=0.6, merge=False),
        PINNED,
        1,
        "test",
    )


@pytest.fixture
def trained(encoder_folder, make_manifest, tmp_path):
    """Return a function that makes a system of the smoke preset and the folder it is saved in."""

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        given = work(encoder_folder)
        if name == "localiser":
            torch.manual_seed(0)
            save_tensors(FrameClassifier(16, 8).state_dict(), folder / "head.safetensors")
            return FrameSystem(kind="localiser", encoder="mfpt", share=0.3), given, folder
        section = PRESET.finetune[name]
        if name == "lfcc":
            table = make_manifest({"train": 4})
            refs, samples = manifest.refs(table), table["samples"].tolist()
            frames = lfcc.features(refs, samples, section, 1.0, read)
            mixtures = {
                label: lfcc.fit_mixture(frames[i::2], section, 0)
                for i, label in enumerate(("spoof", "bonafide"))
            }
            lfcc.save_mixtures(mixtures, folder)
            return section, given, folder
        detector = section._detector(given)
        torch.manual_seed(1)
        with torch.no_grad():
            for name, weight in detector.named_parameters():
                if "lora_B" in name:
                    weight.normal_(0, 0.02)
        detector.save(folder)
        return section, given, folder

    return make


@pytest.mark.parametrize("name", ["lora", "mfpt_fgfm", "frames", "localiser", "lfcc"])
def test_gradients_pass_through_every_kind_of_system(trained, make_manifest, name):
    system, given, folder = trained(name)
    listen = listener(system, given, folder, torch.device("cpu"))
    table = make_manifest({"eval": 2}, seconds=(0.3, 0.8))
    refs = manifest.refs(table)
    waves = [read(ref) for ref in refs]
    leaves = [torch.from_numpy(w).requires_grad_() for w in waves]
    scores = listen(leaves)
    expected = system.scorer(given, folder)(refs, table["samples"].tolist(), read)
    assert scores.detach().numpy() == pytest.approx(expected, abs=2e-3)
    slopes = torch.autograd.grad(scores.sum(), leaves)
    heard = int((system.crop_seconds if getattr(system, "short", "") == "tile" else 0.6) * 16_000)
    for slope in slopes:
        assert torch.isfinite(slope).all()
        assert float((slope[: heard - 400] != 0).float().mean()) > 0.95
        assert not slope[heard:].any()
    labels = ["spoof"] * len(waves)
    made = attack(listen, waves, labels, section(QUIET, **PGD), rngs(len(waves)))
    moved = listen([torch.from_numpy(w) for w in made]).detach() - scores.detach()
    assert bool((moved > 0).all())


@pytest.mark.parametrize("head", HEADS)
def test_gradients_pass_through_every_head(encoder, head):
    section = HEADS[head].model_validate({"kind": head, **VALUES[head]})
    detector = Detector(encoder, PRESET.finetune["lora"].adapter, section, 0).eval()
    leaves = [torch.from_numpy(w).requires_grad_() for w in waves_of(6000, 5000)]
    scores = hearing(detector, Window(1, 16_000, tile=False))(leaves)
    for slope in torch.autograd.grad(scores.sum(), leaves):
        assert float((slope[:-400] != 0).float().mean()) > 0.95


def test_batches_change_nothing_but_rounding(trained):
    system, given, folder = trained("mfpt_fgfm")
    listen = listener(system, given, folder, torch.device("cpu"))
    waves = waves_of(9000, 7000, 8000)
    labels, chosen = ["spoof", "bonafide", "spoof"], section(QUIET, "any", DRAWN, **PGD)
    together = attack(listen, waves, labels, chosen, rngs(3))
    for i in (2, 0, 1):
        [alone] = attack(listen, waves[i : i + 1], labels[i : i + 1], chosen, rngs(3)[i : i + 1])
        assert np.abs(alone - together[i]).max() <= 2 * STEP
        scores = listen([torch.from_numpy(w) for w in (alone, together[i])]).detach()
        assert float(scores[0]) == pytest.approx(float(scores[1]), abs=1e-4)


def test_a_perturbation_is_of_what_is_heard(encoder):
    lora = PRESET.finetune["lora"]
    detector = Detector(encoder, lora.adapter, lora.head, 0).eval()
    tiled = hearing(detector, Window(1, 4000, tile=True))
    long, short = waves_of(6000, 1500)
    made = attack(tiled, [long, short], ["spoof"] * 2, section(SMALL), rngs(2))
    assert np.array_equal(made[0][4000:], long[4000:])
    assert (made[0][:4000] != long[:4000]).mean() > 0.9
    assert (made[1] != short).mean() > 0.9


def test_a_kind_without_gradients_is_left_out_by_name(encoder_folder):
    class Constant(System):
        pass

    with pytest.raises(MixframeError, match="kind constant: no gradient"):
        listener(
            Constant(kind="constant"), work(encoder_folder), encoder_folder, torch.device("cpu")
        )
