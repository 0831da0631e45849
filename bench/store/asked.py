"""Which number of which variant is meant by a few words, and why a variant has no such number."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from bench.errors import BadInput, few, quoted, unknown
from bench.store.reader import Snapshot

Row = Mapping[str, Any]
SHORTEST_PREFIX = 6
MOST_NAMED = 8  # of the variants that a few words may mean


@dataclass(frozen=True, slots=True)
class Asked:
    """One number: a variant of a sweep, a metric and a scope. `number` is None where the variant has none."""

    sweep: Row  # the declaration's body
    variant: Row
    base: Row  # the variant that it is compared with
    metric: Row  # of the snapshot's table
    scope: str
    number: Row | None
    others: tuple[str, ...]  # scopes in which the variant has the metric too

    @property
    def name(self) -> str:
        return str(self.metric["name"])

    @property
    def is_base(self) -> bool:
        return bool(self.variant["is_base"])

    @property
    def as_base(self) -> bool:
        """Whether the variant has its base's very bytes: the base itself, or one that no step has changed."""
        return self.is_base or self.variant["artefact_id"] == self.base["artefact_id"] is not None

    def task(self, name: str) -> Row | None:
        """The task of that name in the sweep."""
        return next((task for task in self.sweep["tasks"] if task["name"] == name), None)


def understand(snapshot: Snapshot, sweep: Row, variant: str, metric: str, scope: str | None) -> Asked:
    """What is asked. Raises BadInput with near misses where it is nothing, or more than one thing.

    Args:
        snapshot: where to look.
        sweep: a row of `Snapshot.sweeps`.
        variant: its name, a part that no other has, or the beginning of its recipe_id or artefact_id.
        metric: a name of the metrics table, or NAME:SCOPE.
        scope: where the metric has several; an unmistakable part of it will do.
    """
    variants = snapshot.rows("select * from variants where sweep_id = ? order by position", [sweep["sweep_id"]])
    found = find_variant(variants, variant)
    base = next((v for v in variants if v["base"] == found["base"] and v["is_base"]), found)
    table = {row["name"]: row for row in snapshot.rows("select * from metrics")}
    name, _, inline = metric.partition(":")
    if name not in table:
        near = get_close_matches(name, list(table), n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise BadInput(f"There is no metric called {quoted(name)}.{hint} `paredown ls metrics` lists them all.")
    rows = snapshot.rows("select * from numbers where sweep_id = ? and metric = ?", [sweep["sweep_id"], name])
    mine = {row["scope"]: row for row in rows if row["recipe_id"] == found["recipe_id"]}
    chosen = _scope(sweep["body"], name, scope or inline or None, mine, sorted({row["scope"] for row in rows}))
    others = tuple(s for s in mine if s != chosen)
    return Asked(sweep["body"], found, base, table[name], chosen, mine.get(chosen), others)


def find_variant(variants: Sequence[Row], asked: str) -> Row:
    """The variant of that name. Raises BadInput with near misses for none, with the candidates for several."""
    text = asked.strip().lower()
    names = [str(v["name"]) for v in variants]
    tests: list[Callable[[Row], bool]] = [
        lambda v: v["name"].lower() == text,
        lambda v: v["name"].lower() == f"{v['base']}: {text}".lower(),
        lambda v: bool(text) and text in v["name"].lower(),
    ]
    if re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}", text):
        tests.insert(0, lambda v: v["recipe_id"].startswith(text) or (v["artefact_id"] or "").startswith(text))
    for test in tests:
        found = [v for v in variants if test(v)]
        if len(found) > 1:
            listed = few([repr(str(v["name"])) for v in found], MOST_NAMED)
            raise BadInput(f"{quoted(asked)} may mean {listed}: give more of the name, or the start of its recipe_id.")
        if found:
            return found[0]
    hint = _near(asked, names)
    known = few(names, MOST_NAMED)
    raise BadInput(f"There is no variant called {quoted(asked)} in this sweep.{hint} It has {known}.")


def _near(asked: str, names: Sequence[str]) -> str:
    """The names that were perhaps meant, by all of them or by one of the things that they list."""
    pieces: dict[str, str] = {}
    for name in names:
        for piece in (name, *name.partition(": ")[2].split(", ")):
            pieces.setdefault(piece, name)
    near = dict.fromkeys(pieces[piece] for piece in get_close_matches(asked, list(pieces), n=3, cutoff=0.5))
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _scope(sweep: Row, metric: str, asked: str | None, mine: Mapping[str, Row], everywhere: Sequence[str]) -> str:
    if asked is not None:
        if asked in everywhere:
            return asked
        near = [scope for scope in everywhere if asked.lower() in scope.lower()]
        if len(near) == 1:
            return near[0]
        raise unknown(f"scope of {metric} in this sweep", asked, near or everywhere)
    declared = [o["scope"] for o in sweep["objectives"] if o["metric"] == metric]
    whole = [task["name"] for task in sweep["tasks"] if task["name"] in mine]
    for choice in (list(mine), declared, whole, [s for s in everywhere if not mine]):
        if len(choice) == 1:
            return choice[0]
    if mine:
        raise BadInput(f"{metric} stands for several numbers: name one with --scope, of {', '.join(sorted(mine))}.")
    return declared[0] if declared else ""


