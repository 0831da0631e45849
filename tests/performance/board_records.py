"""The records and per-example outcomes of a large store: parts of the journal, and rows of a snapshot."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.identity import digest
from bench.job import BuildJob, EvaluateJob
from bench.record import Finished, Record
from bench.store.folder import Folder
from bench.store.journal import EXAMPLE, PART, part_name
from tests.performance.board_variants import DOCUMENTS, OUT, SPEC, VERSIONS, Base

IN_A_PART = 1000  # evaluations


def outcomes_of(base: Base, number: int, folder: Folder) -> tuple[list[str], list[str], int]:
    """Write the outcomes as parts of the journal; returns keys, jobs of the evaluations, and how many examples."""
    known = [i for i, fate in enumerate(base.fate) if fate in ("complete", "stopped")]
    template = EvaluateJob(artefact_id="0" * 64, name="NAME", task=SPEC, first=0, last=1, versions=VERSIONS)
    record = Record(
        key="1" * 64,
        kind="evaluate",
        attempt=1,
        outcome=Finished(notes={"examples": DOCUMENTS, "seconds": 2.0}),
        job=template.described(),
        started="2026-11-20T09:00:00.000+00:00",
        seconds=2.0,
        worker="node-1:7",
    )
    body, keys, texts = record.model_dump_json(), [], []
    job = json.dumps(template.described(), sort_keys=True)
    for first in range(0, len(known), IN_A_PART):
        mine = known[first : first + IN_A_PART]
        names = [digest(["evaluation", base.artefacts[i]]) for i in mine]
        size = len(mine) * DOCUMENTS
        struct = pa.StructArray.from_arrays(
            [
                pa.array(np.tile(np.arange(DOCUMENTS), len(mine))),
                pa.array([""] * size),
                pa.array([""] * size),
                pa.array(np.round(base.losses[mine].ravel(), 4)),
                pa.array(np.zeros(size)),
                pa.array(np.tile([["short", "long"][i % 2] for i in range(DOCUMENTS)], len(mine))),
                pa.nulls(size, EXAMPLE.field("columns").type),
            ],
            fields=[EXAMPLE.field(i) for i in range(EXAMPLE.num_fields)],
        )
        offsets = pa.array(np.arange(0, size + 1, DOCUMENTS), pa.int32())
        bodies = [
            body.replace("0" * 64, base.artefacts[i]).replace("1" * 64, name).replace("NAME", base.names[i])
            for i, name in zip(mine, names, strict=True)
        ]
        table = pa.table(
            {
                "entry": ["record"] * len(mine),
                "identity": names,
                "body": bodies,
                "artefact_id": [base.artefacts[i] for i in mine],
                "task": [SPEC.fingerprint] * len(mine),
                "examples": pa.ListArray.from_arrays(offsets, struct),
                "lease": pa.nulls(len(mine), pa.int32()),
                "samples": pa.nulls(len(mine), PART.field("samples").type),
            },
            schema=PART,
        )
        pq.write_table(table, folder.root / part_name(1, number), compression="zstd")
        number += 1
        keys += names
        texts += [job.replace("0" * 64, base.artefacts[i]).replace("NAME", base.names[i]) for i in mine]
    return keys, texts, number


def records_of(base: Base, keys: list[str], jobs: list[str]) -> pa.Table:
    """The records of the builds and evaluations of one base, as a snapshot holds them."""
    built = [i for i, fate in enumerate(base.fate) if fate != "waiting"]
    known = [i for i, fate in enumerate(base.fate) if fate in ("complete", "stopped")]
    template = json.dumps(BuildJob(recipe_id="0" * 64, name="NAME", step="finetune").described(), sort_keys=True)
    told = {
        "step": "finetune",
        "promise": [],
        "verdict": "delivered",
        "reason": "It promised nothing.",
        "after": {
            "parameters": 9,
            "bytes": 36,
            "layers": 1,
            "flops": None,
            "types": {"float32": 9},
            "zeros": 0.0,
            "operators": None,
            "unknown": "not looked at",
        },
    }
    answers = [
        json.dumps(
            {
                "delivered": told
                | ({"verdict": "not delivered", "reason": "weights stayed in float32"} if i % 997 == 5 else {})
            }
        )
        for i in built
    ]
    failed = [base.fate[i] == "failed" for i in built]
    moment = "2026-11-20T09:00:00.000+00:00"
    return pa.table(
        {
            "key": [base.recipes[i] for i in built] + keys,
            "kind": ["build"] * len(built) + ["evaluate"] * len(known),
            "job_type": ["BuildJob"] * len(built) + ["EvaluateJob"] * len(known),
            "status": ["failed" if f else "finished" for f in failed] + ["finished"] * len(known),
            "attempt": pa.array([1] * (len(built) + len(known)), pa.int32()),
            "recipe_id": pa.array([base.recipes[i] for i in built] + [None] * len(known), pa.string()),
            "artefact_id": pa.array(
                [None if f else base.artefacts[i] for i, f in zip(built, failed, strict=True)]
                + [base.artefacts[i] for i in known]
            ),
            "stage": pa.array(["build" if f else None for f in failed] + [None] * len(known), pa.string()),
            "failure": pa.array(["out of memory" if f else None for f in failed] + [None] * len(known), pa.string()),
            "reason": pa.array([OUT if f else None for f in failed] + [None] * len(known), pa.string()),
            "log": pa.nulls(len(built) + len(known), pa.string()),
            "started": [moment] * (len(built) + len(known)),
            "seconds": [30.0] * len(built) + [2.0] * len(known),
            "worker": [f"node-{i % 16}:7" for i in range(len(built) + len(known))],
            "job": [template.replace("0" * 64, base.recipes[i]).replace("NAME", base.names[i]) for i in built] + jobs,
            "notes": ["{}"] * (len(built) + len(known)),
            "conditions": pa.nulls(len(built) + len(known), pa.string()),
            "answer": pa.array(
                [None if f else a for f, a in zip(failed, answers, strict=True)] + [None] * len(known), pa.string()
            ),
        }
    )
