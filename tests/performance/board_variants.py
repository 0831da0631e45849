"""The variants of a large store: recipes, made-up truths, and the numbers and resamples that follow from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bench.data import DataSpec
from bench.identity import digest
from bench.job import LatencyJob, MemoryJob, shape_scope
from bench.tasks.spec import TaskSpec

OUT = "MemoryError: the model and its optimiser need 18.2 GB, the worker has 16 GB"
DOCUMENTS = 104
DRAWS = 1000
BLOCKS = 200  # independent blocks of rounds behind a latency
LAYERS = 24
TYPES = {"float32": (4.0, 1.0), "bfloat16": (2.0, 0.72), "int8": (1.1, 0.55), "int4": (0.6, 0.5)}  # bytes, time
RATES = (1e-5, 2e-5, 3e-5, 5e-5, 8e-5, 1e-4, 1.5e-4, 2e-4, 3e-4, 5e-4)
EPOCHS = (0.5, 1.0, 2.0, 3.0, 5.0)
SEEDS = 6
BASES = {"mistral-s": (1.1e9, 2.95), "llama-s": (1.3e9, 2.85), "qwen-s": (0.6e9, 3.1), "phi-s": (1.4e9, 2.9)}
SWEEPS = (
    ("serving on cpu", 0.90, "Example CPU @ 2.0 GHz | avx512_vnni | 8 of 8 CPUs | torch 2.13"),
    ("serving on gpu", 0.08, "Example GPU 80 GB | 700 W | torch 2.13"),
    ("first look", 0.02, "Example CPU @ 2.0 GHz | avx512_vnni | 8 of 8 CPUs | torch 2.13"),
)
SCOPE = shape_scope(1, 512)
TASK = "stories"
VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0"}
QUALITY, LATENCY, SIZE = ("perplexity", TASK), ("latency_ratio", SCOPE), ("size", "")
SPEC = TaskSpec(
    name=TASK,
    kind="language_modelling",
    settings={},
    data=DataSpec(source="stories.jsonl", text="text"),
    data_id=digest({"data": "stories"}),
    version=1,
    labels=(),
    examples=DOCUMENTS,
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Base:
    """The variants of one base in one sweep, the base first; arrays are by variant."""

    sweep_id: str
    name: str
    first: int  # position of the base in its sweep
    names: list[str]
    steps: list[list[dict[str, Any]]]
    seeds: list[int | None]
    groups: list[str]
    recipes: list[str]
    artefacts: list[str]
    fate: NDArray[np.str_]  # complete | failed | waiting | stopped
    losses: Floats  # [V, DOCUMENTS]: mean negative log-likelihood of each document
    ratio: Floats
    size: Floats
    parameters: Floats


def base_of(sweep: str, name: str, count: int, first: int, rng: np.random.Generator) -> Base:
    """The first `count` variants of a shuffled grid, after the base itself."""
    parameters, loss = BASES[name]
    grid = list(product(range(3, LAYERS + 1), TYPES, range(len(RATES)), range(len(EPOCHS)), range(SEEDS)))
    chosen = [grid[i] for i in rng.permutation(len(grid))[: count - 1]]
    kept, kind, rate, epochs, seed = (np.array(each) for each in zip(*chosen, strict=True))
    share = kept / LAYERS
    damage = 0.9 * (1 - share) ** 1.6
    healed = (
        damage
        * (0.35 + 0.4 * np.abs(np.log(np.array(RATES)[rate] / 1e-4)) / 2.3)
        / (0.6 + 0.4 * np.array(EPOCHS)[epochs] ** 0.4)
    )
    coarse = np.array([{"float32": 0.0, "bfloat16": 0.001, "int8": 0.012, "int4": 0.09}[k] for k in kind])
    middle = loss + healed + coarse + 0.04 * rng.standard_normal(count - 1) - 0.02 * (epochs > 1)
    hard = 0.3 * rng.standard_normal(DOCUMENTS)
    losses = np.vstack([loss + hard, middle[:, None] + hard + 0.008 * rng.standard_normal((count - 1, DOCUMENTS))])
    per_byte, per_time = (np.array([TYPES[k][i] for k in kind]) for i in (0, 1))
    ratio = np.concatenate([[1.0], (0.12 + 0.88 * share) * per_time * (1 + 0.02 * rng.standard_normal(count - 1))])
    parts = np.concatenate([[1.0], 0.2 + 0.8 * share])
    size = np.round(parts * parameters * np.concatenate([[4.0], per_byte]))
    steps, names = _described(name, chosen)
    groups = [digest([sweep, name])] + [
        digest([sweep, name, int(k), str(t), int(r), int(e)]) for k, t, r, e, _ in chosen
    ]
    fate = np.array(
        ["complete", *rng.choice(["complete", "failed", "waiting", "stopped"], count - 1, p=[0.95, 0.02, 0.01, 0.02])]
    )
    return Base(
        digest({"sweep": sweep}),
        name,
        first,
        names,
        [[], *steps],
        [None, *(int(s) for s in seed)],
        groups,
        [digest(["recipe", sweep, n]) for n in names],
        [digest(["artefact", sweep, n]) for n in names],
        fate,
        losses,
        ratio,
        size,
        parts * parameters,
    )


def _described(name: str, chosen: Sequence[tuple[Any, ...]]) -> tuple[list[list[dict[str, Any]]], list[str]]:
    """The steps of each variant after the base, and the names of all."""
    steps: list[list[dict[str, Any]]] = [
        [
            {"step": "depth_prune", "settings": {"keep": int(k)}, "version": 1, "seed": None},
            {
                "step": "finetune",
                "settings": {"learning_rate": RATES[r], "epochs": EPOCHS[e]},
                "version": 1,
                "seed": int(s),
            },
            *(
                []
                if t == "float32"
                else [
                    {
                        "step": "cast" if t == "bfloat16" else "weight_only" if t == "int4" else "int8_dynamic",
                        "settings": {"dtype": str(t)},
                        "version": 1,
                        "seed": None,
                    }
                ]
            ),
        ]
        for k, t, r, e, s in chosen
    ]
    names = [f"{name}: base"] + [
        f"{name}: {k} of {LAYERS} layers, fine-tuned{'' if t == 'float32' else f', {t}'} "
        f"(learning_rate {RATES[r]:g}, epochs {EPOCHS[e]:g}, seed {s})"
        for k, t, r, e, s in chosen
    ]
    return steps, names


def resamples(base: Base, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[DRAWS, V] of perplexity, from its documents, and of the latency ratio; with digits that compress."""
    weights = rng.multinomial(DOCUMENTS, np.full(DOCUMENTS, 1 / DOCUMENTS), DRAWS) / DOCUMENTS
    quality = np.exp(weights @ base.losses.T)
    noise = 0.002 * rng.standard_normal((DRAWS, base.ratio.size), dtype=np.float32)
    noise[:, 0] = 0
    latency = base.ratio * (1 + noise)
    return np.round(quality, 3).astype(np.float32), np.round(latency, 5).astype(np.float32)


