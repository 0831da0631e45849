"""What a build's record keeps of its fallback search: the whole trace, and the one test on the holdout. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.methods.fallback import Fallback, Search, columns

EVIDENCE = "fallback"  # key of a build's evidence
LEVEL = 0.95


def evidence(settings: Fallback, found: Search) -> dict[str, Any]:
    """What was tried and what came of it, with the test on the holdout; plain JSON, whether the goal was met or not."""
    held = _test(settings, found)
    goal = "missed" if not found.met else "met" if held["accepted"] else "met, not shown on the holdout"
    return {
        **settings.model_dump(mode="json"),
        "metric": found.metric.name,
        "base": found.base,
        "n": found.n,
        "target": found.target,
        "modules": len(found.modules),
        "ranking": [list(each) for each in found.ranking],
        "trials": [
            {"kept": list(t.kept), "score": t.score, "reached": t.reached, "taken": t.taken} for t in found.trials
        ],
        "kept": list(found.kept),
        "score": found.score,
        "met": found.met,
        "monotone": found.monotone if settings.search == "cumulative" else None,
        "stopped": found.stopped,
        "holdout_test": held,
        "goal": goal,
        "verdict": _sentence(settings, found, held),
    }


def _test(settings: Fallback, found: Search) -> dict[str, Any]:
    """The one-sided test of non-inferiority on the holdout; a variant without a score is not accepted."""
    from bench.statistics.noninferiority import noninferiority

    assert found.holdout is not None
    base, chosen = found.holdout
    scores = {"base": base["score"], "score": chosen["score"], "n": base["n"], "level": LEVEL}
    nothing = {**scores, "difference": None, "bound": None, "margin": None, "accepted": False}
    if chosen["score"] is None:
        return {**nothing, "method": "the variant has no score"}
    if settings.relative and base["score"] <= 0:
        return {**nothing, "method": "the float score is not above 0, so no relative margin exists"}
    measured = found.metric
    try:
        test = noninferiority(
            columns(chosen),
            columns(base),
            measured.source[0],  # type: ignore[arg-type]
            measured.better,
            settings.tolerance,
            relative=settings.relative,
            span=measured.span,
            level=LEVEL,
        )
    except ValueError as error:
        return {**nothing, "method": f"no test: {error}"}
    return {
        **scores,
        "difference": test.difference,
        "bound": test.bound,
        "margin": test.margin,
        "accepted": test.accepted,
        "method": test.method,
    }


def _sentence(settings: Fallback, found: Search, held: Mapping[str, Any]) -> str:
    """One sentence for people."""
    score = "no score" if found.score is None else f"{found.score:.6g}"
    head = "goal met" if found.met else "goal missed"
    shown = "shown" if held["accepted"] else "not shown"
    return (
        f"{head}: {found.metric.name} {score}, target {found.target:.6g}, with {len(found.kept)} of "
        f"{len(found.modules)} modules in float after {len(found.trials)} trials on {settings.data}; "
        f"{shown} on {settings.holdout} at {LEVEL:.0%}"
    )
