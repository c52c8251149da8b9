"""The detector: scores that depend on their utterance alone, adapters that others can read."""

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModel, WavLMConfig, WavLMModel

from mixframe.audio import manifest
from mixframe.audio.io import read
from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.models import backbone as backbones
from mixframe.models.detector import Detector
from mixframe.models.params import Encoder
from mixframe.models.pooled import AttentiveStatistics, MeanPool
from mixframe.training import runner
from mixframe.training.loop import train
from mixframe.training.params import Score, Train
from mixframe.training.runner import Runner
from mixframe.training.scoring import Window, score, window
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Work
from mixframe.training.utterances import UtteranceTask, class_weights

TRAIN = Train(
    steps=2,
    batch=4,
    slices=2,
    optimiser="adamw",
    lr=0.01,
    weight_decay=0.0,
    warmup=0,
    schedule="constant",
    clip_norm=0.0,
    evaluate_every=1,
    checkpoint_every=5,
    precision="fp32",
)
LORA = {"kind": "lora", "rank": 2, "alpha": 4, "dropout": 0.0, "targets": ["q_proj", "v_proj"]}
COMPUTE = Compute(device="cpu", processes=1, threads=2, workers=1, keep_utterances=0, isa="pinned")
RUN = Runner(COMPUTE)


def neural(adapter=LORA, layers="weighted", pooling="attentive"):
    return Neural.model_validate(
        {
            "kind": "neural",
            "encoder": "foundation",
            "adapter": adapter,
            "head": {"kind": "pooled", "layers": layers, "pooling": pooling, "hidden": 8},
            "crop_seconds": 0.5,
            "crop": "random",
            "short": "keep",
            "augment": {"kind": "none"},
            "patience": 0,
            "class_weights": "auto",
            "select": "eer",
            "average": 1,
            "train": TRAIN.model_dump(),
        }
    )


def detector_of(encoder, params):
    return Detector(encoder, params.adapter, params.head, 0)


WHOLE = {"kind": "full", "freeze": "none"}
ADAPTERS = [
    LORA,
    WHOLE,
    WHOLE | {"freeze": "convolutions"},
    WHOLE | {"freeze": 1},
    {"kind": "none"},
]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(("layers", "pooling"), [("weighted", "attentive"), ("last", "mean")])
def test_training_reaches_every_parameter_and_survives_its_files(
    encoder_folder, make_manifest, tmp_path, adapter, layers, pooling
):
    params = neural(adapter, layers, pooling)
    table = make_manifest({"train": 3, "dev": 3})
    rows = {name: table[table["set"] == name] for name in ("train", "dev")}

    def fresh():
        return detector_of(backbones.load(encoder_folder, Encoder(dropout=0.0)), params)

    detector = fresh()
    before = {n: p.clone() for n, p in detector.named_parameters()}
    task = UtteranceTask(
        detector,
        params,
        Score(batch=4, batch_seconds=0.0, max_seconds=5.0, merge=False),
        read,
        rows["train"],
        rows["dev"],
        0,
    )
    train(task, params.train, 0, RUN, tmp_path / "s.pt", 0, "test")
    for name, parameter in detector.named_parameters():
        frozen = not parameter.requires_grad
        assert frozen == torch.equal(before[name], parameter), name
        if "feature_extractor" in name:
            assert frozen == (adapter != WHOLE)
    detector.save(tmp_path / "system")
    other = fresh()
    other.restore(tmp_path / "system")
    other.eval()
    assert np.array_equal(task.dev_scores(RUN), scores_of(other, rows["dev"]))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_no_gradient_passes_through_a_frozen_front_end(encoder, adapter):
    detector = detector_of(encoder, neural(adapter)).train()
    seen = []
    encoder.model.feature_extractor.register_forward_hook(
        lambda module, given, frames: seen.append(frames.requires_grad)
    )
    detector.training_logits(torch.randn(1, 4000), torch.tensor([4000]))
    assert seen == [adapter == WHOLE]


