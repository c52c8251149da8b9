"""The architectures that published models have: adapters that learn, padding that does not show."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from peft import PeftModel
from transformers import (
    AutoModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from mixframe.base.errors import MixframeError
from mixframe.base.files import write_json
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import read_preset
from mixframe.experiment.sizes import count_all
from mixframe.models import backbone as backbones
from mixframe.models.detector import Detector
from mixframe.models.params import ENCODER_FILES, Encoder, Hub
from mixframe.models.published import PUBLISHED, Counts, count, published_config
from mixframe.stages import pretrain
from mixframe.stages.pretrain import adopt
from mixframe.training.systems.neural import Neural

ROOT = Path(__file__).parents[2]
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
}
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
FAMILIES = {
    "wav2vec2 group": (Wav2Vec2Model, Wav2Vec2Config, {}),
    "wav2vec2 layer": (Wav2Vec2Model, Wav2Vec2Config, LAYER),
    "hubert group": (HubertModel, HubertConfig, {}),
    "hubert layer": (HubertModel, HubertConfig, LAYER),
    "wavlm group": (WavLMModel, WavLMConfig, {}),
    "wavlm layer": (WavLMModel, WavLMConfig, LAYER),
}


def lora(rank):
    head = {"kind": "pooled", "layers": "weighted", "pooling": "attentive", "hidden": 8}
    targets = ["q_proj", "v_proj"]
    train = dict.fromkeys(("steps", "batch", "slices", "evaluate_every", "checkpoint_every"), 1)
    rates = {"lr": 0.1, "weight_decay": 0.0, "warmup": 0, "clip_norm": 0.0}
    return Neural.model_validate(
        {
            "kind": "neural",
            "encoder": "foundation",
            "adapter": {
                "kind": "lora",
                "rank": rank,
                "alpha": 4,
                "dropout": 0.0,
                "targets": targets,
            },
            "head": head,
            "crop_seconds": 1.0,
            "crop": "random",
            "short": "keep",
            "augment": {"kind": "none"},
            "class_weights": "auto",
            "select": "eer",
            "average": 1,
            "patience": 0,
            "train": train
            | rates
            | {"optimiser": "adamw", "schedule": "constant", "precision": "fp32"},
        }
    )


PREPROCESSOR = backbones.preprocessor_config(normalise=True, rate=16_000)


@pytest.fixture(params=FAMILIES)
def folder(request, tmp_path):
    """A folder with a small random model, as `save_pretrained` of transformers writes it."""
    model, config, shape = FAMILIES[request.param]
    torch.manual_seed(0)
    made = model(config(**SMALL, **shape))
    for module in made.modules():
        # Fresh ones are all alike, which would hide a bias that is not used.
        if hasattr(module, "rel_attn_embed"):
            torch.nn.init.normal_(module.rel_attn_embed.weight)
            torch.nn.init.normal_(module.gru_rel_pos_const)
    made.save_pretrained(tmp_path / "model")
    write_json(tmp_path / "model" / "preprocessor_config.json", PREPROCESSOR)
    return tmp_path / "model"


def load(folder):
    found = backbones.load(folder, Encoder(dropout=0.0))
    found.model.eval()
    return found


def padded(lengths):
    generator = torch.Generator().manual_seed(0)
    waves = [torch.randn(n, generator=generator) for n in lengths]
    return torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), torch.tensor(lengths)


def test_the_model_computes_what_transformers_computes(folder):
    theirs = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    waves, lengths = padded([5000, 5000])
    with torch.no_grad():
        expected = theirs(waves, output_hidden_states=True)
        ours = backbones.encode(load(folder), waves, lengths, True)
        alone = theirs(waves[:1, :3000])
        mask = torch.tensor([[1] * 3000 + [0] * 2000])
        masked = backbones.encode(load(folder), waves[:1, :3000], torch.tensor([3000]), False)
    assert len(ours) == len(expected.hidden_states) == 3
    for a, b in zip(ours[:-1], expected.hidden_states[:-1], strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert torch.allclose(ours[-1], expected.last_hidden_state, atol=1e-5)
    assert torch.allclose(masked[0], alone.last_hidden_state, atol=1e-5)
    assert mask.sum() == 3000


@pytest.mark.parametrize("n_samples", [400, 719, 720, 16_000])
def test_frames_are_as_many_as_the_model_gives(folder, n_samples):
    backbone = load(folder)
    waves, lengths = padded([n_samples])
    layers = backbones.encode(backbone, waves, lengths, True)
    own = int(backbone.model._get_feat_extract_output_lengths(torch.tensor(n_samples)))
    assert {x.shape[1] for x in layers} == {own} == {backbone.grid.n_frames(n_samples)}


def test_an_utterance_is_encoded_alike_alone_and_among_others(folder):
    backbone = load(folder)
    assert backbone.masks_padding == (backbone.model.config.feat_extract_norm == "layer")
    waves, lengths = padded([3000, 9000, 5000, 3000])
    with torch.no_grad():
        together = backbones.encode(backbone, waves, lengths, True)
        for i, n in enumerate(lengths.tolist()):
            alone = backbones.encode(backbone, waves[i : i + 1, :n], lengths[i : i + 1], True)
            for a, b in zip(alone, together, strict=True):
                assert b.shape[1] == backbone.grid.n_frames(9000)
                assert torch.allclose(a[0], b[i, : backbone.grid.n_frames(n)], atol=1e-5)


def test_lora_on_the_projections_learns_and_survives_peft(folder, tmp_path):
    detector = Detector(load(folder), lora(2).adapter, lora(2).head, 0)
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    waves, lengths = padded([4000, 3000])
    detector.train()
    detector(waves, lengths).square().sum().backward()
    trained = {n: p for n, p in detector.named_parameters() if p.requires_grad}
    adapters = {n: p for n, p in trained.items() if "lora_" in n}
    silent = [n for n, p in adapters.items() if p.grad is None or not p.grad.abs().max() > 0]
    assert len(adapters) == 2 * 2 * 2
    assert silent == []
    detector.save(tmp_path / "system")
    base = backbones.wrap(AutoModel.from_pretrained(folder), PREPROCESSOR).model
    loaded = PeftModel.from_pretrained(base, tmp_path / "system").eval()
    other = Detector(load(folder), lora(2).adapter, lora(2).head, 1)
    other.restore(tmp_path / "system")
    detector.eval(), other.eval()
    waves, lengths = padded([4000])
    with torch.no_grad():
        expected = backbones.encode(detector.backbone, waves, lengths, False)[0]
        assert torch.allclose(loaded(waves).last_hidden_state, expected, atol=1e-5)
        assert torch.equal(detector.score(waves, lengths), other.score(waves, lengths))


def test_wavlm_attends_as_published_with_padding_and_without():
    torch.manual_seed(1)
    model = WavLMModel(WavLMConfig(**SMALL, **LAYER)).eval()
    for layer in model.encoder.layers:
        torch.nn.init.normal_(layer.attention.gru_rel_pos_const)
    torch.nn.init.normal_(model.encoder.layers[0].attention.rel_attn_embed.weight)
    waves, lengths = padded([6000, 3500])
    mask = (torch.arange(6000)[None] < lengths[:, None]).long()
    with torch.no_grad():
        expected = model(waves, attention_mask=mask).last_hidden_state
        ours = backbones.encode(backbones.wrap(model, {}), waves, lengths, False)[0]
    assert torch.allclose(ours[0], expected[0], atol=1e-5)
    frames = backbones.grid_of(model.config).n_frames(3500)
    assert torch.allclose(ours[1, :frames], expected[1, :frames], atol=1e-5)


def pickled(folder):
    """Turn a folder with safetensors into one with pytorch_model.bin."""
    model = AutoModel.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return {k: v.clone() for k, v in model.state_dict().items()}


def test_a_pickle_becomes_safetensors_with_the_same_weights(folder, tmp_path):
    weights = pickled(folder)
    (tmp_path / "out").mkdir()
    adopt(folder, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(ENCODER_FILES)
    found = load(tmp_path / "out").model.state_dict()
    assert all(torch.equal(found[k], weights[k]) for k in found)


def test_the_encoder_inside_a_pretraining_checkpoint_is_found(tmp_path):
    """XLS-R and MMS are published with the heads of their own training around the encoder."""
    torch.manual_seed(0)
    whole = Wav2Vec2ForPreTraining(Wav2Vec2Config(**SMALL, **LAYER))
    source = tmp_path / "source"
    whole.save_pretrained(source)
    write_json(source / "preprocessor_config.json", PREPROCESSOR)
    for name, keep in (("safe", True), ("pickle", False)):
        if not keep:
            torch.save(whole.state_dict(), source / "pytorch_model.bin")
            (source / "model.safetensors").unlink()
        (tmp_path / name).mkdir()
        adopt(source, tmp_path / name)
        found = load(tmp_path / name).model.state_dict()
        expected = whole.wav2vec2.state_dict()
        assert all(torch.equal(found[k], expected[k]) for k in found)


HUB = Hub(kind="hub", name="facebook/wav2vec2-xls-r-300m", revision="1" * 40)


@pytest.mark.parametrize("has_safetensors", [True, False])
def test_the_pickle_is_fetched_only_where_there_is_nothing_better(
    folder, monkeypatch, has_safetensors
):
    asked = []

    def snapshot_download(name, revision, allow_patterns):
        assert (name, revision) == (HUB.name, HUB.revision)
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr(pretrain, "snapshot_download", snapshot_download)
    if not has_safetensors:
        pickled(folder)
    assert pretrain.from_hub(HUB) == folder
    files = list(ENCODER_FILES)
    assert asked == ([files] if has_safetensors else [files, [*files, "pytorch_model.bin"]])


def test_without_the_hub_the_message_says_what_to_fetch(monkeypatch):
    def snapshot_download(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(pretrain, "snapshot_download", snapshot_download)
    with pytest.raises(MixframeError, match=r"(?s)config\.json.*pytorch_model\.bin.*kind: folder"):
        pretrain.from_hub(HUB)


class Harm:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_a_pickle_that_would_run_code_is_refused(folder, tmp_path):
    weights = pickled(folder)
    torch.save(weights | {"x": Harm()}, folder / "pytorch_model.bin")
    (tmp_path / "out").mkdir()
    with pytest.raises(MixframeError, match=r"pytorch_model\.bin: holds more than tensors"):
        adopt(folder, tmp_path / "out")


def test_a_model_for_another_rate_is_refused(folder, tmp_path):
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(PREPROCESSOR | {"sampling_rate": 8000}))
    with pytest.raises(MixframeError, match="sampling_rate 8000, expected 16000"):
        adopt(folder, tmp_path)


def test_a_folder_without_weights_is_named(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(MixframeError, match=r"model\.safetensors: no such file"):
        adopt(folder, tmp_path)


TOTALS = {
    "facebook/wav2vec2-base": 94_370_944,
    "facebook/wav2vec2-xls-r-300m": 315_437_696,
    "facebook/mms-300m": 315_437_696,
    "facebook/hubert-large-ll60k": 315_437_696,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_real_models_have_the_parameters_they_are_known_for(name):
    config = published_config(name)
    with torch.device("meta"):
        encoder = AutoModel.from_config(config)
    total = sum(p.numel() for p in encoder.parameters())
    if name in TOTALS:
        assert total == TOTALS[name]
    found = count(config, lora(16).adapter, lora(16).head)
    width, layers = config.hidden_size, config.num_hidden_layers
    adapters = layers * 2 * 16 * 2 * width
    head = found.total - total - adapters
    assert found.trainable == adapters + head
    assert head < 1_000_000


def test_the_systems_of_a_preset_are_counted_without_fetching_anything(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = count_all(read_preset("asvspoof5_mfpt"), Layout("asvspoof5_mfpt"))
    assert found == {"mfpt": Counts(total=317_146_011, trainable=1_708_315)}
