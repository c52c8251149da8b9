"""Fine-tuning on frame labels: labels of crops, the loss by hand, what each key changes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mixframe.audio.frames import FrameGrid
from mixframe.audio.io import read
from mixframe.audio.spoofed import labels_of_crop, spoofed_parts, whole_utterances
from mixframe.base.compute import Compute
from mixframe.models import backbone as backbones
from mixframe.models.detector import BONAFIDE, SPOOF
from mixframe.models.frame_head import FrameDetector, grouped, unit_means
from mixframe.models.params import Encoder
from mixframe.training.frame_labels import FrameLabelTask, frame_losses
from mixframe.training.frames import by_frame
from mixframe.training.loop import train
from mixframe.training.params import Score
from mixframe.training.runner import Runner
from mixframe.training.systems.frames import Frames
from mixframe.training.systems.system import Work
from tests.models.test_detector import LORA, TRAIN

GRID = FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
COMPUTE = Compute(device="cpu", processes=1, threads=2, workers=1, keep_utterances=0, isa="pinned")
SCORING = Score(batch=4, batch_seconds=0.0, max_seconds=10.0, merge=False)
TOPK = {"kind": "topk", "share": 0.2}
POOLED = {"kind": "pooled", "layers": "last", "pooling": "mean", "hidden": 1}
FRAMES = {
    "kind": "frames",
    "layers": "last",
    "classifier_hidden": 8,
    "resolutions": [1],
    "positive_weight": 3.0,
    "pooling": TOPK,
}
BOTH = {k: v for k, v in FRAMES.items() if k != "pooling"} | {
    "kind": "both",
    "frames_weight": 0.5,
    "utterance_weight": 2.0,
    "utterance": POOLED,
}
VALUES = {
    "kind": "frames",
    "encoder": "foundation",
    "adapter": LORA,
    "head": FRAMES,
    "train_sets": ["train", "more"],
    "localise": [],
    "crop_seconds": 0.4,
    "crop": "random",
    "short": "keep",
    "augment": {"kind": "none"},
    "class_weights": [3.0, 1.0],
    "select": "eer",
    "average": 1,
    "patience": 0,
    "train": TRAIN.model_dump(),
}


def system(head=FRAMES, **changes):
    return Frames.model_validate({**VALUES, "head": head, **changes})


@pytest.fixture
def table(make_manifest):
    """Of spoofed utterances in the set more, regions alone are spoofed."""
    made = make_manifest({"train": 4, "more": 3, "dev": 4})
    partly = (made["set"] == "more") & (made["label"] == "spoof")
    made["regions"] = [
        [1600, 4800, 5760, n - 640] if here else []
        for here, n in zip(partly, made["samples"], strict=True)
    ]
    return made


@pytest.fixture
def task(encoder_folder, table):
    """Return a function that makes the task of a system."""

    def make(params=None, seed=0):
        params = params or system()
        encoder = backbones.load(encoder_folder, Encoder(dropout=0.0))
        model = FrameDetector(encoder, params.adapter, params.head, 1)
        learnt = table[table["set"].isin(params.train_sets)]
        dev = table[table["set"] == "dev"]
        return FrameLabelTask(model, params, params.head, SCORING, read, learnt, dev, seed)

    return make


@st.composite
def crops(draw):
    n_samples = draw(st.integers(400, 30_000))
    edges = sorted(draw(st.lists(st.integers(0, n_samples), max_size=6, unique=True)))
    parts = list(zip(edges[::2], edges[1::2], strict=False))
    start = draw(st.integers(0, n_samples - 400))
    return n_samples, parts, start, draw(st.integers(400, n_samples - start))


@settings(deadline=None, max_examples=50)
@given(crops())
def test_labels_of_a_crop_are_those_of_the_samples_in_it(drawn):
    n_samples, parts, start, length = drawn
    spoof = np.zeros(n_samples, dtype=bool)
    for a, b in parts:
        spoof[a:b] = True
    inside = spoof[start : start + length]
    expected = [
        int(2 * inside[t * 320 : t * 320 + 400].sum() >= 400) for t in range(GRID.n_frames(length))
    ]
    assert labels_of_crop(parts, start, length, GRID).tolist() == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 9))
def test_a_unit_is_spoof_if_any_of_its_frames_is(flags, size):
    labels = torch.tensor([flags]).long()
    mask = torch.ones_like(labels).bool()
    units = [torch.full((1, -(-len(flags) // size)), 40.0)]
    _, valid = unit_means(torch.zeros(1, len(flags), 2), mask, size)
    wanted = [any(flags[i : i + size]) for i in range(0, len(flags), size)]
    # A logit of 40 costs nothing where the unit is spoof, and 40 where it is not.
    loss = frame_losses([(units[0], valid)], labels, [size], 1.0)
    assert float(loss) == pytest.approx(40 * np.mean([not w for w in wanted]), abs=1e-5)
    assert grouped(labels, size).shape == (1, len(wanted), size)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(0, 12), st.integers(1, 9))
def test_the_mean_of_a_unit_is_over_its_valid_frames(n_frames, n_padded, size):
    rng = np.random.default_rng(n_frames)
    frames = torch.from_numpy(rng.standard_normal((1, n_frames + n_padded, 3)))
    frames[:, n_frames:] = float("nan")
    mask = (torch.arange(n_frames + n_padded) < n_frames)[None]
    means, valid = unit_means(frames, mask, size)
    n_units = -(-n_frames // size)
    assert valid[0].tolist() == [True] * n_units + [False] * (valid.shape[1] - n_units)
    for unit in range(n_units):
        own = frames[0, unit * size : min((unit + 1) * size, n_frames)].mean(0)
        assert torch.allclose(means[0, unit], own)


def test_a_spoofed_utterance_without_regions_is_spoofed_from_end_to_end(table):
    for parts, row in zip(spoofed_parts(table), table.itertuples(), strict=True):
        if row.label == "bonafide":
            assert parts == ()
        elif row.set == "more":
            assert parts == ((1600, 4800), (5760, row.samples - 640))
        else:
            assert parts == ((0, row.samples),)
    [cut] = whole_utterances(table[table["utterance"] == "more_000"], 3200)
    assert cut.n_samples == 3200
    assert cut.regions[0] == (1600, 4800)


@pytest.mark.parametrize("crop", ["random", "first"])
def test_a_batch_has_the_labels_of_its_crops(task, table, crop):
    """Told by the audio: parts that are spoofed are where an utterance is read from."""
    made = task(system(crop=crop, train_sets=["more"]))
    places = []

    def spy(ref, start, n_samples):
        places.append((ref, start, n_samples))
        return read(ref, start, n_samples)

    made._read = spy
    batch = made.batch(range(8))
    learnt = table[table["set"] == "more"]
    by_offset = {row.offset: row for row in learnt.itertuples()}
    parts = dict(zip(learnt["offset"], spoofed_parts(learnt), strict=True))
    seen = set()
    for row, (ref, start, n_samples) in enumerate(places):
        label = by_offset[ref.offset].label
        assert int(batch.targets[row, 0]) == (BONAFIDE if label == "bonafide" else SPOOF)
        expected = labels_of_crop(parts[ref.offset], start, n_samples, GRID)
        assert batch.targets[row, 1 : 1 + len(expected)].tolist() == expected.tolist()
        assert not batch.targets[row, 1 + len(expected) :].any()
        assert (start == 0) or crop == "random"
        seen.add((label, tuple(np.unique(expected))))
    assert ("spoof", (0, 1)) in seen


def alone(made, batch, row):
    """Return what an utterance of a batch gives without the others, and its targets."""
    n = int(batch.lengths[row])
    waves, lengths = batch.waves[row : row + 1, :n], batch.lengths[row : row + 1]
    n_frames = GRID.n_frames(n)
    targets = batch.targets[row]
    return made.model.eval(), waves, lengths, int(targets[0]), targets[1 : 1 + n_frames].float()


def test_the_loss_is_that_of_frames_over_units_and_resolutions(task):
    made = task(system(FRAMES | {"resolutions": [2, 5]}))
    batch = made.batch(range(8))
    with torch.no_grad():
        loss = float(sum(made.loss(part) for part in batch.slices(2))) / made.weight(batch)
        total = weights = 0.0
        for row in range(8):
            model, waves, _, label, labels = alone(made, batch, row)
            layers = model.encoder(waves).last_hidden_state[0]
            means = []
            for size, classifier in zip([2, 5], model.head.classifiers, strict=True):
                each = []
                for i in range(0, len(layers), size):
                    p = torch.sigmoid(classifier(layers[i : i + size].mean(0)[None, None])[0, 0])
                    spoof = labels[i : i + size].max()
                    each.append(float(-(3 * spoof * p.log() + (1 - spoof) * (1 - p).log())))
                means.append(np.mean(each))
            weight = 3.0 if label == SPOOF else 1.0
            total, weights = total + weight * float(np.mean(means)), weights + weight
    assert loss == pytest.approx(total / weights, abs=1e-5)


def test_both_losses_have_their_weights(task):
    made = task(system(BOTH))
    batch = made.batch(range(8))
    parts = batch.slices(2)
    frames = task(system(BOTH | {"frames_weight": 1.0, "utterance_weight": 1e-12}))
    label = task(system(BOTH | {"frames_weight": 1e-12, "utterance_weight": 1.0}))
    weights = [p for p in made.model.parameters() if p.requires_grad]

    def gradient(of):
        of.model = made.model
        made.model.head._weight = of._head.utterance_weight
        loss = sum(of.loss(part) for part in parts) / of.weight(batch)
        return loss.detach(), torch.autograd.grad(loss, weights, allow_unused=True)

    (whole, all_of), (first, ones), (second, others) = map(gradient, (made, frames, label))
    assert float(whole) == pytest.approx(0.5 * float(first) + 2 * float(second), rel=1e-5)
    for summed, one, other in zip(all_of, ones, others, strict=True):
        assert torch.allclose(summed, 0.5 * one + 2 * other, atol=1e-6)
    assert float(first) > 0
    assert float(second) > 0


def test_the_label_of_an_utterance_is_learnt_as_a_neural_system_learns_it(task):
    """With the frames out of the way, the loss is the weighted cross-entropy."""
    made = task(system(BOTH | {"frames_weight": 1e-12, "utterance_weight": 1.0}))
    batch = made.batch(range(8))
    with torch.no_grad():
        loss = float(made.loss(batch)) / made.weight(batch)
        logits = made.model(batch.waves, batch.lengths)
        expected = torch.nn.functional.cross_entropy(
            logits, batch.targets[:, 0], torch.tensor([3.0, 1.0])
        )
    assert loss == pytest.approx(float(expected), rel=1e-5)


POOLINGS = {
    "max": {"kind": "max"},
    "topk": TOPK,
    "attention": {"kind": "attention", "hidden": 4, "weight": 0.7},
}


@pytest.mark.parametrize("pooling", POOLINGS.values(), ids=POOLINGS)
@pytest.mark.parametrize("sizes", [[1], [4]])
def test_an_utterance_is_judged_by_its_units(task, pooling, sizes):
    made = task(system(FRAMES | {"pooling": pooling, "resolutions": sizes}))
    batch = made.batch(range(6))
    with torch.no_grad():
        scores = made.model.eval().score(batch.waves, batch.lengths)
        for row in range(6):
            model, waves, lengths, _, _ = alone(made, batch, row)
            layers = model.encoder(waves).last_hidden_state
            [(logits, valid)] = model.head.units([layers], torch.ones(1, layers.shape[1]).bool())
            assert valid.all()
            ranked = logits[0].sort(descending=True).values
            if pooling["kind"] == "max":
                expected = ranked[0]
            elif pooling["kind"] == "topk":
                expected = ranked[: int(np.ceil(np.float32(0.2) * len(ranked)))].mean()
            else:
                means, _ = unit_means(layers, torch.ones(1, layers.shape[1]).bool(), sizes[0])
                weights = torch.softmax(model.head.attention(means)[0, :, 0], dim=0)
                expected = (weights * logits[0]).sum()
            assert scores[row].item() == pytest.approx(-expected.item(), abs=1e-4)
            frames = model.frame_logits(waves, lengths)[0]
            assert frames.tolist() == pytest.approx(
                logits[0].repeat_interleave(sizes[0])[: len(frames)].tolist(), abs=1e-5
            )


@pytest.mark.parametrize(
    "head",
    [
        FRAMES | {"pooling": POOLINGS["attention"], "layers": "weighted", "resolutions": [1, 8]},
        BOTH | {"utterance": POOLED | {"layers": "weighted"}},
        BOTH | {"layers": "weighted"},
    ],
)
@pytest.mark.parametrize("adapter", [LORA, {"kind": "full", "freeze": "convolutions"}])
def test_everything_trainable_moves(task, tmp_path, head, adapter):
    """The loop itself refuses parameters that get no gradient."""
    params = system(head, adapter=adapter)
    made = task(params)
    before = {n: p.clone() for n, p in made.model.named_parameters() if p.requires_grad}
    outcome = train(made, params.train, 0, Runner(COMPUTE), tmp_path / "s.pt", 0, "test")
    after = dict(made.model.named_parameters())
    assert not [n for n, p in before.items() if torch.equal(after[n], p)]
    for row in outcome.rows:
        assert 0 <= row["dev_frame_eer"] <= 1
        assert row["dev_loss"] > 0


@pytest.mark.parametrize("head", [FRAMES | {"resolutions": [1, 3]}, BOTH])
def test_the_dev_loss_is_the_training_loss_of_whole_utterances(encoder, table, head):
    """Where training hears all of dev at once, whole."""
    params = system(head, crop_seconds=5.0, adapter={"kind": "none"})
    dev = table[table["set"] == "dev"]
    model = FrameDetector(encoder, params.adapter, params.head, 1).eval()

    def made(select):
        chosen = params.model_copy(update={"select": select})
        return FrameLabelTask(model, chosen, params.head, SCORING, read, dev, dev, 0)

    batch = made("eer").batch(range(len(dev)))
    with torch.no_grad():
        loss = float(made("eer").loss(batch)) / made("eer").weight(batch)
    judged = made("eer").validate(Runner(COMPUTE))
    assert judged.figures["dev_loss"] == pytest.approx(loss, rel=1e-4)
    assert judged.rank == (judged.figures["dev_eer"], judged.figures["dev_cllr"])
    by_loss = made("loss").validate(Runner(COMPUTE))
    assert by_loss.rank == (judged.figures["dev_loss"], judged.figures["dev_cllr"])


@pytest.mark.parametrize("head", [FRAMES, FRAMES | {"resolutions": [8]}, BOTH])
def test_frame_scores_do_not_depend_on_the_batch(task, table, head):
    made = task(system(head))
    recipes = whole_utterances(table)

    def scores(batch):
        logits, labels = by_frame(
            lambda b: made.model.eval().frame_logits(b.waves, b.lengths),
            made.model.backbone,
            recipes,
            batch,
            read,
            Runner(COMPUTE),
        )
        assert [len(x) for x in logits] == [len(x) for x in labels]
        return np.concatenate(logits)

    assert np.abs(scores(1) - scores(5)).max() < 1e-4


CHANGES = {
    "layers": FRAMES | {"layers": "weighted"},
    "classifier_hidden": FRAMES | {"classifier_hidden": 9},
    "resolutions": FRAMES | {"resolutions": [1, 4]},
    "positive_weight": FRAMES | {"positive_weight": 1.0},
    "weight": FRAMES | {"pooling": POOLINGS["attention"]},
    "frames_weight": BOTH | {"frames_weight": 1.0},
    "utterance_weight": BOTH | {"utterance_weight": 1.0},
}


@pytest.mark.parametrize("key", CHANGES)
def test_each_key_of_the_head_changes_the_loss(task, key):
    changed = CHANGES[key]
    plain = BOTH if changed["kind"] == "both" else FRAMES

    def loss(head):
        made = task(system(head))
        batch = made.batch(range(8))
        with torch.no_grad():
            return float(made.loss(batch)) / made.weight(batch)

    assert loss(plain) == loss(plain)
    assert abs(loss(changed) - loss(plain)) > 1e-6


@pytest.fixture
def work(encoder_folder):
    return Work(encoder_folder, Encoder(dropout=0.0), SCORING, COMPUTE, 1, "frames")


@pytest.mark.parametrize("head", [FRAMES, BOTH])
def test_what_is_saved_scores_as_what_was_fitted(work, table, tmp_path, head):
    params = system(head)
    fitted = params.fit(work, table, tmp_path / "state")
    folder = tmp_path / "frames"
    folder.mkdir()
    fitted.save(folder)
    dev = table[table["set"] == "dev"]
    assert np.array_equal(params.score(work, folder, dev), fitted.dev_scores)
    assert fitted.card["parameters"]["trainable"] < fitted.card["parameters"]["total"]


def test_a_system_learns_from_the_sets_that_it_names(work, table, tmp_path):
    assert system().learns_from == ["train", "more"]

    def curve(**changes):
        params = system(**changes)
        return params.fit(work, table, tmp_path / str(len(changes))).curve

    assert curve(train_sets=["train"])[0]["loss"] != curve()[0]["loss"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"train_sets": ["train", "dev"]}, "dev selects"),
        ({"train_sets": []}, "train_sets"),
        ({"short": "tile"}, "short"),
        ({"head": POOLED}, "head"),
        ({"head": FRAMES | {"resolutions": [8, 1]}}, "expected to rise"),
        ({"head": FRAMES | {"resolutions": [0]}}, "resolutions"),
        ({"head": FRAMES | {"pooling": {"kind": "topk", "share": 0.0}}}, "share"),
        ({"head": BOTH | {"utterance": {**FRAMES}}}, "utterance"),
        ({"head": BOTH | {"frames_weight": 0.0}}, "frames_weight"),
    ],
)
def test_a_section_that_says_nothing_sensible_is_refused(changes, match):
    with pytest.raises(ValidationError, match=match):
        Frames.model_validate({**VALUES, **changes})
