"""Every number that can stand on the board: its unit, which way is better, what it means.

The table is stored with the data, and readers take direction and wording from there.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Literal, NamedTuple

from bench.errors import BadInput, unknown
from bench.metrics.of_tasks import OF_TASKS


class Metric(NamedTuple):
    """One kind of number."""

    name: str
    title: str
    unit: str  # "1" for a plain ratio or share, "points" for 0 to 100, "plain" for a number without one
    better: Literal["higher", "lower"]
    exact: bool  # known without sampling: has no interval
    meaning: str
    # How it is had from per-example outcomes: ("share" | "mean", COLUMN), ("ratio" | "exp ratio", UPPER, LOWER) for the
    # sums of two columns, or ("cells",) for counts of labels by predictions. Empty for what is measured otherwise.
    source: tuple[str, ...] = ()
    span: float = 0.0  # range of one example's value, 0 where unbounded

    @property
    def paired(self) -> str:
        """The metric that compares a variant with its base on the same examples, empty where there is none."""
        kind = self.source[0] if self.source else ""
        return {
            "share": f"{self.name}_difference",
            "mean": f"{self.name}_difference",
            "ratio": f"{self.name}_ratio",
            "exp ratio": f"{self.name}_ratio",
        }.get(kind, "")


# What tasks give. One line a metric; its comparison with the base follows from it.
_QUALITY: tuple[Metric, ...] = (
    Metric(
        "accuracy",
        "accuracy",
        "1",
        "higher",
        False,
        "Share of examples whose predicted label is right.",
        ("share", "score"),
        1.0,
    ),
    Metric(
        "macro_f1",
        "macro F1",
        "1",
        "higher",
        False,
        "Unweighted mean over labels of each label's F1 score.",
        ("cells",),
        1.0,
    ),
    *(Metric(*row) for row in OF_TASKS),
)


def _comparison(metric: Metric) -> Metric:
    """The row of what compares `metric` with the base on the same examples."""
    subject = f"{metric.title[0].upper()}{metric.title[1:]}"
    if metric.paired.endswith("_difference"):
        title = f"{metric.title} minus base"
        meaning = f"{subject} minus the base's on the same examples; the interval is of the paired difference."
        return Metric(metric.paired, title, metric.unit, metric.better, False, meaning)
    title = f"{metric.title} relative to base"
    meaning = f"{subject} divided by the base's on the same examples, resampled together."
    return Metric(metric.paired, title, "1", metric.better, False, meaning)


# How alike a variant is to its base, example by example, whatever that does to the score.
FIDELITY = ("agreement", "flips_gained", "flips_lost")


def of_base(name: str) -> float | None:
    """What a metric that compares a variant with its base is for the base itself; None for any other.

    Recovery is a mean of ratios to the base, and stands among the base's own numbers.
    """
    if name.endswith("_difference") or name.startswith("flips_"):
        return 0.0
    return 1.0 if name == "agreement" or name.endswith("_ratio") else None


def flips_in(names: Sequence[str]) -> bool:
    """Whether a task with these metrics scores examples as right or wrong, so that flips can be counted."""
    return any(METRICS[name].source == ("share", "score") for name in names)


# What leases of latency give: of whatever is timed, and the middle three of writing alone. STEM_ratio is to the base.
TIMED = ("latency", "prefill", "first_token", "per_token", "energy")
TAILS = {"latency_p95_ms": 0.95, "latency_p99_ms": 0.99}  # the quantiles of single calls
_Row = tuple[str, str, str, Literal["higher", "lower"], bool, str]
_TAIL = "{} of 100 single calls took at most so long; shown only where at least 10 independent calls took longer."


def _timed(stem: str, title: str, meaning: str) -> tuple[_Row, _Row]:
    """The ratio to the base and the milliseconds of a time."""
    ratio = "Median over rounds of the variant's time divided by the base's in the same round on the same machine. "
    where = " Holds for the hardware class it was measured on, and there only."
    return (
        (f"{stem}_ratio", f"{title} relative to base", "1", "lower", False, ratio + meaning),
        (f"{stem}_ms", title, "ms", "lower", False, meaning + where),
    )


_TABLE: tuple[_Row, ...] = (
    # name, title, unit, better, exact, meaning
    ("agreement", "agreement with base", "1", "higher", False, "Share of examples with the base's prediction."),
    (
        "flips_gained",
        "flips gained",
        "1",
        "higher",
        False,
        "Share of examples that the base gets wrong and the variant right.",
    ),
    (
        "flips_lost",
        "flips lost",
        "1",
        "lower",
        False,
        "Share of examples that the base gets right and the variant wrong. Equal scores can hide many.",
    ),
    ("recovery", "recovery", "1", "higher", False, "Mean over the named tasks of score divided by the base's score."),
    *_timed(
        "latency",
        "latency",
        "Median time of one call: a forward pass, or the writing of a fixed number of tokens where the scope says so.",
    ),
    *_timed("prefill", "prefill", "Median time of reading the input: one pass that fills the cache."),
    *_timed("first_token", "time to first token", "Median time of reading the input and writing one token."),
    *_timed("per_token", "time per token", "Median time of each further token, the first one and the input left out."),
    ("latency_p95_ms", "latency, 95th percentile", "ms", "lower", False, _TAIL.format("95")),
    ("latency_p99_ms", "latency, 99th percentile", "ms", "lower", False, _TAIL.format("99")),
    (
        "tokens_per_second",
        "tokens per second",
        "1/s",
        "higher",
        False,
        "Tokens written by the whole batch in a second, the reading of the input included.",
    ),
    (
        "energy_ratio",
        "energy relative to base",
        "1",
        "lower",
        False,
        "Median over rounds of the variant's energy of a call divided by the base's in the same round.",
    ),
    ("energy_j", "energy", "J", "lower", False, "Median energy of one call, of the whole processor or GPU."),
    (
        "load_seconds",
        "load time",
        "s",
        "lower",
        False,
        "Time to load the saved model, files in the page cache. Other jobs may run on other cores.",
    ),
    (
        "first_call_seconds",
        "time of first call",
        "s",
        "lower",
        False,
        "Time of the first call of a fresh process: weights are mapped, kernels chosen and packed. Other jobs may run "
        "on other cores.",
    ),
    (
        "host_peak",
        "peak host memory",
        "B",
        "lower",
        False,
        "Peak resident memory of a fresh process that loads and runs the model with all its weights in memory, minus "
        "its own peak after imports.",
    ),
    (
        "mapped_weights",
        "mapped weights",
        "B",
        "lower",
        False,
        "The part of resident memory that is mapped from the weights' files: shared by processes, and not lost when "
        "dropped.",
    ),
    ("host_imports", "memory of imports", "B", "lower", False, "Peak resident memory after imports, before load."),
    (
        "resident",
        "resident memory",
        "B",
        "lower",
        False,
        "Resident memory after full forward passes with all weights in memory, minus that after imports.",
    ),
    (
        "cuda_allocated_peak",
        "peak GPU memory",
        "B",
        "lower",
        False,
        "Most bytes of tensors at once on the GPU, in a fresh process that loads and runs the model.",
    ),
    (
        "cuda_reserved_peak",
        "peak GPU memory reserved",
        "B",
        "lower",
        False,
        "Most bytes that torch's allocator held at once on the GPU, in a fresh process that loads and runs the model.",
    ),
    (
        "kv_cache_per_token",
        "cache per token",
        "B",
        "lower",
        True,
        "Bytes by which the cache of one sequence grows with each token that the model writes.",
    ),
    ("size", "size on disk", "B", "lower", True, "Bytes of the saved weights; shared tensors are saved once."),
    ("parameters", "parameters", "count", "lower", True, "Numbers that make up the weights; shared ones count once."),
    ("layers", "layers", "count", "lower", True, "Transformer layers, encoder and decoder together."),
    (
        "flops",
        "FLOPs",
        "count",
        "lower",
        True,
        "Operations of the matrix products and attention of one forward pass, in whatever type: a multiplication and "
        "an addition are two. A decoder beside an encoder reads as many tokens.",
    ),
)

# Of recipes over their seeds alone: a single variant's macro F1 has an interval of its own, and no paired one.
_OF_RECIPES = Metric(
    "macro_f1_difference",
    "macro F1 minus base",
    "1",
    "higher",
    False,
    "Macro F1 minus the base's on the same examples, of a recipe over its training seeds.",
)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *_QUALITY,
        *(_comparison(m) for m in _QUALITY if m.paired),
        _OF_RECIPES,
        *(Metric(*row) for row in _TABLE),
    )
}


# The store computes these from outcomes itself; as modules of `evaluate` they serve other people's code, and our tests.
MODULES: dict[str, str] = {
    "accuracy": "bench.metrics.accuracy:Accuracy",
    "macro_f1": "bench.metrics.macro_f1:MacroF1",
}


def evaluate_module(name: str) -> Any:
    """A ready `evaluate.Metric`, kept in memory. Raises BadInput for an unknown name or without the extra `metrics`."""
    if name not in MODULES:
        raise unknown("metric module", name, MODULES)
    module, attribute = MODULES[name].split(":")
    try:
        found = getattr(import_module(module), attribute)
    except ImportError as error:
        raise BadInput(f"The metric module {name!r} needs evaluate: pip install 'paredown[metrics]'.") from error
    return found(keep_in_memory=True)


def metric(name: str) -> Metric:
    """The metric of that name. Raises BadInput with near misses for an unknown one."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]
