"""Blocks, the class token heads and refinement: values by hand, masks, counts, gradients."""

import math

import pytest
import torch
from torch import nn

from mixframe.base.processes import World
from mixframe.models.blocks import (
    Convolution,
    DynamicAggregation,
    FeedForward,
    SelfAttention,
    sinusoids,
)
from mixframe.models.fgfm import FineGrained
from mixframe.models.heads import HEADS
from mixframe.models.norms import SLICE_INDEX, MaskedBatchNorm, update_running_statistics
from mixframe.models.sequence import SequenceClassifier
from mixframe.models.voting import vote

SHAPE = {
    "dim": 16,
    "blocks": 2,
    "heads": 4,
    "feed_forward": 2,
    "activation": "silu",
    "expansion": 2,
    "kernel": 5,
    "dropout": 0.0,
    "positions": "sinusoidal",
}
VOTING = {
    "votes": 4,
    "vote_kernel": [1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0],
    "ties": "attention",
    "first_choice": "votes",
    "second_choice": "votes",
    "refine_blocks": 1,
    "final_blocks": 1,
    "refine_feed_forward": "aggregation",
    "aggregation_kernel": 3,
    "squeeze": 4,
    "final_token": "refined",
    "auxiliary_weight": 0.5,
}
PAPER_SIZE = {
    "conformer": 2_359_300,
    "transformer": 1_150_852,
    "conformer_fgfm": 3_521_814,
    "transformer_fgfm": 1_680_846,
}
"""Parameters with 144-d frames of a 1024-d encoder, 4 blocks, 4 heads."""
KINDS = list(PAPER_SIZE)
VARIANTS = [
    {"ties": "time"},
    {"first_choice": "attention", "second_choice": "attention"},
    {"first_choice": "all"},
    {"second_choice": "all"},
    {"refine_feed_forward": "plain"},
    {"auxiliary_weight": 0.0},
    {"final_token": "unrefined"},
    {"final_token": "unrefined", "auxiliary_weight": 0.0},
    {"final_token": "unrefined", "refine_feed_forward": "plain", "second_choice": "all"},
]
"""Of the voting heads: what replaces `VOTING`."""
CASES = [
    *((kind, {}) for kind in KINDS),
    *((kind, change) for kind in KINDS[2:] for change in VARIANTS),
]


def params(kind, **changes):
    voting = VOTING if kind.endswith("_fgfm") else {}
    return HEADS[kind](kind=kind, **{**SHAPE, **voting, **changes})


def head(kind, width=24, **changes):
    torch.manual_seed(0)
    return params(kind, **changes).build(width, 3).eval()


@pytest.mark.parametrize(("kind", "changes"), CASES)
def test_an_utterance_has_the_same_logits_in_any_batch(kind, changes):
    model, lengths = head(kind, **changes), [9, 2, 17, 4]
    frames = torch.randn(4, 17, 24)
    mask = torch.arange(17)[None] < torch.tensor(lengths)[:, None]
    together = model([frames], mask)
    for row, length in enumerate(lengths):
        alone = model([frames[row : row + 1, :length]], mask[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)
    frames[~mask] = 1e3
    torch.testing.assert_close(model([frames], mask), together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "changes"), CASES)
def test_every_parameter_gets_a_gradient(kind, changes):
    model = head(kind, **changes).train()
    frames, mask = torch.randn(3, 12, 24), torch.ones(3, 12, dtype=torch.bool)
    sum(w * x.square().sum() for w, x in model.training_logits([frames], mask)).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert dead == []


@pytest.mark.parametrize(("kind", "n_parameters"), PAPER_SIZE.items())
def test_parameters_at_paper_size(kind, n_parameters):
    model = head(kind, 1024, dim=144, blocks=4, feed_forward=4, kernel=31)
    assert sum(p.numel() for p in model.parameters()) == n_parameters


def test_the_refined_token_depends_on_the_chosen_frames_only():
    model = head("transformer_fgfm")
    frames, mask = torch.randn(1, 20, 24), torch.ones(1, 20, dtype=torch.bool)
    token, chosen, present, votes = model._watch([frames], mask)
    assert present.all()
    assert chosen.shape == (1, 2 * 4, 16)
    x, _ = model.embed(frames, mask)
    for layer, some in zip(model.blocks, votes, strict=True):
        x, _ = layer(x, torch.ones(1, 21, dtype=torch.bool), watch=True)
        torch.testing.assert_close(x[:, 1:][:, some.index[0]], chosen[:, :4])
        chosen = chosen[:, 4:]
    torch.testing.assert_close(x[:, :1], token)
    counts = model.chosen([frames], mask)
    assert counts.sum() == 2 * 4
    assert counts.max() <= 2


