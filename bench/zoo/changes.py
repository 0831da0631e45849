"""Four kinds of scene with change, choice or a point of view: places, holdings, rules and reports."""

from itertools import product
from random import Random
from typing import Final

from bench.zoo.scenes import Scene, SceneMaker, counts, groups, opposite, order, roles


def interleave(rng: Random, first: list[str], second: list[str]) -> list[str]:
    """Merge two stories and keep the order inside each: what happens later overrides what happened before."""
    merged: list[str] = []
    left, right = list(first), list(second)
    while left or right:
        source = left if left and (not right or rng.random() < len(left) / (len(left) + len(right))) else right
        merged.append(source.pop(0))
    return merged


def ask_choices(scene: Scene, options: dict[int, set[int]], total: int, say: tuple[str, str]) -> None:
    """Ask for each thing and each option. `options[thing]` holds what is still possible; one left means known."""
    for thing, possible in options.items():
        for option in range(total):
            truth = False if option not in possible else True if len(possible) == 1 else None
            scene.ask("yes", say[0].format(thing, option), truth)
            scene.ask("no", say[1].format(thing, option), opposite(truth))


IN: Final = ("{{n{}}} is in the {{p{}}}", "{{n{}}} is not in the {{p{}}}")


def places(rng: Random, small: bool) -> Scene:
    """Where people are: moves, company, "or", and choices settled by "not"."""
    story, options, used = ["{n0} is in the {p0}"], {0: {0}}, 1
    if small:
        if rng.random() < 0.4:
            story, options, used = ["{n0} is in the {p0} or the {p1}"], {0: {0, 1}}, 2
        scene = Scene(story)
        ask_choices(scene, options, used, IN)
        return scene
    shape = rng.choice(("stay", "move", "move twice", "company", "settled"))
    if shape in ("move", "move twice"):
        for _ in range(2 if shape == "move twice" else 1):
            story.append(f"{{n0}} went to the {{p{used}}}")
            options[0], used = {used}, used + 1
    elif shape == "company":
        story.insert(rng.randrange(2), "{n2} is with {n0}")
        options[2] = {0}
    elif shape == "settled":
        story = ["{n0} is in the {p0} or the {p1}", f"{{n0}} is not in the {{p{1 - (kept := rng.randrange(2))}}}"]
        options[0], used = {kept}, 2
        if rng.random() < 0.5:
            story.reverse()
    known = rng.randrange(used)
    pair = [known, used] if rng.random() < 0.5 else [used, used + 1]
    rng.shuffle(pair)
    options[1], used = set(pair), max(used, pair[0] + 1, pair[1] + 1)
    scene = Scene(interleave(rng, story, [f"{{n1}} is in the {{p{pair[0]}}} or the {{p{pair[1]}}}"]))
    ask_choices(scene, options, used, IN)
    return scene


def holdings(rng: Random, small: bool) -> Scene:
    """Who has which thing: chains of gifts, gifts to one of two people, and choices settled by "lacks"."""
    people = 4
    order_of_people = rng.sample(range(people), people)
    shape = rng.choice(("one gift", "two gifts", "settled"))
    a, b, c = order_of_people[:3]
    if shape == "settled":
        story, holder = [f"{{n{a}}} gave the {{t0}} to {{n{b}}} or {{n{c}}}", f"{{n{b}}} lacks the {{t0}}"], c
        if rng.random() < 0.5:
            story[1], holder = f"{{n{c}}} lacks the {{t0}}", b
    else:
        story, holder = [f"{{n{a}}} gave the {{t0}} to {{n{b}}}"], b
        if shape == "two gifts":
            story.append(f"{{n{b}}} gave the {{t0}} to {{n{c}}}")
            holder = c
    giver, one, two = rng.sample(range(people), 3)
    offer = f"{{n{giver}}} gave the {{t1}} to {{n{one}}} or {{n{two}}}"
    scene, owners = Scene(interleave(rng, story, [offer])), {0: {holder}, 1: {one, two}}
    if small:
        scene, owners = (Scene([story[0]]), {0: {b}}) if shape != "settled" else (Scene([offer]), {1: {one, two}})
    seen = {person for person in range(people) if any(f"{{n{person}}}" in s for s in scene.premise)}
    for thing, possible in owners.items():
        for person in sorted(seen):
            truth = False if person not in possible else True if len(possible) == 1 else None
            scene.ask("has", f"{{n{person}}} has the {{t{thing}}}", truth)
            scene.ask("lacks", f"{{n{person}}} lacks the {{t{thing}}}", opposite(truth))
    return scene


