"""How often a sweep of known truth gets any wrong verdict, and whether it gets any right ones."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bench.statistics.frontier import Verdict, nondominated, verdicts
from tests.bench.statistics.simulated_sweeps import SHAPES, Truth, clusters, equal_sizes, quality, sweep, true_costs

RUNS = 120
# 5% of the runs, and the Monte Carlo error that one honest test in a hundred shows.
ALLOWED = int(stats.binom.ppf(0.99, RUNS, 0.05))


def is_wrong(verdict: Verdict, on_frontier: bool) -> bool:
    return verdict.state == ("dominated" if on_frontier else "certain")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("n", [80, 300])
def test_wrong_verdicts_are_rare(shape: Callable[[], Truth], n: int) -> None:
    rng = np.random.default_rng(11)
    truth = shape()
    on = nondominated(true_costs(truth))
    wrong = sum(any(map(is_wrong, verdicts(sweep(truth, n, rng)), on)) for _ in range(RUNS))
    assert wrong <= ALLOWED


def test_quality_alone_among_equals_spends_the_whole_five_percent_and_no_more() -> None:
    """The hardest truth: a single objective on which any difference shown is a wrong "dominated"."""
    rng = np.random.default_rng(12)
    runs = [verdicts((quality(np.full(6, 0.85), 200, rng, 500),)) for _ in range(300)]
    wrong = sum(any(verdict.state == "dominated" for verdict in run) for run in runs)
    assert stats.binom.ppf(0.005, 300, 0.05) <= wrong <= stats.binom.ppf(0.99, 300, 0.05)


def test_plain_differences_are_told() -> None:
    """Caution that never decides would pass every test above."""
    rng = np.random.default_rng(13)
    for shape, expected in ((equal_sizes, "dominated"), (clusters, "dominated")):
        truth = shape()
        beaten = ~nondominated(true_costs(truth))
        found = Counter[str]()
        for _ in range(20):
            found.update(v.state for v, out in zip(verdicts(sweep(truth, 2000, rng)), beaten, strict=True) if out)
        assert found[expected] >= 0.3 * found.total(), shape.__name__
