"""One run of one sweep: take the store, start workers, drive the plan to its end, let go of everything."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.device import gpu_index, require_device
from bench.errors import BadInput, StoreBusy
from bench.execute import Site
from bench.identity import short
from bench.job import library_versions
from bench.measure.conditions import cpu_quota, hardware_class
from bench.measure.energy import absence
from bench.metrics.bounds import read
from bench.processor import prepare
from bench.record import Record
from bench.store.bucket import copies_of
from bench.store.folder import Folder, Lease, open_folder, store_id, take_lease
from bench.store.journal import Entry
from bench.store.writer import Writer
from bench.sweep import Sweep
from bench.sweep_file import LimitsSection, SweepFile
from cluster import ray_settings
from cluster.confirm import Confirmation
from cluster.declare import board_id, declare
from cluster.drive import Planning, Pool, Watch, drive
from cluster.estimates import Estimates
from cluster.hardware import Offer, measured_class
from cluster.known import known_in
from cluster.needs import artefacts_of
from cluster.plan import OPEN, Plan, Planner
from cluster.racing import Stopped
from cluster.runner_local import Limits, LocalPool, workers_for
from cluster.standing import Known, Machine

if TYPE_CHECKING:
    from cluster.ray_nodes import Nodes
    from cluster.settle import Batch

RunnerName = Literal["local", "ray"]
Started = Callable[[Plan, Estimates], None]  # told of the first plan, and of what jobs are known to take


@dataclass(frozen=True, slots=True)
class Options:
    """How a sweep is run, apart from what it asks for."""

    store: Path
    runner: RunnerName
    address: str | None = None
    workers: int | None = None
    take_over: bool = False
    hardware: str | None = None  # class to measure on, or how it begins, where a cluster has several


@dataclass
class Tally:
    """What a run came to."""

    finished: int = 0
    failed: int = 0

    def add(self, record: Record) -> None:
        self.finished += record.finished
        self.failed += not record.finished


def machine_here(file: SweepFile) -> Machine:
    """This machine as a measuring node of a sweep. One cluster's nodes of the default class are alike.

    Raises BadInput where the sweep's device is not there, or it asks for what this machine cannot do.
    """
    require_device(file.device)
    if gpu_index(file.device) is None and file.latency.threads > cpu_quota():
        raise BadInput(
            f"latency.threads is {file.latency.threads}, but this process may use {cpu_quota():g} CPUs here: lower it, "
            "or run where there are as many."
        )
    _require_energy(file)
    return Machine(hardware_class(file.latency.threads, file.device), library_versions())


def _require_energy(file: SweepFile) -> None:
    """Raise BadInput where energy is asked for and this machine cannot tell it: no row would ever have a number."""
    asked = {
        "objectives": [text for text in file.objectives if text.partition(":")[0] == "energy"],
        "constraints": [each.text for each in read(file.constraints) if each.asked.startswith("energy_")],
    }
    for setting, texts in asked.items():
        if texts and (why := absence(file.device)):
            raise BadInput(
                f"{setting} names {texts[0]}, but energy cannot be measured here: {why}. Leave it out, or run where it "
                "can."
            )


def estimates(known: Known, measured: str) -> Estimates:
    """What jobs will take on the class that is measured and beside it on this CPU, as far as a store's records tell."""
    return known.times.on(measured, hardware_class(1))


def run_sweep(
    sweep: Sweep,
    options: Options,
    watch: Watch,
    started: Started,
    declared: Callable[[str], None] = lambda _: None,
) -> Iterator[Record]:
    """Run a sweep to its end, or go on with it; yields each record as it is acknowledged. Raises as `run_work`.

    `declared` is told the id of the sweep's board, once its hardware class is known.
    """

    def work(offers: Collection[Offer] | None) -> Work:
        machine = machine_here(sweep.file) if offers is None else _machine_of(offers, sweep.file, options.hardware)
        planner = Planner(sweep, machine)
        board = board_id(sweep, machine)
        entry = declare(sweep, machine, planner)
        declared(board)
        return Work(planner, entry, board, sweep.file.limits, machine.hardware_class, lambda stop: stop.entry(board))

    return run_work(work, sweep.file.device, options, watch, started, sweep.paths())


