"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["reproduced", "not reproduced", "not comparable", "needs weights"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict on a claim, what was found, and why."""

    verdict: Verdict
    found: str = ""
    reason: str = ""


def judged(agrees: bool, found: str, reason: str = "") -> Finding:
    """Reproduced where it agrees."""
    return Finding("reproduced" if agrees else "not reproduced", found, reason)