def test_a_short_utterance_gives_all_its_frames():
    model = head("conformer_fgfm")
    mask = torch.arange(20)[None] < torch.tensor([[3], [20]])
    counts = model.chosen([torch.randn(2, 20, 24)], mask)
    assert counts[0].tolist() == [2] * 3 + [0] * 17
    assert counts[1].sum() == 8


def test_auxiliary_logits_have_their_weight_and_do_not_score():
    model = head("conformer_fgfm", auxiliary_weight=0.25)
    frames, mask = torch.randn(2, 11, 24), torch.ones(2, 11, dtype=torch.bool)
    (one, logits), (quarter, auxiliary) = model.training_logits([frames], mask)
    assert (one, quarter) == (1.0, 0.25)
    token, *_ = model._watch([frames], mask)
    assert torch.equal(auxiliary, model.auxiliary(token[:, 0]))
    assert torch.equal(model([frames], mask), logits)


def test_without_weight_there_is_no_auxiliary_classifier():
    model = head("conformer_fgfm", auxiliary_weight=0.0)
    frames, mask = torch.randn(2, 11, 24), torch.ones(2, 11, dtype=torch.bool)
    ((one, logits),) = model.training_logits([frames], mask)
    assert one == 1.0
    assert not any("auxiliary" in name for name, _ in model.named_parameters())
    # The rest is drawn before it: the logits are those of a model that has one.
    assert torch.equal(head("conformer_fgfm")([frames], mask), logits)


@pytest.mark.parametrize("final_token", ["refined", "unrefined"])
def test_cross_layer_refinement_step_by_step(final_token):
    """What passes which blocks, and what is classified, for both wirings."""
    model = head("conformer_fgfm", final_token=final_token, auxiliary_weight=0.4)
    frames, mask = torch.randn(2, 15, 24), torch.ones(2, 15, dtype=torch.bool)
    token, chosen, *_ = model._watch([frames], mask)
    whole = torch.ones(2, 9, dtype=torch.bool)
    x, attention = model.refine[0](torch.cat([token, chosen], dim=1), whole, watch=True)
    refined = x[:, :1]
    kept = vote(attention, whole[:, 1:], 4, None, by_attention=True).gather(x[:, 1:])
    passed = refined if final_token == "refined" else token
    last, _ = model.finish[0](torch.cat([passed, kept], dim=1), whole[:, :5], watch=False)
    logits = nn.functional.linear(last[:, 0], model.classify.weight, model.classify.bias)
    if final_token == "refined":
        shares, auxiliary = (1.0, 0.4), model.auxiliary(token[:, 0])
    else:
        # Xu et al., TMM 2023: one classifier for both, and the auxiliary one assists.
        shares, auxiliary = (0.6, 0.4), model.classify(refined[:, 0])
        odds = auxiliary.exp()
        share = odds / odds.sum(1, keepdim=True)
        logits = logits + share * torch.stack([row.sum() for row in model.classify.weight])
    made = model.training_logits([frames], mask)
    assert [weight for weight, _ in made] == pytest.approx(shares)
    torch.testing.assert_close(made[0][1], logits)
    torch.testing.assert_close(made[1][1], auxiliary)
    torch.testing.assert_close(model([frames], mask), logits)


def test_final_blocks_that_nothing_trains_are_refused():
    with pytest.raises(ValueError, match=r"auxiliary_weight 1\.0 leaves nothing"):
        params("conformer_fgfm", final_token="unrefined", auxiliary_weight=1.0)


@pytest.mark.parametrize(("ties", "expected"), [("attention", 3), ("time", 1)])
def test_equal_counts_are_ordered_as_ties_says(ties, expected):
    model = head("transformer_fgfm", votes=1, ties=ties)
    attention = torch.tensor([[[0.1, 0.5, 0.3, 0.1], [0.0, 0.0, 0.1, 0.9]]])
    choice = model._choose("votes", attention, torch.ones(1, 4, dtype=torch.bool), None)
    assert choice.index.tolist() == [[expected]]


