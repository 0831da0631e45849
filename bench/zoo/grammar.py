"""Premise and hypothesis pairs with three labels, written by a seeded grammar.

A row is made in this order: a genre and a kind, a scene (premise), a form of hypothesis for which the scene offers all
three labels, a label, and last the hypothesis that has it. So neither the premise alone nor the hypothesis alone says
anything about the label; only which names and nouns the two share, and how, does. (Small scenes offer two labels at
times: there the premise tells one label out of three away.) A template is a pair with its verbs in place and its
names, nouns and numbers left open; its digest decides which side owns it, so no template is ever on two sides.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from bench.zoo import words
from bench.zoo.changes import KINDS
from bench.zoo.scenes import CONTRADICTION, ENTAILMENT, LABELS, NEUTRAL, Scene

VERSION: Final = 1
SLOT: Final = re.compile(r"\{([a-z])(\d+)([+-]?)\}")
VERBS: Final = re.compile(r"\{([adr])(\d+)([+-]?)\}")  # actions, deeds and relations belong to the template
OWNERS: Final[tuple[words.Side, ...]] = ("train",) * 6 + ("validation",) + ("test",) * 3
# How often a form is asked, against 1 for one not named here. Plain forms lead: were every voice and denial even, the
# label would be a parity of four independent signs, which small models do not learn from examples.
FORMS: Final = {
    "up": 8, "down": 3, "not up": 2, "active": 8, "passive": 3, "never active": 2,
    "does": 3, "yes": 3, "has": 3, "at least": 2, "at most": 2,
}  # fmt: skip
TRIES: Final = 60  # scenes drawn for one kind and label before another kind is taken (the hard set only)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """One data set: which names and templates it may use, which genres, and how many rows it has."""

    side: words.Side
    seed: int
    count: int  # rows
    genres: Literal["matched", "mismatched"] = "matched"
    hard: bool = False  # keep only pairs whose word overlap points to the wrong label
    small: float = 0.7  # share of scenes with one fact, or one step from it
    paired: float = 0.5  # share of small scenes that stand beside another small scene about other people
    siblings: bool = False  # write the same premise with the other labels right after (training from nothing only)
    kinds: tuple[str, ...] = tuple(KINDS)
    opener: float = 0.2  # share of premises that open with a place of the genre


def canonical(text: str) -> str:
    """Number the slots of each letter by first appearance; number words stay open as one slot each."""
    seen: dict[str, dict[str, int]] = {}

    def renumber(slot: re.Match[str]) -> str:
        letter, number, sign = slot.groups()
        order = seen.setdefault(letter, {})
        return f"{{{letter}{order.setdefault(number, len(order))}{sign}}}"

    return SLOT.sub(renumber, text)


def overlap(premise: str, hypothesis: str) -> float:
    """Share of the hypothesis' words (0 to 1) that the premise holds too."""
    have = set(premise.split())
    wanted = hypothesis.split()
    return sum(word in have for word in wanted) / len(wanted)


def misleads(premise: str, hypothesis: str, label: str) -> bool:
    """True if a reader of word overlap errs: all words shared without entailment, or words missing with it."""
    return (overlap(premise, hypothesis) < 1) == (label == ENTAILMENT)


class Lexicon:
    """Fills slots for one pair: every slot keeps its word through the premise and the hypothesis."""

    def __init__(self, rng: Random, names: tuple[str, ...], diagonal: int) -> None:
        relation = rng.sample(words.RELATIONS, 2)
        self.rng = rng
        self.relations = {"+": [pair[0] for pair in relation], "-": [pair[1] for pair in relation]}
        self.lists = {
            "n": words.draw_names(rng, names, 9),
            "d": rng.sample(words.DEEDS, 3),
            "a": rng.sample(words.ACTIONS, 3),
            "c": [rng.choice(words.COUNTED)],
            "j": rng.sample(words.compounds(words.JOB_PARTS, diagonal), 4),
            "p": rng.sample(words.compounds(words.PLACE_PARTS, diagonal), 8),
            "t": rng.sample(words.compounds(words.THING_PARTS, diagonal), 3),
            "k": ["", "", *words.NUMBERS],
        }

    def _word(self, slot: re.Match[str]) -> str:
        letter, number, sign = slot.groups()
        table = self.relations[sign] if sign else self.lists[letter]
        return table[int(number)]

    def template(self, kind: str, scene: Scene, hypothesis: str) -> tuple[str, words.Side]:
        """The template's id, such as "order-5f2c9a1b", and the side that owns it: verbs in place, other slots open."""
        text = VERBS.sub(self._word, f"{' . '.join(scene.premise)} => {hypothesis}")
        digest = hashlib.sha256(f"{kind}: {canonical(text)}".encode()).digest()
        return f"{kind}-{digest[:5].hex()}", OWNERS[int.from_bytes(digest[-4:], "big") % len(OWNERS)]

    def write(self, sentences: list[str]) -> str:
        """The sentences with their slots filled, each with a capital letter first and a full stop."""
        texts = [SLOT.sub(self._word, sentence).replace(" ,", ",") for sentence in sentences]
        return " ".join(f"{text[0].upper()}{text[1:]}." for text in texts)

    def opener(self) -> str:
        """ "at the millhouse , " with a place that no sentence of the scene uses (scenes use at most seven)."""
        return f"at the {self.lists['p'][7]} , "