def why_missing(snapshot: Snapshot, asked: Asked) -> str:
    """One sentence on why the variant has no such number."""
    from bench.metrics import of_base

    variant, name = asked.variant, asked.name
    if variant["artefact_id"] is None:
        if variant["reason"]:
            return f"It could not be built: {variant['reason']}"
        return "It is not built yet: run the sweep on."
    if asked.as_base and of_base(name) is not None and kind_of(asked) == "scored":
        what = "is the base itself" if asked.is_base else "has the very bytes of its base"
        return f"It {what}, and there is nothing to compare it with."
    not_asked = _not_asked(asked)
    if not_asked:
        return not_asked
    failures = _failures(snapshot, str(variant["artefact_id"]))
    if failures:
        return f"The last attempt failed: {failures[-1]}"
    if kind_of(asked) == "scored":
        return _evaluated(snapshot, asked)
    return _not_given(snapshot, asked)


def kind_of(asked: Asked) -> str:
    """Where a metric comes from: "scored" on examples, "counted" in a build, or "measured"."""
    from bench.metrics import FIDELITY, METRICS

    if asked.metric["exact"]:
        return "counted"
    of_tasks = {m.name for m in METRICS.values() if m.source} | {m.paired for m in METRICS.values() if m.paired}
    return "scored" if asked.name in {*of_tasks, *FIDELITY, "recovery"} else "measured"


def _not_asked(asked: Asked) -> str | None:
    """Why the sweep does not ask for the metric, None where it does."""
    from bench.metrics import FIDELITY, TAILS, TIMED, flips_in

    kind, questions = kind_of(asked), asked.sweep["questions"]
    if kind == "scored":
        given = {task["name"]: task["metrics"] for task in asked.sweep["tasks"]}
        stem = re.sub("_(difference|ratio)$", "", asked.name)
        known = {name for names in given.values() for name in names}
        known |= {"agreement", "recovery"} | (set(FIDELITY) if flips_in(sorted(known)) else set())
        if stem not in known:
            tasks = "; ".join(f"{task}: {', '.join(names)}" for task, names in given.items())
            return f"No task of the sweep gives it ({tasks})."
    if kind == "measured":
        timed = asked.name in {*TAILS, "tokens_per_second"} or asked.name.startswith(tuple(f"{t}_" for t in TIMED))
        if timed and not asked.sweep["leases"]:
            return "The sweep times nothing: its latency.leases is 0."
        if not timed and questions["MemoryJob"].get("repeats") == 0:
            return "The sweep measures no memory: its memory.repeats is 0."
        writing = ("prefill_", "first_token_", "per_token_", "tokens_per_second")
        if asked.name.startswith(writing) and questions["LatencyJob"].get("new_tokens") is None:
            return "The sweep times forward passes, and no writing: its latency.new_tokens is not set."
    return None


def _failures(snapshot: Snapshot, artefact_id: str) -> list[str]:
    """What became of failed jobs with this artefact that no later attempt has finished, oldest first."""
    rows = snapshot.rows(
        "select stage, failure, reason, attempt, started from records r where status = 'failed' and kind != 'build' "
        "and json_extract_string(job, '$.task.part') is distinct from 'held back' and contains(job, ?) "
        "and not exists (select 1 from records f where f.key = r.key and f.status = 'finished') "
        "order by ordinal",
        [artefact_id],
    )
    return [f"{r['stage']}: {r['failure']}: {r['reason']} (attempt {r['attempt']}, {r['started']})" for r in rows]


def _evaluated(snapshot: Snapshot, asked: Asked) -> str:
    rows = snapshot.rows(
        "select notes from records where kind = 'evaluate' and status = 'finished' and artefact_id = ?",
        [asked.variant["artefact_id"]],
    )
    tasks = ", ".join(f"{task['name']} ({task['examples']} examples)" for task in asked.sweep["tasks"])
    if not rows:
        return f"It has not been evaluated yet, on none of {tasks}: run the sweep on."
    return f"Its evaluations do not cover all examples of {tasks} yet, or what they give has no such value."


def _not_given(snapshot: Snapshot, asked: Asked) -> str:
    rows = snapshot.rows(
        "select job_type, conditions from records where kind = 'measure' and status = 'finished' and contains(job, ?)",
        [asked.variant["artefact_id"]],
    )
    if not rows:
        return "It has not been measured yet: run the sweep on."
    if asked.name.startswith("energy_"):
        details = [json.loads(row["conditions"] or "{}").get("details", {}) for row in rows]
        absence = next((d["energy"] for d in details if d.get("energy") not in (None, "measured")), None)
        return f"Nothing told the energy: {absence or 'a counter did not move during some visit'}."
    if asked.name.endswith(("p95_ms", "p99_ms")):
        return "Fewer than 10 independent calls were beyond that quantile: it would be their maximum by another name."
    return "Its measurements state no such number."