@pytest.mark.parametrize("how", ["votes", "attention", "all"])
def test_the_first_choice_says_which_frames_are_refined(how):
    model = head("transformer_fgfm", first_choice=how, heads=2, votes=3, vote_kernel=[1.0])
    # Both heads vote for 0 and 1, but 4 and 5 have more attention in all.
    weights = torch.tensor([[0.1, 0.1, 0.0, 0.0, 0.05, 0.7], [0.1, 0.1, 0.0, 0.0, 0.7, 0.05]])
    for layer in model.blocks:
        layer.attention._from_token = lambda x, mask: weights[None]
    mask = torch.ones(1, 6, dtype=torch.bool)
    _, chosen, present, choices = model._watch([torch.randn(1, 6, 24)], mask)
    expected = {"votes": [0, 1, 4], "attention": [0, 4, 5], "all": [0, 1, 2, 3, 4, 5]}[how]
    assert [choice.index[0].tolist() for choice in choices] == [expected] * 2
    assert chosen.shape[1] == 2 * len(expected)
    assert present.all()


@pytest.mark.parametrize("how", ["votes", "attention", "all"])
def test_the_second_choice_says_which_frames_pass_the_final_blocks(how):
    model = head("conformer_fgfm", second_choice=how)
    frames, mask = torch.randn(2, 15, 24), torch.ones(2, 15, dtype=torch.bool)
    shapes = []
    model.finish[0].register_forward_pre_hook(lambda _, given: shapes.append(given[0].shape))
    model([frames], mask)
    assert shapes == [(2, 9, 16) if how == "all" else (2, 5, 16)]


@pytest.mark.parametrize("kind", KINDS[2:])
def test_without_aggregation_refinement_blocks_are_those_of_the_encoder(kind):
    model = head(kind, refine_feed_forward="plain")
    own = {name: p.shape for name, p in model.blocks[0].named_parameters()}
    for layer in (model.refine[0], model.finish[0]):
        assert {name: p.shape for name, p in layer.named_parameters()} == own


def test_aggregation_is_the_published_block():
    """Lu et al., NeurIPS 2022, written out: the shortcut is added after the GELU."""
    torch.manual_seed(0)
    layer = DynamicAggregation(dim=6, factor=2, kernel=3, squeeze=2).eval()
    norms = (layer.widened, layer.mixed, layer.narrowed)
    for norm in norms:
        for values in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(values)
        nn.init.uniform_(norm.running_variance, 0.5, 2.0)
    x = torch.randn(2, 9, 6)

    def norm_of(values, norm):
        given = (norm.running_mean, norm.running_variance, norm.weight, norm.bias)
        return nn.functional.batch_norm(values, *given)

    y = nn.functional.layer_norm(x, (6,), layer.layer_norm.weight, layer.layer_norm.bias)
    token, frames = y[:, 0], y[:, 1:].transpose(1, 2)  # (B, D), (B, D, T)
    gelu = nn.functional.gelu
    u = gelu(norm_of(nn.functional.conv1d(frames, layer.widen.weight[..., None]), norms[0]))
    near = nn.functional.conv1d(u, layer.depthwise.weight, padding=1, groups=12)
    u = u + gelu(norm_of(near, norms[1]))
    frames = norm_of(nn.functional.conv1d(u, layer.narrow.weight[..., None]), norms[2])
    compress, _, excite = layer.excite
    weight = excite(gelu(compress(frames.mean(2))))
    expected = torch.cat([(token * weight)[:, None], frames.transpose(1, 2)], dim=1)
    torch.testing.assert_close(layer(x, torch.ones(2, 9, dtype=torch.bool)), expected)


def test_aggregation_sees_nothing_of_padding():
    torch.manual_seed(0)
    layer = DynamicAggregation(dim=6, factor=2, kernel=3, squeeze=2).train()
    x, mask = torch.randn(1, 6, 6), torch.tensor([[True] * 4 + [False] * 2])
    out = layer(x, mask)
    torch.testing.assert_close(out[:, :4], layer(x[:, :4], mask[:, :4]))
    assert out[:, 4:].abs().max() == 0


def test_attention_of_the_token_sums_to_one_over_token_and_frames():
    layer = SelfAttention(8, 2, 0.0)
    mask = torch.arange(7)[None] < torch.tensor([[7], [4]])
    out, weights = layer(torch.randn(2, 7, 8), mask, watch=True)
    assert (out.shape, weights.shape) == ((2, 7, 8), (2, 2, 6))
    assert (weights.sum(-1) < 1).all()
    assert weights[1, :, 3:].abs().max() == 0
    assert layer(torch.randn(2, 7, 8), mask, watch=False)[1] is None


def test_attention_of_the_token_is_the_first_row_of_torch_s():
    torch.manual_seed(0)
    layer = SelfAttention(8, 2, 0.0)
    nn.init.normal_(layer.attend.in_proj_bias)
    mask = torch.arange(7)[None] < torch.tensor([[7], [4]])
    x = torch.randn(2, 7, 8)
    out, weights = layer(x, mask, watch=True)
    y = layer.layer_norm(x).transpose(0, 1)
    expected, rows = layer.attend(
        y, y, y, key_padding_mask=~mask, need_weights=True, average_attn_weights=False
    )
    torch.testing.assert_close(weights, rows[:, :, 0, 1:])
    torch.testing.assert_close(out, expected.transpose(0, 1))


