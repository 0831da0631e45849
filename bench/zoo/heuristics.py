"""Pairs in which a shallow reader errs, after HANS (McCoy, Pavlick and Linzen 2019, arXiv:1902.01007), in the words of
the entailment grammar.

Three shallow rules say "entailment": every word of the hypothesis is in the premise; the hypothesis stands in the
premise word for word; it is a whole clause of the premise. Each holds for half of its pairs and misleads in the others.
The labels follow from what the forms mean in the grammar: whoever knows or sees that something was done is right,
whoever thinks or claims it may err, and a condition says nothing about what would follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from bench.zoo import words

VERSION: Final = 1
ENTAILED: Final = "entailment"
OPEN: Final = "non-entailment"
# (heuristic, label) -> subcases: name, premise, hypothesis. A to D are people, v and w deeds, P a place.
FORMS: Final[dict[tuple[str, str], tuple[tuple[str, str, str], ...]]] = {
    ("lexical_overlap", ENTAILED): (
        ("passive", "A was v by B.", "B v A."),
        ("passive beside another", "A was v by B. C w A.", "B v A."),
    ),
    ("lexical_overlap", OPEN): (
        ("swapped", "A v B.", "B v A."),
        ("passive for active", "A was v by B.", "A v B."),
    ),
    ("subsequence", ENTAILED): (
        ("place first", "At the P, A v B.", "A v B."),
        ("second sentence", "A v B. C w D.", "C w D."),
    ),
    ("subsequence", OPEN): (
        ("behind", "A behind B v C.", "B v C."),
        ("older than", "A older than B v C.", "B v C."),
    ),
    ("constituent", ENTAILED): (
        ("knows", "A knows that B v C.", "B v C."),
        ("sees", "A sees that B v C.", "B v C."),
    ),
    ("constituent", OPEN): (
        ("thinks", "A thinks that B v C.", "B v C."),
        ("condition", "If A v B, C w D.", "C w D."),
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Heuristics:
    """How one data set is drawn; `count` rows over twelve subcases in turn."""

    seed: int
    count: int


DATA: Final = {"heuristics/test": Heuristics(seed=31, count=1_536)}


def write_heuristics(split: Heuristics) -> Iterator[dict[str, str]]:
    """Yield rows with the keys id, premise, hypothesis, label, heuristic, subcase. Names are those of the test side."""
    rng = Random(split.seed)  # noqa: S311 - the same rows on every machine is the point
    cases = [(heuristic, label, *form) for (heuristic, label), forms in FORMS.items() for form in forms]
    pool, seen = words.names("test"), set[tuple[str, str]]()
    genres = tuple(words.MATCHED_GENRES.values())
    while len(seen) < split.count:
        heuristic, label, subcase, premise, hypothesis = cases[len(seen) % len(cases)]
        fill = dict(zip("ABCD", words.draw_names(rng, pool, 4), strict=True))
        fill |= dict(zip("vw", rng.sample(words.DEEDS, 2), strict=True))
        fill["P"] = rng.choice(words.compounds(words.PLACE_PARTS, rng.choice(genres)))
        pair = (_filled(premise, fill), _filled(hypothesis, fill))
        if pair in seen:
            continue
        row = {"premise": pair[0], "hypothesis": pair[1], "label": label, "heuristic": heuristic, "subcase": subcase}
        yield {"id": f"heuristics-{split.seed}-{len(seen)}", **row}
        seen.add(pair)


def _filled(form: str, fill: dict[str, str]) -> str:
    """The form with its single letters replaced, whatever stands after them."""
    return " ".join(
        fill.get(word.rstrip(".,"), word.rstrip(".,")) + word[len(word.rstrip(".,")) :] for word in form.split()
    )
