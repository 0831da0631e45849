"""What the shipped models show of each claim in `claims.yaml`: contrasts between variants, over seeds and examples.

    python -m bench.zoo.proof STORE ... --out results/reference/zoo.md

STORE are results folders of the sweeps that the claims name. A claim is a weighted sum of variants' scores that should
lie above a bound. It is shown where the whole 95% interval lies above, met where only the estimate does, and missed
otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bench.errors import BadInput
from bench.statistics.intervals import Interval, mean_t
from bench.statistics.seeds import over_seeds
from bench.store.folder import open_folder
from bench.store.quality import read_outcomes

CLAIMS = Path(__file__).parent / "claims.yaml"
Verdict = Literal["shown", "met but not shown", "missed", "not run"]


class Term(BaseModel):
    """Variants whose names match a pattern, and the weight of their score. With `mean`, one row a store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variants: str = Field(description="pattern of names without the base's; * matches any text")
    weight: float
    mean: bool = False
    sweep: str | None = Field(default=None, description="where it is another than the claim's")


class Claim(BaseModel):
    """One thing that compressing a shipped model should show, stated before it was tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    text: str
    stated: date
    sweep: str
    task: str | None = None
    value: str = Field(description="a per-example column, 'nll per token', or 'evidence NAME' of a build")
    terms: tuple[Term, ...]
    above: float = 0.0
    scale: float = Field(default=1.0, description="what the value is multiplied by for people, such as 100 for points")
    unit: str = "points"
    seeds: int = Field(default=5, description="rows that there must be at least")


@dataclass(frozen=True, slots=True)
class Proof:
    """What came out for one claim."""

    claim: Claim
    verdict: Verdict
    interval: Interval | None
    rows: int
    parts: tuple[tuple[str, float, int], ...] = ()  # pattern, mean, variants


def load_claims() -> list[Claim]:
    """The committed claims."""
    return [Claim.model_validate(c) for c in yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))["claims"]]


class Results:
    """Finished evaluations and builds of several stores, by the name of the sweep."""

    def __init__(self, stores: Sequence[Path]) -> None:
        self._sweeps: dict[str, list[tuple[duckdb.DuckDBPyConnection, dict[str, Any]]]] = {}
        for store in stores:
            connection = duckdb.connect(str(open_folder(store).database), read_only=True)
            found = connection.execute("select body from sweeps order by declared").fetchall()
            newest = {(body := json.loads(text))["name"].replace("-", "_"): body for (text,) in found}
            for name, body in newest.items():
                self._sweeps.setdefault(name, []).append((connection, body))

    def values(self, claim: Claim, term: Term) -> NDArray[np.float64]:
        """[variants, examples] of a term, [variants, 1] for evidence; empty where nothing is there."""
        found: list[NDArray[np.float64]] = []
        for connection, sweep in self._sweeps.get(term.sweep or claim.sweep, []):
            rows = [
                row
                for variant in sorted(sweep["variants"], key=lambda v: (v["seed"] or 0, v["position"]))
                if fnmatchcase(variant["name"].partition(": ")[2], term.variants)
                and (row := _row(connection, sweep, variant, claim)) is not None
            ]
            found += [np.mean(rows, axis=0)] if term.mean and rows else rows
        return np.stack(found) if found else np.empty((0, 0))


def _row(
    connection: duckdb.DuckDBPyConnection, sweep: Mapping[str, Any], variant: Mapping[str, Any], claim: Claim
) -> NDArray[np.float64] | None:
    built = connection.execute(
        "select artefact_id, answer from records where kind = 'build' and status = 'finished' and recipe_id = ? "
        "order by ordinal limit 1",
        [variant["recipe_id"]],
    ).fetchone()
    if built is None:
        return None
    if claim.value.startswith("evidence "):
        found: Any = json.loads(built[1] or "{}")
        for key in claim.value.removeprefix("evidence ").split("."):
            found = found[key]
        return np.array([float(len(found) if isinstance(found, list) else found)])
    task = next(t for t in sweep["tasks"] if t["name"] == claim.task)
    identities = connection.execute(
        "select distinct identity from examples where artefact_id = ? and task = ?", [built[0], task["fingerprint"]]
    ).fetchall()
    outcomes = read_outcomes(connection, [i for (i,) in identities], task["examples"])
    if outcomes is None:
        return None
    if claim.value == "nll per token":  # the sum over all tokens is then the mean over the texts
        return np.asarray(outcomes.columns["nll"] / outcomes.columns["tokens"].mean())
    return outcomes.columns[claim.value]


def prove(claim: Claim, results: Results) -> Proof:
    """Judge one claim. Terms with as many variants as seeds are paired in the order of their seeds."""
    tables = [results.values(claim, term) for term in claim.terms]
    if any(not table.size for table in tables):
        return Proof(claim, "not run", None, 0)
    parts = tuple((t.variants, float(x.mean()), len(x)) for t, x in zip(claim.terms, tables, strict=True))
    rows = max(len(table) for table in tables)
    if any(len(table) not in (1, rows) for table in tables):
        raise BadInput(f"The claim {claim.id!r} meets {[len(t) for t in tables]} variants in its terms: run all seeds.")
    total = sum((term.weight * table for term, table in zip(claim.terms, tables, strict=True)), np.zeros((rows, 1)))
    if total.size < 2:
        return Proof(claim, "not run", None, rows, parts)
    # Without training there is no seed: then the examples alone decide.
    interval = over_seeds(total) if min(total.shape) > 1 else mean_t(total.ravel())
    verdict: Verdict = (
        "shown" if interval.low > claim.above else "met but not shown" if interval.estimate > claim.above else "missed"
    )
    return Proof(claim, verdict if rows >= claim.seeds else "not run", interval, rows, parts)


def table(proofs: Sequence[Proof]) -> str:
    """A Markdown table."""
    lines = [
        "| claim | verdict | value (95% interval) | must be above | seeds | parts (mean) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for p in proofs:
        scale, i = p.claim.scale, p.interval
        value = f"{scale * i.estimate:.3g} ({scale * i.low:.3g} to {scale * i.high:.3g}) {p.claim.unit}" if i else "–"
        parts = "; ".join(f"{name}: {scale * mean:.4g}{f' ({n})' if n > 1 else ''}" for name, mean, n in p.parts)
        lines.append(
            f"| {p.claim.text} | **{p.verdict}** | {value} | {scale * p.claim.above:.3g} | {p.rows} | {parts} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table of all claims, or write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path, help="results folders of the sweeps that the claims name")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    results = Results(arguments.stores)
    text = table([prove(claim, results) for claim in load_claims()])
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
