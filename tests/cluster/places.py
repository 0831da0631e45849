"""The two kinds of pool over a store, opened and closed as a session does it, but for jobs of our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.execute import Execute, Site
from bench.job import Job
from bench.record import Record
from bench.store.folder import Lease, open_folder, store_id, take_lease
from bench.store.journal import Entry, parts, read_entries
from bench.store.writer import Writer
from cluster.drive import Pool, Running
from cluster.known import known_in
from cluster.runner_local import Limits, LocalPool
from cluster.standing import Known
from tests.cluster.jobs import act

NO_LIMITS = Limits(60.0)


@dataclass
class Place:
    """A pool with what its store knew before. Follows how many jobs are in it at once."""

    inner: Pool
    known: Known
    lease: Lease
    writer: Any  # the Writer, or the actor's handle
    inside: set[str] = field(default_factory=set)
    most_inside: int = 0
    seen: set[tuple[str, str]] = field(default_factory=set)  # (node, job) of what was told to run

    def takes(self, job: Job) -> bool:
        return self.inner.takes(job)

    def submit(self, job: Job, attempt: int) -> None:
        self.inner.submit(job, attempt)
        assert job.key not in self.inside, "a job was submitted while it was in flight"
        self.inside.add(job.key)
        self.most_inside = max(self.most_inside, len(self.inside))

    def wait(self, seconds: float) -> list[Record]:
        records = self.inner.wait(seconds)
        self.inside -= {r.key for r in records}
        return records

    def utilisation(self) -> Mapping[str, tuple[float, float]]:
        return self.inner.utilisation()

    def running(self) -> list[Running]:
        return self.inner.running()

    def state(self, entries: list[Entry]) -> None:
        self.inner.state(entries)

    def report(self, progress: dict[str, Any]) -> None:
        self.seen |= {(node, title) for node, title, _ in progress.get("where", ())}
        self.inner.report(progress)

    def close(self) -> None:
        self.inner.close()


class Opens(Protocol):
    """Opens a pool of two workers over the store in `root`."""

    def __call__(self, root: Path, *, limits: Limits = ...) -> AbstractContextManager[Place]: ...


@contextmanager
def local_place(root: Path, *, limits: Limits = NO_LIMITS, run: Execute = act) -> Iterator[Place]:
    """Two worker processes of this one, which is the writer."""
    lease = take_lease(open_folder(root, create=True))
    try:
        writer = Writer(lease.folder, lease.epoch)
        known = known_in(lease.folder)
        folder = lease.folder
        pool = LocalPool(writer, Site(folder.artefacts), workers=2, limits=limits, run=run, logs=folder.logs)
        try:
            yield Place(pool, known, lease, writer)
        finally:
            pool.close()
    finally:
        lease.release()


@contextmanager
def ray_place(
    root: Path, *, limits: Limits = NO_LIMITS, run: Execute = act, take_over: bool = False
) -> Iterator[Place]:
    """The workers and the writer of the Ray cluster that this process is connected to."""

    from cluster import runner_ray
    from cluster.ray_nodes import Nodes, of_site

    lease = take_lease(open_folder(root, create=True), take_over=take_over)
    try:
        folder = lease.folder
        site = Site(folder.artefacts, acknowledgements=folder.logs)
        nodes = Nodes(*of_site(site))
        nodes.begin()
        writer = runner_ray.start_writer(folder, lease.epoch, store_id(folder))
        known = known_in(lease.folder)
        pool = runner_ray.RayPool(writer, site, nodes, limits=limits, run=run)
        try:
            yield Place(pool, known, lease, writer)
        finally:
            pool.close()
    finally:
        lease.release()


def journal(root: Path) -> list[Record]:
    """Every record line of the journal as it lies on the disk, in order, nothing left out."""
    return [
        Record.model_validate_json(body)
        for part in parts(root / "journal")
        for entry, _, body in read_entries(part)
        if entry == "record"
    ]


def finished_keys(root: Path) -> list[str]:
    """The key of every finished record line."""
    return [record.key for record in journal(root) if record.finished]


def acknowledged(root: Path) -> set[str]:
    """What workers (or, with the local runner, the driver) noted as acknowledged."""
    return {line for log in (root / "logs").glob("acknowledged-*.log") for line in whole_lines(log)}


def whole_lines(log: Path) -> list[str]:
    """The lines of a log but for one that a killed process did not end."""
    return [line.rstrip("\n") for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
