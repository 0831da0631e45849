"""A store that holds every metric there is: a model that writes, on a GPU whose energy is told, scored in every way.

The scores are of one task of no kind in particular: what a metric is made of stands in the outcomes' columns, whichever
kind of task fills them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.job import LatencyJob, parts_of
from bench.measure.latency import lease_values
from bench.measure.repeats import repeated
from bench.metrics import METRICS
from bench.record import Delivery, Finished, Samples, Value
from bench.statistics.looks import planned_looks
from bench.store.journal import Entry
from tests.bench.store import defended
from tests.bench.store.defended import VARIANTS, changed
from tests.leaderboard import sample
from tests.leaderboard.sample import EXAMPLES, SCOPE, SHAPE, TASK

MINE = (VARIANTS[0], VARIANTS[1])  # the base and an int8 variant
NEW_TOKENS, ROUNDS, KEPT = 9, 160, 8  # so many single calls that a 99th percentile may be shown
PARTS = parts_of(SHAPE, NEW_TOKENS)
SECONDS = (0.008, 0.010, 0.018)  # reading, one token, all of them
WATTS = 30.0
QUALITY = tuple(name for name, metric in METRICS.items() if metric.source)
OF_PROCESSES = {
    "host_peak": 9e8,
    "resident": 8e8,
    "mapped_weights": 5e8,
    "host_imports": 2e8,
    "load_seconds": 0.3,
    "first_call_seconds": 0.5,
    "cuda_allocated_peak": 7e8,
    "cuda_reserved_peak": 7.5e8,
}
COUNTED = {"layers": 6.0, "parameters": 17.0, "flops": 4096.0, "kv_cache_per_token": 4096.0}

FloatArray = NDArray[np.float64]


def timed_job(lease: int) -> LatencyJob:
    job = sample.latency(MINE, lease).record.job
    settings = {name: value for name, value in job.items() if name != "type"}
    return LatencyJob.model_validate(
        settings | {"new_tokens": NEW_TOKENS, "first_rounds": ROUNDS, "max_rounds": ROUNDS}
    )


def timed(lease: int) -> Delivery:
    """A lease of writing with what every visit took and used."""
    job, rng = timed_job(lease), np.random.default_rng([5, lease])
    rows: list[tuple[str, str, int, int, float, list[float]]] = []
    for number in range(ROUNDS):
        load = 1 + 1e-3 * rng.random()  # so little that calls of a visit are not alike
        for part, seconds in zip(PARTS, SECONDS, strict=True):
            for position, model in enumerate((0, 1, 1, 0)):
                true = seconds * load * (1.0, 0.6)[model]
                each = (true * (1 + 0.02 * rng.standard_normal(KEPT))).tolist()
                rows.append((job.artefact_ids[model], part, number, position, float(np.mean(each)), each))
    artefact_id, scope, rounds, positions, took, each_call = zip(*rows, strict=True)
    samples = Samples(
        artefact_id=artefact_id,
        scope=scope,
        lease=lease,
        round=np.array(rounds, dtype=np.int32),
        position=np.array(positions, dtype=np.int16),
        calls=np.full(len(rows), KEPT, dtype=np.int32),
        seconds=np.array(took),
        first=1.1 * np.array(took),
        each=tuple(tuple(each) for each in each_call),
        joules=WATTS * np.array(took),
    )
    tables, joules = ({part: table(samples, part, column) for part in PARTS} for column in ("seconds", "joules"))
    looks = planned_looks(job.first_rounds, job.max_rounds)
    values = lease_values(tables, joules, job.artefact_ids, job.shapes, NEW_TOKENS, looks)
    record = sample.latency(MINE, lease).record.model_copy(
        update={
            "key": job.key,
            "job": job.described(),
            "outcome": Finished(values=values, notes={"rounds": ROUNDS}),
            "conditions": defended.conditions(),
        }
    )
    return Delivery(record, samples=samples)


def table(samples: Samples, part: str, column: str) -> FloatArray:
    """Means of two visits [rounds, models] of one part."""
    found = np.zeros((ROUNDS, len(MINE)))
    ids = [v.artefact_id for v in MINE]
    for at, scope in enumerate(samples.scope):
        if scope == part:
            found[samples.round[at], ids.index(samples.artefact_id[at])] += getattr(samples, column)[at] / 2
    return found


def scored(variant: defended.Filed) -> Delivery:
    """Outcomes with the columns of all metrics, so that each is a number of its own."""
    found = defended.evaluation(variant)
    assert found.examples is not None
    rng = np.random.default_rng([6, *variant.name.encode()])
    columns: dict[str, FloatArray] = {}
    for name in QUALITY:
        kind, *sources = METRICS[name].source
        for place, column in enumerate(sources):
            if column == "score" or column in columns:
                continue
            if kind == "share":
                columns[column] = (rng.random(EXAMPLES) < 0.7).astype(np.float64)
            elif kind == "mean":
                columns[column] = rng.uniform(0.1, 1.0, EXAMPLES) * (METRICS[name].span or 30.0)
            else:  # of a ratio of sums the lower is larger
                columns[column] = rng.integers(1, 5, EXAMPLES).astype(np.float64) + 6.0 * place
    examples = replace(found.examples, columns=columns)
    return Delivery(found.record, examples)


def remembered() -> Delivery:
    """Memory and times of fresh processes, on the host and on the GPU."""
    found = sample.memory(MINE)
    values: list[Value] = []
    for number, variant in enumerate(MINE):
        repeats = {
            name: [value * (1 + 0.01 * i - 0.2 * number) for i in range(3)] for name, value in OF_PROCESSES.items()
        }
        values += repeated(variant.artefact_id, repeats, SCOPE)
    return changed(found, values=tuple(values), notes={"repeats": 3})


def built(variant: defended.Filed) -> Delivery:
    """A build with everything that is counted once."""
    found = defended.build(variant)
    size = Value.exact(variant.artefact_id, "size", float(len(variant.files["model.safetensors"])))
    scope = {"flops": "batch 1 x 64 tokens"}
    counts = [Value.exact(variant.artefact_id, name, value, scope.get(name, "")) for name, value in COUNTED.items()]
    return changed(found, artefact_id=variant.artefact_id, values=(size, *counts))


def declaration() -> Entry:
    """The sweep of these two variants: one task with every score, written tokens, energy."""
    entry = defended.declaration(constraints=[])
    body = json.loads(entry.body)
    (task,) = body["tasks"]
    task["metrics"] = list(QUALITY)
    body["variants"] = [v for v in body["variants"] if v["recipe_id"] in {m.recipe_id for m in MINE}]
    body["questions"]["LatencyJob"] = timed_job(0).conditions_identity()
    body["objectives"] = [
        {"axis": "quality", "metric": "accuracy", "scope": TASK, "title": "accuracy"},
        {"axis": "energy", "metric": "energy_ratio", "scope": PARTS[-1], "title": "energy"},
    ]
    return Entry.statement(entry.entry, entry.identity, body)


def deliveries() -> Iterator[Delivery]:
    yield from (built(variant) for variant in MINE)
    yield from (scored(variant) for variant in MINE)
    yield remembered()
    yield from (timed(lease) for lease in range(2))


def make_store(root: Path) -> Path:
    """Write and publish the store. Returns `root`."""
    with sample.writing(root) as writer:
        writer.append([declaration()])
        for delivery in deliveries():
            writer.append([Entry.of(delivery)])
    for variant in MINE:
        folder = root / "artefacts" / variant.artefact_id
        folder.mkdir()
        for name, content in variant.files.items():
            (folder / name).write_bytes(content)
    return root
