"""How often intervals hold the truth, simulated: one line a kind of interval and number of examples."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.statistics.intervals import Interval, block_median, exact_proportion, mean_t, median_order_statistic, wilson
from bench.statistics.looks import look_level, planned_looks
from bench.statistics.paired import difference, mcnemar_exact
from bench.statistics.racing import Scored, race_looks
from bench.statistics.resample import mean_draws
from bench.store.quality import macro_f1
from tests.bench.statistics.simulated_scores import confusion, counts, resampled

SHARES = (0.05, 0.2, 0.5, 0.8, 0.95)
EXAMPLES = (200, 1000)
DRAWS = 1000
# The second of two variants is right this much less often, and mostly on the same examples.
WORSE = 0.03
WINDOWS = 32  # of a race

# One data set of n examples at a true share p: whether its interval holds the truth.
Trial = Callable[[int, float, np.random.Generator], bool]


class Kind(NamedTuple):
    """A kind of interval, of what, whether it may not miss more than it says, and one trial."""

    method: str
    of: str
    exact: bool
    trial: Trial


def share_right(make: Callable[[int, int], Interval]) -> Trial:
    """0/1 outcomes with probability p."""
    remembered = cache(make)
    return lambda n, p, rng: remembered(int(rng.binomial(n, p)), n).contains(p)


def mean_score(n: int, p: float, rng: np.random.Generator) -> bool:
    """Scores between 0 and 1 with mean p, as skewed as ROUGE."""
    return mean_t(rng.beta(4 * p, 4 * (1 - p), n)).contains(p)


def mean_change(span: float) -> Trial:
    """Differences of two such scores, half of them not changed at all; `span` as for `difference`."""

    def trial(n: int, p: float, rng: np.random.Generator) -> bool:
        scores = rng.beta(4 * p, 4 * (1 - p), (2, n))
        kept = rng.random(n) < 0.5
        return difference(scores[0], np.where(kept, scores[0], scores[1]), span=span, binary=False).contains(0.0)

    return trial


def _cells(n: int, p: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Of n examples: both right, first alone, second alone, none; the first is right with probability p."""
    second = max(p - WORSE, p / 2)
    lost = (p - second) + 0.1 * min(p, 1 - p)
    gained = lost - (p - second)
    return rng.multinomial(n, [p - lost, lost, gained, 1 - p - gained])


@cache
def _tango(wins: int, losses: int, n: int) -> Interval:
    a = np.repeat([1.0, 0.0, 0.0], [wins, losses, n - wins - losses])
    b = np.repeat([0.0, 1.0, 0.0], [wins, losses, n - wins - losses])
    return difference(a, b)


def share_change(n: int, p: float, rng: np.random.Generator) -> bool:
    """Tango's interval for the difference of two variants."""
    _, wins, losses, _ = (int(count) for count in _cells(n, p, rng))
    return _tango(wins, losses, n).contains(p - max(p - WORSE, p / 2))


def recovery(n: int, p: float, rng: np.random.Generator) -> bool:
    """Percentile interval of the ratio of two variants' shares right, on the same examples."""
    cells = _cells(n, p, rng)
    drawn = rng.multinomial(n, cells / n, size=DRAWS)
    below = np.maximum(drawn[:, 0] + drawn[:, 1], 1)
    low, high = np.quantile((drawn[:, 0] + drawn[:, 2]) / below, (0.025, 0.975))
    return bool(low <= max(p - WORSE, p / 2) / p <= high)


def perplexity(n: int, p: float, rng: np.random.Generator) -> bool:
    """Percentile interval of a ratio of sums: log-likelihoods over token counts, longer texts being easier."""
    tokens = rng.geometric(0.02, n) + 5.0
    per_token = rng.gamma(4.0, 0.75, n) * (1 + 10 / tokens)
    truth = 3.0 * (1 + 10 / MEAN_TOKENS)
    losses, lengths = mean_draws(np.stack([per_token * tokens, tokens]), DRAWS, rng).T
    low, high = np.quantile(losses / lengths, (0.025, 0.975))
    return bool(low <= truth <= high)


MEAN_TOKENS = 1 / 0.02 + 5.0


def f1(n: int, p: float, rng: np.random.Generator) -> bool:
    """BCa interval of macro F1 over three unequal classes of which the share p is right."""
    population = confusion(p)
    return resampled(counts(population, n, rng), rng).contains(float(macro_f1(population)))


def median(n: int, p: float, rng: np.random.Generator) -> bool:
    """Order statistics for the median of a skewed quantity."""
    return median_order_statistic(rng.lognormal(size=n)).contains(1.0)


