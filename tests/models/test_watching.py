"""What a voting head looks at, held against what it does with it."""

import pytest
import torch

from mixframe.models.voting import most_attended
from mixframe.models.watching import attention
from tests.models.test_fgfm import head

T = 12
MASK = torch.arange(T) < torch.tensor([[T], [7]])


def frames() -> torch.Tensor:
    return torch.randn(2, T, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["conformer_fgfm", "transformer_fgfm"])
def test_the_frames_chosen_by_attention_are_those_with_the_highest(kind):
    # With one block, the mean over the blocks is what the head chooses by.
    model = head(kind, blocks=1, first_choice="attention").eval()
    with torch.no_grad():
        seen, chosen = attention(model, frames(), MASK), model.chosen([frames()], MASK)
    best = most_attended(seen[:, None], MASK, 4)
    expected = torch.zeros(2, T, dtype=torch.long).scatter(1, best.index, best.valid.long())
    assert chosen.tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["conformer_fgfm", "transformer_fgfm"])
def test_attention_is_a_share_and_sees_nothing_of_padding(kind):
    model = head(kind).eval()
    with torch.no_grad():
        both = attention(model, frames(), MASK)
        alone = attention(model, frames()[1:, :7], MASK[1:, :7])
    assert both.shape == (2, T)
    assert (both[MASK] > 0).all()
    assert (both[~MASK] == 0).all()
    # The rest is the token's attention to itself.
    assert ((both.sum(1) > 0.5) & (both.sum(1) < 1)).all()
    torch.testing.assert_close(both[1:, :7], alone)
