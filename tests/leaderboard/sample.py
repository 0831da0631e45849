"""A small store made through the real writer from plain records: nothing is trained, timed or imported from torch.

Ten variants of one base: a clear frontier, dominated ones, one whose leases disagree, one timed by a single lease, one
that failed, one that waits, and names that would be HTML, Markdown or SQL if taken for more than text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import DataSpec
from bench.identity import digest
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob, shape_scope
from bench.record import Delivery, Examples, Failed, Finished, Record, Samples, Value
from bench.store.folder import open_folder, take_lease
from bench.store.journal import Entry
from bench.store.writer import Writer
from bench.tasks.spec import TaskSpec

SWEEP = "sample <b>sweep</b>"
BASE = "bart-large"
CLASS = "Sample CPU @ 2.0 GHz | avx2 avx512_vnni | 1 of 4 CPUs | torch 2.13"
VERSIONS = {"torch": "2.13.0", "transformers": "5.20.0"}
SHAPE = (1, 128)
SCOPE = shape_scope(*SHAPE)
TASK = "entailment"
EXAMPLES = 1500
ROUNDS = 40
LEASES = 2
LABELS = ("contradiction", "entailment", "neutral")
HTML = f"{BASE}: <img src=x onerror=alert(1)> <b>bold</b>"
MARKDOWN = f"{BASE}: **bold** [link](http://example.invalid) $x^2$ :red[red]"
SQL = f"{BASE}: '; drop table variants; --"
REASON = "ValueError: <script>alert(2)</script> layer 7 has shape (0, 1024)"


Answers = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Variant:
    """What is true of a variant of the sample. `lost` and `gained`: shares of examples that flip against the base."""

    name: str
    steps: tuple[tuple[str, dict[str, Any]], ...] = ()
    lost: float = 0.0
    gained: float = 0.0
    ratio: float = 1.0
    drift: float = 0.0  # how far the second lease is from the first
    leases: int = LEASES
    megabytes: float = 1625.0
    parameters: float = 407e6
    memory: float = 1900e6
    seed: int | None = None
    fate: str = "measured"  # or "failed", "waiting"
    group: str = ""  # of those that differ in their seed only; its own without
    flops: float | None = None

    @property
    def recipe_id(self) -> str:
        return digest({"recipe": self.name})

    @property
    def artefact_id(self) -> str:
        return digest({"artefact": self.name})


def _copy(decoder: int) -> tuple[str, dict[str, Any]]:
    return ("layer_copy", {"decoder": decoder, "encoder": None})


TUNE = ("finetune", {"learning_rate": 3e-05, "epochs": 1.0, "batch": 32})
INT8 = ("int8_dynamic", {"activations": "token", "keep_fp32": []})
VARIANTS = (
    Variant(f"{BASE}: base"),
    Variant(f"{BASE}: int8", (INT8,), 0.012, 0.008, 0.55, 0, 2, 570, 407e6, 800e6),
    Variant(f"{BASE}: decoder 12 to 6", (_copy(6),), 0.09, 0.01, 0.76, 0, 2, 1220, 305e6, 1430e6),
    Variant(f"{BASE}: decoder 12 to 6, fine-tuned", (_copy(6), TUNE), 0.02, 0.012, 0.76, 0, 2, 1220, 305e6, 1430e6, 0),
    Variant(MARKDOWN, (_copy(3), TUNE), 0.06, 0.01, 0.63, 0, 2, 1018, 254e6, 1210e6, 0),
    Variant(SQL, (_copy(3), TUNE, INT8), 0.075, 0.012, 0.34, 0, 2, 390, 254e6, 560e6, 0),
    Variant(f"{BASE}: decoder 12 to 1", (_copy(1),), 0.35, 0.02, 0.53, 0, 2, 883, 220e6, 1060e6),
    Variant(f"{BASE}: bf16", (("cast", {"dtype": "bfloat16"}),), 0.005, 0.004, 0.82, 0.05, 2, 813, 407e6, 1010e6),
    Variant(HTML, (_copy(9),), 0.03, 0.01, 0.88, 0, 1, 1420, 356e6, 1660e6),
    Variant(f"{BASE}: decoder 12 to 0", (_copy(0),), fate="failed"),
    Variant(f"{BASE}: distilled", (_copy(6), ("distill", {"temperature": 2.0})), seed=0, fate="waiting"),
)
DATA = DataSpec(source="sample.jsonl", text="premise", pair="hypothesis")
SPEC = TaskSpec(
    name=TASK,
    kind="classification",
    settings={},
    data=DATA,
    data_id=digest({"data": "sample"}),
    version=1,
    labels=LABELS,
    examples=EXAMPLES,
)


def declaration(
    variants: Sequence[Variant] = VARIANTS,
    name: str = SWEEP,
    day: int = 20,
    hardware_class: str = CLASS,
    leases: int = LEASES,
    constraints: Sequence[dict[str, Any]] = (),
) -> Entry:
    """The entry that declares the sweep."""
    sweep_id = digest({"sweep": name} if hardware_class == CLASS else {"sweep": name, "class": hardware_class})
    objectives = [
        {"axis": "quality", "metric": "accuracy", "scope": TASK, "title": f"accuracy, {TASK}"},
        {"axis": "latency", "metric": "latency_ratio", "scope": SCOPE, "title": f"latency relative to base, {SCOPE}"},
    ]
    body = {
        "sweep_id": sweep_id,
        "name": name,
        "declared": f"2026-11-{day}T09:00:00.000+00:00",
        "description": "Compressing a <i>large</i> classifier for one CPU.",
        "hardware_class": hardware_class,
        "versions": VERSIONS,
        "leases": leases,
        "objectives": objectives,
        "constraints": list(constraints),
        "tasks": [
            {"name": TASK, "kind": SPEC.kind, "fingerprint": SPEC.fingerprint, "examples": EXAMPLES}
            | {"metrics": ["accuracy", "macro_f1"], "licence": None}
        ],
        "variants": [_declared(variant, position) for position, variant in enumerate(variants)],
        "questions": {type(j).__name__: j.conditions_identity() for j in (_latency_job((), 0), _memory_job(()))},
    }
    return Entry.statement("sweep", f"sweep {sweep_id} {body['declared']}", body)


def _declared(variant: Variant, position: int) -> dict[str, Any]:
    return {
        "recipe_id": variant.recipe_id,
        "position": position,
        "name": variant.name,
        "base": BASE,
        "model": "zoo://sample",
        "licence": "MIT",
        "is_base": not variant.steps,
        "seed": variant.seed,
        "group": digest({"group": variant.group or variant.name}),
        "steps": [
            {"step": step, "settings": settings, "version": 1, "seed": variant.seed} for step, settings in variant.steps
        ],
        "prefixes": [variant.recipe_id],
    }


def _delivery(job: Job, outcome: Finished | Failed, **raw: Any) -> Delivery:
    record = Record(
        key=job.key,
        kind=job.kind,
        attempt=1,
        outcome=outcome,
        job={"type": type(job).__name__, **job.model_dump(mode="json")},
        started="2026-11-20T09:00:01.000+00:00",
        seconds=12.5,
        worker="sample:1",
    )
    return Delivery(record, **raw)


def build(variant: Variant, answer: dict[str, Any] | None = None) -> Delivery:
    """The record of a variant's last build, with what its step decided."""
    step = variant.steps[-1][0] if variant.steps else None
    job = BuildJob(recipe_id=variant.recipe_id, name=variant.name, step=step, folder=None if step else "sample")
    if variant.fate == "failed":
        return _delivery(job, Failed(stage="build", kind="bad spec", reason=REASON))
    exact = {"size": variant.megabytes * 1e6, "parameters": variant.parameters, "layers": 24.0}
    values = tuple(Value.exact(variant.artefact_id, metric, value) for metric, value in exact.items())
    if variant.flops is not None:
        values += (Value.exact(variant.artefact_id, "flops", variant.flops, SCOPE),)
    return _delivery(job, Finished(artefact_id=variant.artefact_id, values=values, answer=answer))


