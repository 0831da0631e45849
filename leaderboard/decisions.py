"""What the steps of a variant found and decided: layers kept, the similarity of blocks, the search for what to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.store.reader import Snapshot
from leaderboard.undelivered import own_builds

if TYPE_CHECKING:
    import plotly.graph_objects as go  # type: ignore[import-untyped]

Decisions = Mapping[str, Mapping[str, Any]]  # step -> what it found and decided


def read_decisions(snapshot: Snapshot, sweep_id: str, recipe_id: str) -> Decisions:
    """The evidence that the builds behind a variant kept; nothing for an unknown one."""
    body = snapshot.body(sweep_id, [recipe_id])
    variants = body["variants"] if body else []
    variant: Mapping[str, Any] = next((v for v in variants if v["recipe_id"] == recipe_id), {"prefixes": []})
    rows = snapshot.rows(
        "select recipe_id, answer from records where kind = 'build' and status = 'finished' and answer is not null "
        "and list_contains(?, recipe_id) order by ordinal",
        [variant["prefixes"]],
    )
    found: dict[str, Mapping[str, Any]] = {}
    told: dict[str, Mapping[str, Any]] = {}  # by the recipe that the step ends; the first published build counts
    for row in rows:
        answer = json.loads(row["answer"])
        if "delivered" in answer:
            told.setdefault(row["recipe_id"], answer.pop("delivered"))
        found |= answer
    if told:
        found["delivered"] = {"steps": [told[p] for p in own_builds(variant) if p in told]}
    return found


def promise_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(step, what it promised, verdict, what the facts say) for every step of a recipe, in order."""
    return [
        (step["step"], ", ".join(step["promise"]) or "nothing", step["verdict"], step["reason"])
        for step in found["steps"]
    ]


def fact_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What is true of the model after each step: (step, parameters, bytes, layers, FLOPs, types, zeros, operators)."""
    return [(step["step"], *_facts(step["after"])) for step in found["steps"]]


def _facts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    operators = facts["operators"] or {}
    return (
        f"{facts['parameters']:,}",
        f"{facts['bytes']:,}",
        f"{facts['layers']:,}",
        "–" if facts["flops"] is None else f"{facts['flops']:,} ({facts['shape']})",
        ", ".join(facts["types"]),
        f"{100 * facts['zeros']:.2f}%",
        ", ".join(f"{count} {name}" for name, count in operators.items()) or facts["unknown"] or "–",
    )


def trial_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(modules in float, score, whether it reached the target) of every trial of a fallback search, in order."""
    return [
        (
            f"{len(trial['kept'])} of {found['modules']}",
            "no score" if trial["score"] is None else f"{trial['score']:.4g}",
            ("reached" if trial["reached"] else "missed") + (", taken" if trial["taken"] else ""),
        )
        for trial in found["trials"]
    ]


def trace_sentence(found: Mapping[str, Any]) -> str:
    """What the search aimed at."""
    order = {"mse": "output error", "sensitivity": "one evaluation a module", "random": "a random order"}
    return (
        f"{found['metric']} in float: {found['base']:.4g}; target: {found['target']:.4g} on {found['n']:,} tuning "
        f"examples. Modules tried in the order of {order[found['order']]}."
    )


def kept_sentence(found: Mapping[str, Any]) -> str:
    """Which modules stay in float."""
    return f"In float: {', '.join(found['kept']) or 'none'}."


def layers_sentence(found: Mapping[str, Any]) -> str:
    """Which layers went and which stayed, in ranges."""
    how = {"similarity": "the block that changes its input least", "drop": "as listed"}.get(
        found["strategy"], str(found["strategy"]).replace("_", " ")
    )
    stack = f"{found['stack']} " if found.get("stack") else ""
    return (
        f"Dropped {stack}layers {ranges(found['dropped'])} of 0 to {found['depth'] - 1} ({how}); "
        f"kept {ranges(found['kept'])}."
    )


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as ranges: "0 to 20, 29"."""
    groups: list[list[int]] = []
    for n in numbers:
        if groups and n == groups[-1][1] + 1:
            groups[-1][1] = n
        else:
            groups.append([n, n])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in groups) or "none"


def heat_map(found: Mapping[str, Any]) -> go.Figure:
    """Mean angular distance between what enters a block and what leaves it, for every block; the dropped one ringed.

    Args:
        found: evidence with "distance" [block size - 1][first layer], "samples" and "dropped" layers.
    """
    import plotly.graph_objects as go  # only the page has it

    distance: Sequence[Sequence[float]] = found["distance"]
    depth = len(distance[0])
    table = [[*row, *[None] * (depth - len(row))] for row in distance]
    words = [
        [f"layers {first} to {first + size - 1}: {value:.4f}" for first, value in enumerate(row)]
        for size, row in enumerate(distance, start=1)
    ]
    drawn = go.Figure(
        go.Heatmap(
            z=table,
            x=list(range(depth)),
            y=list(range(1, len(distance) + 1)),
            text=[[*row, *[""] * (depth - len(row))] for row in words],
            hovertemplate="%{text}<extra></extra>",
            hoverongaps=False,
            colorscale="Viridis",
            colorbar={"title": {"text": "angular<br>distance"}},
        )
    )
    dropped: Sequence[int] = found["dropped"]
    if dropped and dropped[-1] - dropped[0] == len(dropped) - 1 and len(dropped) <= len(distance):
        x, y = dropped[0], len(dropped)
        drawn.add_shape(
            type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line={"color": "#d97706", "width": 3}
        )
    drawn.update_layout(
        height=380,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"title": {"text": "first layer of the block"}, "dtick": max(1, depth // 16), "showgrid": False},
        yaxis={"title": {"text": "layers in the block"}, "showgrid": False},
    )
    return drawn


def heat_map_sentence(found: Mapping[str, Any]) -> str:
    """How the curve was obtained."""
    return (
        f"Mean over {found['samples']:,} calibration samples of the angle between the states before and after each "
        "block, as a share of 180°; a low value means that the block changes little."
    )
