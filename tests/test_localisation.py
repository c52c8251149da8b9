"""Error rates weighted by duration, against brute force, and cases worked by hand."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.metrics import detection
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.localisation import Pieces, Timeline, weighted_eer
from mixframe.metrics.regionfiles import SECOND, FrameScores
from mixframe.metrics.scorecard import COSTS

MS = SECOND // 1000


def brute(pieces):
    """Return the EER of (score, bona fide, spoof): every threshold, every piece, in fractions."""
    bonafide, spoof = sum(p[1] for p in pieces), sum(p[2] for p in pieces)
    points = []
    for threshold in [-np.inf, *sorted({p[0] for p in pieces})]:
        missed = Fraction(sum(p[1] for p in pieces if p[0] <= threshold), bonafide)
        alarms = Fraction(sum(p[2] for p in pieces if p[0] > threshold), spoof)
        points.append((abs(missed - alarms), threshold, (missed + alarms) / 2))
    nearest = min(gap for gap, _, _ in points)
    return {float(eer) for gap, _, eer in points if gap == nearest}


# Few values of scores, so that there are ties, within a class and across.
piece = st.tuples(
    st.one_of(st.integers(-4, 4).map(float), st.floats(-5, 5)),
    st.integers(0, 50) | st.integers(0, 10**12),
    st.integers(0, 50) | st.integers(0, 10**12),
)
pieces_of_both = st.lists(piece, min_size=1, max_size=30).filter(
    lambda pieces: any(p[1] for p in pieces) and any(p[2] for p in pieces)
)


@settings(deadline=None)
@given(pieces_of_both)
def test_the_eer_is_that_of_every_threshold_and_piece(pieces):
    value = weighted_eer(*zip(*pieces, strict=True))
    assert any(abs(value - one) <= 1e-12 for one in brute(pieces))


@settings(deadline=None)
@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=20),
    st.lists(st.integers(-4, 4), min_size=1, max_size=20),
    st.integers(1, 10**9),
)
def test_with_equal_pieces_it_is_the_eer_of_frames(bonafide, spoof, weight):
    real = [weight] * len(bonafide) + [0] * len(spoof)
    fake = [0] * len(bonafide) + [weight] * len(spoof)
    pieces = Pieces(bonafide + spoof, real, fake)
    assert pieces.eer == detection.eer(bonafide, spoof)
    assert pieces.threshold == detection.eer_threshold(bonafide, spoof)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(pieces.det, detection.det_points(bonafide, spoof), strict=True)
    )


@settings(deadline=None)
@given(pieces_of_both, st.integers(2, 5))
def test_a_piece_in_two_halves_is_the_same_piece(pieces, parts):
    scores, bonafide, spoof = map(list, zip(*pieces, strict=True))
    whole = weighted_eer(scores, [b * parts for b in bonafide], [s * parts for s in spoof])
    assert weighted_eer(scores * parts, bonafide * parts, spoof * parts) == whole


def test_cases_by_hand():
    # 3 s of bona fide and 1 s of fake speech below the threshold, 7 and 4 above.
    assert weighted_eer([0, 1], [3, 7], [1, 4]) == (3 / 10 + 4 / 5) / 2
    # All scores are equal: reject or accept everything.
    assert weighted_eer([2.0, 2.0], [5, 0], [0, 9]) == 0.5
    assert weighted_eer([0, 1], [0, 5], [9, 0]) == 0
    # A tie across classes moves together: 0 and 1/4, or 1/4 and 0. Apart it would be 0 or 1/4.
    assert weighted_eer([0, 1, 1, 2], [0, 1, 0, 3], [3, 0, 1, 0]) == 0.125


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1], [0]), "0 s of fake speech among 1 pieces"),
        (([1.0], [0], [1]), "0 s of bona fide speech"),
        (([1.0, np.nan], [1, 1], [1, 1]), "1 NaN"),
        (([1.0], [1.5], [1]), "float64"),
        (([1.0], [-1], [1]), "-1, expected 0 or more"),
        (([1.0], [1, 2], [1]), r"int64 \(2,\)"),
    ],
)
def test_what_has_no_error_rate_is_refused(arguments, message):
    with pytest.raises(MixframeError, match=message):
        weighted_eer(*arguments)


def truth(*rows):
    """Return labels; times in milliseconds."""
    return pd.DataFrame(
        {
            "utterance": [name for name, _, _ in rows],
            "duration": [duration * MS for _, duration, _ in rows],
            "regions": [[edge * MS for edge in edges] for _, _, edges in rows],
        }
    )


def scored(starts=None, **scores):
    starts = None if starts is None else np.array(starts) * MS
    counts = np.array([len(row) for row in scores.values()])
    return FrameScores(list(scores), counts, starts, np.concatenate([*scores.values()]) * 1.0)


def test_frames_are_cut_where_regions_begin_and_end():
    line = Timeline(truth(("u", 70, [15, 50])), scored(u=[1, 2, 3]), 20 * MS)
    # 0-20, 20-40, 40-70: the last score lasts to the end.
    assert (line.spoof / MS).tolist() == [5, 20, 10]
    assert (line.bonafide / MS).tolist() == [15, 0, 20]
    # 5 of 35 ms are at or below 1, 15 of 35: at 1 P_miss 15/35, P_fa 30/35; at 2 15/35 and 10/35.
    assert line.pieces.eer == (15 / 35 + 10 / 35) / 2


def test_an_utterance_without_a_region_has_only_bona_fide_speech():
    line = Timeline(truth(("a", 40, []), ("b", 40, [0, 40])), scored(b=[-1, 3], a=[1, 2]), 20 * MS)
    assert line.scores.tolist() == [1, 2, -1, 3]
    assert (line.bonafide / MS).tolist() == [20, 20, 0, 0]
    assert line.n_regions.tolist() == [0, 1]
    assert line.lowest.tolist() == [1, -1]
    assert line.pieces.eer == 0.5


def test_scores_after_the_end_are_cut_and_missing_ones_are_the_last_one():
    long = Timeline(truth(("u", 40, [0, 20])), scored(u=[1, 2, 3, 4]), 20 * MS)
    assert long.scores.tolist() == [1, 2]
    short = Timeline(truth(("u", 100, [0, 20])), scored(u=[1, 2]), 20 * MS)
    assert (short.bonafide / MS).tolist() == [0, 80]
    assert short.coverage == pytest.approx(0.4)


def test_starts_in_the_file_are_the_borders_of_frames():
    line = Timeline(truth(("u", 100, [30, 60])), scored([10, 25, 70], u=[1, 2, 3]), 20 * MS)
    # The first frame lasts from the beginning.
    assert (line.spoof / MS).tolist() == [0, 30, 0]
    assert (line.bonafide / MS).tolist() == [25, 15, 30]


def test_a_duration_that_is_not_known_is_that_of_the_frames():
    line = Timeline(truth(("u", 0, [0, 20])), scored(u=[1, 2]), 20 * MS)
    assert line.durations.tolist() == [40 * MS]


def test_segments_take_the_lowest_score_and_are_fake_in_any_part():
    line = Timeline(
        truth(("u", 90, [41, 42]), ("v", 10, [])), scored(u=[4, 3, 2, 1, 0], v=[9]), 20 * MS
    )
    # 90 ms are 2.25 segments of 40 ms: the last 10 ms are in none.
    segments = line.segments(40 * MS)
    assert segments.scores.tolist() == [3, 1, 9]
    assert segments.spoof.tolist() == [False, True, False]
    assert segments.utterances.tolist() == [0, 0, 1]
    finer = line.segments(10 * MS)
    assert finer.scores.tolist() == [4, 4, 3, 3, 2, 2, 1, 1, 0, 9]
    assert finer.spoof.tolist() == [False] * 4 + [True] + [False] * 5


def test_a_segment_between_two_frames_is_as_fake_as_the_faker_one():
    line = Timeline(truth(("u", 60, [0, 20])), scored(u=[2, 1, 3]), 20 * MS)
    assert line.segments(15 * MS).scores.tolist() == [2, 1, 1, 3]


def test_precision_and_recall_at_a_threshold():
    line = Timeline(truth(("u", 80, [20, 60])), scored(u=[-1, -1, 1, 1]), 20 * MS)
    figures = line.segments(20 * MS).f1(0.0, 0.3)
    assert figures["frame_precision"] == figures["frame_recall"] == 0.5
    assert figures["segment_f1"] == 1
    assert line.segments(20 * MS).f1(0.0, 0.4)["segment_f1"] == 0


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_timeline_is_the_sum_of_its_milliseconds(data):
    rows, scores = [], {}
    for i in range(data.draw(st.integers(1, 4))):
        duration = data.draw(st.integers(1, 120))
        edges = sorted(data.draw(st.sets(st.integers(0, duration), max_size=6)))
        rows.append((f"u{i}", duration, edges[: len(edges) // 2 * 2]))
        scores[f"u{i}"] = data.draw(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
    pieces = []
    for name, duration, edges in rows:
        of_name = scores[name]
        for ms in range(duration):
            fake = any(s <= ms < e for s, e in zip(edges[::2], edges[1::2], strict=True))
            score = of_name[min(ms // 20, len(of_name) - 1)]
            pieces.append((float(score), int(not fake), int(fake)))
    line = Timeline(truth(*rows), scored(**scores), 20 * MS)
    assert line.spoof.sum() == sum(p[2] for p in pieces) * MS
    assert line.bonafide.sum() == sum(p[1] for p in pieces) * MS
    if any(p[1] for p in pieces) and any(p[2] for p in pieces):
        assert any(abs(line.pieces.eer - one) <= 1e-12 for one in brute(pieces))


def test_scores_and_labels_must_be_of_the_same_utterances():
    labels = truth(("a", 20, []), ("b", 20, []))
    with pytest.raises(MixframeError, match="1 labelled utterances have no scores: b"):
        Timeline(labels, scored(a=[1]), 20 * MS)
    with pytest.raises(MixframeError, match="1 scored utterances have no labels: c"):
        Timeline(labels, scored(a=[1], b=[1], c=[1]), 20 * MS)
    with pytest.raises(MixframeError, match="fake parts after their end: a"):
        Timeline(truth(("a", 20, [20, 30])), scored(a=[1]), 20 * MS)


def how(resamples=60, seed=0, workers=1):
    return Settings(COSTS, "trial", resamples, 0.95, seed, workers)


def random_pieces(n_utterances=40, seed=3, ties=False):
    rng = np.random.default_rng(seed)
    utterances = np.repeat(np.arange(n_utterances), 25)
    fake = rng.random(utterances.size) < 0.3
    scores = rng.normal(0, 1, utterances.size) - 1.5 * fake
    weights = rng.integers(1, 1000, utterances.size)
    if ties:
        scores = np.rint(2 * scores)
    return scores, weights * ~fake, weights * fake, utterances


@pytest.mark.parametrize("ties", [False, True])
def test_a_resample_is_the_eer_of_the_drawn_utterances(ties):
    scores, bonafide, spoof, utterances = random_pieces(ties=ties)
    values = Pieces(scores, bonafide, spoof, utterances).resample(np.arange(40), how(30))
    rng = np.random.default_rng(np.random.SeedSequence(0).spawn(2)[0])
    assert values[0] == weighted_eer(scores, bonafide, spoof)
    for value in values[1:26]:
        drawn = np.concatenate([np.flatnonzero(utterances == u) for u in rng.integers(0, 40, 40)])
        assert value == weighted_eer(scores[drawn], bonafide[drawn], spoof[drawn])


def test_resamples_do_not_depend_on_order_or_workers():
    columns = random_pieces()
    one = Pieces(*columns).resample(np.arange(40), how())
    order = np.random.default_rng(1).permutation(columns[0].size)
    other = Pieces(*(column[order] for column in columns)).resample(np.arange(40), how(workers=3))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, Pieces(*columns).resample(np.arange(40), how(seed=1)))


def test_speakers_are_drawn_with_all_their_utterances():
    scores, bonafide, spoof, utterances = random_pieces()
    speakers = np.arange(40) % 5
    by_speaker = Pieces(scores, bonafide, spoof, utterances).resample(speakers, how())
    merged = Pieces(scores, bonafide, spoof, speakers[utterances]).resample(np.arange(5), how())
    assert np.array_equal(by_speaker, merged)
    with pytest.raises(MixframeError, match="1 unit to draw"):
        Pieces(scores, bonafide, spoof, utterances).resample(np.zeros(40, dtype=int), how())


def test_a_resample_without_fake_speech_is_drawn_again():
    pieces = Pieces([0.0, 1.0, 2.0], [0, 1, 1], [1, 0, 0], [0, 1, 2])
    values = pieces.resample(np.arange(3), how(200))
    assert np.isfinite(values).all()
    assert (values == 0).all()
