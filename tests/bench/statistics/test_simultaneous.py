"""Simultaneous intervals: level over all pairs, guards, exactness."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from bench.statistics import simultaneous
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.resample import mean_draws
from bench.statistics.simultaneous import half_widths
from tests.bench.statistics.simulated_sweeps import quality

FloatArray = NDArray[np.float64]
COST = Objective("cost", "lower")


def normal_evidence(size: int, rng: np.random.Generator, draws: int = 1000, name: str = "cost") -> Evidence:
    """Estimates with independent errors of deviation 1 about zero, and draws of the same spread about them."""
    estimates = rng.standard_normal(size)
    return Evidence(Objective(name, "lower"), estimates, estimates + rng.standard_normal((draws, size)))


def misses(evidence: tuple[Evidence, ...], level: float = 0.95) -> bool:
    """Whether any interval misses a true difference of zero."""
    widths = half_widths(evidence, level)
    gaps = [np.abs(np.subtract.outer(each.estimates, each.estimates)) for each in evidence]
    return any(bool((gap > width).any()) for gap, width in zip(gaps, widths, strict=True))


def test_all_pairs_are_covered_together() -> None:
    rng = np.random.default_rng(0)
    missed = sum(misses((normal_evidence(6, rng, 400), normal_evidence(6, rng, 400, "b"))) for _ in range(600))
    assert stats.binom.ppf(0.005, 600, 0.05) <= missed <= stats.binom.ppf(0.995, 600, 0.05)


@pytest.mark.parametrize(("accuracy", "n"), [(0.85, 60), (0.85, 400), (0.98, 200)])
def test_right_and_wrong_outcomes_are_covered_too(accuracy: float, n: int) -> None:
    rng = np.random.default_rng(1)
    missed = sum(misses((quality(np.full(6, accuracy), n, rng),)) for _ in range(300))
    assert missed <= stats.binom.ppf(0.99, 300, 0.05)


def test_more_pairs_and_more_objectives_widen() -> None:
    rng = np.random.default_rng(2)
    few, many, other = normal_evidence(2, rng), normal_evidence(12, rng), normal_evidence(12, rng, name="b")
    two = half_widths((few,), 0.95)[0][0, 1]
    twelve = half_widths((many,), 0.95)[0][0, 1]
    both = half_widths((many, other), 0.95)[0][0, 1]
    assert two == pytest.approx(1.96 * math.sqrt(2), rel=0.1)
    # The studentised range of twelve: 4.62 deviations of one value.
    assert twelve == pytest.approx(stats.studentized_range.isf(0.05, 12, 1e6), rel=0.08)
    assert both > 1.02 * twelve
    assert half_widths((many,), 0.99)[0][0, 1] > 1.05 * twelve


def test_widths_are_symmetric_and_exact_objectives_have_none() -> None:
    rng = np.random.default_rng(3)
    size = Evidence(Objective("size", "lower"), np.arange(5.0))
    first, second = half_widths((size, normal_evidence(5, rng)), 0.95)
    assert (first == 0).all()
    assert (second == second.T).all()
    assert (np.diag(second) == 0).all()
    assert (half_widths((size,), 0.95)[0] == 0).all()


def test_pairing_narrows() -> None:
    rng = np.random.default_rng(4)
    shared = rng.standard_normal((500, 1))
    own = 0.1 * rng.standard_normal((500, 2))
    width = half_widths((Evidence(COST, np.zeros(2), shared + own),), 0.95)[0][0, 1]
    assert width == pytest.approx(1.96 * 0.1 * math.sqrt(2), rel=0.15)


def test_a_pair_that_never_differs_is_unknown_unless_its_score_is_bounded() -> None:
    draws = np.repeat(np.random.default_rng(5).standard_normal((500, 1)), 2, axis=1) * 1e3
    draws[:, 1] = np.nextafter(draws[:, 1], np.inf)
    assert (draws[:, 1] != draws[:, 0]).all()
    same = Evidence(COST, np.zeros(2), draws)
    assert half_widths((same,), 0.95)[0][0, 1] == math.inf
    bounded = Evidence(COST, np.zeros(2), draws, n=100, span=1.0)
    expected = stats.t.isf(0.025, 99) * math.sqrt(2) / 100
    assert half_widths((bounded,), 0.95)[0][0, 1] == pytest.approx(expected)


def test_a_bias_of_the_draws_widens() -> None:
    draws = np.random.default_rng(6).standard_normal((500, 2))
    straight = half_widths((Evidence(COST, np.zeros(2), draws),), 0.95)[0][0, 1]
    biased = half_widths((Evidence(COST, np.array([0.0, 3.0]), draws),), 0.95)[0][0, 1]
    assert biased > 1.5 * straight


def test_few_blocks_pay_students_price() -> None:
    rng = np.random.default_rng(7)
    plain = normal_evidence(2, rng)
    small = Evidence(plain.objective, plain.estimates, plain.draws, n=8)
    ratio = half_widths((small,), 0.95)[0][0, 1] / half_widths((plain,), 0.95)[0][0, 1]
    assert ratio == pytest.approx(stats.t.isf(0.025, 7) / 1.96, rel=0.05)


def test_pseudo_examples_widen_and_the_critical_value_does_not_take_it_back() -> None:
    """Of two variants the critical value is that of one difference, whatever its deviation is widened by."""
    rng = np.random.default_rng(9)
    right = rng.random((2, 40)) < 0.9
    draws = mean_draws(right, 2000, rng)
    estimates = right.mean(axis=1)
    quality = Objective("quality", "higher")
    plain, padded = (Evidence(quality, estimates, draws, n=40, span=span) for span in (0.0, 1.0))
    ratio = half_widths((padded,), 0.95)[0][0, 1] / half_widths((plain,), 0.95)[0][0, 1]
    variance = float(np.mean((draws[:, 0] - draws[:, 1] - estimates[0] + estimates[1]) ** 2))
    assert ratio == pytest.approx(math.sqrt(1 + 2 / 40**2 / variance), rel=1e-6)


def test_too_few_draws_for_the_level_are_refused() -> None:
    rng = np.random.default_rng(8)
    assert half_widths((normal_evidence(3, rng, 19),), 0.95)
    with pytest.raises(ValueError, match="19 can"):
        half_widths((normal_evidence(3, rng, 18),), 0.95)
    with pytest.raises(ValueError, match="level"):
        half_widths((normal_evidence(3, rng, 18),), 1.0)


def by_loops(evidence: tuple[Evidence, ...], level: float) -> list[FloatArray]:
    """The definition, pair by pair."""
    size, count = evidence[0].estimates.size, max(e.draws.shape[0] for e in evidence if e.draws is not None)
    deviations, largest = [], np.zeros(count)
    for each in evidence:
        out = np.full((size, size), math.inf)
        for i, j in product(np.flatnonzero(each.present), repeat=2):
            out[i, j] = 0.0
            if i != j and each.draws is not None:
                change = (each.draws[:, i] - each.estimates[i]) - (each.draws[:, j] - each.estimates[j])
                pseudo = 0.0 if each.n is None else 2 * (each.span / each.n) ** 2
                drawn = float(np.mean(change**2))
                out[i, j] = math.sqrt(drawn + pseudo) or math.inf
                largest = np.maximum(largest, np.abs(change) / (math.sqrt(drawn) or math.inf))
        deviations.append(out)
    critical = max(np.sort(largest)[math.ceil((count + 1) * level) - 1], stats.norm.isf((1 - level) / 2))
    students = [critical if e.n is None else stats.t.isf(stats.norm.sf(critical), e.n - 1) for e in evidence]
    return [
        deviation if each.draws is None else student * deviation
        for each, student, deviation in zip(evidence, students, deviations, strict=True)
    ]


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(19, 30), st.integers(1, 6)), elements=st.integers(-2, 2).map(float)),
    st.integers(0, 10_000),
    st.sampled_from([(None, 0.0), (10, 0.0), (10, 1.0)]),
)
def test_widths_agree_with_loops(draws: FloatArray, seed: int, bounded: tuple[int | None, float]) -> None:
    """Columns that repeat and draws that never differ come about by themselves; some variants have no number."""
    rng = np.random.default_rng(seed)
    size = draws.shape[1]
    estimates = rng.integers(-1, 2, size).astype(float)
    estimates[rng.random(size) < 0.15] = math.nan
    other = draws[:, rng.integers(size, size=size)].copy()
    other[0, rng.random(size) < 0.15] = math.inf
    evidence = (
        Evidence(COST, estimates, draws, *bounded),
        Evidence(Objective("size", "lower"), np.where(rng.random(size) < 0.15, math.inf, 1.0)),
        Evidence(Objective("quality", "higher"), rng.integers(-1, 2, size).astype(float), other),
    )
    for found, expected in zip(half_widths(evidence, 0.9), by_loops(evidence, 0.9), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_variances_of_nearly_the_same_draws_keep_their_digits() -> None:
    """Differences a billionth of what they are differences of: a product of matrices alone would see noise."""
    rng = np.random.default_rng(9)
    shared, own = rng.standard_normal((400, 1)), rng.standard_normal((400, 9))
    draws = shared + own * 10.0 ** np.array([-3, -9, -6, -9, -1, 0, -9, -4, -6])
    draws[:, 6] = draws[:, 2] + 1e-10 * own[:, 6]
    evidence = Evidence(COST, np.zeros(9), draws)
    np.testing.assert_allclose(half_widths((evidence,), 0.9)[0], by_loops((evidence,), 0.9)[0], rtol=1e-7)


def correlated(size: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Draws [1000, size] that depend on each other in several ways."""
    own, shared = rng.standard_normal((1000, size)), rng.standard_normal((1000, 1))
    groups = np.repeat(rng.standard_normal((1000, size // 10)), 10, axis=1)
    return {
        "independent": own,
        "one cause": own + 3 * shared,
        "groups": groups + 0.1 * own,
        "a walk": np.cumsum(own, axis=1),
        "one apart": own * np.r_[10.0, np.full(size - 1, 0.1)],
    }


def test_bonferroni_is_not_narrower_than_max_t(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many pairs the normal quantile takes over: by resampling noise at most narrower, by little wider."""
    rng = np.random.default_rng(10)
    for size in (20, 80):
        for name, draws in correlated(size, rng).items():
            evidence = (
                Evidence(COST, np.zeros(size), draws),
                Evidence(Objective("b", "lower"), np.zeros(size), -draws),
            )
            monkeypatch.setattr(simultaneous, "MOST_COMPARED", math.inf)
            compared = half_widths(evidence, 0.95)[0][0, 1]
            monkeypatch.setattr(simultaneous, "MOST_COMPARED", 0)
            bounded = half_widths(evidence, 0.95)[0][0, 1]
            assert bounded > 0.98 * compared, name
            assert bounded < (1.12 if name == "independent" else 1.5) * compared, name


def test_many_outcomes_are_covered_by_bonferroni_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simultaneous, "MOST_COMPARED", 0)
    rng = np.random.default_rng(11)
    missed = sum(misses((quality(np.full(20, 0.9), 300, rng),)) for _ in range(200))
    assert missed <= stats.binom.ppf(0.99, 200, 0.05)