def run_confirmation(asked: Confirmation, options: Options, watch: Watch, started: Started) -> Iterator[Record]:
    """State that held-back examples are opened, then evaluate on them; as `run_sweep`."""

    def work(offers: Collection[Offer] | None) -> Work:
        if offers is None:
            require_device(asked.device)
        opening = asked.opening
        return Work(
            asked, opening.entry, opening.sweep_id, asked.limits, asked.hardware_class, verb="confirm", run=asked.run
        )

    return run_work(work, asked.device, options, watch, started)


def run_batch(batch: Batch, options: Options, watch: Watch, started: Started) -> Iterator[Record]:
    """Run the leases of a batch that is to settle something; as `run_sweep`."""

    def work(offers: Collection[Offer] | None) -> Work:
        _require_alike(batch, offers)
        return Work(
            batch, batch.entry, batch.sweep_id, batch.limits, batch.hardware_class, verb="settle", run=batch.run
        )

    return run_work(work, batch.device, options, watch, started)


def _require_alike(batch: Batch, offers: Collection[Offer] | None) -> None:
    """Raise BadInput where leases would not be of the sweep's question: on another kind of machine, or other code."""
    job = batch.jobs[0]
    if offers is None:
        require_device(batch.device)
        here = frozenset({hardware_class(job.threads, batch.device)})
    else:
        here = frozenset[str]().union(*(offer.classes for offer in offers))
    if batch.hardware_class not in here:
        raise BadInput(
            f"The sweep was measured on {batch.hardware_class!r}, and here is {'; '.join(map(repr, sorted(here)))}: "
            "settle it there, or run it here, which makes a board of its own."
        )
    if (versions := library_versions()) != job.versions:
        theirs, ours = (", ".join(f"{k} {v}" for k, v in found.items()) for found in (job.versions, versions))
        raise BadInput(
            f"The sweep was measured under {theirs}, and here is {ours}: install those, or run the sweep again under "
            "these, and then settle it."
        )


def _machine_of(offers: Collection[Offer], file: SweepFile, asked: str | None) -> Machine:
    """A cluster's measuring nodes, of the one class that a sweep's board is about."""
    here = None
    with suppress(BadInput):  # this machine has no such device, and need not
        here = hardware_class(file.latency.threads, file.device)
    gpu = gpu_index(file.device) is not None
    found = measured_class(offers, gpu=gpu, threads=file.latency.threads, asked=asked, here=here)
    return Machine(found, library_versions())


@contextmanager
def _nodes_of(address: str | None, cpus: int | None, paths: Sequence[str], site: Site | None = None) -> Iterator[Nodes]:
    """The nodes of a Ray cluster, or of one that is started here, once all have answered; let go of afterwards."""
    ray_settings.apply()
    import ray

    from cluster import runner_ray
    from cluster.ray_nodes import Nodes, of_site

    runner_ray.start(address, cpus)
    try:
        seen, identity = of_site(site) if site else (None, "")
        nodes = Nodes(seen, identity, paths)
        nodes.begin()
        yield nodes
    finally:
        ray.shutdown()


def machine_of_cluster(sweep: Sweep, address: str, asked: str | None) -> tuple[Machine, int]:
    """What a sweep would be measured as on a cluster, and the CPUs that it has for jobs. Raises as `run_work`."""
    with _nodes_of(address, None, sweep.paths()) as nodes:
        cpus = sum(node.cpus for node in nodes.fit.values())
        return _machine_of(nodes.offered, sweep.file, asked), int(cpus)


@dataclass(frozen=True, slots=True)
class Work:
    """What a run is to do."""

    planning: Planning
    entry: Entry  # what the journal is told before the first job
    sweep_id: str  # whose board it is about
    limits: LimitsSection
    hardware_class: str  # that is measured
    audit: Callable[[Stopped], Entry] | None = None
    verb: str = "run"  # of the command
    run: Mapping[str, int] = field(default_factory=dict)  # counts of the sweep's own run, where this comes after it

    def watched(self, watch: Watch) -> Watch:
        """What is published says whose progress it is.

        A store may hold other sweeps; and what settles or confirms one counts its own few jobs, not the sweep's.
        """
        of: dict[str, Any] = {"sweep": self.sweep_id}
        if self.verb != "run":
            of |= {"verb": self.verb, "run": dict(self.run)}
        return lambda plan, use: {**watch(plan, use), **of}

    @property
    def of_a_job(self) -> Limits:
        memory = self.limits.memory_gb
        return Limits(self.limits.seconds, None if memory is None else int(memory * 1e9), max(2, self.limits.attempts))


