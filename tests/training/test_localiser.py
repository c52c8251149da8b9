"""The localising system: scores of utterances out of frame logits."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mixframe.base.compute import Compute
from mixframe.base.tensors import save_tensors
from mixframe.models.frame_classifier import FrameClassifier
from mixframe.models.localiser import Localiser
from mixframe.models.params import Encoder
from mixframe.training.params import Score
from mixframe.training.systems.localiser import CLASSIFIER, FrameSystem
from mixframe.training.systems.system import Work


def system(share: float = 0.2) -> FrameSystem:
    return FrameSystem(kind="localiser", encoder="mfpt", share=share)


@pytest.fixture
def waves():
    torch.manual_seed(0)
    return torch.randn(3, 16000), torch.tensor([16000, 9000, 4000])


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_the_score_is_the_mean_of_the_highest_logits(encoder, waves, share):
    torch.manual_seed(1)
    classifier = FrameClassifier(encoder.dim, 8)
    localiser = Localiser(encoder, classifier, share).eval()
    with torch.inference_mode():
        scores = localiser.score(*waves)
        for row, n_samples in enumerate(waves[1].tolist()):
            wave = waves[0][row : row + 1, :n_samples]
            frames = encoder.model(wave).last_hidden_state
            logits = classifier(frames)[0].numpy()
            n = int(np.ceil(np.float32(share) * len(logits)))
            expected = -np.sort(logits)[::-1][:n].mean()
            assert scores[row].item() == pytest.approx(expected, abs=1e-4)


def test_frames_are_judged_in_fp32_also_under_autocast(encoder, waves):
    classifier = FrameClassifier(encoder.dim, 8)
    judged = []
    classifier.register_forward_hook(lambda _m, given, out: judged.append((*given, out)))
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            Localiser(encoder, classifier, 0.3).eval().score(*waves)
        [(frames, logits)] = judged
        assert torch.equal(logits, classifier(frames.float()))


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_is_above_0_and_at_most_1(share):
    with pytest.raises(ValidationError, match="share"):
        system(share)


def test_what_is_saved_scores_as_what_was_fitted(encoder, encoder_folder, make_manifest, tmp_path):
    torch.manual_seed(2)
    save_tensors(FrameClassifier(encoder.dim, 8).state_dict(), encoder_folder / CLASSIFIER)
    table = make_manifest({"train": 2, "dev": 6})
    compute = Compute(
        device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned"
    )
    work = Work(
        encoder_folder,
        Encoder(dropout=0.0),
        Score(batch=2, batch_seconds=0.0, max_seconds=10.0, merge=False),
        compute,
        1,
        "localiser",
    )
    fitted = system().fit(work, table, tmp_path / "state")
    folder = tmp_path / "localiser"
    folder.mkdir()
    fitted.save(folder)
    dev = table[table["set"] == "dev"]
    assert {p.name for p in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "head.safetensors",
    }
    again = system().score(work, folder, dev)
    assert np.array_equal(again, fitted.dev_scores)
    assert not np.array_equal(system(1.0).score(work, folder, dev), again)
    backwards = system().score(work, folder, dev[::-1])
    assert np.allclose(backwards[::-1], again, atol=1e-5)
    assert fitted.card["parameters"]["trainable"] == 0
    assert fitted.card["parameters"]["total"] > 8 * encoder.dim
