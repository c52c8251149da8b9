"""Shares of votes by hand."""

import numpy as np
import pandas as pd
import pytest

from mixframe.stages.vote import vote_figures


def table(*rows):
    labels, chosen = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "labels": [np.array(x, dtype=np.int8) for x in labels],
            "chosen": [np.array(x, dtype=np.int16) for x in chosen],
        }
    )


def test_shares_are_means_over_spliced_utterances():
    figures = vote_figures(
        table(
            ([0, 1, 1, 0], [0, 2, 1, 1]),
            ([1, 0, 0, 0], [0, 1, 1, 0]),
            ([0, 0, 0, 0], [1, 1, 0, 0]),
        )
    )
    assert figures["utterances"] == 2
    assert figures["share"] == pytest.approx((3 / 4 + 0) / 2)
    assert figures["chance"] == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_without_splices_there_is_nothing_to_count():
    assert vote_figures(table(([0, 0], [1, 1]))) == {"utterances": 0}
