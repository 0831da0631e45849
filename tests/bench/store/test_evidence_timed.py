"""The evidence of what is timed in parts: the series behind a time per token, and the rounds that tell nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import Any

import duckdb
import pytest

from bench.job import parts_of
from bench.store.asked import Asked
from bench.store.evidence_timed import timed
from bench.store.timing import LeaseRecord

SHAPE, NEW, ROUNDS = (2, 16), 9, 24
PREFILL, FIRST, WHOLE = parts_of(SHAPE, NEW)
LEASE = LeaseRecord("a" * 64, 0, ("base", "mine"), (SHAPE,), NEW, ROUNDS, ROUNDS)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """One lease: the base writes its first token in 10 ms and each other in 1, the variant in 5 and 0.5.

    In the fifth round the variant's first token took longer than all of its tokens together.
    """
    with duckdb.connect() as found:
        found.execute(files("bench.store").joinpath("schema.sql").read_text(encoding="utf-8"))
        for number in range(ROUNDS):
            for model, share in (("base", 1.0), ("mine", 0.5)):
                for position in range(2):
                    first = 0.010 * share * (1 + 0.001 * number)
                    parts = {PREFILL: 0.008 * share, FIRST: first, WHOLE: first + 8 * 0.001 * share}
                    if (number, model) == (4, "mine"):
                        parts[FIRST] = 1.0
                    for scope, seconds in parts.items():
                        row = ["a" * 64, 0, model, scope, number, position, 3, seconds, 0.5, [seconds], None]
                        found.execute(f"insert into samples values ({', '.join('?' * len(row))})", row)
        yield found


def asked(metric: str, unit: str) -> Asked:
    variants = [{"artefact_id": name, "is_base": name == "base"} for name in ("mine", "base")]
    described: dict[str, Any] = {"name": metric, "unit": unit, "meaning": "", "exact": False}
    return Asked({}, variants[0], variants[1], described, WHOLE, {}, ())


def test_a_shape_that_took_fewer_rounds_than_another_lacks_none(connection: duckdb.DuckDBPyConnection) -> None:
    shorter = (2, 8)
    for scope in parts_of(shorter, NEW):
        connection.execute(
            "insert into samples select * replace (? as scope) from samples where scope = ? and round < 10",
            [scope, scope.replace("x 8", "x 16")],
        )
    lease = replace(LEASE, shapes=(SHAPE, shorter))
    about = replace(asked("latency_ms", "ms"), scope=parts_of(shorter, NEW)[-1])
    found = timed(connection, about, [lease])
    assert found is not None
    assert not any("left out" in note for note in found.sheets[0].notes)


def test_a_time_per_token_leaves_out_what_tells_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    found = timed(connection, asked("per_token_ms", "ms"), [LEASE])
    assert found is not None
    leases, _ = found.sheets
    row = dict(zip(leases.columns, leases.rows[0], strict=True))
    assert row["rounds"] == ROUNDS - 1
    assert row["estimate"] == pytest.approx(0.5)
    assert row["base, median"] == pytest.approx(1.0)
    assert "1 rounds of lease 1 are left out: a shorter part took longer there." in leases.notes
    assert len(found.everything().rows) == ROUNDS * 2 * 2 * 3, "visits to both models, in all three parts"


def test_a_ratio_and_a_speed(connection: duckdb.DuckDBPyConnection) -> None:
    ratio = timed(connection, asked("first_token_ratio", "1"), [LEASE])
    assert ratio is not None
    assert ratio.sheets[0].rows[0][3] == pytest.approx(0.5)
    speed = timed(connection, asked("tokens_per_second", "1/s"), [LEASE])
    assert speed is not None
    assert speed.sheets[0].title == "Leases (ms, by round)", "a speed follows from a time, and that is what was sampled"
    assert timed(connection, asked("host_peak", "B"), [LEASE]) is None
    assert timed(connection, asked("latency_ms", "ms"), []) is None