def stopped(n: int, p: float, rng: np.random.Generator) -> bool:
    """A latency ratio looked at after 40, 80, 160 and 320 rounds, until narrow enough; rounds depend on each other."""
    looks = planned_looks()
    level = look_level(looks=len(looks))
    fresh = rng.standard_normal(looks[-1] + 1)
    rounds = np.exp(0.08 * (0.9 * fresh[1:] + 0.44 * fresh[:-1]))
    for look in looks:
        interval = block_median(rounds[:look], level)
        if interval.relative_half_width <= 0.02:
            break
    return interval.contains(1.0)


@cache
def _mcnemar(wins: int, losses: int) -> bool:
    a = np.repeat([1.0, 0.0], [wins, losses])
    return wins + losses == 0 or mcnemar_exact(a, 1 - a) > 0.05


def no_flips(n: int, p: float, rng: np.random.Generator) -> bool:
    """Exact McNemar test at 5% where both variants are equally good and one example in ten of the rarer kind flips."""
    wins, losses = rng.multinomial(n, [0.1 * min(p, 1 - p), 0.1 * min(p, 1 - p), 1 - 0.2 * min(p, 1 - p)])[:2]
    return _mcnemar(int(wins), int(losses))


def no_lead_bet(n: int, p: float, rng: np.random.Generator) -> bool:
    """What a race bets on bounded scores of two equals, half of them the same: at 5% at every example."""
    scores = rng.beta(4 * p, 4 * (1 - p), (2, n))
    scores[1] = np.where(rng.random(n) < 0.5, scores[0], scores[1])
    return bool(Scored(scores, 1.0, binary=False).p_values()[0, 1] > 0.05)


def no_lead_counted(n: int, p: float, rng: np.random.Generator) -> bool:
    """A race's sign test of two that are equally often right, at 5% over all of its looks."""
    right = rng.random((2, n)) < p
    scores = np.where(rng.random(n) < 0.5, right[0], right).astype(float)
    looks = race_looks(WINDOWS)
    level = 0.05 / len(looks)
    return all(
        Scored(scores[:, : n * look // WINDOWS], 1.0, binary=True).p_values()[0, 1] > level
        for look in looks
        if n * look // WINDOWS
    )


KINDS = (
    Kind("Wilson", "share right", False, share_right(wilson)),
    Kind("Student t", "mean score", False, mean_score),
    Kind("Student t, paired", "difference of mean scores", False, mean_change(0.0)),
    Kind("the same, two pseudo examples", "difference of scores within 0-1", False, mean_change(1.0)),
    Kind("Tango", "difference of shares right", False, share_change),
    Kind("percentile bootstrap", "ratio of shares right", False, recovery),
    Kind("BCa bootstrap", "macro F1", False, f1),
    Kind("Clopper-Pearson", "share right", True, share_right(exact_proportion)),
    Kind("exact McNemar", "no difference", True, no_flips),
    Kind("a race's bettor, every example", "no lead in mean score", True, no_lead_bet),
    Kind("a race's sign test, all looks", "no lead in share right", True, no_lead_counted),
)
# Nothing here is a share: one column is enough.
WITHOUT_SHARE = (
    Kind("percentile bootstrap", "log perplexity", False, perplexity),
    Kind("order statistics", "median", True, median),
)
SEQUENTIAL = Kind("blocks, four looks", "median of rounds", True, stopped)


def table(simulations: int, seed: int) -> list[str]:
    """Markdown lines."""
    rows = [
        "| interval | of | aim | n | " + " | ".join(f"p={p:g}" for p in SHARES) + " |",
        "|---" * (4 + len(SHARES)) + "|",
    ]
    for kind in KINDS:
        for n in EXAMPLES:
            rows.append(_row(kind, f"{n:,}", [_covered(kind, n, p, simulations, seed) for p in SHARES]))
    for kind in WITHOUT_SHARE:
        for n in EXAMPLES:
            rows.append(_row(kind, f"{n:,}", [_covered(kind, n, 0.5, simulations, seed)]))
    rows.append(_row(SEQUENTIAL, "40-320", [_covered(SEQUENTIAL, planned_looks()[-1], 0.5, simulations, seed)]))
    return rows


def _covered(kind: Kind, n: int, p: float, simulations: int, seed: int) -> str:
    """The share covered in percent; marked where it misses the aim by more than simulation can explain."""
    rng = np.random.default_rng([seed, n, round(1000 * p)])
    hits = sum(kind.trial(n, p, rng) for _ in range(simulations))
    low, high = (0.95, 1.0) if kind.exact else (0.93, 0.97)
    interval = stats.binomtest(hits, simulations).proportion_ci()
    missed = interval.high < low or interval.low > high
    return f"{100 * hits / simulations:.1f}{' (!)' if missed else ''}"


def _row(kind: Kind, n: str, cells: list[str]) -> str:
    aim = "at least 95" if kind.exact else "93-97"
    return f"| {kind.method} | {kind.of} | {aim} | {n} | {' | '.join(cells + [''] * (len(SHARES) - len(cells)))} |"
