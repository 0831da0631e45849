"""Does an entailment model read, or go by surface? HANS and its like: sentences where simple heuristics fail.

R. T. McCoy, E. Pavlick, T. Linzen, Right for the Wrong Reasons, ACL 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from bench.architecture import Architecture
from bench.data import Example
from bench.errors import BadInput
from bench.record import Examples
from bench.tasks.classification import Classifying
from bench.tasks.labels import classify, named_like, output_names, probabilities

if TYPE_CHECKING:
    from bench.models import Loaded


class Heuristics(Classifying):
    """A three-way entailment model on data with two labels.

    `accuracy` is McCoy's rule: the most probable of the three labels, where contradiction and neutral both count as
    non-entailment. `accuracy_summed` compares entailment with the sum of the two, which is another rule with other
    answers. Parts are heuristic and label together: six cells for HANS, where chance shows as full marks in three of
    them and none in the others.
    """

    kind: ClassVar[str] = "heuristics"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "accuracy_summed")

    entailment: str = Field(default="entailment", description="what the data call entailment")
    non_entailment: str = Field(default="non-entailment", description="what the data call everything else")

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        names = self.names_of(architecture, base)
        if len(named_like(names, "entail")) != 1 or len(names) < 2:
            raise BadInput(
                f"A heuristics task needs a model with one label that means entailment, but the labels of {base!r} are "
                f"{', '.join(names)}: use a model trained on entailment, or set label_names."
            )
        strange = sorted(labels - {self.entailment, self.non_entailment})
        if strange:
            raise BadInput(
                f"The data has the label {strange[0]!r}, which is neither {self.entailment!r} nor "
                f"{self.non_entailment!r}: set entailment and non_entailment to what the data call them."
            )

    def check_examples(self, examples: Sequence[Example]) -> None:
        """Raise BadInput where an example is no pair."""
        if any(e.pair is None for e in examples):
            raise BadInput("A heuristics task needs pairs of premise and hypothesis: name pair in the data section.")

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """Answers by McCoy's rule, in the order of the window; the confidence is the probability of the answer."""
        self.check_examples(window)
        (entails,) = named_like(output_names(model, self.label_names), "entail")
        logits = classify(
            model,
            [e.text for e in window],
            [str(e.pair) for e in window],
            max_length=self.max_length,
            batch_tokens=self.batch_tokens,
        )
        chances = probabilities(logits)
        says = chances.argmax(axis=1) == entails
        summed = chances[:, entails] > 0.5  # more than the others together
        right = np.array([e.label == self.entailment for e in window])
        return Examples(
            artefact_id="",
            task="",
            index=np.array([e.index for e in window], dtype=np.int64),
            label=tuple(e.label for e in window),
            prediction=tuple(self.entailment if says_so else self.non_entailment for says_so in says),
            score=(says == right).astype(np.float64),
            confidence=np.where(says, chances[:, entails], 1 - chances[:, entails]),
            slice=tuple(f"{e.slice} / {e.label}" if e.slice else e.label for e in window),
            columns={"summed": (summed == right).astype(np.float64)},
        )


def at_chance(cells: Mapping[str, tuple[int, int]], level: float = 0.95) -> tuple[bool, str]:
    """Whether a model does no better than guessing on data with as many examples of either label, and why, in words.

    It does not where it is right always or never in every cell (it always gives one answer), or where the exact
    interval of its accuracy over all cells holds one half. Below one half is no chance either: it is said apart.

    Args:
        cells: (right answers, examples) by the name of the cell; none of them empty.
        level: of the Clopper-Pearson interval.
    """
    from bench.statistics.intervals import exact_proportion

    right, count = (sum(cell[i] for cell in cells.values()) for i in (0, 1))
    whole = exact_proportion(right, count, level)
    share = f"{100 * whole.estimate:.1f}% of {count} right"
    if all(hits in (0, n) for hits, n in cells.values()) and len({hits == n for hits, n in cells.values()}) == 2:
        return True, f"At chance: all or nothing in each of {len(cells)} cells, as by one answer to all ({share})."
    if whole.contains(0.5):
        return True, f"At chance: {share}, and {whole.low:.3f} to {whole.high:.3f} holds one half."
    side = "above" if whole.estimate > 0.5 else "below"
    return False, f"{share[0].upper()}{share[1:]}, {side} chance: {whole.low:.3f} to {whole.high:.3f}."


def cells_of(slices: Sequence[str], score: Sequence[float]) -> dict[str, tuple[int, int]]:
    """Right answers and examples by cell, from the columns of outcomes; what `at_chance` asks for."""
    found: dict[str, tuple[int, int]] = {}
    for name, value in zip(slices, score, strict=True):
        right, count = found.get(name, (0, 0))
        found[name] = (right + round(value), count + 1)
    return dict(sorted(found.items()))
