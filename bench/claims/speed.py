"""Speed ratios of real shapes with random weights: paired, interleaved, with an interval."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bench.claims.checks import Check, Context
from bench.claims.findings import Finding
from bench.claims.published import Claim

BURST_SECONDS = 0.05


class Speed(Check):
    """Seconds of one forward pass, base over variant, at one batch of `length` tokens; float32, one thread."""

    kind: ClassVar[str] = "speed"
    base: str
    variant: str
    length: int = Field(gt=0, le=512)

    def judge(self, claim: Claim, context: Context) -> Finding:
        key = (self.base, self.variant, self.length)
        if key not in context.timings:
            context.timings[key] = measure(*key, rounds=context.rounds)
        estimate, low, high = context.timings[key]
        found = f"{estimate:.2f} x ({low:.2f} to {high:.2f}) at 1 x {self.length} tokens, {context.rounds} rounds"
        half = claim.half
        if low - half <= claim.number <= high + half:
            return Finding("reproduced", found)
        if low > claim.number:
            return Finding(
                "reproduced", found, "at least what was published: more, on this machine and these libraries"
            )
        return Finding("not reproduced", found, "less than published, on this machine and these libraries")


def measure(base: str, variant: str, length: int, *, rounds: int) -> tuple[float, float, float]:
    """The ratio base over variant with the ends of its 95% interval."""
    import numpy as np
    import torch

    from bench.claims.architectures import timed
    from bench.measure.rounds import Resident, measure_rounds
    from bench.statistics.intervals import block_median

    torch.set_num_threads(1)
    models = [timed(base), timed(variant)]
    ids = torch.randint(10, 1000, (1, length), generator=torch.Generator().manual_seed(0))
    for model in models:
        end = getattr(model.config, "eos_token_id", None)
        if end is not None and type(model).__name__.startswith("Bart"):
            ids[0, -1] = end  # the classifier reads where the text ends
    with torch.inference_mode():
        calls = [lambda m=m: m(input_ids=ids) for m in models]
        visits = measure_rounds(
            Resident([[call] for call in calls]),
            looks=(rounds,),
            burst_seconds=BURST_SECONDS,
            enough=lambda _: True,
            rng=np.random.default_rng(0),
        )
    (seconds,) = visits.tables(2)
    found = block_median(seconds[:, 0] / seconds[:, 1])
    return found.estimate, found.low, found.high