def numbers_of(base: Base, quality: NDArray[Any], latency: NDArray[Any]) -> pa.Table:
    """The rows of the table of numbers, in long form."""
    known = np.flatnonzero(np.isin(base.fate, ["complete", "stopped"]))
    mean = np.exp(base.losses.mean(axis=1))
    columns: list[tuple[str, str, Floats, Floats, Floats, int, str, int | None]] = []
    for (metric, scope), values, draws, n in (
        (QUALITY, mean, quality, DOCUMENTS),
        (LATENCY, base.ratio, latency, BLOCKS),
    ):
        low, high = np.percentile(draws, (2.5, 97.5), axis=0)
        columns.append(
            (metric, scope, values, np.minimum(low, values), np.maximum(high, values), n, "percentile bootstrap", n)
        )
    for metric, values in (
        ("size", base.size),
        ("parameters", base.parameters),
        ("layers", np.round(24 * base.parameters / base.parameters[0])),
    ):
        columns.append((metric, "", values, values, values, 1, "exact", None))
    ms = 180 * base.ratio
    columns.append(("latency_ms", SCOPE, ms, 0.98 * ms, 1.02 * ms, BLOCKS, "hull of 4: medians of blocks", None))
    peak = 1.2 * base.size + 3e8
    columns.append(
        ("host_peak", SCOPE, peak, 0.995 * peak, 1.01 * peak, 3, "Student t with what measurements differ by", 9)
    )
    change = mean / mean[0]
    columns.append(
        ("perplexity_ratio", TASK, change, 0.99 * change, 1.01 * change, DOCUMENTS, "percentile bootstrap", None)
    )
    recipes = pa.array(base.recipes).take(pa.array(known))
    tables = []
    for metric, scope, value, low, high, n, method, evidence in columns:
        same = len(known)
        tables.append(
            pa.table(
                {
                    "sweep_id": [base.sweep_id] * same,
                    "recipe_id": recipes,
                    "metric": [metric] * same,
                    "scope": [scope] * same,
                    "estimate": value[known],
                    "low": low[known],
                    "high": high[known],
                    "n": pa.array([n] * same, pa.int32()),
                    "method": [method] * same,
                    "evidence": pa.array([evidence] * same, pa.int32()),
                    "span": [0.0] * same,
                }
            )
        )
    return pa.concat_tables(tables)