Prepare = Callable[
    [Collection[Offer] | None], Work
]  # given what a cluster's nodes offer, or None for this machine alone


def run_work(
    prepared: Prepare, device: str, options: Options, watch: Watch, started: Started, paths: Sequence[str] = ()
) -> Iterator[Record]:
    """Take the store, do the work to its end, let go of everything; yields each record as it is acknowledged.

    `paths` are files and folders that jobs read, on whichever node they run.

    Raises BadInput where the store cannot be used, DiskFull where there is no more room, StaleLease when another driver
    takes the store over.
    """
    prepare()
    if options.runner == "ray" and (gpu_index(device) or 0) > 0:
        raise BadInput(
            f"device is {device!r}, but on a cluster Ray chooses the GPU of each job: set device=cuda, or "
            "use --runner local."
        )
    folder = open_folder(options.store, create=True)
    lease = take_lease(folder, take_over=options.take_over)
    workers = _workers_here if options.runner == "local" else partial(_workers_of_a_cluster, paths=paths)
    try:
        folder.open_artefacts().sweep_drafts()
        with workers(prepared, options, lease) as (work, pool, known):
            started(work.planning(known, frozenset()), estimates(known, work.hardware_class))
            yield from drive(work.planning, known, pool, work.watched(watch), work.audit)
    finally:
        lease.release()


@contextmanager
def _workers_here(prepared: Prepare, options: Options, lease: Lease) -> Iterator[tuple[Work, Pool, Known]]:
    """What is to be done, processes of this machine that do it, and what the store knew before."""
    folder = lease.folder
    work = prepared(None)
    _refuse_what_is_gone(work, folder)
    writer = _writer(lease, patience=30.0 if options.take_over else 3.0)
    writer.append([work.entry])
    known = known_in(folder)
    pool = LocalPool(
        writer,
        Site(folder.artefacts, bucket=folder.artefacts_url),
        workers=workers_for(cpu_quota(), options.workers),
        limits=work.of_a_job,
        logs=folder.logs,
        bucket=folder.bucket,
    )
    try:
        yield work, pool, known
    finally:
        pool.close()


@contextmanager
def _workers_of_a_cluster(
    prepared: Prepare, options: Options, lease: Lease, paths: Sequence[str]
) -> Iterator[tuple[Work, Pool, Known]]:
    """The same on a Ray cluster, or on one that is started here."""
    folder = lease.folder
    site = Site(folder.artefacts, acknowledgements=folder.logs, bucket=folder.artefacts_url)
    with _nodes_of(options.address, options.workers, paths, site) as nodes:
        from cluster import runner_ray  # now that Ray has its settings

        identity = store_id(folder)
        if folder.bucket is None and nodes.hosts() != {socket.gethostname()}:
            site = replace(site, cache=copies_of(identity) / "artefacts")  # each reads a shared folder once
        work = prepared(nodes.offered)
        _refuse_what_is_gone(work, folder)
        actor = runner_ray.start_writer(folder, lease.epoch, identity)
        runner_ray.append(actor, [work.entry])
        known = known_in(folder)
        pool = runner_ray.RayPool(
            actor, site, nodes, limits=work.of_a_job, bucket=folder.bucket, known=known.finished.values()
        )
        try:
            yield work, pool, known
        finally:
            pool.close()


def _refuse_what_is_gone(work: Work, folder: Folder) -> None:
    """Raise BadInput where jobs need artefacts that the store has no more; a sweep builds those again."""
    if work.audit is not None:
        return
    known = known_in(folder)
    jobs = [planned.of for planned in work.planning(known, frozenset()).jobs if planned.status in OPEN]
    if gone := known.lost.intersection(name for job in jobs for name in artefacts_of(job)):
        raise BadInput(
            f"{len(gone)} of the artefacts that this needs are not in the store any more, such as {short(min(gone))}: "
            "run the sweep again, which builds them anew, then ask again."
        )


def _writer(lease: Lease, patience: float) -> Writer:
    """The store's writer in this process; one that was taken over needs a moment to let go of the database."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return Writer(lease.folder, lease.epoch)
        except StoreBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