def test_attention_of_the_token_is_computed_in_full_precision():
    torch.manual_seed(0)
    layer, x = SelfAttention(8, 2, 0.0), torch.randn(7, 2, 8)
    mask = torch.ones(2, 7, dtype=torch.bool)
    expected = layer._from_token(x, mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer._from_token(x, mask), expected)


def test_the_convolution_is_torchaudio_s_where_nothing_is_padded():
    from torchaudio.models.conformer import _ConvolutionModule

    torch.manual_seed(0)
    theirs = _ConvolutionModule(8, 16, 5, bias=True).eval()
    ours = Convolution(8, 2, 5, 0.0).eval()
    layers = theirs.sequential
    with torch.no_grad():
        layers[2].bias.zero_()
        ours.gate[1].weight.copy_(layers[0].weight[..., 0])
        ours.gate[1].bias.copy_(layers[0].bias)
        ours.depthwise.weight.copy_(layers[2].weight)
        ours.close[1].weight.copy_(layers[5].weight[..., 0])
        ours.close[1].bias.copy_(layers[5].bias)
    x = torch.randn(2, 9, 8)
    torch.testing.assert_close(ours(x, torch.ones(2, 9, dtype=torch.bool)), theirs(x))


def test_batch_norm_is_torch_s_on_the_valid_frames():
    ours, theirs = MaskedBatchNorm(3).train(), nn.BatchNorm1d(3).train()
    x, mask = torch.randn(2, 6, 3), torch.arange(6)[None] < torch.tensor([[6], [2]])
    torch.testing.assert_close(ours(x, mask)[mask], theirs(x[mask]))
    assert torch.equal(ours.running_mean, torch.zeros(3))
    update_running_statistics(ours, World())
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    ours.eval()
    expected = (x - ours.running_mean) / torch.sqrt(ours.running_variance + ours.eps)
    torch.testing.assert_close(ours(x, mask), expected)


def test_running_statistics_are_those_of_all_slices_in_any_order():
    found = []
    for order in ([0, 1], [1, 0]):
        norm = MaskedBatchNorm(1).train()
        slices = [torch.full((1, 4, 5), 1.0), torch.full((1, 4, 5), 5.0)]
        for place in order:
            SLICE_INDEX.set(place)
            norm(slices[place], torch.ones(1, 4, dtype=torch.bool))
        update_running_statistics(norm, World())
        found.append(norm.running_mean.item())
    SLICE_INDEX.set(0)
    assert found == pytest.approx([0.1 * 3.0] * 2)


def test_positions_by_hand():
    table = sinusoids(3, 4)
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert table[2].tolist() == pytest.approx(
        [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    )


def test_the_feed_forward_is_torchaudio_s():
    from torchaudio.models.conformer import _FeedForwardModule

    torch.manual_seed(0)
    theirs, ours = _FeedForwardModule(8, 16), FeedForward(8, 2, "silu", 0.0)
    ours.layers.load_state_dict(theirs.sequential.state_dict())
    x = torch.randn(2, 5, 8)
    assert torch.equal(ours(x, torch.ones(2, 5, dtype=torch.bool)), theirs(x))


@pytest.mark.parametrize("name", ["silu", "gelu", "relu"])
def test_the_activation_is_that_of_its_name(name):
    torch.manual_seed(0)
    layer = head("conformer", activation=name).blocks[0].first
    norm, widen, _, _, narrow, _ = layer.layers
    x = torch.randn(2, 5, 16)
    expected = narrow(getattr(nn.functional, name)(widen(norm(x))))
    assert torch.equal(layer(x, torch.ones(2, 5, dtype=torch.bool)), expected)


def test_the_class_token_is_drawn_from_0_to_1():
    token = head("conformer", dim=4000).token
    assert 0 <= token.min() < 0.01
    assert 0.99 < token.max() < 1
    assert token.mean().item() == pytest.approx(0.5, abs=0.02)


def test_heads_of_both_kinds_are_what_their_name_says():
    assert not isinstance(head("conformer"), FineGrained)
    assert isinstance(head("transformer_fgfm"), SequenceClassifier)
    names = {type(m).__name__ for m in head("transformer_fgfm").modules()}
    assert "DynamicAggregation" in names
    assert "Convolution" not in names
