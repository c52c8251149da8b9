"""Voting against a plain-Python reference and by hand."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.models.voting import Chosen, all_frames, most_attended, vote

KERNEL = [1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]


def best(values, n, second=None):
    """Positions of the n highest values; equal ones by `second`, then earlier ones first."""
    second = second or [0.0] * len(values)
    return sorted(range(len(values)), key=lambda i: (-values[i], -second[i], i))[:n]


def reference(attention, n_votes, kernel, by_attention):
    """Choose the frames of one utterance: attention is a list of heads, each a list of frames."""
    n_frames = len(attention[0])
    n_chosen = min(n_votes, n_frames)
    counts = [0.0] * n_frames
    for head in attention:
        for frame in best(head, n_chosen):
            counts[frame] += 1
    if kernel is not None:
        half = len(kernel) // 2
        counts = [
            sum(
                weight * counts[frame + k - half]
                for k, weight in enumerate(kernel)
                if 0 <= frame + k - half < n_frames
            )
            for frame in range(n_frames)
        ]
    total = [sum(heads) for heads in zip(*attention, strict=True)] if by_attention else None
    return sorted(best(counts, n_chosen, total))


def chosen(votes: Chosen, row: int):
    return votes.index[row][votes.valid[row]].tolist()


def test_by_hand():
    # Head 0 votes for frames 1 and 5, head 1 for 1 and 2: counts 0 2 1 0 0 1.
    attention = torch.tensor([[[0.0, 0.9, 0.1, 0.0, 0.2, 0.8], [0.1, 0.7, 0.6, 0.2, 0.0, 0.0]]])
    mask = torch.ones(1, 6, dtype=torch.bool)
    assert chosen(vote(attention, mask, 2, None, by_attention=False), 0) == [1, 2]
    # Frame 5 has 0.8 of attention, frame 2 has 0.7.
    assert chosen(vote(attention, mask, 2, None, by_attention=True), 0) == [1, 5]
    # Smoothed with 1 2 1: 2 5 4 1 1 2.
    smooth = torch.tensor([1.0, 2.0, 1.0])
    assert chosen(vote(attention, mask, 2, smooth, by_attention=True), 0) == [1, 2]
    # Three votes each: 1 4 5 and 1 2 3, counts 0 2 1 1 1 1, smoothed 2 5 5 4 4 3.
    # Frame 3 has 0.2 of attention, frame 4 as well: time decides.
    assert chosen(vote(attention, mask, 3, smooth, by_attention=True), 0) == [1, 2, 3]


def test_equal_attention_goes_to_the_earlier_frames():
    attention, mask = torch.full((1, 3, 9), 0.5), torch.ones(1, 9, dtype=torch.bool)
    for by_attention in (True, False):
        assert chosen(vote(attention, mask, 4, None, by_attention), 0) == [0, 1, 2, 3]
    assert chosen(most_attended(attention, mask, 4), 0) == [0, 1, 2, 3]


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_padded_batch_chooses_what_a_plain_reference_chooses(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    lengths = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    n_heads, n_votes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    kernel = data.draw(st.sampled_from([None, [1.0], [1.0, 2.0, 1.0], KERNEL]))
    by_attention = data.draw(st.booleans())
    # Few distinct values make ties; sums of these are exact.
    levels = data.draw(st.sampled_from([2, 4, 1024]))
    padding = data.draw(st.integers(0, 5))
    longest = max(lengths) + padding
    attention = rng.integers(0, levels, (len(lengths), n_heads, longest)) / levels
    mask = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    weights = None if kernel is None else torch.tensor(kernel)
    votes = vote(torch.from_numpy(attention).float(), mask, n_votes, weights, by_attention)
    for row, length in enumerate(lengths):
        heads = attention[row, :, :length].astype(np.float32).tolist()
        assert chosen(votes, row) == reference(heads, n_votes, kernel, by_attention)
        own = torch.tensor(heads)[None]
        alone = vote(own, mask[row : row + 1, :length], n_votes, weights, by_attention)
        assert chosen(alone, 0) == chosen(votes, row)
        total = own.double().sum(1)[0].tolist()
        strongest = most_attended(torch.from_numpy(attention), mask, n_votes)
        assert chosen(strongest, row) == sorted(best(total, min(n_votes, length)))


def test_a_gradient_reaches_the_chosen_frames_and_no_others():
    frames = torch.randn(1, 8, 3, requires_grad=True)
    attention = torch.arange(8.0)[None, None]
    votes = vote(attention, torch.ones(1, 8, dtype=torch.bool), 3, None, by_attention=True)
    votes.gather(frames).square().sum().backward()
    reached = frames.grad.abs().sum(-1)[0] > 0
    assert reached.tolist() == [False] * 5 + [True] * 3


def test_frames_that_are_missing_are_zero_and_marked():
    mask = torch.tensor([[True, True, False, False]])
    votes = vote(torch.rand(1, 2, 4), mask, 3, torch.tensor(KERNEL), by_attention=True)
    assert votes.valid.tolist() == [[True, True, False]]
    assert votes.gather(torch.ones(1, 4, 2)).sum(-1).tolist() == [[2.0, 2.0, 0.0]]


def test_all_frames_are_those_of_the_mask():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert [chosen(all_frames(mask), row) for row in (0, 1)] == [[0, 1], [0, 1, 2]]


def test_half_precision_does_not_make_counts_equal():
    """Smoothed with 1 and 1.001 the counts differ by less than bfloat16 can tell."""
    attention = torch.tensor([[[0.0, 1.0, 0.0, 0.0]]])
    mask, kernel = torch.ones(1, 4, dtype=torch.bool), torch.tensor([1.001, 1.0, 1.0])
    with torch.autocast("cpu", torch.bfloat16):
        assert chosen(vote(attention, mask, 1, kernel, by_attention=False), 0) == [2]
