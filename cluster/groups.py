"""Which models are measured together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.identity import digest
from bench.job import LatencyJob, MeasureJob, answers
from bench.record import Finished, Record, Value
from cluster.standing import Known

LARGEST_GROUP = 6  # variants beside the base in one lease


def same_question(template: MeasureJob, known: Known) -> Iterator[tuple[MeasureJob, Record]]:
    """Finished measurements of the template's kind under its conditions and its protocol, against its base."""
    for key in _answering(template, known.measured, known.answering):
        yield known.measured[key], known.finished[key]


def _answering(
    template: MeasureJob, jobs: Mapping[str, MeasureJob], seen: dict[tuple[str, str], bool]
) -> Iterator[str]:
    """Keys of the jobs that ask what the template asks. `seen` is what was found before, and is added to."""
    question = template.conditions_identity()
    name = digest(question)
    for key, job in jobs.items():
        if type(job) is not type(template) or job.artefact_ids[0] != template.artefact_ids[0]:
            continue
        if (key, name) not in seen:
            seen[key, name] = answers(key, job.described(), question)
        if seen[key, name]:
            yield key


def measure_groups(
    template: MeasureJob,
    variants: Mapping[str, str],
    known: Known,
    given_up: Mapping[str, MeasureJob],
) -> Iterator[MeasureJob]:
    """The measurements that cover `variants` (artefact_id -> name) in the template's lease.

    Groups that were measured already are named again as they were; what is left is cut into groups of up to six. The
    models of a group that failed for good (it is in `given_up`, by its key) are measured one by one from then on, so
    that a bad one does not cost the others their numbers.
    """
    left = dict(variants)
    measured = [job for job, _ in same_question(template, known) if job.lease == template.lease]
    for job in measured:
        yield job
        for artefact_id in job.artefact_ids:
            left.pop(artefact_id, None)
    failed = [given_up[key].artefact_ids[1:] for key in _answering(template, given_up, known.answering)]
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


def unstable(template: LatencyJob, variants: Mapping[str, str], known: Known) -> dict[str, str]:
    """Variants whose ratio intervals of the declared leases do not all overlap: they get one lease more."""
    found: dict[tuple[str, str, str], list[Value]] = {}
    for job, record in same_question(template, known):
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
