"""Pairs whose order differs between machines: by hand, and against every pair by brute force."""

import random

import pytest

from bench.measure.rank_flips import Pair, rank_flips

CPU = {"base": (1.0, 1.0), "int8": (1.20, 1.30), "half": (0.48, 0.52), "bf16": (0.95, 1.05)}
GPU = {"base": (1.0, 1.0), "int8": (0.60, 0.70), "half": (0.49, 0.53), "bf16": (0.55, 0.62)}


def test_by_hand() -> None:
    """int8 is slower than its base on the CPU and faster on the GPU."""
    found = rank_flips({"cpu": CPU, "gpu": GPU})
    assert [(p.first, p.second, p.verdict) for p in found] == [
        ("base", "int8", "flipped"),
        ("base", "half", "same"),
        ("int8", "half", "same"),
        ("half", "bf16", "same"),
        ("base", "bf16", "undecided"),
        ("int8", "bf16", "undecided"),
    ]
    assert found[0].orders == {"cpu": "below", "gpu": "above"}
    assert found[-1].orders == {"cpu": "above", "gpu": "open"}


def test_a_third_class() -> None:
    """One that cannot tell makes the same undecided, and leaves a flip a flip."""
    third = {"base": (1.0, 1.0), "int8": (0.9, 1.1), "half": (0.9, 1.1)}
    verdicts = {(p.first, p.second): p for p in rank_flips({"cpu": CPU, "gpu": GPU, "third": third})}
    assert verdicts["base", "int8"].verdict == "flipped"
    assert verdicts["base", "half"].verdict == "undecided"
    assert verdicts["half", "bf16"].orders == {"cpu": "below", "gpu": "below"}  # the third has no bf16
    assert verdicts["half", "bf16"].verdict == "same"


def test_too_little_to_compare() -> None:
    assert rank_flips({}) == ()
    assert rank_flips({"cpu": CPU}) == ()
    assert rank_flips({"cpu": {"a": (1, 1)}, "gpu": {"b": (1, 1)}}) == ()
    touching = rank_flips({"cpu": {"a": (1, 2), "b": (2, 3)}, "gpu": {"a": (3, 4), "b": (1, 2)}})
    assert touching == (Pair("a", "b", "undecided", {"cpu": "open", "gpu": "above"}),)


@pytest.mark.parametrize("wrong", [(1.0, float("nan")), (float("inf"), float("inf")), (2.0, 1.0)])
def test_intervals_that_are_none(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="the interval of a on cpu runs from"):
        rank_flips({"cpu": {"a": wrong}})


def test_against_brute_force() -> None:
    draw = random.Random(0)
    for _ in range(200):
        ratios = {
            where: {
                name: tuple(sorted((draw.randrange(6), draw.randrange(6)))) for name in "abcd" if draw.random() < 0.8
            }
            for where in ("x", "y", "z")
        }
        found = {frozenset((p.first, p.second)): p.verdict for p in rank_flips(ratios)}  # type: ignore[arg-type]
        for one in "abcd":
            for other in "abcd":
                both = [f for f in ratios.values() if one in f and other in f]
                if one == other or len(both) < 2:
                    assert one == other or frozenset((one, other)) not in found
                    continue
                under = sum(max(f[one]) < min(f[other]) for f in both)
                over = sum(max(f[other]) < min(f[one]) for f in both)
                expected = "flipped" if under and over else "same" if max(under, over) == len(both) else "undecided"
                assert found[frozenset((one, other))] == expected
