"""Frame arithmetic: the same frames as the models count, and labels that agree with regions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixframe.audio.frames import FrameGrid
from mixframe.base.errors import MixframeError

WAV2VEC2 = FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
DEMO = FrameGrid((20, 8, 6, 2), (10, 4, 4, 2))


def test_the_standard_stack_has_20_ms_hop_and_25_ms_field():
    assert (WAV2VEC2.hop, WAV2VEC2.receptive_field) == (320, 400)


@given(st.integers(400, 200_000))
def test_frames_of_the_standard_stack_follow_the_closed_form(n_samples):
    assert WAV2VEC2.n_frames(n_samples) == (n_samples - 400) // 320 + 1


@pytest.mark.parametrize("n_samples", [0, 1, 9, 10, 399])
def test_shorter_than_one_field_is_no_frame(n_samples):
    assert WAV2VEC2.n_frames(n_samples) == 0


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=5),
    st.integers(1, 3000),
)
def test_frames_are_those_of_real_convolutions(layers, n_samples):
    grid = FrameGrid(tuple(k for k, _ in layers), tuple(s for _, s in layers))
    length = n_samples
    with torch.no_grad():
        wave = torch.zeros(1, 1, n_samples)
        for kernel, stride in layers:
            if length < kernel:
                length = 0
                break
            wave = torch.nn.functional.conv1d(wave, torch.ones(1, 1, kernel), stride=stride)
            length = wave.shape[-1]
    assert grid.n_frames(n_samples) == length
    if length:
        assert grid.n_frames(grid.n_samples(length)) == length
        assert grid.n_frames(grid.n_samples(length) - 1) == length - 1


@given(st.data())
def test_labels_of_aligned_regions_are_their_frames(data):
    n_frames = data.draw(st.integers(1, 60))
    n_samples = WAV2VEC2.n_samples(n_frames) + data.draw(st.integers(0, 319))
    cuts = sorted(data.draw(st.sets(st.integers(0, n_frames), max_size=8)))
    regions = list(zip(cuts[::2], cuts[1::2], strict=False))
    labels = WAV2VEC2.labels([(320 * a, 320 * b) for a, b in regions], n_samples)
    expected = np.zeros(n_frames, dtype=np.int8)
    for a, b in regions:
        expected[a:b] = 1
    assert labels.tolist() == expected.tolist()


@given(st.sampled_from([WAV2VEC2, DEMO]), st.sets(st.integers(0, 40), max_size=8))
def test_of_aligned_regions_any_share_from_0_3_to_0_7_makes_the_same_labels(grid, cuts):
    n_samples = grid.n_samples(40)
    inside = np.zeros(n_samples, dtype=bool)
    ends = sorted(cuts)
    regions = [(320 * a, 320 * b) for a, b in zip(ends[::2], ends[1::2], strict=False)]
    for a, b in regions:
        inside[a:b] = True
    starts = range(0, n_samples - grid.receptive_field + 1, grid.hop)
    covered = np.array([inside[t : t + grid.receptive_field].mean() for t in starts])
    labels = grid.labels(regions, n_samples)
    for share in (0.3, 0.5, 0.7):
        assert (covered >= share).tolist() == labels.tolist()


@given(st.data())
def test_labels_are_half_coverage_for_any_regions(data):
    n_samples = data.draw(st.integers(400, 5000))
    cuts = sorted(data.draw(st.sets(st.integers(0, n_samples), max_size=6)))
    regions = list(zip(cuts[::2], cuts[1::2], strict=False))
    inside = np.zeros(n_samples, dtype=bool)
    for a, b in regions:
        inside[a:b] = True
    expected = [inside[t : t + 400].mean() >= 0.5 for t in range(0, n_samples - 399, 320)]
    assert WAV2VEC2.labels(regions, n_samples).tolist() == expected


def test_labels_by_hand():
    # 1360 samples are 4 frames; [320, 960) covers frame 0 by 80, 1 and 2 by 400 and 320 samples.
    assert WAV2VEC2.labels([(320, 960)], 1360).tolist() == [0, 1, 1, 0]
    # Half of frame 0's 400 samples is enough, one less is not.
    assert WAV2VEC2.labels([(0, 200)], 400).tolist() == [1]
    assert WAV2VEC2.labels([(0, 199)], 400).tolist() == [0]


def test_a_stack_needs_a_stride_for_each_kernel():
    with pytest.raises(MixframeError, match="2 kernels and 1 strides"):
        FrameGrid((3, 3), (2,))
