"""A run from taking the store to letting go of it, with a pool that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.job import library_versions
from bench.record import Record
from bench.store.journal import Entry
from bench.sweep_file import LimitsSection
from cluster import session
from cluster.drive import Pool, Running
from cluster.hardware import Offer
from cluster.plan import Plan
from cluster.session import Options, Prepare, Work, run_batch, run_confirmation, run_work
from cluster.standing import Known


@pytest.mark.parametrize(
    ("work", "published"),
    [({}, {}), ({"verb": "settle", "run": {"done": 90}}, {"verb": "settle", "run": {"done": 90}})],
)
def test_what_is_published_says_whose_progress_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: dict[str, Any], published: dict[str, Any]
) -> None:
    """Of which sweep, and of what beside its own run."""
    reported: list[dict[str, Any]] = []

    class Idle:
        def utilisation(self) -> dict[str, tuple[float, float]]:
            return {}

        def running(self) -> list[Running]:
            return [("a", "build x", 7.0)]

        def report(self, progress: dict[str, Any]) -> None:
            reported.append(progress)

    @contextmanager
    def workers(*_: object) -> Iterator[tuple[Work, Pool, Known]]:
        entry = Entry.statement("sweep", "sweep abc", {})
        pool: Any = Idle()
        yield Work(lambda *_: Plan((), ()), entry, "abc", LimitsSection(), "a CPU", **work), pool, Known()

    monkeypatch.setattr(session, "_workers_here", workers)
    asked: Any = None
    options = Options(tmp_path / "store", "local")
    assert list(run_work(asked, "cpu", options, lambda *_: {"done": 3}, lambda *_: None)) == []
    where = [("a", "build x", 7.0)]
    assert reported == [{"done": 3, "sweep": "abc", "where": where, **published}]


def test_what_settles_or_confirms_says_so_and_hands_the_runs_counts_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Work] = []

    def run_work(prepared: Prepare, *_: object) -> Iterator[Record]:
        made.append(prepared([Offer(("c",))]))
        return iter(())

    monkeypatch.setattr(session, "run_work", run_work)
    entry = Entry.statement("sweep", "sweep abc", {})
    of = {"entry": entry, "sweep_id": "abc"}
    asked: Any = SimpleNamespace(
        opening=SimpleNamespace(**of),
        jobs=[SimpleNamespace(threads=1, versions=library_versions())],
        limits=None,
        hardware_class="c",
        device="cpu",
        run={"done": 9},
        **of,
    )
    runs: tuple[Any, ...] = (run_confirmation, run_batch)
    for run in runs:
        run(asked, Options(tmp_path, "local"), lambda *_: {}, lambda *_: None)
    assert [(work.verb, work.run, work.sweep_id) for work in made] == [
        ("confirm", {"done": 9}, "abc"),
        ("settle", {"done": 9}, "abc"),
    ]
