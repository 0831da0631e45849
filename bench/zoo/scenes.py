"""Four kinds of scene whose facts stay true: order, roles, quantified groups and counts.

A scene is a list of premise sentences with slots, and every hypothesis the kind can ask about it, filed by form and
label. The label is computed from the facts that the sentences state, never from the words. Slots: {n0} name, {r0+} and
{r0-} the two directions of one relation, {d0} deed, {a0} action, {j0} job, {p0} place, {t0} thing, {c0} counted noun,
{k3} the number 3.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

ENTAILMENT: Final = "entailment"
NEUTRAL: Final = "neutral"
CONTRADICTION: Final = "contradiction"
LABELS: Final = (CONTRADICTION, NEUTRAL, ENTAILMENT)


@dataclass(slots=True)
class Scene:
    """Premise sentences, and hypotheses as `asked[form][label]`, a list of sentences."""

    premise: list[str]
    asked: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def ask(self, form: str, sentence: str, truth: bool | None) -> None:
        """File one hypothesis. `truth`: True if it follows, False if it is ruled out, None if it is open."""
        label = NEUTRAL if truth is None else ENTAILMENT if truth else CONTRADICTION
        self.asked.setdefault(form, {}).setdefault(label, []).append(sentence)

    def full_forms(self) -> list[str]:
        """Forms that offer all three labels: only these are used, so neither premise nor form hints at a label."""
        return sorted(form for form, by_label in self.asked.items() if len(by_label) == len(LABELS))


SceneMaker = Callable[[Random, bool], Scene]  # the flag asks for a small scene: one fact, or one step from it


def opposite(truth: bool | None) -> bool | None:
    """The truth of the negated sentence."""
    return None if truth is None else not truth


def closure(pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The transitive closure of a small relation."""
    closed = set(pairs)
    while True:
        longer = {(a, d) for a, b in closed for c, d in closed if b == c} - closed
        if not longer:
            return closed
        closed |= longer


def order(rng: Random, small: bool) -> Scene:
    """Two or three comparisons over three or four people, one of them at times in another relation."""
    people = 2 if small else rng.choice((3, 4))
    facts: list[tuple[int, int, int]] = []
    for person in range(1, people):
        other = rng.randrange(person) if rng.random() < 0.35 else person - 1
        high, low = (person, other) if rng.random() < 0.25 else (other, person)
        facts.append((high, low, int(rng.random() < 0.2)))
    rng.shuffle(facts)
    scene = Scene([])
    for high, low, relation in facts:
        if rng.random() < 0.8:
            scene.premise.append(f"{{n{high}}} is {{r{relation}+}} {{n{low}}}")
        else:
            scene.premise.append(f"{{n{low}}} is {{r{relation}-}} {{n{high}}}")
    for relation in {fact[2] for fact in facts}:
        known = closure({(high, low) for high, low, r in facts if r == relation})
        for a in range(people):
            for b in range(people):
                if a != b:
                    truth = True if (a, b) in known else False if (b, a) in known else None
                    ask_order(scene, a, b, relation, truth)
    return scene


def ask_order(scene: Scene, a: int, b: int, relation: int, truth: bool | None) -> None:
    """All four ways of saying "a stands above b", or its denial (the relations are strict)."""
    scene.ask("up", f"{{n{a}}} is {{r{relation}+}} {{n{b}}}", truth)
    scene.ask("down", f"{{n{b}}} is {{r{relation}-}} {{n{a}}}", truth)
    scene.ask("not up", f"{{n{a}}} is not {{r{relation}+}} {{n{b}}}", opposite(truth))
    scene.ask("not down", f"{{n{b}}} is not {{r{relation}-}} {{n{a}}}", opposite(truth))


def deed(passive: bool, denied: bool, doer: int, verb: int, other: int) -> str:
    """One sentence about one deed in the active or passive voice."""
    never = "never " if denied else ""
    if passive:
        return f"{{n{other}}} was {never}{{d{verb}}} by {{n{doer}}}"
    return f"{{n{doer}}} {never}{{d{verb}}} {{n{other}}}"


