"""Non-inferiority: by hand, false acceptance at the margin, which side is worse, refusals."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bench.statistics import noninferiority as module
from bench.statistics.noninferiority import gain, influences, noninferiority

SETS = 2000
ALLOWED = float(stats.binom.isf(0.001, SETS, 0.05)) / SETS  # 6.6%: 5% and the noise of 2,000 sets


def test_influences_by_hand() -> None:
    assert influences([[1.0, 3.0]], "mean").tolist() == [1.0, 3.0]
    # 6 / 4 = 1.5; (2 - 1.5 * 1) / 2 = 0.25 and (4 - 1.5 * 3) / 2 = -0.25
    assert influences([[2.0, 4.0], [1.0, 3.0]], "ratio").tolist() == [1.75, 1.25]
    power = math.exp(1.5)
    found = influences([[2.0, 4.0], [1.0, 3.0]], "exp ratio")
    assert found.tolist() == pytest.approx([power * 1.25, power * 0.75])


def test_gain_by_hand() -> None:
    rise, error = gain([[2.0, 4.0, 3.0, 3.0]], [[1.0, 1.0, 1.0, 1.0]], "mean", "higher")
    assert rise == 2.0
    assert error == pytest.approx(math.sqrt(0.5) / 2)  # differences 1, 3, 2, 2: variance 1/2 over n, of 4
    assert list(gain([[2.0, 4.0]], [[1.0, 1.0]], "mean", "lower")) == pytest.approx([-2.0, 1 / math.sqrt(2)])


def test_alike_on_every_example() -> None:
    base = np.linspace(10, 50, 40)[None]
    found = noninferiority(base, base, "mean", "higher", 0.5, relative=False)
    assert (found.difference, found.margin, found.accepted) == (0.0, 0.5, True)
    assert found.bound == pytest.approx(0.0)
    # Forty examples that could each have lost 100 points do not show that none ever will.
    guarded = noninferiority(base, base, "mean", "higher", 0.5, relative=False, span=100.0)
    assert guarded.bound == pytest.approx(-stats.t.ppf(0.95, 39) * math.sqrt(2) * 100 / 40)
    assert not guarded.accepted


def test_which_side_is_worse() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 300)
    base = np.full(300, 10.0)
    up, down = (base + 1 + noise)[None], (base - 1 + noise)[None]
    assert noninferiority(up, base[None], "mean", "higher", 0.01, relative=True).accepted
    assert not noninferiority(down, base[None], "mean", "higher", 0.01, relative=True).accepted
    assert noninferiority(down, base[None], "mean", "lower", 0.01, relative=True).accepted
    worse = noninferiority(up, base[None], "mean", "lower", 0.01, relative=True)
    assert not worse.accepted
    assert worse.margin == pytest.approx(0.1)
    assert worse.bound > worse.difference == pytest.approx(1 + noise.mean())


def test_shares_are_tangos() -> None:
    base = np.array([1.0] * 90 + [0.0] * 10)
    variant = base.copy()
    variant[:2] = 0.0
    found = noninferiority(variant[None], base[None], "share", "higher", 0.1, relative=True)
    assert found.method == "Tango score"
    assert found.difference == pytest.approx(-0.02)
    assert found.margin == pytest.approx(0.09)
    assert found.accepted
    # Losses 2, gains 0, of 100: at the bound d, (wins - losses - n d) / sd(d) is the normal quantile of 95%.
    d = found.bound
    rare = (math.sqrt((-2 + 202 * d) ** 2 + 8 * 100 * 2 * d * (1 - d)) + 2 - 202 * d) / 400
    assert (-2 - 100 * d) / math.sqrt(100 * (2 * rare + d * (1 - d))) == pytest.approx(stats.norm.isf(0.05), abs=1e-6)


def summaries(draw: np.random.Generator, n: int) -> tuple[NDArray[np.float64], ...]:
    """Scores about 40 points, of which the variant loses 0.4 in the mean: some texts much worse, others by noise."""
    base = np.clip(draw.normal(40, 10, n), 0, 100)
    return (base - (draw.random(n) < 0.2) * draw.exponential(2.0, n) + draw.normal(0, 1, n))[None], base[None]


def labels(draw: np.random.Generator, n: int) -> tuple[NDArray[np.float64], ...]:
    """Right answers: 3% lost and 1% gained, so 2 points lost."""
    cell = draw.choice(4, size=n, p=[0.77, 0.03, 0.01, 0.19])
    return np.isin(cell, (0, 2)).astype(float)[None], np.isin(cell, (0, 1)).astype(float)[None]


def texts(draw: np.random.Generator, n: int) -> tuple[NDArray[np.float64], ...]:
    """Log-likelihoods and tokens: perplexity 2% higher."""
    tokens = draw.integers(20, 60, n).astype(float)
    each = draw.normal(2.0, 0.4, n)
    change = math.log(1.02) + draw.normal(0, 0.1, n)
    return np.stack([(each + change) * tokens, tokens]), np.stack([each * tokens, tokens])


@pytest.mark.parametrize("case", ["summaries", "labels", "texts"])
def test_false_acceptance_at_the_margin(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant exactly as bad as the tolerance is accepted in at most 5% of 2,000 studies, up to their noise."""
    monkeypatch.setattr(module, "DRAWS", 99)
    draw = np.random.default_rng(7)
    make, n, kind, better, tolerance, relative = {
        "summaries": (summaries, 150, "mean", "higher", 0.4, False),
        "labels": (labels, 300, "share", "higher", 0.02, False),
        "texts": (texts, 100, "exp ratio", "lower", 0.02, True),
    }[case]
    accepted = 0
    for _ in range(SETS):
        variant, base = make(draw, n)
        accepted += noninferiority(variant, base, kind, better, tolerance, relative=relative).accepted  # type: ignore[arg-type]
    assert accepted / SETS <= ALLOWED
    assert accepted / SETS > 0.015  # a test that never accepts would pass as well


def test_a_good_variant_is_accepted() -> None:
    draw = np.random.default_rng(3)
    base = np.clip(draw.normal(40, 10, 1000), 0, 100)
    variant = base + draw.normal(0, 3, 1000)
    assert noninferiority(variant[None], base[None], "mean", "higher", 0.02, relative=True).accepted


def test_refusals() -> None:
    with pytest.raises(ValueError, match="equally long"):
        noninferiority([[1.0, 0.0]], [[1.0, 0.0, 1.0]], "mean", "higher", 0.1, relative=False)
    with pytest.raises(ValueError, match="needs one above 0, got 0"):
        noninferiority([[0.0, 0.0]], [[0.0, 0.0]], "share", "higher", 0.1, relative=True)
    with pytest.raises(ValueError, match="at least 2 examples"):
        noninferiority([[0.5]], [[0.5]], "mean", "higher", 0.1, relative=False)
    with pytest.raises(ValueError, match="two columns"):
        influences([[1.0]], "ratio")
    with pytest.raises(ValueError, match="below the line"):
        influences([[1.0], [0.0]], "ratio")
