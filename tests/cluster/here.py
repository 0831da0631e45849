"""A pool without workers, for what is asked and not where it runs."""

from __future__ import annotations

from typing import Any

from bench.execute import Site, attempt
from bench.job import Job
from bench.record import Record
from bench.store.journal import Entry
from bench.store.writer import Writer
from cluster.drive import Running


class Here:
    """Does each job in this process, at once: what is asked here is what is run, not where."""

    def __init__(self, writer: Writer, site: Site, **_: object) -> None:
        self._writer = writer
        self._site = site
        self._done: list[Record] = []

    def takes(self, job: Job) -> bool:
        del job
        return not self._done

    def submit(self, job: Job, number: int) -> None:
        delivery = attempt(job, number, self._site)
        self._writer.append([Entry.of(delivery)])
        self._done = [delivery.record]

    def wait(self, seconds: float) -> list[Record]:
        del seconds
        done, self._done = self._done, []
        return done

    def state(self, entries: list[Entry]) -> None:
        self._writer.append(entries)

    def utilisation(self) -> dict[str, tuple[float, float]]:
        return {}

    def running(self) -> list[Running]:
        return []

    def report(self, progress: dict[str, Any]) -> None:
        self._writer.report(progress)

    def close(self) -> None:
        self._writer.close()
