"""Intervals over seeds and examples: by hand, and whether they cover what they say."""

import numpy as np
import pytest

from bench.statistics.seeds import over_seeds

SIMULATIONS = 2000


def test_by_hand() -> None:
    # Seed means 1 and 3: variance 2, over 2 seeds 1. Example means 1, 2, 3: variance 1, over 3 examples 1/3.
    found = over_seeds([[0.0, 1, 2], [2.0, 3, 4]])
    reach = 12.7062047 * (1 + 1 / 3) ** 0.5  # t with one degree of freedom
    assert found.estimate == 2
    assert found.low == pytest.approx(2 - reach)
    assert found.high == pytest.approx(2 + reach)
    assert found.n == 2


@pytest.mark.parametrize(("seed_sd", "example_sd", "noise_sd"), [(1, 0, 0.1), (0, 1, 0.1), (0.3, 3, 3), (0, 0, 3)])
def test_intervals_cover_at_least_what_they_say(seed_sd: float, example_sd: float, noise_sd: float) -> None:
    rng = np.random.default_rng(1)
    seeds, examples = 5, 60
    hits = 0
    for _ in range(SIMULATIONS):
        table = (
            seed_sd * rng.standard_normal((seeds, 1))
            + example_sd * rng.standard_normal((1, examples))
            + noise_sd * rng.standard_normal((seeds, examples))
        )
        hits += over_seeds(table).contains(0.0)
    assert hits / SIMULATIONS >= 0.935  # 95% less three binomial standard errors


@pytest.mark.parametrize("table", [[[1.0, 2.0]], [[1.0], [2.0]], [1.0, 2.0], [[1.0, np.nan], [1.0, 2.0]]])
def test_what_cannot_give_an_interval_is_refused(table: list[object]) -> None:
    with pytest.raises(ValueError, match="differences"):
        over_seeds(np.array(table, dtype=float))
