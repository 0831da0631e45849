"""Verdicts on promises, in plain words."""

from dataclasses import replace

import pytest

from bench.measure.delivered import Facts, delivered
from bench.recipe import Promise

BEFORE = Facts(
    parameters=2000,
    weights=2000,
    bytes=8000,
    layers=6,
    shape="batch 1 x 64 tokens",
    flops=5_000_000,
    operators={"aten.addmm float32": 10, "aten.embedding float32": 2},
    types={"float32": 2000},
    zeros=0.0,
    left=(),
)
AFTER = replace(BEFORE, parameters=1000, bytes=4000, layers=3, flops=2_500_000)
FEWER = Promise(fewer=("layers", "bytes", "flops"), plain=True)


def told(promise: Promise, after: Facts = AFTER, before: Facts | None = BEFORE) -> tuple[str, str]:
    found = delivered("shrink", promise, before, after)
    return found["verdict"], found["reason"]


def test_a_kept_promise() -> None:
    found = delivered("shrink", FEWER, BEFORE, AFTER)
    assert found["verdict"] == "delivered"
    assert found["promise"] == [
        "fewer layers",
        "fewer bytes of weights",
        "fewer FLOPs of a forward pass",
        "nothing left on the model",
    ]
    assert found["reason"] == (
        "fewer layers: from 6 to 3; fewer bytes of weights: from 8,000 to 4,000; fewer FLOPs of a forward pass: from "
        "5,000,000 to 2,500,000; nothing left on the model: no mask, adapter or parametrization"
    )
    assert told(Promise(same=("parameters",)), BEFORE) == ("delivered", "the same parameters: 2,000")
    assert (found["before"]["bytes"], found["after"]["bytes"]) == (8000, 4000)


@pytest.mark.parametrize(
    ("promise", "after", "reason"),
    [
        (
            Promise(fewer=("bytes",)),
            BEFORE,
            "shrink promised fewer bytes of weights, but they stayed at 8,000",
        ),
        (
            Promise(fewer=("bytes",)),
            replace(AFTER, bytes=8001),
            "shrink promised fewer bytes of weights, but they went from 8,000 to 8,001",
        ),
        (
            Promise(same=("parameters",)),
            AFTER,
            "shrink promised the same parameters, but they went from 2,000 to 1,000",
        ),
        (
            Promise(sparser=True),
            BEFORE,
            "shrink promised more zeros among the weights, but they went from 0.0% to 0.0%",
        ),
        (Promise(computes_in="int8"), AFTER, "shrink promised products in int8, but all 10 run in float32"),
        (
            Promise(computes_in="int8"),
            replace(AFTER, operators={}),
            "shrink promised products in int8, but none was seen",
        ),
        (
            Promise(plain=True),
            replace(AFTER, left=("2 pruning masks (a.weight_mask)",)),
            "shrink promised nothing left on the model, but 2 pruning masks (a.weight_mask)",
        ),
    ],
)
def test_a_broken_promise(promise: Promise, after: Facts, reason: str) -> None:
    assert told(promise, after) == ("not delivered", reason)


def test_one_broken_promise_of_several_decides() -> None:
    verdict, reason = told(FEWER, replace(AFTER, layers=6))
    assert (verdict, reason) == ("not delivered", "shrink promised fewer layers, but they stayed at 6")


def test_zeros() -> None:
    half = replace(BEFORE, zeros=0.481)
    assert told(Promise(sparser=True), half) == ("delivered", "more zeros among the weights: 0.0% to 48.1%")
    assert told(Promise(sparser=True), half, before=None)[0] == "not known"


def test_look_ups_are_no_products() -> None:
    some = {"aten.embedding float32": 7, "aten._int_mm int8": 3, "aten.mm float32": 1}
    found = delivered("shrink", Promise(computes_in="int8"), BEFORE, replace(AFTER, operators=some))
    assert found["reason"] == "products in int8: 3 of 4"
    assert told(Promise(computes_in="uint8"), replace(AFTER, operators={"aten.index uint8": 1}))[0] == "not delivered"


def test_what_cannot_be_told_breaks_nothing() -> None:
    lost = replace(AFTER, flops=None, operators=None, unknown="a forward pass failed: needs pixels")
    verdict, reason = told(FEWER, lost)
    assert verdict == "not known"
    assert "fewer FLOPs of a forward pass, and a forward pass failed: needs pixels" in reason
    assert told(Promise(computes_in="int8"), lost)[0] == "not known"
    assert told(FEWER, before=None)[0] == "not known"
    assert told(FEWER, replace(AFTER, shape="batch 1 x 32 tokens"))[0] == "not known"


def test_nothing_promised() -> None:
    assert told(Promise(), before=None) == ("nothing promised", "shrink promises nothing about the model's size")
