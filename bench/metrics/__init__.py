"""Every number that can stand on the board: its unit, which way is better, what it means.

The table is stored with the data, and readers take direction and wording from there.
"""

from typing import Literal, NamedTuple

from bench.errors import unknown


class Metric(NamedTuple):
    """One kind of number."""

    name: str
    title: str
    unit: str  # "1" for a plain ratio or share
    better: Literal["higher", "lower"]
    exact: bool  # known without sampling: has no interval
    meaning: str


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", "accuracy", "1", "higher", False, "Share of examples whose predicted label is the right one."),
        Metric("macro_f1", "macro F1", "1", "higher", False, "Unweighted mean over labels of the F1 score of each label."),
        Metric(
            "accuracy_difference",
            "accuracy minus base",
            "1",
            "higher",
            False,
            "Accuracy minus the base's accuracy on the same examples; the interval is of the paired difference.",
        ),
        Metric("agreement", "agreement with base", "1", "higher", False, "Share of examples with the base's prediction."),
        Metric(
            "recovery",
            "recovery",
            "1",
            "higher",
            False,
            "Unweighted mean over the named tasks of the variant's score divided by the base's.",
        ),
        Metric(
            "latency_ratio",
            "latency relative to base",
            "1",
            "lower",
            False,
            "Median over rounds of the variant's time divided by the base's time in the same round, same machine.",
        ),
        Metric(
            "latency_ms",
            "latency",
            "ms",
            "lower",
            False,
            "Median time of one forward pass. Holds for the hardware class it was measured on, and there only.",
        ),
        Metric("load_seconds", "load time", "s", "lower", True, "Time to load the saved model, files in the page cache."),
        Metric(
            "host_peak",
            "peak host memory",
            "B",
            "lower",
            True,
            "Peak resident memory of a fresh process that loads and runs the model, minus its own peak after imports.",
        ),
        Metric("host_imports", "memory of imports", "B", "lower", True, "Peak resident memory after imports, before load."),
        Metric("resident", "resident memory", "B", "lower", True, "Resident memory after one full forward pass, minus that after imports."),
        Metric("size", "size on disk", "B", "lower", True, "Bytes of the saved weights, counted by unique storage."),
        Metric("parameters", "parameters", "count", "lower", True, "Numbers that make up the weights; shared ones count once."),
        Metric("layers", "layers", "count", "lower", True, "Transformer layers, encoder and decoder together."),
    )
}


def metric(name: str) -> Metric:
    """The metric of that name. Raises BadInput with near misses for an unknown one."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]