def declared(base: Base) -> list[dict[str, Any]]:
    """What the sweep's declaration says of the variants."""
    return [
        {
            "recipe_id": recipe_id,
            "position": base.first + i,
            "name": base.names[i],
            "base": base.name,
            "model": f"zoo://{base.name}",
            "licence": "Apache-2.0",
            "is_base": not i,
            "seed": base.seeds[i],
            "group": base.groups[i],
            "steps": base.steps[i],
            "prefixes": [recipe_id] if not i else [base.recipes[0], recipe_id],
            "chain": [recipe_id],
        }
        for i, recipe_id in enumerate(base.recipes)
    ]


def variants_of(base: Base) -> pa.Table:
    gone = np.isin(base.fate, ["failed", "waiting"])
    count = len(base.recipes)
    return pa.table(
        {
            "sweep_id": [base.sweep_id] * count,
            "recipe_id": base.recipes,
            "position": pa.array(range(base.first, base.first + count), pa.int32()),
            "name": base.names,
            "base": [base.name] * count,
            "is_base": [not i for i in range(count)],
            "seed": pa.array(base.seeds, pa.int32()),
            "recipe_group": base.groups,
            "steps": [json.dumps(s) for s in base.steps],
            "artefact_id": pa.array([None if g else a for g, a in zip(gone, base.artefacts, strict=True)], pa.string()),
            "status": base.fate.tolist(),
            "reason": pa.array(
                [f"build: out of memory: {OUT}" if f == "failed" else None for f in base.fate], pa.string()
            ),
        }
    )


def body_of(name: str, hardware: str, day: int, variants: list[dict[str, Any]]) -> dict[str, Any]:
    """A sweep's declaration."""
    questions = (
        LatencyJob(
            artefact_ids=(),
            names=(),
            hardware_class=hardware,
            inputs=SPEC,
            versions=VERSIONS,
            lease=0,
            shapes=((1, 512),),
            first_rounds=40,
            max_rounds=320,
            half_width=0.02,
            burst_ms=50.0,
            threads=1,
        ),
        MemoryJob(
            artefact_ids=(),
            names=(),
            hardware_class=hardware,
            inputs=SPEC,
            versions=VERSIONS,
            shape=(1, 512),
            repeats=3,
        ),
    )
    objectives = (
        (*QUALITY, "quality", f"perplexity, {TASK}"),
        (*LATENCY, "latency", f"latency relative to base, {SCOPE}"),
        (*SIZE, "size", "size on disk"),
    )
    return {
        "sweep_id": digest({"sweep": name}),
        "name": name,
        "declared": f"2026-11-{day:02d}T09:00:00.000+00:00",
        "description": "Layers kept, types of weights, learning rates, epochs and seeds, for serving.",
        "hardware_class": hardware,
        "versions": VERSIONS,
        "leases": 2,
        "asked": ["serving.yaml"],
        "constraints": [],
        "objectives": [{"axis": a, "metric": m, "scope": s, "title": t, "matters": 0.0} for m, s, a, t in objectives],
        "tasks": [
            {
                "name": TASK,
                "kind": SPEC.kind,
                "fingerprint": SPEC.fingerprint,
                "examples": DOCUMENTS,
                "metrics": ["perplexity"],
                "licence": None,
            }
        ],
        "variants": variants,
        "questions": {type(q).__name__: q.conditions_identity() for q in questions},
    }