def evaluation(variant: Variant) -> Delivery:
    """Outcomes on every example: the base's, with some right ones lost and some wrong ones gained."""
    rng = np.random.default_rng(1)
    right = rng.random(EXAMPLES) < 0.85
    label = rng.integers(3, size=EXAMPLES)
    mine = np.random.default_rng([2, *variant.name.encode()]).random(EXAMPLES)
    right = np.where(right, mine >= variant.lost / 0.85, mine < variant.gained / 0.15)
    predicted = np.where(right, label, (label + 1) % 3)
    job = EvaluateJob(
        artefact_id=variant.artefact_id, name=variant.name, task=SPEC, first=0, last=SPEC.windows, versions=VERSIONS
    )
    examples = Examples(
        artefact_id=variant.artefact_id,
        task=SPEC.fingerprint,
        index=np.arange(EXAMPLES),
        label=tuple(LABELS[i] for i in label),
        prediction=tuple(LABELS[i] for i in predicted),
        score=right.astype(np.float64),
        confidence=np.full(EXAMPLES, 0.9),
    )
    return _delivery(job, Finished(), examples=examples)


def _memory_job(variants: Sequence[Variant]) -> MemoryJob:
    return MemoryJob(
        artefact_ids=tuple(v.artefact_id for v in variants),
        names=tuple(v.name for v in variants),
        hardware_class=CLASS,
        inputs=SPEC,
        versions=VERSIONS,
        shape=SHAPE,
        repeats=3,
    )


