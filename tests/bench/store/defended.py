"""A small store whose every number can be recomputed: artefacts with files, leases that state what they timed.

Five variants of one base: two that are measured, one that failed, one that waits, and the base itself. Those measured
were confirmed on examples that were held back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from bench.identity import digest, settings_of
from bench.job import BuildJob, EvaluateJob, LatencyJob
from bench.measure.delivered import DELIVERED, Facts, delivered
from bench.measure.latency import lease_values
from bench.recipe import Promise
from bench.record import Conditions, Delivery, Failed, Finished, Record, Samples, Value
from bench.statistics.looks import planned_looks
from bench.store.journal import Entry
from bench.store.openings import OpenedTask, OpenedVariant, Opening
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, CLASS, EXAMPLES, SCOPE, SHAPE, SPEC, TASK, VERSIONS, Variant

REASON = "layer 9 of 4 layers: name layers from 1 to 4"


@dataclass(frozen=True)
class Filed(Variant):
    """A variant whose artefact is a folder with a config and weights."""

    @property
    def files(self) -> dict[str, bytes]:
        config = {"decoder_layers": 4, "encoder_layers": 2, "name": self.name}
        weights: dict[str, np.ndarray[Any, np.dtype[Any]]] = {
            "a": np.full((3, 4), len(self.name), dtype=np.float32),
            "b": np.zeros(5, dtype=np.float16),
        }
        return {"config.json": json.dumps(config).encode(), "model.safetensors": save(weights)}

    @property
    def artefact_id(self) -> str:
        return digest({name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()})


INT8 = ("int8_dynamic", {"activations": "token", "keep_fp32": []})
TUNE = ("finetune", {"learning_rate": 3e-05, "epochs": 1.0})
VARIANTS = (
    Filed(f"{BASE}: base"),
    Filed(f"{BASE}: int8", (INT8,), 0.012, 0.008, 0.55, 0, 2),
    Filed(f"{BASE}: fine-tuned, int8", (TUNE, INT8), 0.03, 0.02, 0.56, 0, 2, seed=3),
    Filed(f"{BASE}: decoder 4 to 9", (("layer_copy", {"decoder": 9}),), fate="failed"),
    Filed(f"{BASE}: distilled", (("distill", {"temperature": 2.0}),), seed=0, fate="waiting"),
)
MEASURED = VARIANTS[:3]
HELD = 750  # examples of another part of the data
TUNED = Filed(f"{BASE}: fine-tuned", (TUNE,), seed=3)  # what the third is built on; no variant of the sweep
PARENTS = {VARIANTS[1].name: VARIANTS[0], TUNED.name: VARIANTS[0], VARIANTS[2].name: TUNED}


def conditions(load: float = 0.5) -> Conditions:
    details: dict[str, str | float | int | bool | None] = {"load_1min": load, "governor": "performance"}
    return Conditions(hardware_class=CLASS, device="cpu", host="sample", threads=1, versions=VERSIONS, details=details)


def changed(delivery: Delivery, load: float = 0.5, **outcome: Any) -> Delivery:
    """A delivery with conditions, and with more in its outcome."""
    record = delivery.record
    update = {"outcome": record.outcome.model_copy(update=outcome), "conditions": conditions(load)}
    return Delivery(record.model_copy(update=update), delivery.examples, delivery.samples)


def build(variant: Filed) -> Delivery:
    """The build of a variant from its parent; the base, which has none, is imported."""
    step = variant.steps[-1] if variant.steps else None
    job = BuildJob(
        recipe_id=variant.recipe_id,
        name=variant.name,
        folder=None if step else "sample",
        parent=PARENTS[variant.name].artefact_id if variant.name in PARENTS else None,
        step=step[0] if step else None,
        settings=step[1] if step else {},
        seed=variant.seed or 0,
    )
    outcome: Finished | Failed
    if variant.fate == "failed":
        outcome = Failed(stage="build", kind="bad spec", reason=REASON)
    else:
        counts = {"size": len(variant.files["model.safetensors"]), "parameters": 17, "layers": 6}
        values = tuple(Value.exact(variant.artefact_id, metric, float(count)) for metric, count in counts.items())
        outcome = Finished(artefact_id=variant.artefact_id, values=values, answer=_judged(job))
    record = Record(
        key=job.key,
        kind="build",
        attempt=1,
        outcome=outcome,
        job=job.described(),
        started="2026-11-20T09:00:01.000+00:00",
        seconds=12.5,
        worker="sample:1",
        conditions=conditions(),
    )
    return Delivery(record)


def _judged(job: BuildJob) -> dict[str, Any] | None:
    """What the build of an int8 model says of its promise, by facts such as such a model has."""
    if job.step != "int8_dynamic":
        return None
    before = Facts(
        parameters=17,
        weights=17,
        bytes=58,
        layers=6,
        shape="batch 1 x 64 tokens",
        flops=4096,
        operators={"aten.addmm float32": 6},
        types={"float32": 17},
        zeros=0.0,
        left=(),
    )
    after = replace(before, bytes=29, operators={"aten._int_mm int8": 6}, types={"int8": 17})
    promise = Promise(fewer=("bytes",), same=("weights", "layers", "flops"), computes_in="int8", plain=True)
    return {DELIVERED: settings_of(delivered(job.step, promise, before, after))}


def evaluation(variant: Filed) -> Delivery:
    found = sample.evaluation(variant)
    assert found.examples is not None
    index = [int(i) for i in found.examples.index]
    return changed(found, notes={"examples": len(index), "order": digest(index)})


def held_job(variant: Filed) -> EvaluateJob:
    """The evaluation of a variant on the examples that choosing left alone."""
    task = SPEC.model_copy(update={"part": "held back", "held": HELD, "examples": HELD})
    return EvaluateJob(
        artefact_id=variant.artefact_id, name=variant.name, task=task, first=0, last=task.windows, versions=VERSIONS
    )


def held_evaluation(variant: Filed) -> Delivery:
    """Outcomes like those of the other examples."""
    found, job = sample.evaluation(variant).examples, held_job(variant)
    assert found is not None
    index = np.arange(EXAMPLES, EXAMPLES + HELD)
    mine = replace(
        found,
        task=job.task.fingerprint,
        index=index,
        label=found.label[:HELD],
        prediction=found.prediction[:HELD],
        score=found.score[:HELD],
        confidence=found.confidence[:HELD],
    )
    outcome = Finished(notes={"examples": HELD, "order": digest(index.tolist())})
    record = evaluation(variant).record.model_copy(
        update={"key": job.key, "outcome": outcome, "job": {"type": "EvaluateJob", **job.model_dump(mode="json")}}
    )
    return Delivery(record, mine)


def opening(variants: Sequence[Filed] = MEASURED, level: float = 0.95, at: str = "2026-11-20T10:00:00") -> Opening:
    """The statement that the held-back examples are looked at for these variants, the base first."""
    base, task = variants[0], held_job(variants[0]).task
    return Opening(
        sweep_id=json.loads(declaration().body)["sweep_id"],
        sweep="defended",
        at=at,
        level=level,
        tasks=(
            OpenedTask(
                name=TASK, data_id=task.data_id, held=HELD, examples=EXAMPLES + HELD, metrics=("accuracy", "macro_f1")
            ),
        ),
        variants=tuple(
            OpenedVariant(
                recipe_id=v.recipe_id,
                name=v.name,
                artefact_id=v.artefact_id,
                base=base.recipe_id,
                jobs={TASK: (held_job(v).key,)},
            )
            for v in variants
        ),
    )


def latency(variants: Sequence[Filed], lease: int) -> Delivery:
    """A lease that states what its timings give."""
    found = sample.latency(variants, lease)
    assert found.samples is not None
    job = LatencyJob.model_validate({k: v for k, v in found.record.job.items() if k != "type"})
    table = table_of(found.samples, job.artefact_ids)
    nothing = np.full_like(table, np.nan)
    looks = planned_looks(job.first_rounds, job.max_rounds)
    values = lease_values({SCOPE: table}, {SCOPE: nothing}, job.artefact_ids, (SHAPE,), None, looks)
    return changed(found, load=0.5 + lease, values=values, notes={"rounds": table.shape[0]})


def table_of(samples: Samples, artefact_ids: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seconds per call [rounds, models]: means of two visits, counted out one by one."""
    table = np.zeros((int(samples.round.max()) + 1, len(artefact_ids)))
    for name, number, seconds in zip(samples.artefact_id, samples.round, samples.seconds, strict=True):
        table[number, artefact_ids.index(name)] += seconds / 2
    return table


