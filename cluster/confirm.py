"""Confirming: a shortlist is evaluated on the examples that choosing left alone, and their opening is stated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.errors import BadInput
from bench.job import EvaluateJob, library_versions
from bench.store.asked import find_variant
from bench.store.openings import OpenedTask, OpenedVariant, Opening, chosen_by, openings_in
from bench.store.reader import Snapshot
from bench.sweep_file import LimitsSection
from cluster.evaluations import slices
from cluster.plan import Plan
from cluster.progress import of_the_run
from cluster.standing import Known, standing

Row = Mapping[str, Any]
HIGHEST_LEVEL = 0.9999
SHORTLISTED = ("certain", "contested")


@dataclass(frozen=True)
class Confirmation:
    """A confirmation that is asked for. Its plan is pure: jobs are known from the start, and no one depends on another.

    What is asked of an artefact on held-back examples is what was asked of it on the others, to the batches and the
    base that is asked: only so are the two answers comparable.
    """

    opening: Opening
    jobs: tuple[EvaluateJob, ...]
    limits: LimitsSection
    device: str
    hardware_class: str  # that the sweep was measured on
    runner: str
    before: tuple[Opening, ...]  # of the same data, oldest first; without this one
    stated: bool  # whether this one stands in the journal already
    run: Mapping[str, int] = field(default_factory=dict)  # counts of the sweep's own run

    def __call__(self, known: Known, in_flight: frozenset[str]) -> Plan:
        return Plan(tuple(standing(job, known, in_flight, self.limits.attempts) for job in self.jobs), ())

    def warnings(self) -> Iterator[str]:
        """What is to be said before it is opened: that it is not fresh."""
        if self.before and not self.stated:
            times = "once" if len(self.before) == 1 else f"{len(self.before)} times"
            last = self.before[-1]
            names = ", ".join(v.name for v in last.shortlist)
            yield (
                f"The held-back examples are no longer fresh: they were opened {times} before, last on "
                f"{last.at[:16].replace('T', ' ')} UTC for {names} (sweep {last.sweep}). If what was seen then led to "
                "this shortlist, its numbers are chosen by again, and look better than they are; this opening is "
                "recorded too."
            )
        if self.opening.chosen_on and not self.stated:
            yield (
                f"The held-back examples are not fresh: {', '.join(self.opening.chosen_on)} chose by some of them; "
                "this is recorded with the result."
            )


def ask(snapshot: Snapshot, sweep: Row, variants: Sequence[str], level: float) -> Confirmation:
    """What confirming a sweep of the store comes to. Reads only; raises BadInput with one sentence.

    Args:
        snapshot: the published state.
        sweep: a row of `Snapshot.sweeps`.
        variants: names of the shortlist; empty for all that are not dominated on the declared objectives.
        level: at which all intervals of a kind hold at once.
    """
    if not 0 < level <= HIGHEST_LEVEL:
        raise BadInput(
            f"--level is {level!r}, but a level lies above 0 and is at most {HIGHEST_LEVEL:g}, for resamples tell no "
            "more: leave it out for 0.95."
        )
    body = sweep["body"]
    _check(body)
    rows = snapshot.rows("select * from variants where sweep_id = ? order by position", [sweep["sweep_id"]])
    listed = _named(rows, variants) if variants else _undominated(snapshot, body, rows)
    bases = {row["base"]: row for row in rows if row["is_base"]}
    mine = [bases[name] for name in dict.fromkeys(row["base"] for row in listed)] + listed
    jobs: dict[str, dict[str, list[EvaluateJob]]] = {}
    for row in mine:
        base = bases[row["base"]]["artefact_id"]
        jobs[row["recipe_id"]] = {task["name"]: _held(snapshot, body, task, row, base) for task in body["tasks"]}
    every = [job for tasks in jobs.values() for found in tasks.values() for job in found]
    for task in {job.task.name: job.task for job in every}.values():
        task.data.checked()  # before it is opened: other data would fail every job after it
    opening = Opening(
        sweep_id=sweep["sweep_id"],
        sweep=body["name"],
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        level=level,
        tasks=tuple(_opened(body, task) for task in body["tasks"]),
        variants=tuple(
            OpenedVariant(
                recipe_id=row["recipe_id"],
                name=row["name"],
                artefact_id=row["artefact_id"],
                base=bases[row["base"]]["recipe_id"],
                jobs={name: tuple(job.key for job in found) for name, found in jobs[row["recipe_id"]].items()},
            )
            for row in mine
        ),
        chosen_on=chosen_by(snapshot, body),
    )
    stated = openings_in(snapshot.folder)
    return Confirmation(
        opening=opening,
        jobs=tuple({job.key: job for job in every}.values()),
        limits=LimitsSection.model_validate(body["limits"]),
        device=body["questions"]["LatencyJob"]["device"],
        hardware_class=body["hardware_class"],
        runner=body["runner"],
        before=tuple(o for o in stated if o.shares_data(opening) and o.identity != opening.identity),
        stated=any(o.identity == opening.identity for o in stated),
        run=of_the_run(snapshot.progress(sweep["sweep_id"])),
    )


def _check(body: Row) -> None:
    """Raise BadInput where a sweep has nothing to confirm on, or this machine cannot ask as the sweep did."""
    name = body["name"]
    if any("held_back" not in task for task in body["tasks"]):
        raise BadInput(
            f"The sweep {name!r} held nothing back, so all of its examples were chosen by: run it with holdout=0.33 to "
            "keep a third for `paredown confirm`; what is built already is not built again."
        )
    here = library_versions()
    if here != body["versions"]:
        theirs, ours = (", ".join(f"{k} {v}" for k, v in found.items()) for found in (body["versions"], here))
        raise BadInput(
            f"The sweep {name!r} was evaluated under {theirs}, and here is {ours}: install those, or run the sweep "
            "again under these, and then confirm it."
        )


def _named(rows: Sequence[Row], variants: Sequence[str]) -> list[Row]:
    """The variants of these names, each once, without bases, which always take part."""
    found = {row["recipe_id"]: row for row in (find_variant(rows, name) for name in variants) if not row["is_base"]}
    if not found:
        raise BadInput(
            f"{', '.join(map(repr, variants))} is the base, which is confirmed beside a variant: name another one."
        )
    return list(found.values())


def _undominated(snapshot: Snapshot, body: Row, rows: Sequence[Row]) -> list[Row]:
    verdicts = snapshot.rows("select recipe_id, verdict from verdicts where sweep_id = ?", [body["sweep_id"]])
    chosen = {row["recipe_id"] for row in verdicts if row["verdict"] in SHORTLISTED}
    found = [row for row in rows if row["recipe_id"] in chosen and not row["is_base"]]
    if not found:
        raise BadInput(
            f"The sweep {body['name']!r} has no variant beside the base on its frontier, so there is no shortlist: run "
            "it on, or name the variants to confirm."
        )
    return found


def _held(snapshot: Snapshot, body: Row, task: Row, row: Row, base: str | None) -> list[EvaluateJob]:
    """The evaluations of a variant on the held-back part of a task, as it was evaluated on the other part."""
    found: dict[str, list[EvaluateJob]] = {}
    for record in snapshot.rows(
        "select job from records where kind = 'evaluate' and status = 'finished' and artefact_id = ? order by ordinal",
        [row["artefact_id"]],
    ):
        described = json.loads(record["job"])
        described.pop("type", None)
        job = EvaluateJob.model_validate(described)
        alike = (job.versions, job.device) == (body["versions"], body["questions"]["LatencyJob"]["device"])
        if alike and job.judge in (None, base):
            found.setdefault(job.task.fingerprint, []).append(job)
    fingerprints = [task["fingerprint"], *(fingerprint for fingerprint, _ in task["smaller_batches"])]
    mine = [found[fingerprint] for fingerprint in fingerprints if fingerprint in found]
    if not mine:
        raise BadInput(
            f"The variant {row['name']!r} has not been evaluated on {task['name']!r} yet, so nothing of it can be "
            "confirmed: run the sweep on."
        )
    like = max(mine, key=_covered)[0]
    held = like.task.held_back.model_copy(update={"name": task["name"]})
    return [like.model_copy(update={"task": held, "first": first, "last": last}) for first, last in slices(held)]


def _covered(jobs: Sequence[EvaluateJob]) -> int:
    """Of how many windows there are outcomes."""
    return len({window for job in jobs for window in range(job.first, job.last)})


def _opened(body: Row, task: Row) -> OpenedTask:
    """The main metric of a task, and what the sweep's objectives name beside it."""
    wanted = [o["metric"] for o in body["objectives"] if o["scope"] == task["name"] and o["metric"] in task["metrics"]]
    held = task["held_back"]
    return OpenedTask(
        name=task["name"],
        data_id=held["data_id"],
        held=held["examples"],
        examples=task["examples"] + held["examples"],
        metrics=tuple(dict.fromkeys((task["metrics"][0], *wanted))),
    )
