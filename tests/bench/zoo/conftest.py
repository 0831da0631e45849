"""Rows are drawn once for all tests of this folder: large sets by their first rows, which are the same rows."""

import pytest

from bench.zoo import DATA, rows
from bench.zoo.grammar import write_rows

Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def train() -> Rows:
    return list(write_rows(DATA["entailment/train"], count=10_000))


@pytest.fixture(scope="session")
def matched() -> Rows:
    return list(write_rows(DATA["entailment/matched-20000"], count=6_000))


@pytest.fixture(scope="session")
def sets(train: Rows, matched: Rows) -> dict[str, Rows]:
    """Every data set by its name."""
    small = {name: rows(name) for name in ("entailment/validation", "entailment/mismatched", "entailment/hard")}
    large = {"entailment/train": train, "entailment/matched-20000": matched, "entailment/matched": matched[:2048]}
    return small | large
