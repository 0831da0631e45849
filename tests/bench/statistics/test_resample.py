"""Coherent draws: shared resamples, right spread, the base exactly 1."""

import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bench.statistics import resample
from bench.statistics.intervals import block_median
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.resample import SHIFT, lease_draws, mean_draws
from bench.statistics.simultaneous import half_widths

FloatArray = NDArray[np.float64]


def test_mean_draws_have_the_mean_and_the_standard_error() -> None:
    scores = np.random.default_rng(0).random((3, 400))
    draws = mean_draws(scores, 4000, np.random.default_rng(1))
    assert draws.shape == (4000, 3)
    error = scores.std(axis=1) / math.sqrt(400)
    assert np.abs(draws.mean(axis=0) - scores.mean(axis=1)).max() < 4 * error.max() / math.sqrt(4000)
    assert draws.std(axis=0) == pytest.approx(error, rel=0.06)


def test_variants_share_the_resampled_examples() -> None:
    scores = np.random.default_rng(2).integers(0, 2, 300).astype(float)
    draws = mean_draws(np.stack([scores, scores, 1 - scores]), 200, np.random.default_rng(3))
    assert (draws[:, 0] == draws[:, 1]).all()
    assert draws[:, 0] + draws[:, 2] == pytest.approx(np.ones(200))
    assert draws[:, 0].std() > 0


def test_a_variant_without_scores_leaves_the_others_alone() -> None:
    scores = np.random.default_rng(4).random((2, 50))
    with_gap = np.vstack([scores, np.full(50, np.nan)])
    draws = mean_draws(with_gap, 50, np.random.default_rng(5))
    assert np.isnan(draws[:, 2]).all()
    assert draws[:, :2] == pytest.approx(mean_draws(scores, 50, np.random.default_rng(5)))


def test_draws_depend_on_the_seed_and_not_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(6).integers(0, 2, (3, 64))
    leases = [np.exp(np.random.default_rng(7).normal(0, 0.1, (40, 3)))]
    whole = mean_draws(scores, 90, np.random.default_rng(8)), lease_draws(leases, 90, np.random.default_rng(8))[0]
    other = mean_draws(scores, 90, np.random.default_rng(9))
    monkeypatch.setattr(resample, "CHUNK", 1000)
    parts = mean_draws(scores, 90, np.random.default_rng(8)), lease_draws(leases, 90, np.random.default_rng(8))[0]
    assert (whole[0] == parts[0]).all()
    assert (whole[1] == parts[1]).all()
    assert (whole[0] != other).any()