def scores_of(detector, rows, batch=4, read=read):
    refs, samples = manifest.refs(rows), rows["samples"].tolist()
    return score(detector, refs, samples, Window(batch, 5 * 16_000, False), RUN, read)


def test_a_score_does_not_depend_on_its_batch_mates(encoder, make_manifest):
    rows = make_manifest({"eval": 10}, seconds=(0.1, 1.5))
    detector = detector_of(encoder, neural()).eval()
    together = scores_of(detector, rows, batch=20)
    alone = scores_of(detector, rows, batch=1)
    shuffled = scores_of(detector, rows.sample(frac=1, random_state=0), batch=7)
    order = rows.sample(frac=1, random_state=0).index
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together[order] - shuffled).max() < 1e-5
    assert len(np.unique(alone.round(4))) > 5


def test_the_adapter_is_peft_s(encoder_folder, tmp_path):
    detector = detector_of(backbones.load(encoder_folder, Encoder(dropout=0.0)), neural())
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    detector.save(tmp_path)
    base = AutoModel.from_pretrained(encoder_folder, local_files_only=True)
    loaded = PeftModel.from_pretrained(base, tmp_path).eval()
    detector.eval()
    waves, lengths = torch.randn(1, 4000), torch.tensor([4000])
    with torch.no_grad():
        expected = backbones.encode(detector.backbone, waves, lengths, False)[0]
        assert torch.allclose(loaded(waves).last_hidden_state, expected, atol=1e-6)


@pytest.mark.parametrize(("seconds", "longest"), [(1.0, 16_000), (3.0, 48_000), (0.0, np.inf)])
def test_so_many_seconds_are_scored_at_once(encoder, make_manifest, seconds, longest, monkeypatch):
    rows = make_manifest({"eval": 8}, seconds=(0.3, 0.9))
    detector, params = detector_of(encoder, neural()).eval(), neural()
    scoring = Score(batch=7, batch_seconds=seconds, max_seconds=5.0, merge=False)
    sizes, score_of = [], Detector.score

    def watched(self, waves, lengths):
        sizes.append(waves.shape)
        return score_of(self, waves, lengths)

    monkeypatch.setattr(Detector, "score", watched)
    refs, samples = manifest.refs(rows), rows["samples"].tolist()
    scores = score(detector, refs, samples, window(params, scoring), RUN, read)
    assert max(n * width for n, width in sizes) <= longest
    assert 1 < max(n for n, _ in sizes) <= scoring.batch
    assert (max(n for n, _ in sizes) == scoring.batch) == (seconds == 0)
    assert np.abs(scores - scores_of(detector, rows, batch=1)).max() < 1e-5


@pytest.mark.parametrize("merge", [False, True])
def test_scores_are_those_of_merged_adapters_where_the_key_says_so(
    encoder_folder, make_manifest, tmp_path, merge, monkeypatch
):
    rows, params = make_manifest({"eval": 5}, seconds=(0.1, 1.5)), neural()
    detector = detector_of(backbones.load(encoder_folder, Encoder(dropout=0.0)), params)
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    detector.save(tmp_path)
    expected = scores_of(detector.eval(), rows)
    scoring = Score(batch=4, batch_seconds=0.0, max_seconds=5.0, merge=merge)
    work = Work(encoder_folder, Encoder(dropout=0.0), scoring, COMPUTE, 0, "")
    left = []
    score_of = Detector.score

    def watched(self, waves, lengths):
        left.extend(name for name, _ in self.named_parameters() if "lora" in name)
        return score_of(self, waves, lengths)

    monkeypatch.setattr(Detector, "score", watched)
    scores = params.scorer(work, tmp_path)(manifest.refs(rows), rows["samples"].tolist(), read)
    assert bool(left) != merge
    assert np.abs(scores - expected).max() < 1e-5
    assert merge or np.array_equal(scores, expected)


