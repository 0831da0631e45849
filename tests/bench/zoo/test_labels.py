"""Labels checked by reading the English back and trying every possible world, apart from the grammar's own logic."""

import re
from collections.abc import Callable, Iterator
from itertools import permutations, product

import pytest

from bench.zoo.words import NUMBERS, RELATIONS
from tests.bench.zoo.conftest import Rows

World = dict[str, object]
Reader = Callable[[str, World], bool]
NUMBER = {word: value for value, word in enumerate(NUMBERS, start=2)}


def sentences(row: dict[str, str]) -> tuple[list[str], str]:
    """Premise sentences without the opener and with a small first letter for "if", "every" and the like."""
    premise = re.sub(r"^At the \w+, ", "", row["premise"])
    return [s.strip() for s in premise.rstrip(".").split(".")], row["hypothesis"].rstrip(".")


def names_in(texts: list[str]) -> list[str]:
    return sorted({word for text in texts for word in text.split() if re.fullmatch(r"[A-Z][a-z]{4}", word)} - {"Every"})


def order_worlds(texts: list[str]) -> Iterator[World]:
    people = names_in(texts)
    used = [pair for pair in RELATIONS if any(f" {end} " in text for text in texts for end in pair)]
    for ranks in product(permutations(people), repeat=len(used)):
        yield {"/".join(used[i]): rank for i, rank in enumerate(ranks)}


def order_true(text: str, world: World) -> bool:
    for pair, rank in world.items():
        assert isinstance(rank, tuple)
        for end, sign in zip(str(pair).split("/"), (-1, 1), strict=True):
            found = re.fullmatch(rf"(\w+) is (not )?{end} (\w+)", text)
            if found:
                above = (rank.index(found[1]) - rank.index(found[3])) * sign > 0
                return bool(above != bool(found[2]))
    raise AssertionError(text)


def count_worlds(texts: list[str]) -> Iterator[World]:
    people = names_in(texts)
    for counts in product(range(13), repeat=len(people)):
        yield dict(zip(people, counts, strict=True))


def count_true(text: str, world: World) -> bool:
    person, _, *phrase, number, _ = text.split()
    have, wanted = world[person], NUMBER[number]
    assert isinstance(have, int)
    tests = {"exactly": have == wanted, "at least": have >= wanted, "at most": have <= wanted}
    return {**tests, "more than": have > wanted, "fewer than": have < wanted}[" ".join(phrase)]


def rule_worlds(texts: list[str]) -> Iterator[World]:
    people = names_in(texts)
    for values in product((False, True), repeat=len(people)):
        yield dict(zip(people, values, strict=True))


def rule_true(text: str, world: World) -> bool:
    if text.lower().startswith("if "):
        condition, outcome = text[3:].split(", ")
        return not rule_true(condition, world) or rule_true(outcome, world)
    return bool(world[text.split()[0]]) != (" never " in text)


ACT = re.compile(r"(\w+) (was )?(never )?(\w+) (by )?(\w+)")


def act_of(text: str) -> tuple[str, bool]:
    found = ACT.fullmatch(text)
    assert found, text
    doer, other = (found[6], found[1]) if found[2] else (found[1], found[6])
    return f"{doer} {found[4]} {other}", not found[3]


def role_worlds(texts: list[str]) -> Iterator[World]:
    acts = sorted({act_of(text)[0] for text in texts})
    for values in product((False, True), repeat=len(acts)):
        yield dict(zip(acts, values, strict=True))


def role_true(text: str, world: World) -> bool:
    act, said = act_of(text)
    return world[act] == said


LOGIC: dict[str, tuple[Callable[[list[str]], Iterator[World]], Reader]] = {
    "order": (order_worlds, order_true),
    "counts": (count_worlds, count_true),
    "rules": (rule_worlds, rule_true),
    "roles": (role_worlds, role_true),
}


@pytest.mark.parametrize("kind", LOGIC)
def test_every_label_agrees_with_all_possible_worlds(matched: Rows, sets: dict[str, Rows], kind: str) -> None:
    worlds, true = LOGIC[kind]
    several = [row for row in matched if row["kind"] == kind][:60]
    for row in several + [row for row in sets["entailment/hard"] if row["kind"] == kind][:40]:
        premise, hypothesis = sentences(row)
        possible = [w for w in worlds([*premise, hypothesis]) if all(true(text, w) for text in premise)]
        assert possible, row
        outcomes = {true(hypothesis, world) for world in possible}
        expected = "neutral" if len(outcomes) == 2 else "entailment" if outcomes == {True} else "contradiction"
        assert row["label"] == expected, row


def group_label(premise: list[str], hypothesis: str) -> str:
    """Read off a person's jobs (one step up at most) and what is said of all or none of their holders."""
    person, *middle, action = hypothesis.split()
    jobs = {text.split()[-1] for text in premise if text.startswith(f"{person} is a ")}
    for text in premise:
        found = re.fullmatch(r"Every (\w+) is a (\w+)", text, re.IGNORECASE)
        if found and found[1] in jobs:
            jobs.add(found[2])
    said = {text.lower() for text in premise}
    does = any(f"every {job} {action}" in said for job in jobs)
    never = any(f"no {job} {action}" in said for job in jobs)
    assert not (does and never)
    if not does and not never:
        return "neutral"
    return "entailment" if does != bool(middle) else "contradiction"


def place_label(premise: list[str], hypothesis: str) -> str:
    """Follow where each person may be, sentence by sentence."""
    where: dict[str, set[str]] = {}
    ruled_out: list[tuple[str, str]] = []
    together: list[tuple[str, str]] = []
    for text in premise:
        person, rest = text.split(" ", 1)
        named = set(re.findall(r"the (\w+)", rest))
        if " with " in text:
            together.append((person, text.split()[-1]))
        elif " not " in text:
            ruled_out += [(person, place) for place in named]
        else:
            where[person] = named
    for person, place in ruled_out:
        where[person].discard(place)
    for person, friend in together:
        where[person] = where[friend]
    person, place = hypothesis.split()[0], hypothesis.split()[-1]
    possible = where[person]
    if place in possible and len(possible) > 1:
        return "neutral"
    return "entailment" if (place in possible) != (" not " in hypothesis) else "contradiction"


@pytest.mark.parametrize(("kind", "label"), [("groups", group_label), ("places", place_label)])
def test_every_label_agrees_with_a_second_reading(
    matched: Rows, kind: str, label: Callable[[list[str], str], str]
) -> None:
    for row in [row for row in matched if row["kind"] == kind][:300]:
        assert row["label"] == label(*sentences(row)), row
