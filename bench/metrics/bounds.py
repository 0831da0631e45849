"""Constraints as people write them: "latency_p95_ms <= 20", "recovery at least 99%", "size <= 100 MB"."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from bench.errors import BadInput
from bench.metrics import FIDELITY, METRICS
from bench.statistics.constraints import Constraint, Operator, contradiction

OPERATORS: dict[str, Operator] = {
    "<=": "<=",
    ">=": ">=",
    "≤": "<=",
    "≥": ">=",
    "at most": "<=",
    "at least": ">=",
    "<": "<",
    ">": ">",
}
_BYTES = {"B": "1", "kB": "1e3", "MB": "1e6", "GB": "1e9", "KiB": "1024", "MiB": "1048576", "GiB": "1073741824"}
# unit of a metric -> what may stand behind a number, and what it is worth; none is always the metric's own
SUFFIXES: dict[str, dict[str, str]] = {
    "1": {"%": "0.01", "x": "1", "×": "1"},
    "ms": {"ms": "1", "s": "1e3", "us": "1e-3", "µs": "1e-3"},
    "s": {"s": "1", "ms": "1e-3"},
    "B": _BYTES,
    "count": {"k": "1e3", "M": "1e6", "G": "1e9"},
    "J": {"J": "1", "mJ": "1e-3"},
    "1/s": {"/s": "1"},
    "points": {"pts": "1", "points": "1"},
}
OF_SHARES = {"%": "0.01", "pts": "0.01"}  # differences of shares, in percentage points
MOST = Decimal("1e100")  # what nobody means, and what no unit turns into an infinity
FORM = "METRIC[:SCOPE] OPERATOR NUMBER, such as 'latency_p95_ms <= 20' or 'recovery >= 99%'"
_OPERATOR = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in OPERATORS)
_NUMBER = r"[+\-−]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+\-]?\d+)?"
_ONE = re.compile(
    rf"\s*(?P<metric>\w+)\s*(?::(?P<scope>[^<>=≤≥]*?))?\s*(?P<operator>{_OPERATOR})\s*"
    rf"(?P<number>{_NUMBER}|[+\-−]?(?:nan|inf(?:inity)?)\b)?\s*(?P<suffix>%|×|/\s*s|[A-Za-zµ]*)\s*(?:,|$)",
    re.IGNORECASE,
)


class Written(NamedTuple):
    """One constraint as it was written."""

    text: str
    asked: str  # METRIC or METRIC:SCOPE
    operator: Operator
    number: Decimal
    suffix: str


def read(texts: Sequence[str]) -> list[Written]:
    """The constraints in some texts, each holding one or several between commas. Raises BadInput with one sentence.

    A scope may hold commas itself; it ends at the operator.
    """
    found: list[Written] = []
    for text in texts:
        rest = text
        while rest.strip():
            match = _ONE.match(rest)
            if match is None:
                raise BadInput(_wrong(rest))
            found.append(_written(match))
            rest = rest[match.end() :]
        if not text.strip():
            raise BadInput(f"A constraint is empty: write {FORM}.")
    return found


def _written(match: re.Match[str]) -> Written:
    text = match[0].strip().removesuffix(",").rstrip()
    digits = match["number"]
    if digits is None:
        raise BadInput(f"The constraint {text!r} names no number: write {FORM}.")
    number = Decimal(digits.replace("−", "-"))
    if not math.isfinite(float(number)) or abs(number) > MOST:
        raise BadInput(f"The constraint {text!r} has the bound {digits}, but a bound is a finite number: write one.")
    scope = (match["scope"] or "").strip()
    asked = f"{match['metric']}:{scope}" if scope else match["metric"]
    operator = OPERATORS[" ".join(match["operator"].lower().split())]
    return Written(text, asked, operator, number, match["suffix"].replace(" ", ""))


def _wrong(rest: str) -> str:
    """Why the beginning of `rest` is no constraint."""
    text = rest.strip()
    if re.search("[<>≤≥]|at most|at least", text) is None and "=" in text:
        return f"The constraint {text!r} asks for equality, which no measured number has: use <= or >=."
    if re.search(_OPERATOR, text) is None:
        return f"The constraint {text!r} has no operator: write {FORM}."
    return f"The constraint {text!r} cannot be read: write {FORM}, and commas only between constraints."


def bound(written: Written, metric: str, scope: str, unit: str) -> Constraint:
    """The constraint on that metric in that scope, its bound in the metric's unit.

    Raises BadInput for another unit, and for a bound that every possible value keeps, or none.
    """
    suffixes = OF_SHARES if unit == "1" and metric.endswith("_difference") else SUFFIXES.get(unit, {})
    if written.suffix and written.suffix not in suffixes:
        allowed = f", or one with {', '.join(suffixes)}" if suffixes else ""
        raise BadInput(
            f"The constraint {written.text!r} is in {written.suffix!r}, but {metric} is in {_called(unit)}: give the "
            f"plain number{allowed}."
        )
    found = float(written.number * Decimal(suffixes.get(written.suffix, "1")))
    constraint = Constraint(metric, scope, written.operator, found)
    ends = _ends(metric)
    if ends is not None and constraint.holds(ends[0]) == constraint.holds(ends[1]):
        who = "every" if constraint.holds(ends[0]) else "no"
        hint = ", and a percentage has its sign, as 90%" if ends[1] == 1 else ""
        where = f"lies between {ends[0]:g} and {ends[1]:g}{hint}. Choose a bound between them"
        where = "is never below 0. Choose a bound above it" if math.isinf(ends[1]) else where
        raise BadInput(f"The constraint {written.text!r} is met by {who} possible value: {metric} {where}.")
    return constraint


def _called(unit: str) -> str:
    return {"1": "plain ratios or %", "B": "bytes", "count": "plain counts", "plain": "plain numbers"}.get(unit, unit)


def _ends(metric: str) -> tuple[float, float] | None:
    """The smallest and the largest value that a metric can have, None where it has no such ends."""
    known = METRICS.get(metric)
    if metric in FIDELITY:
        return 0.0, 1.0
    if known is not None and known.span:
        return 0.0, known.span
    source = next((m for m in METRICS.values() if m.paired == metric and m.paired.endswith("_difference")), None)
    if source is not None:
        return (-source.span, source.span) if source.span else None
    return None if known is None else (0.0, math.inf)  # a size, a time, a ratio, a count


def refuse_contradictions(texts: Sequence[str], constraints: Sequence[Constraint]) -> None:
    """Raise BadInput, naming the pair by its texts, where no value can keep two constraints together."""
    pair = contradiction(constraints)
    if pair is not None:
        first, second = (texts[i] for i in pair)
        raise BadInput(f"Nothing can meet both {first!r} and {second!r}: change or leave out one of them.")
