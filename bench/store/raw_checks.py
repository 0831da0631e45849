"""Each entry of the journal against itself: what a record states of its job, its outcomes and its timings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from pydantic import ValidationError

from bench.identity import digest
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob, StudyJob, answers, parts_of
from bench.measure.repeats import KEPT, repeated
from bench.record import Finished, Record
from bench.store.findings import Check
from bench.store.folder import Folder
from bench.store.journal import parts

JOBS: dict[str, type[Job]] = {cls.__name__: cls for cls in (BuildJob, StudyJob, EvaluateJob, LatencyJob, MemoryJob)}


@dataclass(frozen=True, slots=True)
class Raw:
    """A record with the columns of its raw material, None where it has none."""

    record: Record
    part: str
    artefact_id: str | None  # of the examples
    task: str | None
    examples: pa.StructArray | None
    lease: int | None
    samples: pa.StructArray | None

    @property
    def title(self) -> str:
        """A few words for people."""
        job = job_of(self.record)
        words = job.title if job else str(self.record.job.get("type", self.record.kind))
        return f"{words} ({self.record.key[:10]})"


def job_of(record: Record) -> Job | None:
    """The job of a record, None where this version knows no such job."""
    described = dict(record.job)
    cls = JOBS.get(str(described.pop("type", "")))
    try:
        return cls.model_validate(described) if cls else None
    except ValidationError:
        return None


def read_journal(folder: Folder, published: tuple[str, ...], check: Check) -> tuple[list[Path], Iterator[Raw]]:
    """The parts that can be read, and the records in them. What is missing or unreadable goes to `check`.

    The records come one part at a time; a part that holds anything else leaves the list when its turn comes.
    """
    there = {part.name: part for part in parts(folder)}
    for name in published:
        if name not in there:
            check.compared += 1
            check.differs(f"part {name}", "is gone; the snapshot was made from it")
    _name_gaps(there, published, check)
    readable = [part for part in there.values() if _can_be_read(part, check)]
    return readable, (raw for part in tuple(readable) for raw in _records(part, readable, check))


def _name_gaps(there: Mapping[str, Path], published: tuple[str, ...], check: Check) -> None:
    """Parts of one epoch are numbered without gaps; what the snapshot names has been reported already."""
    numbers: dict[str, set[int]] = {}
    for part in there.values():
        epoch, _, number = part.stem.partition("-")
        numbers.setdefault(epoch, set()).add(int(number))
    for epoch, found in numbers.items():
        for absent in sorted(set(range(max(found))) - found):
            name = f"{epoch}-{absent:08d}.parquet"
            if name not in published:
                check.compared += 1
                check.differs(f"part {name}", "is gone; later parts of its driver are there")


def _can_be_read(part: Path, check: Check) -> bool:
    check.compared += 1
    try:
        pq.read_table(part)
    except (pa.ArrowException, OSError) as error:
        check.differs(f"part {part.name}", f"cannot be read ({' '.join(str(error).split())[:200]})")
        return False
    return True


def _records(part: Path, readable: list[Path], check: Check) -> Iterator[Raw]:
    table = pq.read_table(part)
    columns = {name: table.column(name) for name in table.column_names}
    for row in range(table.num_rows):
        if columns["entry"][row].as_py() != "record":
            continue
        check.compared += 1
        identity = columns["identity"][row].as_py()
        try:
            record = Record.model_validate_json(columns["body"][row].as_py())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            check.differs(f"entry {row + 1} of part {part.name}", f"is not a record: {where}: {first['msg']}")
            readable.remove(part)
            return
        if record.identity != identity:
            reason = "is entered under another identity than its own"
            check.differs(
                f"entry {row + 1} of part {part.name}", reason, "", "", ("identity", identity, record.identity)
            )
        yield Raw(
            record,
            part.name,
            columns["artefact_id"][row].as_py(),
            columns["task"][row].as_py(),
            columns["examples"][row].values,
            columns["lease"][row].as_py(),
            columns["samples"][row].values,
        )


def check_key(raw: Raw, questions: Sequence[Mapping[str, Any]], check: Check) -> None:
    """A record's key is the hash of what its job asks, of a measurement by the protocol of its day.

    Args:
        raw: the record.
        questions: what each sweep of the store has declared that it asks, by type of job.
        check: takes what is found.
    """
    job = job_of(raw.record)
    if job is None:
        check.notes.append(f"{raw.title}: this version knows no such job, so its key is not recomputed")
        return
    check.compared += 1
    key = job.key
    described = raw.record.job
    asked = [of[described["type"]] for of in questions if described["type"] in of]
    if key != raw.record.key and not any(_asks(described, q) and answers(raw.record.key, described, q) for q in asked):
        check.differs(raw.title, "its key is not that of its job", "", "", ("key", raw.record.key, key))


def _asks(described: Mapping[str, Any], question: Mapping[str, Any]) -> bool:
    """Whether a job has the settings that a question names; only the protocol does not stand in it."""
    told = {**described, "inputs": described["inputs"]["data_id"]}
    return all(told[name] == value for name, value in question.items() if name in told and name != "protocol")


def check_examples(raw: Raw, check: Check) -> None:
    """The outcomes of an evaluation: as many as stated, in the stated order, of the model and task of the job."""
    job, outcome = job_of(raw.record), raw.record.outcome
    if raw.record.kind != "evaluate" or not isinstance(outcome, Finished):
        return
    if raw.examples is None:
        check.compared += 1
        check.differs(raw.title, "is finished, but has no outcomes")
        return
    index = raw.examples.field("index").to_numpy()
    stated: dict[str, Any] = {name: outcome.notes[name] for name in ("examples", "order") if name in outcome.notes}
    found: dict[str, Any] = {"examples": len(index), "order": digest([int(i) for i in index])}
    if isinstance(job, EvaluateJob):
        stated |= {"artefact_id": job.artefact_id, "task": job.task.fingerprint}
        found |= {"artefact_id": raw.artefact_id, "task": raw.task}
    check.compare(raw.title, stated, found, "its outcomes are not those that it states")
    if len(np.unique(index)) < len(index):
        check.differs(raw.title, "names an example twice")


def check_samples(raw: Raw, check: Check) -> None:
    """The timings of a lease: two visits of every model in every round, as many rounds as stated, on the machine that
    its key names."""
    job, outcome = job_of(raw.record), raw.record.outcome
    if not isinstance(job, LatencyJob) or not isinstance(outcome, Finished):
        return
    check.compared += 1
    where = raw.record.conditions
    if where is not None and where.hardware_class != job.hardware_class:
        reason = "was timed on another hardware class than its key names"
        check.differs(raw.title, reason, "", "", ("hardware_class", job.hardware_class, where.hardware_class))
    if raw.samples is None:
        check.differs(raw.title, "is finished, but has no timings")
        return
    columns = {name: raw.samples.field(name).to_pylist() for name in ("artefact_id", "scope", "round", "seconds")}
    rounds: dict[str, int] = {}
    visits: dict[tuple[str, str, int], int] = {}
    for artefact_id, scope, number, _ in zip(*columns.values(), strict=True):
        rounds[scope] = max(rounds.get(scope, 0), number + 1)
        visits[scope, artefact_id, number] = visits.get((scope, artefact_id, number), 0) + 1
    for scope, count in rounds.items():
        for artefact_id, name in zip(job.artefact_ids, job.names, strict=True):
            odd = [number for number in range(count) if visits.get((scope, artefact_id, number), 0) != 2]
            if odd:
                there = visits.get((scope, artefact_id, odd[0]), 0)
                reason = f"{name} has not two visits in {len(odd)} of {count} rounds"
                check.differs(raw.title, reason, "", scope, (f"visits in round {odd[0] + 1}", 2, there))
    if strange := set(columns["artefact_id"]) - set(job.artefact_ids):
        check.differs(raw.title, f"times {len(strange)} models that its job does not name")
    if not all(np.isfinite(s) and s > 0 for s in columns["seconds"]):
        check.differs(raw.title, "has timings that are not above zero")
    _check_rounds(raw, outcome, rounds, job, check)


def _check_rounds(raw: Raw, outcome: Finished, rounds: Mapping[str, int], job: LatencyJob, check: Check) -> None:
    """Parts of one shape, such as prefill and the whole, are timed in the same rounds."""
    found = 0
    for shape in job.shapes:
        counts = {scope: rounds.get(scope, 0) for scope in parts_of(shape, job.new_tokens)}
        found += max(counts.values())
        if len(set(counts.values())) > 1:
            check.differs(raw.title, f"its parts have different numbers of rounds: {counts}")
    if "rounds" in outcome.notes and outcome.notes["rounds"] != found:
        stated = "rounds", outcome.notes["rounds"], found
        check.differs(raw.title, "has not as many rounds as it states", "", "", stated)


def check_repeats(raw: Raw, check: Check) -> None:
    """What a record states of memory against the repeats that it keeps, where it keeps them one by one."""
    job, outcome = job_of(raw.record), raw.record.outcome
    if not isinstance(job, MemoryJob) or not isinstance(outcome, Finished) or KEPT not in (outcome.answer or {}):
        return
    names = dict(zip(job.artefact_ids, job.names, strict=True))
    repeats: dict[str, Any] = (outcome.answer or {})[KEPT]
    scope = parts_of(job.shape, job.new_tokens)[-1]
    given = {(v.artefact_id, v.metric): v for a, mine in repeats.items() for v in repeated(a, mine, scope)}
    for value in outcome.values:
        subject = f"{names.get(value.artefact_id, value.artefact_id[:10])} in {raw.title}"
        found = given.get((value.artefact_id, value.metric))
        reason = "is not what its repeats give"
        check.compare(
            subject, value.model_dump(), found.model_dump() if found else {}, reason, value.metric, value.scope
        )