@pytest.mark.parametrize("can", [True, False])
def test_scores_in_bf16_are_near_and_a_cpu_without_it_gives_those_of_fp32(
    encoder_folder, make_manifest, tmp_path, monkeypatch, capsys, can
):
    monkeypatch.setattr(runner, "multiplies_bf16", lambda: can)
    rows, params = make_manifest({"eval": 40}, seconds=(0.1, 1.5)), neural()
    detector_of(backbones.load(encoder_folder, Encoder(dropout=0.0)), params).save(tmp_path)
    scores = []
    for precision in ("fp32", "bf16"):
        scoring = Score(
            batch=4, batch_seconds=0.0, max_seconds=5.0, merge=False, precision=precision
        )
        work = Work(encoder_folder, Encoder(dropout=0.0), scoring, COMPUTE, 0, "")
        scores.append(params.score(work, tmp_path, rows))
    assert capsys.readouterr().err.count("does not multiply in bf16") == (not can)
    assert np.array_equal(*scores) == (not can)
    # Eight bits for each factor, and none less for the head: no two scores fall together.
    assert np.abs(scores[1] - scores[0]).max() < 0.5 * scores[0].std()
    assert len(set(scores[1])) == len(rows)


def test_files_of_another_system_are_refused(encoder_folder, tmp_path):
    fresh = backbones.load(encoder_folder, Encoder(dropout=0.0))
    detector_of(fresh, neural(layers="last")).save(tmp_path)
    again = backbones.load(encoder_folder, Encoder(dropout=0.0))
    with pytest.raises(MixframeError, match="do not fit this system"):
        detector_of(again, neural()).restore(tmp_path)


def test_an_unknown_lora_target_is_named_with_the_choices(encoder):
    with pytest.raises(MixframeError, match=r"'query'; its linear modules are .*q_proj"):
        detector_of(encoder, neural(LORA | {"targets": ["query"]}))


def test_lora_that_a_model_does_not_call_is_refused_by_name(make_manifest, tmp_path):
    """transformers' own WavLM reads the weights of q_proj and v_proj past the modules."""
    config = WavLMConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        layerdrop=0.0,
        apply_spec_augment=False,
    )
    params = neural()
    raw = backbones.Backbone(WavLMModel(config), backbones.grid_of(config), False, True)
    detector = detector_of(raw, params)
    rows = make_manifest({"train": 2})
    task = UtteranceTask(
        detector,
        params,
        Score(batch=4, batch_seconds=0.0, max_seconds=5.0, merge=False),
        read,
        rows,
        rows,
        0,
    )
    with pytest.raises(MixframeError, match=r"(?s)get no gradient:.*q_proj.lora_A"):
        train(task, params.train, 0, RUN, tmp_path / "s.pt", 0, "test")


def test_pooling_ignores_masked_frames_and_gives_statistics():
    frames, mask = torch.randn(2, 6, 3), torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    changed = frames.clone()
    changed[0, 4:] = 1e3
    for pool in (AttentiveStatistics(3, 4), MeanPool()):
        assert torch.allclose(pool(frames, mask), pool(changed, mask))
    assert torch.allclose(MeanPool()(frames, mask)[0], frames[0, :4].mean(0))
    flat = AttentiveStatistics(3, 4)
    torch.nn.init.zeros_(flat.attention[2].weight)
    pooled = flat(frames, mask)[1]
    assert torch.allclose(pooled[:3], frames[1].mean(0), atol=1e-6)
    assert torch.allclose(pooled[3:], frames[1].std(0, unbiased=False), atol=1e-5)


def test_class_weights_balance_the_classes():
    labels = np.array([0] * 30 + [1] * 10)
    spoof, bonafide = class_weights(labels)
    assert spoof * 30 == pytest.approx(bonafide * 10)
    assert spoof * 30 + bonafide * 10 == pytest.approx(40)
