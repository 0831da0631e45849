"""Constraints as people write them: operators, units, scopes with commas in them, and what is wrong said in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadInput
from bench.metrics import METRICS
from bench.metrics.bounds import bound, read, refuse_contradictions
from bench.statistics.constraints import Constraint


def understood(*texts: str) -> list[Constraint]:
    found = []
    for each in read(texts):
        metric, _, scope = each.asked.partition(":")
        found.append(bound(each, metric, scope, METRICS[metric].unit))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency_p95_ms <= 20", Constraint("latency_p95_ms", "", "<=", 20)),
        (
            "latency_ms:batch 1 x 32 tokens, 16 new<20ms",
            Constraint("latency_ms", "batch 1 x 32 tokens, 16 new", "<", 20),
        ),
        ("latency_ms ≤ 0.02 s", Constraint("latency_ms", "", "<=", 20)),
        ("recovery at least 99%", Constraint("recovery", "", ">=", 0.99)),
        ("agreement >= 57%", Constraint("agreement", "", ">=", 0.57)),
        ("accuracy_difference >= −0.5pts", Constraint("accuracy_difference", "", ">=", -0.005)),
        ("latency_ratio At  Most 0.5x", Constraint("latency_ratio", "", "<=", 0.5)),
        ("size <= 1.5 MB", Constraint("size", "", "<=", 1.5e6)),
        ("host_peak <= 1GiB", Constraint("host_peak", "", "<=", 2**30)),
        ("parameters < 66M", Constraint("parameters", "", "<", 66e6)),
        ("tokens_per_second > 1e2 / s", Constraint("tokens_per_second", "", ">", 100)),
        ("rougeLsum >= 30 points", Constraint("rougeLsum", "", ">=", 30)),
        ("flips_lost:task / a part <= 2 %", Constraint("flips_lost", "task / a part", "<=", 0.02)),
    ],
)
def test_one_constraint(text: str, expected: Constraint) -> None:
    assert understood(text) == [expected]


def test_several_between_commas_or_one_by_one() -> None:
    apart = ("latency_ms:batch 1 x 8 tokens, 16 new <= 20", "accuracy:a >= .5", "size<=3MB")
    together = read([", ".join(apart)])
    assert [(w.asked, w.operator, w.number) for w in together] == [(w.asked, w.operator, w.number) for w in read(apart)]
    assert [w.text for w in together] == list(apart)
    assert read([]) == []


@given(st.integers(0, 100))
def test_a_percentage_is_the_number_that_it_is(percent: int) -> None:
    (found,) = understood(f"latency_ratio <= {percent}%")
    assert found.bound == percent / 100


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("accuracy", "has no operator"),
        ("accuracy = 0.9", "asks for equality"),
        ("accuracy == 0.9", "asks for equality"),
        ("accuracy >=", "names no number"),
        ("accuracy at least half", "names no number"),
        ("accuracy >= NaN", "is a finite number"),
        ("size <= inf", "is a finite number"),
        ("size <= -Infinity", "is a finite number"),
        ("size <= 1e999", "is a finite number"),
        ("size <= 3 4", "cannot be read"),
        ("accuracy >= 0.5,, size <= 3", "cannot be read"),
        ("latency_ms <= 1,000", "'000' has no operator"),
        ("size <= 3ms", "size is in bytes.*one with B, kB, MB"),
        ("layers <= 3%", "layers is in plain counts"),
        ("perplexity <= 3 ms", "perplexity is in plain numbers: give the plain number"),
        ("accuracy >= 90", "met by no possible value.*between 0 and 1.*90%"),
        ("accuracy_difference >= -1", "met by every possible value.*between -1 and 1"),
        ("flips_lost <= 2", "met by every possible value"),
        ("rougeLsum >= 101", "met by no possible value.*between 0 and 100"),
    ],
)
def test_what_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        understood(text)


def test_a_pair_that_contradicts_itself_is_named() -> None:
    texts = ["latency_ms <= 20", "size <= 3MB", "latency_ms > 0.02 s"]
    with pytest.raises(BadInput, match=r"meet both 'latency_ms <= 20' and 'latency_ms > 0.02 s'"):
        refuse_contradictions(texts, understood(*texts))
    refuse_contradictions(texts[:2], understood(*texts[:2]))