def memory(variants: Sequence[Variant]) -> Delivery:
    """Peak memory of a group, in three fresh processes each."""
    values = tuple(
        Value(
            artefact_id=v.artefact_id,
            metric="host_peak",
            scope=SCOPE,
            estimate=v.memory,
            low=0.995 * v.memory,
            high=1.01 * v.memory,
            n=3,
            method="range of fresh processes",
        )
        for v in variants
    )
    return _delivery(_memory_job(variants), Finished(values=values))


def _latency_job(variants: Sequence[Variant], lease: int) -> LatencyJob:
    return LatencyJob(
        artefact_ids=tuple(v.artefact_id for v in variants),
        names=tuple(v.name for v in variants),
        hardware_class=CLASS,
        inputs=SPEC,
        versions=VERSIONS,
        lease=lease,
        shapes=(SHAPE,),
        first_rounds=ROUNDS,
        max_rounds=ROUNDS,
        half_width=0.02,
        burst_ms=50.0,
        threads=1,
    )


def latency(variants: Sequence[Variant], lease: int) -> Delivery:
    """One lease of a group, the base first: two visits a round, under load that all models of a round share."""
    rng = np.random.default_rng([3, lease, len(variants)])
    size = len(variants)
    load = 1 + 0.15 * rng.random((ROUNDS, 1, 1))
    true = np.array([v.ratio + lease * v.drift for v in variants])[None, :, None]
    seconds = 0.180 * load * true * (1 + 0.01 * rng.standard_normal((ROUNDS, size, 2)))
    rounds, models, visits = (axis.ravel() for axis in np.indices(seconds.shape))
    samples = Samples(
        artefact_id=tuple(variants[m].artefact_id for m in models),
        scope=(SCOPE,) * seconds.size,
        lease=lease,
        round=rounds.astype(np.int32),
        position=visits.astype(np.int16),
        calls=np.ones(seconds.size, dtype=np.int32),
        seconds=seconds.ravel(),
        first=1.1 * seconds.ravel(),
        each=tuple((s,) for s in seconds.ravel().tolist()),
        joules=np.full(seconds.size, np.nan),
    )
    return _delivery(_latency_job(variants, lease), Finished(), samples=samples)


def measured(variants: Sequence[Variant] = VARIANTS) -> list[Variant]:
    """The variants that were built and measured, the base first."""
    return [v for v in variants if v.fate == "measured"]


def deliveries(variants: Sequence[Variant] = VARIANTS, answers: Answers | None = None) -> list[Delivery]:
    """Every record of the sweep, in the order in which a run makes them."""
    found = [build(v, (answers or {}).get(v.recipe_id)) for v in variants if v.fate != "waiting"]
    mine = measured(variants)
    found += [evaluation(v) for v in mine]
    base, others = mine[0], mine[1:]
    for first in range(0, len(others), 6):
        group = [base, *others[first : first + 6]]
        found.append(memory(group))
        found += [latency([base, *(v for v in group[1:] if v.leases > lease)], lease) for lease in range(LEASES)]
    return found


PROGRESS = {
    "done": 31,
    "running": 2,
    "failed": 1,
    "open": 6,
    "now": [f"build {BASE}: distilled", f"evaluate {HTML} on {TASK}"],
    "where": [
        ["sample-1", f"build {BASE}: distilled", 1795000000.0],
        ["sample-2", f"evaluate {HTML} on {TASK}", 1795000061.5],
    ],
    "seconds_left": 215,
}


@contextmanager
def writing(root: Path) -> Iterator[Writer]:
    """A writer that holds the store in `root`, which is made if it is missing."""
    lease = take_lease(open_folder(root, create=True))
    writer = Writer(lease.folder, lease.epoch)
    try:
        yield writer
    finally:
        writer.close()
        lease.release()


def make_store(
    root: Path,
    variants: Sequence[Variant] = VARIANTS,
    progress: dict[str, Any] | None = None,
    answers: Answers | None = None,
) -> Path:
    """Write the whole sample into `root` and publish it, with what steps decided by recipe_id. Returns `root`."""
    with writing(root) as writer:
        writer.append([declaration(variants), *(Entry.of(d) for d in deliveries(variants, answers))])
        writer.report(progress if progress is not None else PROGRESS)
    return root
