"""Judge claims one by one, in the order in which they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.claims.checks import Context, check_of
from bench.claims.findings import Finding
from bench.claims.measured import Measured
from bench.claims.published import Claim


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with what was found."""

    claim: Claim
    finding: Finding

    def row(self) -> dict[str, Any]:
        """Plain values, as they are printed and stored."""
        claim = self.claim
        return {
            "model": claim.model,
            "id": claim.id,
            "text": claim.text,
            "published": claim.said(),
            "source": f"{claim.source} (unchecked source)" if claim.unchecked else claim.source,
            "settings": claim.settings,
            **asdict(self.finding),
        }


def judge(
    claims: Sequence[Claim],
    every: Sequence[Claim],
    *,
    measured: Measured | None = None,
    rounds: int = 20,
    watch: Callable[[Claim], None] = lambda _: None,
) -> Iterator[Judged]:
    """Judge `claims`; `every` are those that they may refer to. `watch` is told of each claim before it is judged.

    Raises BadInput for a check that does not exist or is set wrongly: all are looked at before the first is made.
    """
    checks = [(claim, check_of(claim)) for claim in claims]
    contexts: dict[str, Context] = {}
    timings: dict[Any, Any] = {}
    for claim, check in checks:
        context = contexts.setdefault(
            claim.model,
            Context({c.id: c for c in every if c.model == claim.model}, measured, rounds, timings),
        )
        watch(claim)
        yield Judged(claim, check.judge(claim, context))
