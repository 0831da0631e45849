"""Rows are drawn once for all tests of this folder."""

import pytest

from bench.zoo import rows

Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def train() -> Rows:
    return rows("entailment/train")


@pytest.fixture(scope="session")
def matched() -> Rows:
    return rows("entailment/matched-20000")


@pytest.fixture(scope="session")
def sets(train: Rows, matched: Rows) -> dict[str, Rows]:
    """Every data set by its short name, without drawing the matched rows twice."""
    return {
        "entailment/train": train,
        "entailment/matched-20000": matched,
        "entailment/matched": matched[:2048],
        "entailment/validation": rows("entailment/validation"),
        "entailment/mismatched": rows("entailment/mismatched"),
        "entailment/hard": rows("entailment/hard"),
    }
