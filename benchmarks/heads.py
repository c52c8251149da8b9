"""What the heads cost: `python -m benchmarks.heads`.

At the ablation's size, the time of a batch of 16 over that of one utterance. At the size of XLS-R
300M (random weights), a training step of each voting head over that of its baseline: on a GPU the
batches of the paper, on a CPU two short utterances and fewer repeats.
"""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from mixframe.experiment.params import read_preset
from mixframe.models.head import Head
from mixframe.training.systems.neural import Neural

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
BATCH, SAMPLES, REPEATS = (20, 66_800, 10) if GPU else (2, 16_000, 5)
XLSR = Wav2Vec2Config(
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    do_stable_layer_norm=True,
    feat_extract_norm="layer",
    conv_bias=True,
    layerdrop=0.0,
    mask_time_prob=0.0,
)


def seconds(works: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median time of each piece of work over some rounds, after one that does not count.

    They take turns, so that a machine whose speed changes is as slow for one as for the other.
    """
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, taken in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if GPU:
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - start)
    return [median(taken[1:]) for taken in times]


def head(kind: str, paper: bool) -> tuple[Head, int]:
    """Return a head at the paper's or the ablation's size, and the width of its encoder."""
    system = read_preset("ablation").finetune[kind]
    assert isinstance(system, Neural)
    values = system.head.model_dump()
    if paper:
        values |= {"dim": 144, "blocks": 4, "kernel": 31}
        values |= {"votes": 24} if "votes" in values else {}
    width = 1024 if paper else 128
    return type(system.head)(**values).build(width, 24).to(DEVICE), width


def main() -> None:
    """Print the ratios."""
    figures: dict[str, float] = {}
    torch.manual_seed(0)
    for kind in ("conformer_fgfm", "transformer_fgfm"):
        model, width = head(kind, paper=False)
        model.eval()
        works = []
        for size in (1, 16):
            frames = torch.randn(size, 100, width, device=DEVICE)
            mask = torch.ones(size, 100, dtype=torch.bool, device=DEVICE)
            works.append(partial(model, [frames], mask))
        with torch.inference_mode():
            one, sixteen = seconds(works, 100)
        figures[f"{kind}_batch16_over_batch1"] = sixteen / one
    encoder: Any = Wav2Vec2Model(XLSR)
    encoder.to(DEVICE).train()
    encoder.feature_extractor.requires_grad_(False)
    waves = torch.randn(BATCH, SAMPLES, device=DEVICE)

    def step(model: Head) -> None:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=GPU):
            frames = encoder(waves).last_hidden_state
            mask = torch.ones(frames.shape[:2], dtype=torch.bool, device=DEVICE)
            weighted = model.training_logits([frames], mask)
        torch.stack([w * x.float().square().sum() for w, x in weighted]).sum().backward()

    for baseline in ("conformer", "transformer"):
        pair = [head(kind, paper=True)[0].train() for kind in (baseline, f"{baseline}_fgfm")]
        plain, voting = seconds([partial(step, model) for model in pair], REPEATS)
        figures[f"{baseline}_fgfm_step_over_{baseline}"] = voting / plain
    for name, value in figures.items():
        print(f"{name}: {value:.2f}")
    print(json.dumps({"device": DEVICE, **figures}))


if __name__ == "__main__":
    main()
