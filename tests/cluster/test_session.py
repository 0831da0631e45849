"""A run from taking the store to letting go of it, with a pool that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.store.journal import Entry
from bench.sweep_file import LimitsSection
from cluster import session
from cluster.drive import Pool
from cluster.plan import Plan
from cluster.session import Options, Work, run_work
from cluster.standing import Known


def test_what_is_published_says_of_which_sweep_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[dict[str, Any]] = []

    class Idle:
        def utilisation(self) -> dict[str, tuple[float, float]]:
            return {}

        def report(self, progress: dict[str, Any]) -> None:
            reported.append(progress)

    @contextmanager
    def workers(*_: object) -> Iterator[tuple[Work, Pool, Known]]:
        entry = Entry.statement("sweep", "sweep abc", {})
        pool: Any = Idle()
        yield Work(lambda *_: Plan((), ()), entry, "abc", LimitsSection(), "a CPU"), pool, Known()

    monkeypatch.setattr(session, "_workers_here", workers)
    asked: Any = None
    options = Options(tmp_path / "store", "local")
    assert list(run_work(asked, "cpu", options, lambda *_: {"done": 3}, lambda *_: None)) == []
    assert reported == [{"done": 3, "sweep": "abc"}]
