"""Which models are measured together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench.job import MEASURES, LatencyJob, MeasureJob, answers
from bench.record import Finished, Record, Value

LARGEST_GROUP = 6  # variants beside the base in one lease


def same_question(template: MeasureJob, records: Iterable[Record]) -> Iterator[tuple[MeasureJob, Record]]:
    """Finished measurements of the template's kind under its conditions and its protocol, against its base."""
    question = template.conditions_identity()
    for record in records:
        if record.job.get("type") != type(template).__name__:
            continue
        if record.job["artefact_ids"][0] == template.artefact_ids[0] and answers(record.key, record.job, question):
            yield MEASURES[record.job["type"]].model_validate(_fields(record.job)), record


def _fields(job: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key != "type"}


def measure_groups(
    template: MeasureJob,
    variants: Mapping[str, str],
    records: Iterable[Record],
    given_up: Iterable[Record],
) -> Iterator[MeasureJob]:
    """The measurements that cover `variants` (artefact_id -> name) in the template's lease.

    Groups that were measured already are named again as they were; what is left is cut into groups of up to six. The
    models of a group that failed for good (a record of it is in `given_up`) are measured one by one from then on, so
    that a bad one does not cost the others their numbers.
    """
    left = dict(variants)
    measured = [job for job, _ in same_question(template, records) if job.lease == template.lease]
    for job in measured:
        yield job
        for artefact_id in job.artefact_ids:
            left.pop(artefact_id, None)
    failed = [job.artefact_ids[1:] for job, _ in same_question(template, given_up)]
    alone = {artefact_id for group in failed if len(group) > 1 for artefact_id in group}
    names = tuple(a for a in left if a not in alone)
    groups = [names[i : i + LARGEST_GROUP] for i in range(0, len(names), LARGEST_GROUP)]
    groups += [(a,) for a in left if a in alone]
    if not variants and not measured:
        groups = [()]  # a base alone is measured too
    for group in groups:
        yield _with(template, group, variants)


def _with(template: MeasureJob, group: tuple[str, ...], names: Mapping[str, str]) -> MeasureJob:
    return template.model_copy(
        update={
            "artefact_ids": (template.artefact_ids[0], *group),
            "names": (template.names[0], *(names[a] for a in group)),
        }
    )


def unstable(template: LatencyJob, variants: Mapping[str, str], records: Iterable[Record]) -> dict[str, str]:
    """Variants whose ratio intervals of the declared leases do not all overlap: they get one lease more."""
    found: dict[tuple[str, str, str], list[Value]] = {}
    for job, record in same_question(template, records):
        if job.lease < template.lease and isinstance(record.outcome, Finished):
            for value in record.outcome.values:
                if value.metric.endswith("_ratio"):
                    found.setdefault((value.artefact_id, value.metric, value.scope), []).append(value)
    apart = {
        artefact_id
        for (artefact_id, *_), values in found.items()
        if max(v.low for v in values) > min(v.high for v in values)
    }
    return {artefact_id: name for artefact_id, name in variants.items() if artefact_id in apart}
