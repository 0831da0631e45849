"""Jobs as Ray tasks. Workers hand their deliveries to the one writer, an actor on the head node, and return the record.

Where a job runs is decided by `cluster.ledger`; Ray keeps account of what is in use, starts workers and notices what
dies. What this project needs different from Ray's defaults is set in `cluster.ray_settings`, before Ray is imported.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ray
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    TaskUnschedulableError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.errors import ClusterLost, DiskFull, StaleLease
from bench.execute import Execute, Site, execute
from bench.job import Job
from bench.record import FailureKind, Record
from bench.store.journal import Entry
from bench.store.places import Place
from cluster.attempts import AttemptLog, Begun
from cluster.failures import lost
from cluster.ledger import Held, Ledger
from cluster.needs import Needs
from cluster.placement import FitsNowhere, Lease, fair_bound
from cluster.processes import end_attempt
from cluster.ray_flight import Flight
from cluster.ray_metrics import SweepMetrics
from cluster.ray_nodes import Nodes, on_node
from cluster.ray_share import Share
from cluster.ray_start import NAMESPACE, node_name, our_code, start
from cluster.ray_work import WORK, WORK_FRESH, Logs, Orders, Told, note_acknowledged
from cluster.ray_writer import append, ask_begun, end_writer, start_writer
from cluster.runner_local import Limits

if TYPE_CHECKING:
    from cluster.drive import Running

__all__ = ["NAMESPACE", "RayPool", "append", "note_acknowledged", "start", "start_writer"]

CLOSE_SECONDS = 60.0  # that the writer has to publish what is left
KILL_SECONDS = 10.0  # after which a worker that does not end is killed on its node, and after as long again given up
STRANDED_SECONDS = 3.0  # that Ray is given to move what waited on a lost node; some of that it forgets for good
NOTICED_SECONDS = 2.0  # after which a node's loss is seen at the latest by whoever looks every second
SOON = 0.1  # seconds until a job for which there is no room is tried again


class RayPool:
    """The cluster's workers. `nodes` have begun."""

    def __init__(
        self,
        writer: Any,
        site: Site,
        nodes: Nodes,
        *,
        limits: Limits,
        run: Execute = execute,
        most: int | None = None,
        bucket: Place | None = None,
        known: Collection[Record] = (),
    ) -> None:
        self._writer, self._nodes, self._limits, self._most = writer, nodes, limits, most
        self._log = AttemptLog(site.acknowledgements, bucket)
        self._needs = Needs(site.artefacts, known)
        self._ledger = Ledger(self._needs, known=known)
        self._ledger.use(self._nodes.fit)
        self._orders = ray.put(Orders(site, run, limits, writer, our_code(), Logs.of(site)))
        self._share, self._metrics = Share(), SweepMetrics()
        self._flights: dict[ray.ObjectRefGenerator, Flight] = {}
        self._held: list[Held] = []
        self._refused: list[Record] = []
        self._reported = 0.0
        self._progress: dict[str, Any] = {}

    @property
    def bound(self) -> int:
        """Most jobs in flight; several drivers share what the cluster takes."""
        slots = self._ledger.slots
        return min(self._most or slots, fair_bound(slots, self._share.drivers))

    def takes(self, job: Job) -> bool:
        if len(self._flights) + len(self._held) >= self.bound:
            return False
        if self._ledger.history.pause(job):
            return True  # it is held until then
        try:
            return self._ledger.lease(job) is not None
        except FitsNowhere:
            return True  # and answered by a failure, unless a node comes back

    def submit(self, job: Job, attempt: int) -> None:
        self._launch(Held(job, attempt, time.monotonic() + self._ledger.history.pause(job)))

    def _launch(self, held: Held) -> None:
        """Start a job, or hold it until its time has come and there is room."""
        if held.until > time.monotonic():
            self._held.append(held)
            return
        try:
            lease = self._ledger.lease(held.job)
        except FitsNowhere as error:
            if self._nodes.in_trouble():
                self._held.append(replace(held, until=time.monotonic() + 10 * SOON))
            else:
                self._refused.append(self._fail(held.job, held.attempt, "no place", str(error)))
            return
        if lease is None:
            self._held.append(replace(held, until=time.monotonic() + SOON))
            return
        mark = uuid4().hex
        task, environments = self._task(held.job, lease, mark), self._nodes.environments
        answers = task.remote(held.job, held.attempt, self._orders, mark, environments)
        self._flights[answers] = Flight(held.job, held.attempt, lease, mark, time.time(), time.monotonic())
        self._ledger.take(mark, lease)

    def _task(self, job: Job, lease: Lease, mark: str) -> Any:
        """The task of an attempt, with what it asks of Ray."""
        # It may go elsewhere if its node is lost, or full of another driver's jobs. But once a node is being emptied,
        # or has a measurement, nothing may slip onto it from a queue elsewhere.
        soft = not _pinned(job, lease)
        alone = self._ledger.emptying or any(flight.job.exclusive for flight in self._flights.values())
        where: Any = NodeAffinitySchedulingStrategy(lease.node_id, soft=soft, _spill_on_unavailable=soft and not alone)
        options: dict[str, Any] = {"num_cpus": lease.cpus, "name": job.title, "scheduling_strategy": where}
        if memory := self._memory(lease):
            options["memory"] = memory
        if lease.cards:
            options["num_gpus"] = lease.gpus  # Ray shows the worker these alone, as its first
        fresh = job.fresh or job.gpu is not None
        if fresh:  # a task in an environment that no other has begins in a process that no other has used
            options["runtime_env"] = {"env_vars": {"PAREDOWN_FRESH": mark}}
        remote: Any = WORK_FRESH if fresh else WORK
        return remote.options(**options)

    def _memory(self, lease: Lease) -> int:
        """Bytes to ask Ray for: at least the CPUs' share of the node's, so that most jobs ask for the same.

        A worker goes on with a job that asks for what the one before did; for any other Ray may start a new process.
        """
        node = self._nodes.fit.get(lease.node_id)
        return lease.memory if node is None else max(lease.memory, int(node.memory / node.cpus * lease.cpus))

    def wait(self, seconds: float) -> list[Record]:
        self._follow()
        records, self._refused = self._refused, []
        if not self._flights:
            if self._held and not records:
                time.sleep(min(seconds, SOON))
            return records
        ready, _ = ray.wait(list(self._flights), num_returns=1, timeout=0 if records else seconds)
        if ready:  # whatever else ended meanwhile comes along
            ready, _ = ray.wait(list(self._flights), num_returns=len(self._flights), timeout=0)
        records += [record for answers in ready if (record := self._next(answers)) is not None]
        self._take_back()
        return records + self._end_overdue()

    def _take_back(self) -> None:
        """Submit again what waited when a node was lost and still has not begun.

        Ray loses the request for a worker that was under way to a node as it died, and what waits behind it waits for
        ever. Should one of them have begun after all, it is computed twice and its record kept once; not so a
        measurement, which is taken back from a node that is gone only.
        """
        lost = self._nodes.lost_at
        if time.monotonic() < lost + STRANDED_SECONDS:
            return
        for answers, flight in list(self._flights.items()):
            gone = flight.lease.node_id not in self._nodes.fit
            # What was submitted last may be work that was lost already, which is to keep its place in the queue.
            before = lost if gone else lost - NOTICED_SECONDS
            if flight.begun is None and flight.submitted < before and (gone or not _pinned(flight.job, flight.lease)):
                del self._flights[answers]
                self._ledger.give(flight.mark)
                with suppress(RayError):
                    ray.cancel(answers)
                self._held.append(Held(flight.job, flight.attempt, time.monotonic()))

    def _follow(self) -> None:
        """Take in nodes that came and went, and start what was held and may begin."""
        if self._nodes.look():
            self._ledger.use(self._nodes.fit)
        held, self._held = self._held, []
        for each in held:
            self._launch(each)

    def _next(self, answers: ray.ObjectRefGenerator) -> Record | None:
        """What a job has to say: that it has begun, or its record, with which its flight ends."""
        flight = self._flights[answers]
        size: int | None = None
        try:
            told: Begun | Told = ray.get(next(answers))
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, (DiskFull, StaleLease)):
                raise cause from None
            # A worker whose node was cut off hears in the end that it is outside, and may still say so.
            kind: FailureKind = "lost node" if isinstance(cause, (ClusterLost, RayError)) else "bug"
            record = self._lose(flight, kind, f"The worker could not report its outcome: {cause!r}.")
        except RayError as error:
            if flight.begun is None and (begun := ask_begun(self._writer, flight.mark)) is not None:
                self._begin(flight, begun)
            record = self._lose(flight, *self._how_it_died(error, flight))
        else:
            if isinstance(told, Begun):
                self._begin(flight, told)
                return None
            record, size = told.record, told.size
            flight.begun = self._log.keep(record, told.output, flight.begun)
        self._end(answers, record, size)
        return record

    def _begin(self, flight: Flight, begun: Begun) -> None:
        flight.begun, flight.began = begun, time.time()
        flight.deadline = time.monotonic() + self._limits.seconds
        if begun.node_id != flight.lease.node_id:
            flight.lease = replace(flight.lease, node_id=begun.node_id)
            self._ledger.take(flight.mark, flight.lease)

    def _end(self, answers: ray.ObjectRefGenerator, record: Record, size: int | None = None) -> None:
        flight = self._flights.pop(answers)
        self._ledger.give(flight.mark)
        self._ledger.learn(flight.job, record, flight.node_id)
        self._needs.learn(record)
        self._log.note(record, flight.job.title, flight.begun, size)
        self._metrics.ended(record)

    def _lose(self, flight: Flight, kind: FailureKind, reason: str) -> Record:
        """The record of a job whose worker gave none. What the worker had started is ended on its node."""
        if flight.begun is not None and self._nodes.is_alive(flight.begun.node_id):
            on_node(end_attempt, flight.begun.node_id, flight.begun.pid, flight.begun.born, flight.mark)
        return self._fail(flight.job, flight.attempt, kind, reason, flight)

    def _fail(self, job: Job, attempt: int, kind: FailureKind, reason: str, flight: Flight | None = None) -> Record:
        began = flight.began if flight else time.time()
        begun = flight.begun if flight else None
        node = begun.node if begun else ""
        delivery = lost(job, attempt, kind, reason, began, node=node, log=self._log.tail(begun))
        delivery = self._ledger.history.judged(delivery, self._limits.deaths)
        append(self._writer, [Entry.of(delivery)])
        return delivery.record

    def _end_overdue(self) -> list[Record]:
        """Cancel what is over its time; kill on its node what Ray cannot end, and give up what nothing can."""
        now = time.monotonic()
        given_up: list[Record] = []
        for answers, flight in list(self._flights.items()):
            if now <= flight.deadline:
                continue
            if not flight.cancelled:
                flight.cancelled, flight.deadline = True, now + KILL_SECONDS
                ray.cancel(answers, force=True)
            elif not flight.killed and flight.begun is not None:
                flight.killed, flight.deadline = True, now + KILL_SECONDS
                on_node(end_attempt, flight.begun.node_id, flight.begun.pid, flight.begun.born, flight.mark)
            else:
                reason = f"{_overdue(self._limits)} Its process {flight.begun and flight.begun.pid} cannot be killed."
                given_up.append(self._lose(flight, "timeout", reason))
                self._end(answers, given_up[-1])
        return given_up

    def _how_it_died(self, error: RayError, flight: Flight) -> tuple[FailureKind, str]:
        if flight.cancelled or isinstance(error, TaskCancelledError):
            return "timeout", _overdue(self._limits)
        if isinstance(error, OutOfMemoryError):
            return "out of memory", "Ray ended the worker because the node ran out of memory."
        name = flight.begun.node if flight.begun else node_name("a node", flight.node_id)
        gone = isinstance(error, (NodeDiedError, TaskUnschedulableError)) or not self._nodes.is_alive(flight.node_id)
        if gone and (flight.begun or _pinned(flight.job, flight.lease)):
            # Before the next attempt is sent there as well.
            self._nodes.lose(flight.node_id)
            self._ledger.use(self._nodes.fit)
        if self._nodes.was_taken_back(flight.node_id):
            return "preempted", f"The node {name} was drained or taken back."
        if gone:
            return "lost node", f"The node {name} that ran the job was lost."
        if isinstance(error, WorkerCrashedError):
            return "lost worker", "The worker process died; the kernel kills one when memory runs out."
        return "lost worker", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"

    def utilisation(self) -> dict[str, tuple[float, float]]:
        """CPUs that our jobs use, and all CPUs, of each node by its name."""
        return self._ledger.use_of({f.mark for f in self._flights.values() if f.begun is not None})

    def running(self) -> list[Running]:
        """What has begun and not ended, the oldest first."""
        begun = ((f.begun.node, f.job.title, f.began) for f in self._flights.values() if f.begun is not None)
        return sorted(begun, key=lambda each: each[2])

    @property
    def unfit(self) -> dict[str, str]:
        """Why a node that joined takes no jobs, by its name."""
        return dict(self._nodes.unfit)

    def state(self, entries: list[Entry]) -> None:
        append(self._writer, entries)

    def report(self, progress: dict[str, Any]) -> None:
        self._progress = progress
        self._follow()
        if time.monotonic() - self._reported > 1.0:
            self._reported = time.monotonic()
            self._share.beat(hungry=len(self._flights) + len(self._held) >= self.bound)
            self._metrics.stands(progress, self.utilisation())
            self._writer.report.remote(progress)

    def close(self) -> None:
        for answers in self._flights:
            with suppress(RayError):
                ray.cancel(answers, force=True)
        self._flights.clear()
        self._share.leave()
        self._log.close()
        self._writer.report.remote(self._progress)
        end_writer(self._writer, CLOSE_SECONDS)


def _pinned(job: Job, lease: Lease) -> bool:
    """Whether Ray may start it on the node of its lease alone."""
    return job.exclusive or bool(lease.cards)


def _overdue(limits: Limits) -> str:
    return f"The job did not end within {limits.seconds:g} s, and was ended."
