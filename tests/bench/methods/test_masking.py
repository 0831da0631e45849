"""Masking: how many tokens are hidden, which ones, and what stands in their place."""

import math

import pytest
import torch

from bench.methods.distill_losses import IGNORED
from bench.methods.masking import Masker, even_weights, rare_weights, token_counts

SPECIAL = (0, 1, 2)
MASK_ID = 2
VOCABULARY = 50


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(rows: int = 8, tokens: int = 30, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of different length between two special tokens, padded with 1."""
    drawn = torch.randint(3, VOCABULARY, (rows, tokens), generator=generator(seed))
    attention = torch.ones_like(drawn)
    for row in range(rows):
        end = tokens - row
        drawn[row, 0] = drawn[row, end - 1] = 0
        drawn[row, end:], attention[row, end:] = 1, 0
    return drawn, attention


@pytest.mark.parametrize("share", [0.15, 0.5, 1.0, 0.001])
def test_exact_number_of_the_whole_batch(share: float) -> None:
    ids, attention = batch()
    maskable = sum(30 - row - 2 for row in range(8))
    masked, labels = Masker(even_weights(VOCABULARY, SPECIAL), MASK_ID, share)(ids, attention, generator(1))
    assert int((labels != IGNORED).sum()) == math.ceil(share * maskable)
    assert torch.equal(labels[labels != IGNORED], ids[labels != IGNORED])
    assert torch.equal(masked[labels == IGNORED], ids[labels == IGNORED])


def test_special_tokens_and_padding_are_never_touched() -> None:
    ids, attention = batch()
    attention[3, 4:8] = 0  # ordinary words that the model does not see
    for seed in range(20):
        masked, labels = Masker(even_weights(VOCABULARY, SPECIAL), MASK_ID, 1.0)(ids, attention, generator(seed))
        hidden = labels != IGNORED
        assert not hidden[(ids < 3) | (attention == 0)].any()
        assert hidden[(ids >= 3) & (attention == 1)].all()
        assert not ((masked < 2) & hidden).any()  # no replacement is special either


def test_nothing_to_mask() -> None:
    ids = torch.zeros(2, 3, dtype=torch.long)
    masked, labels = Masker(even_weights(VOCABULARY, SPECIAL), MASK_ID)(ids, torch.ones_like(ids), generator(0))
    assert torch.equal(masked, ids)
    assert (labels == IGNORED).all()


def test_a_generator_decides_everything() -> None:
    ids, attention = batch()
    mask = Masker(even_weights(VOCABULARY, SPECIAL), MASK_ID)
    before = ids.clone()
    torch.manual_seed(1)
    first = mask(ids, attention, generator(5))
    torch.manual_seed(2)
    again, other = mask(ids, attention, generator(5)), mask(ids, attention, generator(6))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    assert torch.equal(ids, before)


def test_eighty_ten_ten() -> None:
    """20,000 draws: shares within four standard errors. A drawn word may be the word itself, 1 in 47."""
    ids = torch.randint(3, VOCABULARY, (200, 100), generator=generator(0))
    masked, labels = Masker(even_weights(VOCABULARY, SPECIAL), MASK_ID, 1.0)(ids, torch.ones_like(ids), generator(1))
    assert (labels == ids).all()
    shares = {
        "mask": ((masked == MASK_ID).double().mean().item(), 0.8),
        "kept": ((masked == ids).double().mean().item(), 0.1 + 0.1 / 47),
        "other": (((masked != ids) & (masked != MASK_ID)).double().mean().item(), 0.1 * 46 / 47),
    }
    for name, (found, expected) in shares.items():
        assert abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / 20_000), name
    drawn = torch.bincount(masked[(masked != ids) & (masked != MASK_ID)], minlength=VOCABULARY)
    assert (drawn[3:] > 0).all()


def test_counts_of_the_data() -> None:
    counts = token_counts([[0, 3, 3], [3, 4, 0]], 6)
    assert counts.tolist() == [2, 0, 0, 3, 1, 0]
    weights = rare_weights(torch.tensor([5.0, 100.0, 1.0, 0.0]), [0])
    assert weights.tolist() == pytest.approx([0.0, 100**-0.7, 1.0, 1.0])


def test_rare_words_are_favoured_as_the_formula_says() -> None:
    """One of two tokens, seen 100 times and once: the rare one with probability 1/(1 + 100^-0.7) = 0.9617."""
    counts = torch.tensor([1.0, 1.0, 1.0, 100.0, 1.0])
    mask = Masker(rare_weights(counts, SPECIAL), MASK_ID, 0.5)
    ids = torch.tensor([[0, 3, 4, 0]])
    source, tries = generator(0), 3000
    rare = sum(int(mask(ids, torch.ones_like(ids), source)[1][0, 2] == 4) for _ in range(tries))
    expected = 1 / (1 + 100**-0.7)
    assert abs(rare / tries - expected) < 4 * math.sqrt(expected * (1 - expected) / tries)


def test_two_of_three_without_replacement() -> None:
    """Inclusion of the common token, over both orders: w/(w+2) + 2/(w+2) * w/(w+1), w = 16^-0.7 = 1/6.96."""
    counts = torch.tensor([1.0, 1.0, 1.0, 16.0, 1.0, 1.0])
    mask = Masker(rare_weights(counts, SPECIAL), MASK_ID, 0.6)
    ids = torch.tensor([[3, 4, 5]])
    source, tries = generator(1), 3000
    found = [mask(ids, torch.ones_like(ids), source)[1] for _ in range(tries)]
    assert all(int((labels != IGNORED).sum()) == 2 for labels in found)
    common = sum(int(labels[0, 0] == 3) for labels in found) / tries
    w = 16**-0.7
    expected = w / (w + 2) + 2 / (w + 2) * w / (w + 1)
    assert abs(common - expected) < 4 * math.sqrt(expected * (1 - expected) / tries)