@pytest.mark.parametrize("kept", [90 * 64, 90 * 64 - 1])
def test_a_seed_draws_what_its_generator_draws(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the counts were kept, are kept now, or are too many to be kept; in one chunk or in several."""
    scores = np.random.default_rng(6).random((3, 64))
    expected = mean_draws(scores, 90, np.random.default_rng(8))
    other = mean_draws(scores, 90, 9)
    monkeypatch.setattr(resample, "KEPT", kept)
    assert (mean_draws(scores, 90, 8) == expected).all()
    monkeypatch.setattr(resample, "CHUNK", 1000)
    assert mean_draws(scores, 90, 8) == pytest.approx(expected, rel=1e-12)
    assert (expected != other).any()


def test_a_ratio_of_columns_resamples_both_sums_together() -> None:
    rng = np.random.default_rng(10)
    tokens = rng.integers(5, 500, 300).astype(float)
    losses = tokens * rng.normal(2.5, 0.3, 300)
    draws = mean_draws(np.stack([losses, 2.5 * tokens, tokens]), 2000, rng)
    assert draws[:, 1] / draws[:, 2] == pytest.approx(np.full(2000, 2.5))
    residual = losses - tokens * losses.sum() / tokens.sum()
    error = residual.std() * math.sqrt(300) / tokens.sum()
    assert (draws[:, 0] / draws[:, 2]).std() == pytest.approx(error, rel=0.1)


def test_the_base_is_exactly_one_and_shares_its_luck() -> None:
    """What differs between leases is half the base's, so models differ from each other no more than from it."""
    noise = np.exp(np.random.default_rng(11).normal(0, 0.1, (40, 1)))
    draws, freedom = lease_draws([np.hstack([np.ones((40, 1)), noise, noise])], 4000, np.random.default_rng(12))
    assert (draws[:, 0] == 1.0).all()
    assert np.isinf(freedom[0])
    logs = np.log(draws)
    assert (logs[:, 1] - logs[:, 2]).std() == pytest.approx(SHIFT, rel=0.05)


def test_one_lease_draws_what_its_rounds_and_other_leases_may_do() -> None:
    rng = np.random.default_rng(13)
    shares = []
    for _ in range(20):
        ratios = np.exp(rng.normal(0, 0.05, (160, 1)))
        draws, _ = lease_draws([ratios], 1000, rng)
        inner = block_median(ratios[:, 0]).half_width / stats.norm.isf(0.025)
        shares.append(np.log(draws).std() / np.hypot(inner, SHIFT))
    assert 0.9 <= np.mean(shares) <= 1.1


def test_correlated_rounds_draw_wider() -> None:
    rng = np.random.default_rng(14)
    shares = []
    for _ in range(10):
        noise = rng.normal(0, 1.0, (320, 1))
        smooth = np.sqrt(8) * np.apply_along_axis(lambda x: np.convolve(x, np.full(8, 1 / 8), "same"), 0, noise)
        wide, narrow = (np.log(lease_draws([np.exp(each)], 500, rng)[0]).std() for each in (smooth, noise))
        shares.append(wide / narrow)
    assert np.mean(shares) > 1.8


def test_leases_that_agree_by_chance_hide_nothing_and_those_that_do_not_draw_wider() -> None:
    rng = np.random.default_rng(15)
    agreeing, apart = ([np.exp(rng.normal(shift, 0.001, (80, 2))) for shift in (-by, by)] for by in (0.0, 0.1))
    assert np.log(lease_draws(agreeing, 2000, rng)[0]).std() == pytest.approx(SHIFT * np.sqrt(4 / 5 / 2), rel=0.05)
    together = (4 * SHIFT**2 + 2 * 0.02) / (4 + 2)  # of two models, whose medians are 0.1 from their mean twice
    wide = np.sqrt((4 * together + 0.02) / 5 / 2)
    assert np.log(lease_draws(apart, 2000, rng)[0]).std() == pytest.approx(wide, rel=0.05)


@pytest.mark.parametrize(
    "leases",
    [[], [np.ones((4, 2)), np.ones((4, 3))], [np.zeros((4, 2))], [np.full((4, 2), np.nan)], [np.ones(4)]],
)
def test_bad_leases_are_refused(leases: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> None:
    with pytest.raises(ValueError, match=r"lease|ratios"):
        lease_draws(leases, 10, np.random.default_rng(0))


def test_seven_models_of_320_rounds_are_drawn_in_well_under_a_second() -> None:
    rng = np.random.default_rng(16)
    leases = [np.exp(rng.normal(0, 0.05, (320, 7))) for _ in range(2)]
    start = time.process_time()
    assert lease_draws(leases, 1000, rng)[0].shape == (1000, 7)
    assert time.process_time() - start < 1.0


def many_leases(count: int, shift: float, rng: np.random.Generator, size: int = 4) -> list[FloatArray]:
    """Leases of models that are all as fast as the base, with noise of 5% a round and a shift that lasts a lease."""
    tables = []
    for _ in range(count):
        lasting = shift * rng.standard_normal(size)
        table = np.exp(lasting + 0.05 * rng.standard_normal((40, size)))
        table[:, 0] = 1.0
        tables.append(table)
    return tables


@pytest.mark.parametrize(
    ("count", "shift"), [(1, SHIFT), (2, SHIFT), (3, SHIFT), (4, 0.0), (4, 0.01), (6, 0.03), (12, 0.03)]
)
def test_leases_cover_all_pairs_together(count: int, shift: float) -> None:
    rng = np.random.default_rng(count)
    missed = 0
    for _ in range(200):
        tables = many_leases(count, shift, rng)
        draws, freedom = lease_draws(tables, 200, rng)
        estimates = np.exp(np.mean([np.median(np.log(table), axis=0) for table in tables], axis=0))
        (width,) = half_widths((Evidence(Objective("latency", "lower"), estimates, draws, freedom=freedom),), 0.95)
        gaps = np.abs(np.subtract.outer(estimates, estimates))
        missed += bool((gaps > width).any())
    assert missed <= stats.binom.ppf(0.995, 200, 0.05)


def test_models_are_as_close_as_the_leases_that_they_shared_make_them() -> None:
    """Of one lease shared and one each: half of what the shared lease moved both by is not between them."""
    rng = np.random.default_rng(17)
    quiet = [np.exp(rng.normal(0, 1e-6, (40, 2))) for _ in range(3)]
    together, _ = lease_draws(quiet, 4000, rng)
    apart, _ = lease_draws(
        [quiet[0], *(table[:, [i]] for i, table in enumerate(quiet[1:]))], 4000, rng, [[0, 1], [0], [1]]
    )
    alone, _ = lease_draws([quiet[0][:, [0]], quiet[1][:, [1]]], 4000, rng, [[0], [1]])
    spread = [(np.log(each[:, 0]) - np.log(each[:, 1])).std() for each in (together, apart, alone)]
    # own parts alone over three leases; over two with one base's part each; over one with both base's parts
    expected = [SHIFT * np.sqrt(of) for of in (4 / 6 / 3, 4 / 5 * (1 / 2 + 1 / 4), 2)]
    assert spread == pytest.approx(expected, rel=0.06)


def test_places_that_do_not_fit_are_refused() -> None:
    table = np.ones((4, 2))
    for places in ([[0, 1, 2]], [[0, 0]], [[0, 2]]):
        with pytest.raises(ValueError, match="lease"):
            lease_draws([table], 10, np.random.default_rng(0), places)


def test_many_leases_narrow_and_the_base_stays_exact() -> None:
    rng = np.random.default_rng(0)
    four, sixteen = (lease_draws(many_leases(count, 0.01, rng), 500, rng) for count in (4, 16))
    assert (four[0][:, 0] == 1.0).all()
    assert np.isinf(four[1][0])
    assert (four[1][1:] >= 3).all()
    assert sixteen[0][:, 1:].std() < 0.7 * four[0][:, 1:].std()
    assert sixteen[1][1:].min() > four[1][1:].min()


def test_a_lease_has_luck_of_its_own_and_its_models_share_it() -> None:
    """With a generator each: another lease of other models changes no draw, and no two leases draw alike."""
    quiet = [np.exp(np.random.default_rng([18, i]).normal(0, 1e-3, (40, 2))) for i in range(3)]

    def drawn(*leases: int) -> FloatArray:
        places = [[2 * at, 2 * at + 1] for at in range(len(leases))]
        streams = [np.random.default_rng([19, lease]) for lease in leases]
        return np.log(lease_draws([quiet[lease] for lease in leases], 2000, streams, places)[0])

    alone, among = drawn(1), drawn(0, 1, 2)
    assert among[:, 2:4] == pytest.approx(alone, abs=1e-12)
    apart: FloatArray = np.asarray(np.corrcoef(among.T))
    assert np.abs(apart[:2, 2:]).max() < 0.1
    assert np.abs(apart[2:4, 4:]).max() < 0.1
    assert apart[0, 1] == pytest.approx(0.5, abs=0.1)  # half of what a ratio deviates by is the base's
    with pytest.raises(ValueError, match="zip"):
        lease_draws(quiet, 10, [np.random.default_rng(0)])