def beside(rng: Random, scene: Scene, other: Scene) -> None:
    """Put another scene's sentences around a scene's own. They share no person, job, place or thing: labels stand."""
    away = {"n": 4, "j": 1, "p": 3, "t": 1, "a": 1, "d": 1}

    def shift(slot: re.Match[str]) -> str:
        letter, number, sign = slot.groups()
        return f"{{{letter}{int(number) + away.get(letter, 0)}{sign}}}"

    for sentence in other.premise:
        scene.premise.insert(rng.choice((0, len(scene.premise))), SLOT.sub(shift, sentence))


def draw_pattern(rng: Random, kind: str, label: str, split: Split, lexicon: Lexicon) -> tuple[Scene, str, str] | None:
    """One scene with a hypothesis of the asked label whose template the split owns, or None if it offers none."""
    small = rng.random() < split.small
    scene = KINDS[kind](rng, small)
    forms = sorted(form for form in scene.asked if label in scene.asked[form]) if small else scene.full_forms()
    if not forms:
        return None
    if small and split.paired and rng.random() < split.paired:
        beside(rng, scene, KINDS[kind](rng, True))
    if split.hard:  # forms are mixed here: what must not help is the words, and those were learnt where forms are even
        choices = [hypothesis for form in forms for hypothesis in scene.asked[form][label]]
        premise = " . ".join(scene.premise)
        choices = [hypothesis for hypothesis in choices if misleads(premise, hypothesis, label)]
    else:
        form = rng.choices(forms, [FORMS.get(form, 1) for form in forms])[0]
        choices = scene.asked[form][label]
    rng.shuffle(choices)
    for hypothesis in choices:
        template, owner = lexicon.template(kind, scene, hypothesis)
        if owner == split.side:
            return scene, hypothesis, template
    return None


def draw_rows(rng: Random, label: str, genre: str, split: Split, names: tuple[str, ...]) -> list[dict[str, str]]:
    """One row without its id, and its siblings if wanted. A kind that cannot give the label is drawn again."""
    while True:
        kind = rng.choice(split.kinds)
        genres = words.MATCHED_GENRES | words.MISMATCHED_GENRES
        lexicon = Lexicon(rng, names, genres[genre])
        for _ in range(TRIES):
            pattern = draw_pattern(rng, kind, label, split, lexicon)
            if pattern is not None:
                scene, hypothesis, template = pattern
                opener = lexicon.opener() if rng.random() < split.opener else ""
                premise = lexicon.write([opener + scene.premise[0], *scene.premise[1:]])
                asked = [(hypothesis, label, template)]
                if split.siblings:
                    asked += siblings(rng, kind, scene, asked[0], split.side, lexicon)
                return [
                    {
                        "premise": premise,
                        "hypothesis": lexicon.write([sentence]),
                        "label": truth,
                        "genre": genre,
                        "template": used,
                        "kind": kind,
                    }
                    for sentence, truth, used in asked
                ]


def siblings(
    rng: Random, kind: str, scene: Scene, first: tuple[str, str, str], side: words.Side, lexicon: Lexicon
) -> list[tuple[str, str, str]]:
    """Hypotheses of the same form with the other labels, where the side owns their templates."""
    found: list[tuple[str, str, str]] = []
    form = next(f for f, by_label in sorted(scene.asked.items()) if first[0] in by_label.get(first[1], ()))
    for label, choices in sorted(scene.asked[form].items()):
        hypothesis = rng.choice(choices)
        template, owner = lexicon.template(kind, scene, hypothesis)
        if label != first[1] and owner == side:
            found.append((hypothesis, label, template))
    return found


def write_rows(split: Split, count: int | None = None) -> Iterator[dict[str, str]]:
    """Yield rows of one split, `split.count` unless `count` says otherwise; a shorter draw is a prefix of a longer.

    Keys: id, premise, hypothesis, label, genre, template, kind. Labels take turns in shuffled threes, so any prefix
    is balanced to within two rows (siblings aside). No pair is written twice.
    """
    rng = Random(split.seed)  # noqa: S311 - the same rows on every machine is the point
    names = words.names(split.side)
    genres = tuple(words.MATCHED_GENRES if split.genres == "matched" else words.MISMATCHED_GENRES)
    seen: set[tuple[str, str]] = set()
    turns: list[str] = []
    wanted = split.count if count is None else count
    while len(seen) < wanted:
        if not turns:
            turns = rng.sample(LABELS, len(LABELS))
        for place, row in enumerate(draw_rows(rng, turns[-1], rng.choice(genres), split, names)):
            pair = (row["premise"], row["hypothesis"])
            if pair not in seen and len(seen) < wanted:
                if place == 0:
                    turns.pop()
                yield {"id": f"{split.side}-{split.seed}-{len(seen)}", **row}
                seen.add(pair)


__all__ = ["CONTRADICTION", "ENTAILMENT", "LABELS", "NEUTRAL", "VERSION", "Split", "overlap", "write_rows"]
