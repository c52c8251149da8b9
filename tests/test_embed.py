"""What is embedded, what the figures of it show, and what stands behind them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.experiment.params import Embed
from mixframe.report.draw import BLUE, ORANGE, to_png
from mixframe.report.figures import embeddings, similarity
from mixframe.stages import embed

PARAMS = Embed(set="eval", utterances=2, splices=1)


def table(count=5):
    rows = [
        (f"{name}_{attack}{i}", name, "bonafide" if attack == "-" else "spoof", attack)
        for name in ("dev", "eval")
        for attack in ("-", "tts", "vc")
        for i in range(count)
    ]
    return pd.DataFrame(rows, columns=["utterance", "set", "label", "attack"])


def test_so_many_of_the_bona_fide_and_of_each_attack_are_embedded():
    chosen = embed.choose(table(), PARAMS)
    assert set(chosen["set"]) == {"eval"}
    assert chosen["attack"].value_counts().to_dict() == {"-": 2, "tts": 2, "vc": 2}
    more = embed.choose(table(), PARAMS.model_copy(update={"utterances": 4}))
    assert more["attack"].value_counts().to_dict() == {"-": 4, "tts": 4, "vc": 4}
    all_there_are = embed.choose(table(), PARAMS.model_copy(update={"utterances": 99}))
    assert sorted(all_there_are["utterance"]) == sorted(
        name for name in table()["utterance"] if name.startswith("eval")
    )


def test_the_set_is_the_one_that_the_preset_names():
    other = embed.choose(table(), PARAMS.model_copy(update={"set": "dev"}))
    assert set(other["set"]) == {"dev"}
    with pytest.raises(MixframeError, match=r"embed.set = 'test': expected .* one of dev, eval"):
        embed.choose(table(), PARAMS.model_copy(update={"set": "test"}))


@given(total=st.integers(0, 40), count=st.integers(1, 40))
def test_rows_at_even_steps_are_different_and_in_order(total, count):
    rows = embed.evenly(pd.DataFrame({"at": range(total)}), count)["at"].tolist()
    assert len(rows) == min(total, count)
    assert rows == sorted(set(rows))
    if rows:
        ends = [rows[0] + 1, total - rows[-1]]
        assert max(ends) <= total // (2 * len(rows)) + 1


def test_similarity_is_the_cosine_whatever_the_length():
    frames = np.array([[2, 0], [0, 3], [1, 1], [0, 0]], dtype=np.float32)
    half = np.sqrt(0.5)
    expected = [[1, 0, half, 0], [0, 1, half, 0], [half, half, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(embed.similarity(frames), expected, atol=1e-6)
    assert embed.similarity(frames).dtype == np.float32


def test_the_plane_is_that_of_the_largest_variance():
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(300, 3)) * [1.0, 10.0, 4.0] + 7
    bonafide = pd.Series(spread[:, 1] > 15)
    points, shares = embeddings.project(spread, bonafide)
    assert abs(np.corrcoef(points[:, 0], spread[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(points[:, 1], spread[:, 2])[0, 1]) > 0.99
    np.testing.assert_allclose(points.var(0) / spread.var(0).sum(), shares)
    assert (points[bonafide].mean(0) <= 0).all()
    mirrored, _ = embeddings.project(-spread, bonafide)
    np.testing.assert_allclose(mirrored, points, atol=1e-9)


def test_what_does_not_vary_is_in_one_place():
    points, shares = embeddings.project(np.ones((1, 4)), pd.Series([True]))
    assert points.tolist() == [[0, 0]]
    assert shares.tolist() == [0, 0]


def test_attacks_have_colours_of_their_own_as_long_as_there_are_enough():
    few = embeddings.attack_colours([f"a{i}" for i in range(7)])
    assert len(set(few.values())) == 7
    assert BLUE not in few.values()
    many = embeddings.attack_colours([f"a{i}" for i in range(8)])
    assert set(many.values()) == {ORANGE}


def vectors(attacks):
    rows = [
        (encoder, f"{attack}{i}", "bonafide" if attack == "-" else "spoof", attack)
        for encoder in ("foundation", "mfpt")
        for attack in ("-", *attacks)
        for i in range(3)
    ]
    made = pd.DataFrame(rows, columns=["encoder", "utterance", "label", "attack"])
    values = np.random.default_rng(1).normal(size=(len(made), 4)).astype(np.float32)
    return made.assign(embedding=list(values))


def test_every_encoder_has_a_panel_and_every_utterance_a_point():
    drawing = embeddings.drawing(vectors(["tts", "vc"]), "eval")
    assert [label.rpartition(" ")[2] for label in drawing.panels] == ["foundation", "mfpt"]
    assert len(drawing.table) == 18
    assert [key.label for key in drawing.legend] == ["bona fide", "tts", "vc"]
    assert "<code>eval</code>" in drawing.caption
    many = embeddings.drawing(vectors([f"a{i}" for i in range(9)]), "eval")
    assert [key.label for key in many.legend] == ["bona fide", "spoof, 9 attacks"]
    first, second = (to_png(drawing.whole()) for _ in range(2))
    assert first == second


def splices():
    # Twice the same utterance: a policy may splice it several times.
    matrix = np.array([[1, 0.5, 0.1], [0.5, 1, 0.3], [0.1, 0.3, 1]], dtype=np.float32)
    return pd.DataFrame(
        [
            (encoder, splice, "u", np.array(labels, dtype=np.int8), matrix.ravel())
            for encoder in ("foundation", "mfpt")
            for splice, labels in enumerate(([0, 0, 1], [1, 1, 0]))
        ],
        columns=["encoder", "splice", "utterance", "labels", "similarity"],
    )


def test_every_splice_and_encoder_has_a_panel_and_a_row_of_means():
    drawing = similarity.drawing(splices())
    assert len(drawing.panels) == 4
    assert drawing.columns == 2
    rows = drawing.table.set_index(["encoder", "splice"])
    assert rows.loc[("mfpt", 0), "original"] == pytest.approx(0.5)
    assert np.isnan(rows.loc[("mfpt", 0), "injected"])
    assert rows.loc[("mfpt", 1), "injected"] == pytest.approx(0.5)
    assert rows.loc[("mfpt", 1), "across"] == pytest.approx(0.2)
    first, second = (to_png(drawing.whole()) for _ in range(2))
    assert first == second


@given(st.lists(st.integers(0, 1), max_size=30))
def test_regions_are_the_injected_frames(labels):
    inside = [
        frame
        for start, end in similarity.regions(np.array(labels, dtype=np.int8))
        for frame in range(start, end)
    ]
    assert inside == [frame for frame, label in enumerate(labels) if label]


def test_without_post_trained_encoders_a_note_says_so():
    for drawing in (
        embeddings.drawing(vectors([])[:0], "eval"),
        similarity.drawing(splices()[:0]),
    ):
        assert drawing.panels == {}
        assert drawing.title == ""
        assert drawing.note == "No encoder was post-trained."
        assert to_png(drawing.whole()).startswith(b"\x89PNG")