def literal(person: int, action: int, true: bool) -> str:
    """ "{n0} {a1}" or its denial."""
    return f"{{n{person}}} {'' if true else 'never '}{{a{action}}}"


def rules(rng: Random, small: bool) -> Scene:
    """Two conditionals and one or two facts; what follows is read off the truth table of at most four sentences."""
    shape: tuple[tuple[int, int], ...] = rng.choice(
        (((0, 1), (1, 2)), ((0, 1), (2, 3)), ((0, 1), (2, 1)), ((0, 1), (0, 2)))
    )
    shape = shape[:1] if small else shape
    people = 1 + max(max(pair) for pair in shape)
    actions = [int(rng.random() < 0.5) for _ in range(people)]
    signed = [((a, rng.random() < 0.85), (b, rng.random() < 0.85)) for a, b in shape]
    facts = {rng.randrange(people): rng.random() < 0.7 for _ in range(1 if small else rng.choice((1, 2)))}
    worlds = [
        world
        for world in product((False, True), repeat=people)
        if all(world[p] == value for p, value in facts.items())
        and all(world[a] != wanted or world[b] == then for (a, wanted), (b, then) in signed)
    ]
    sentences = [f"if {literal(a, actions[a], s)} , {literal(b, actions[b], t)}" for (a, s), (b, t) in signed]
    sentences += [literal(p, actions[p], value) for p, value in facts.items()]
    rng.shuffle(sentences)
    scene = Scene(sentences)
    if not worlds:  # the facts clash with the rules: no form is full, so the scene is drawn again
        return scene
    for person in range(people):
        values = {world[person] for world in worlds}
        truth = values.pop() if len(values) == 1 else None
        scene.ask("does", literal(person, actions[person], True), truth)
        scene.ask("never", literal(person, actions[person], False), opposite(truth))
    return scene


SPEAKERS: Final[dict[str, bool | None]] = {
    "knows that": True,
    "sees that": True,
    "wrongly thinks that": False,
    "falsely claims that": False,
    "thinks that": None,
    "claims that": None,
}


def reports(rng: Random, small: bool) -> Scene:
    """What others know, think or wrongly think. Only knowing carries a nested report out to the world."""
    sentences: list[str] = []
    scene = Scene(sentences)
    person = 0
    for _ in range(1 if small else 3):
        outer = rng.choice(tuple(SPEAKERS))
        inner = rng.choice(tuple(SPEAKERS)) if not small and rng.random() < 0.25 else None
        says, action = rng.random() < 0.75, int(rng.random() < 0.4)
        subject = person + (1 if inner is None else 2)
        holds = SPEAKERS[outer] if inner is None else SPEAKERS[inner] if SPEAKERS[outer] else None
        told = literal(subject, action, says)
        if inner is not None:
            told = f"{{n{subject - 1}}} {inner} {told}"
        sentences.append(f"{{n{person}}} {outer} {told}")
        truth = None if holds is None else says == holds
        scene.ask("does", literal(subject, action, True), truth)
        scene.ask("never", literal(subject, action, False), opposite(truth))
        person = subject + 1
    return scene


KINDS: Final[dict[str, SceneMaker]] = {
    "order": order,
    "roles": roles,
    "groups": groups,
    "counts": counts,
    "places": places,
    "holdings": holdings,
    "rules": rules,
    "reports": reports,
}