def declaration(**changes: Any) -> Entry:
    """The sweep's declaration; `changes` replace parts of it."""
    entry = sample.declaration(VARIANTS, name="defended")
    body = json.loads(entry.body)
    for variant in body["variants"]:
        variant["prefixes"] = [v.recipe_id for v in above(variant["name"])] + [variant["recipe_id"]]
    fast = {"metric": "latency_ratio", "scope": SCOPE, "operator": "<=", "bound": 0.6, "text": "latency_ratio <= 0.6"}
    body["tasks"][0] |= {"data_id": SPEC.data_id, "held_back": {"data_id": SPEC.data_id, "examples": HELD}}
    body |= {"asked": ["defended.yaml", "seeds=[3]"], "constraints": [fast], **changes}
    return Entry.statement(entry.entry, entry.identity, body)


def above(name: str) -> list[Filed]:
    """What a variant is built on, the base first."""
    parent = PARENTS.get(name)
    return [] if parent is None else [*above(parent.name), parent]


def entries() -> list[Entry]:
    """Every entry of the store but the declaration, in the order in which a run makes them."""
    found = [build(v) for v in (VARIANTS[0], TUNED, *VARIANTS[1:]) if v.fate != "waiting"]
    found += [evaluation(v) for v in MEASURED]
    found += [changed(sample.memory(MEASURED), notes={"repeats": 3})]
    found += [latency(MEASURED, lease) for lease in range(2)]
    held = [Entry.of(held_evaluation(v)) for v in MEASURED]
    return [*(Entry.of(delivery) for delivery in found), opening().entry, *held]


def make_store(root: Path) -> Path:
    """Write and publish the store, one part an entry. Returns `root`."""
    with sample.writing(root) as writer:
        writer.append([declaration()])
        for entry in entries():
            writer.append([entry])
    for variant in (*MEASURED, TUNED):
        folder = root / "artefacts" / variant.artefact_id
        folder.mkdir()
        for name, content in variant.files.items():
            (folder / name).write_bytes(content)
    return root
