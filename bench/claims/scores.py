"""Claims about scores: they need the weights and the data, so they are compared with what a store has measured."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bench.claims.checks import Check, Context
from bench.claims.findings import Finding, judged
from bench.claims.published import Claim


class Quality(Check):
    """A score that needs the weights and the data: looked up in a store, where the named sweep has been run."""

    kind: ClassVar[str] = "quality"
    sweep: str | None = None
    task: str = ""
    metric: str = ""
    variant: str = Field(default="", description="pattern of the variant's name; {cell} is replaced")
    names: dict[str, str] = Field(default_factory=dict, description="cell -> what {cell} becomes")
    factor: float = Field(default=1.0, description="from the store's scale to the published one")

    def judge(self, claim: Claim, context: Context) -> Finding:
        if self.sweep is None:
            return Finding("needs weights", "", f"no shipped sweep has the task behind it ({self.metric})")
        command = f"paredown run {self.sweep}"
        if not self.metric:
            return Finding("needs weights", "", f"{command}, and see the decision of the step on its variant")
        pattern = self.variant.format(cell=self.names.get(claim.cell, claim.cell))
        number = context.measured.find(self.sweep, pattern, self.metric, self.task) if context.measured else None
        if number is None:
            return Finding("needs weights", "", command)
        low, high = self.factor * number.low, self.factor * number.high
        half = claim.half
        found = f"{self.factor * number.estimate:.2f} ({low:.2f} to {high:.2f}), {number.variant}"
        return judged(low - half <= claim.number <= high + half, found, "95% interval, widened by the rounding")


class OnBoard(Check):
    """A number of a model card: compared with the base of whatever sweep has that metric for a task of that name."""

    kind: ClassVar[str] = "on_board"
    metric: str
    task: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        numbers = context.measured.numbers if context.measured else ()
        wanted = (_plain(self.metric), _plain(self.task))
        number = next(
            (n for n in numbers if n.variant == "base" and (_plain(n.metric), _plain(n.scope)) == wanted), None
        )
        if number is None:
            return Finding("needs weights", "", f"run a sweep with a task named {self.task!r}, and give its --store")
        # Cards write shares as such or in percent.
        factor = 100.0 if claim.number > 1 and number.high <= 1 else 1.0
        low, high = factor * number.low, factor * number.high
        found = f"{factor * number.estimate:.4g} ({low:.4g} to {high:.4g}), {number.sweep}"
        agrees = low - claim.half <= claim.number <= high + claim.half
        return judged(agrees, found, "95% interval, widened by the rounding")


def _plain(text: str) -> str:
    """Letters and digits alone: cards and sweeps write one name in many ways."""
    return "".join(ch for ch in text.lower() if ch.isalnum())
