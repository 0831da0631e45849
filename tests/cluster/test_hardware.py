"""On which hardware class a cluster's sweep is measured."""

from __future__ import annotations

import pytest

from bench.errors import BadInput
from cluster.hardware import Offer, measured_class

SMALL = Offer(("Xeon | 1 of 2 CPUs", "Xeon | 2 of 2 CPUs"))
LARGE = Offer(tuple(f"Epyc | {n} of 64 CPUs" for n in range(1, 65)), "H100 | 700 W")
OTHER = Offer(tuple(f"Epyc | {n} of 64 CPUs" for n in range(1, 65)), "A100 | 400 W")


def test_the_driver_needs_no_such_machine() -> None:
    assert measured_class([SMALL, LARGE, LARGE], gpu=True, threads=1) == "H100 | 700 W"
    assert measured_class([SMALL, LARGE], gpu=False, threads=8, here="Laptop | 8 of 8 CPUs") == "Epyc | 8 of 64 CPUs"


def test_the_drivers_own_class_is_taken_where_a_node_is_of_it() -> None:
    assert measured_class([LARGE, SMALL], gpu=False, threads=2, here=SMALL.cpu[1]) == SMALL.cpu[1]
    assert measured_class([LARGE, SMALL], gpu=False, threads=2, here=SMALL.cpu[1], asked="epyc") == LARGE.cpu[1]


def test_of_several_classes_one_is_named() -> None:
    with pytest.raises(BadInput, match=r"on 2 hardware classes.*--hardware.*'A100 \| 400 W'; 'H100 \| 700 W'"):
        measured_class([LARGE, OTHER], gpu=True, threads=1)
    assert measured_class([LARGE, OTHER], gpu=True, threads=1, asked="A100") == "A100 | 400 W"
    with pytest.raises(BadInput, match=r"--hardware is 'B200', with which none .* begins: give one of 'A100"):
        measured_class([LARGE, OTHER], gpu=True, threads=1, asked="B200")
    with pytest.raises(BadInput, match=r"--hardware is '', with which several .* begin: give one of"):
        measured_class([LARGE, OTHER], gpu=True, threads=1, asked="")


def test_what_no_node_has_is_said() -> None:
    with pytest.raises(BadInput, match=r"none of the cluster's nodes \(2\) gives Ray a GPU.*set device=cpu"):
        measured_class([SMALL, SMALL], gpu=True, threads=1)
    with pytest.raises(BadInput, match=r"threads is 128, but the cluster's largest node has 64 CPUs"):
        measured_class([SMALL, LARGE], gpu=False, threads=128)
    with pytest.raises(BadInput, match="largest node has 0 CPUs"):
        measured_class([], gpu=False, threads=1)


def test_a_node_is_of_every_class_that_it_offers() -> None:
    assert SMALL.classes == frozenset(SMALL.cpu)
    assert LARGE.classes == {*LARGE.cpu, "H100 | 700 W"}