def roles(rng: Random, small: bool) -> Scene:
    """Who did what to whom: active and passive, denied or not; swapped roles are open unless stated."""
    people, verbs = (2, 1) if small else (3, 2)
    acts = [(a, v, b) for a in range(people) for v in range(verbs) for b in range(people) if a != b]
    first = rng.choice(acts)
    facts = {first: rng.random() < 0.7}
    if not small and rng.random() < 0.5:
        facts[(first[2], first[1], first[0])] = rng.random() < 0.7
    while len(facts) < 3 and not small:
        facts[rng.choice(acts)] = rng.random() < 0.7
    stated = list(facts.items())
    rng.shuffle(stated)
    scene = Scene([deed(rng.random() < 0.25, not true, *act) for act, true in stated])
    used = {act[1] for act in facts}
    for act in acts:
        if act[1] in used:
            truth = facts.get(act)
            for passive, voice in ((False, "active"), (True, "passive")):
                scene.ask(voice, deed(passive, False, *act), truth)
                scene.ask(f"never {voice}", deed(passive, True, *act), opposite(truth))
    return scene


QUANTIFIERS: Final[dict[str, bool | None]] = {"every": True, "no": False, "some": None, "not every": None}


def groups(rng: Random, small: bool) -> Scene:
    """Quantified jobs, at times one job inside another, and the people who hold them."""
    jobs = 1 if small else 3
    rules: list[tuple[int, int, str]] = []
    nested = not small and rng.random() < 0.5
    quantified = (1, 2) if nested else tuple(range(jobs))
    for job in quantified:
        rules.append((job, int(rng.random() < 0.3), rng.choice(tuple(QUANTIFIERS))))
    holders = list(range(jobs)) if small or rng.random() < 0.5 else rng.sample(range(jobs), 2)
    sentences = [f"{quantifier} {{j{job}}} {{a{action}}}" for job, action, quantifier in rules]
    if nested:
        sentences.append("every {j0} is a {j1}")
    sentences += [f"{{n{person}}} is a {{j{job}}}" for person, job in enumerate(holders)]
    rng.shuffle(sentences)
    scene = Scene(sentences)
    for person, job in enumerate(holders):
        member_of = {job, 1} if nested and job == 0 else {job}
        for action in {rule[1] for rule in rules}:
            known = [QUANTIFIERS[q] for j, a, q in rules if j in member_of and a == action]
            truth = next((value for value in known if value is not None), None)
            scene.ask("does", f"{{n{person}}} {{a{action}}}", truth)
            scene.ask("never", f"{{n{person}}} never {{a{action}}}", opposite(truth))
    return scene


LEAST, MOST = 0, 99


def span(phrase: str, number: int) -> tuple[int, int]:
    """The smallest and largest count that a phrase allows."""
    return {
        "exactly": (number, number),
        "at least": (number, MOST),
        "at most": (LEAST, number),
        "more than": (number + 1, MOST),
        "fewer than": (LEAST, number - 1),
    }[phrase]


def counts(rng: Random, small: bool) -> Scene:
    """Two or three people with exact or bounded counts of one noun."""
    people = 1 if small else rng.choice((2, 3))
    facts = [(rng.choice(("exactly", "at least", "at most")), rng.randint(2, 9)) for _ in range(people)]
    scene = Scene([f"{{n{i}}} has {phrase} {{k{n}}} {{c0}}" for i, (phrase, n) in enumerate(facts)])
    mentioned = {number for _, number in facts}
    near = {number + step for number in mentioned for step in (-1, 1)} & set(range(2, 10))
    for i, (phrase, number) in enumerate(facts):
        low, high = span(phrase, number)
        for asked in ("at least", "at most", "more than", "fewer than"):
            for k in sorted(mentioned | near):
                bottom, top = span(asked, k)
                inside = bottom <= low and high <= top
                outside = high < bottom or top < low
                truth = True if inside else False if outside else None
                scene.ask(asked, f"{{n{i}}} has {asked} {{k{k}}} {{c0}}", truth)
    return scene
