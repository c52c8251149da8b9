"""Batches are pure functions of the step."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixframe.audio import manifest
from mixframe.audio.io import read
from mixframe.training.data import cached_reader, crop, draws, length_batches, pad, prefetch


@given(st.integers(1, 40), st.integers(1, 200), st.integers(0, 9))
def test_draws_go_through_all_items_before_one_comes_again(n_items, n_draws, seed):
    order = draws(n_items, n_draws, seed)
    assert len(order) == n_draws
    for start in range(0, n_draws, n_items):
        epoch = order[start : start + n_items]
        assert len(set(epoch.tolist())) == len(epoch)
        assert set(epoch.tolist()) <= set(range(n_items))
    assert np.array_equal(order, draws(n_items, n_draws + 7, seed)[:n_draws])


@given(st.integers(1, 5000), st.integers(1, 3000), st.integers(0, 99), st.integers(0, 999))
def test_crops_lie_inside(n_samples, at_most, seed, draw):
    start, length = crop(n_samples, at_most, seed, draw)
    assert length == min(n_samples, at_most)
    assert 0 <= start <= n_samples - length
    assert crop(n_samples, at_most, seed, draw) == (start, length)


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 7), st.booleans())
def test_length_batches_hold_every_item_once(lengths, size, equal):
    groups = length_batches(lengths, size, equal)
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    assert all(1 <= len(g) <= size for g in groups)
    if equal:
        assert all(len({lengths[i] for i in g}) == 1 for g in groups)


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 7), st.integers(1, 90))
def test_length_batches_are_as_long_as_they_may_be(lengths, size, most):
    groups = length_batches(lengths, size, False, most)
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    assert all(len(g) == 1 or len(g) * max(lengths[i] for i in g) <= most for g in groups)
    for group, after in pairwise(groups):
        full = len(group) == size
        assert full or (len(group) + 1) * lengths[after[0]] > most


def test_prefetch_keeps_the_order_for_any_number_of_threads():
    for workers in (1, 2, 5):
        assert list(prefetch(lambda i: i * i, range(20), workers)) == [i * i for i in range(20)]


def test_kept_utterances_equal_decoded_parts(make_manifest):
    refs = manifest.refs(make_manifest({"train": 2}))
    keep = cached_reader(10)
    for ref in refs:
        assert np.array_equal(keep(ref, 0, None), read(ref))
        assert np.array_equal(keep(ref, 321, 1000), read(ref, 321, 1000))


def test_padding_is_zero_and_scaling_sees_only_the_utterance(encoder):
    waves, lengths = pad([np.ones(500, np.float32) * 3, np.arange(900, dtype=np.float32)], encoder)
    assert waves.shape == (2, 900)
    assert lengths.tolist() == [500, 900]
    assert waves[0, 500:].abs().max() == 0
    assert abs(float(waves[1].mean())) < 1e-5
    assert abs(float(waves[1].var(unbiased=False)) - 1) < 1e-3


def test_slices_are_cut_to_their_own_length(encoder):
    from mixframe.training.data import Batch

    rows = [np.ones(n, np.float32) for n in (500, 600, 900, 700)]
    waves, lengths = pad(rows, encoder)
    parts = Batch(waves, lengths, lengths.clone()).slices(2)
    assert [p.waves.shape for p in parts] == [(2, 600), (2, 900)]
    assert [p.targets.tolist() for p in parts] == [[500, 600], [900, 700]]
