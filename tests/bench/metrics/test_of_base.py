"""What compares a variant with its base has one value for the base itself, and nothing else has."""

from bench.metrics import METRICS, of_base


def test_what_compares_is_known_of_the_base() -> None:
    found = {name: of_base(name) for name in METRICS}
    compared = {metric.paired for metric in METRICS.values() if metric.paired}
    assert {name for name in compared if found[name] is None} == set()
    assert {found[name] for name in compared if name.endswith("_ratio")} == {1.0}
    assert {found[name] for name in compared if name.endswith("_difference")} == {0.0}
    assert (found["latency_ratio"], found["agreement"], found["flips_lost"]) == (1.0, 1.0, 0.0)
    assert {found[name] for name in ("accuracy", "perplexity", "recovery", "latency_ms", "size")} == {None}
