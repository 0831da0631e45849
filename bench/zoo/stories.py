"""Short stories about people, places and things, written by a seeded grammar that keeps a small model of the world.

People move, pick things up, carry them along, give them away and leave them somewhere. Much of what a sentence says
is settled by earlier ones: whoever wants the ball goes where the ball is, and the ball is where its holder went. A plot
is a story with its verbs in place and its names, places, things and colours left open; its digest decides which side
owns it, so no plot is on two sides. All sides share their words: a language model predicts only words that it knows.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from bench.zoo.grammar import SLOT, canonical
from bench.zoo.words import Side

VERSION: Final = 1
SHE, HE, PLACES, THINGS, COLOURS = (
    tuple(line.split())
    for line in (
        "Anna Clara Diana Edith Fiona Grace Helen Irene Julia Karen Laura Maria Nora Olivia Paula Rosa "
        "Sarah Tina Vera Wanda Alice Betty Celia Doris Emma Flora Hilda Ida Jane Kate",
        "Adam Brian Carl David Eric Frank George Henry Ivan Jacob Kevin Louis Martin Oscar Peter Ralph "
        "Simon Thomas Victor Walter Albert Bruno Daniel Edgar Felix Gustav Hugo Igor James Leo",
        "kitchen garden cellar attic hall library office garage barn stable market station school church "
        "tower harbour museum bakery park forest meadow mill workshop theatre castle chapel cottage "
        "courtyard dairy field gallery hotel inn laundry pantry square",
        "ball key lamp book cup hat coat rope bell box coin knife letter map mirror pencil plate ring scarf "
        "shovel spoon basket bottle brush candle clock drum flag flute hammer kite ladder axe bag blanket "
        "bucket chair doll fork jug kettle parcel pillow pipe saw stone toy vase",
        "red blue green white black brown grey pink purple yellow",
    )
)
GO: Final = ("goes", "walks", "runs")
OWNERS: Final[tuple[Side, ...]] = ("train",) * 6 + ("validation",) + ("test",) * 3
OPTIONS: Final = 4  # endings to choose from


@dataclass(frozen=True, kw_only=True, slots=True)
class Stories:
    """One data set of stories: whose plots it may use, and whether its rows are whole stories or stories with a gap."""

    side: Side
    seed: int
    count: int  # rows
    choice: bool = False
    states: float = 0.0  # chance that a sentence is followed by what is now true (training only)


DATA: Final = {
    "stories/train": Stories(side="train", seed=21, count=60_000),
    "stories/validation": Stories(side="validation", seed=22, count=500),
    "stories/test": Stories(side="test", seed=23, count=1_024),
    "stories/choice": Stories(side="test", seed=24, count=1_024, choice=True),
}


@dataclass(slots=True)
class World:
    """Who is where, and who holds which thing or where it lies; people, places and things by number."""

    rng: Random
    places: int
    where: list[int]  # place of each person
    holder: list[int | None]  # who holds each thing; None where it lies
    lies: list[int]  # the place of each thing that nobody holds
    moved: set[int] = field(default_factory=set)  # people who have left their first place

    def place_of(self, thing: int) -> int:
        """Where a thing is: with its holder, or where it lies."""
        holder = self.holder[thing]
        return self.lies[thing] if holder is None else self.where[holder]

    def held(self, person: int) -> list[int]:
        """The things that a person holds."""
        return [thing for thing, holder in enumerate(self.holder) if holder == person]

    def others(self, person: int) -> list[int]:
        """The other people in the same place."""
        return [p for p, place in enumerate(self.where) if place == self.where[person] and p != person]

    def name(self, thing: int) -> str:
        """ "the {o0}", at times with its colour."""
        return f"the {{c{thing}}} {{o{thing}}}" if self.rng.random() < 0.3 else f"the {{o{thing}}}"

    def go(self, person: int, place: int) -> None:
        """Move a person, with all that they hold."""
        self.where[person] = place
        self.moved.add(person)


def opening(world: World) -> list[str]:
    """Sentences that say where everyone is and where every thing is, two facts in some of them."""
    rng, facts = world.rng, []
    left = list(range(len(world.where)))
    while left:
        person = left.pop(0)
        mates = [p for p in left if world.where[p] == world.where[person]]
        if mates:
            left.remove(mates[0])
            facts.append(f"{{n{person}}} and {{n{mates[0]}}} are in the {{p{world.where[person]}}}")
        else:
            facts.append(f"{{n{person}}} is in the {{p{world.where[person]}}}")
    for thing, holder in enumerate(world.holder):
        if holder is None:
            facts.append(f"a {{c{thing}}} {{o{thing}}} is in the {{p{world.lies[thing]}}}")
        else:
            facts.append(f"{{n{holder}}} has a {{c{thing}}} {{o{thing}}}")
    rng.shuffle(facts)
    found: list[str] = []
    while facts:
        fact = facts.pop()
        found.append(f"{fact} and {facts.pop()}" if facts and rng.random() < 0.7 else fact)
    return found


def move(world: World, person: int) -> str | None:
    """Somebody goes elsewhere, at times with what they hold, with company, or to meet somebody."""
    rng = world.rng
    place = rng.choice([p for p in range(world.places) if p != world.where[person]])
    held, company = world.held(person), world.others(person)
    there = [p for p, at in enumerate(world.where) if at == place]
    if company and rng.random() < 0.4:
        mate = rng.choice(company)
        world.go(mate, place)
        text = f"{{n{person}}} and {{n{mate}}} go to the {{p{place}}}"
    elif held and rng.random() < 0.5:
        text = f"{{n{person}}} {rng.choice(('carries', 'brings'))} {world.name(rng.choice(held))} to the {{p{place}}}"
    else:
        text = f"{{n{person}}} {rng.choice(GO)} to the {{p{place}}}"
    world.go(person, place)
    return f"{text} to meet {{n{rng.choice(there)}}}" if there and rng.random() < 0.5 else text


def fetch(world: World, person: int) -> str | None:
    """Somebody goes where a thing is that they want: the place follows from the story."""
    far = [t for t in range(len(world.holder)) if world.place_of(t) != world.where[person]]
    if not far:
        return None
    thing = world.rng.choice(far)
    place = world.place_of(thing)
    world.go(person, place)
    text = f"{{n{person}}} wants {world.name(thing)}, so {{h{person}}} {world.rng.choice(GO)} to the {{p{place}}}"
    if world.holder[thing] is None and world.rng.random() < 0.6:
        world.holder[thing] = person
        text += " and takes it"
    return text


def seek(world: World, person: int) -> str | None:
    """Somebody looks for somebody else and finds them where they are."""
    far = [p for p, place in enumerate(world.where) if place != world.where[person]]
    if not far:
        return None
    other = world.rng.choice(far)
    world.go(person, world.where[other])
    return f"{{n{person}}} looks for {{n{other}}} and finds {{m{other}}} in the {{p{world.where[other]}}}"


def take(world: World, person: int) -> str | None:
    """Somebody picks up a thing that lies where they are."""
    near = [t for t, h in enumerate(world.holder) if h is None and world.lies[t] == world.where[person]]
    if not near:
        return None
    thing = world.rng.choice(near)
    world.holder[thing] = person
    verb = world.rng.choice(("picks up", "takes"))
    return f"in the {{p{world.where[person]}}} {{n{person}}} {verb} {world.name(thing)}"


def give(world: World, person: int) -> str | None:
    """Somebody gives a thing to somebody in the same place."""
    held, near = world.held(person), world.others(person)
    if not held or not near:
        return None
    thing, other = world.rng.choice(held), world.rng.choice(near)
    world.holder[thing] = other
    return f"{{n{person}}} {world.rng.choice(('gives', 'hands'))} {world.name(thing)} to {{n{other}}}"


def leave(world: World, person: int) -> str | None:
    """Somebody leaves a thing where they are."""
    held = world.held(person)
    if not held:
        return None
    thing = world.rng.choice(held)
    world.holder[thing], world.lies[thing] = None, world.where[person]
    return (
        f"{{n{person}}} {world.rng.choice(('leaves', 'drops'))} {world.name(thing)} in the {{p{world.where[person]}}}"
    )


def state(world: World, person: int) -> str | None:
    """A sentence that follows from what was told."""
    rng = world.rng
    thing = rng.randrange(len(world.holder))
    holder = world.holder[thing]
    kinds = [f"now {world.name(thing)} is in the {{p{world.place_of(thing)}}}"] * 2
    if holder is not None:
        kinds += [f"now {{n{holder}}} has {world.name(thing)}"] * 2
    stays = "now" if person in world.moved else "still"
    kinds.append(f"{{n{person}}} is {stays} in the {{p{world.where[person]}}}")
    if mates := world.others(person):
        kinds.append(f"{{n{person}}} sees {{n{rng.choice(mates)}}} in the {{p{world.where[person]}}}")
    return rng.choice(kinds)


EVENTS: Final = ((move, 4), (fetch, 4), (seek, 2), (take, 5), (give, 6), (leave, 3), (state, 3))


def endings(world: World) -> list[tuple[str, str, int]]:
    """Closing statements that are true: the sentence with "{}" for the answer, the answer's letter and its number."""
    found = [(f"in the end the {{{{o{t}}}}} is in the {{}}", "p", world.place_of(t)) for t in range(len(world.holder))]
    found += [
        (f"in the end the {{{{o{t}}}}} is with {{}}", "n", h) for t, h in enumerate(world.holder) if h is not None
    ]
    found += [(f"in the end {{{{n{p}}}}} is in the {{}}", "p", world.where[p]) for p in sorted(world.moved)]
    return found


def now(world: World) -> str:
    """What is now true, in the words of a closing statement."""
    said, letter, answer = world.rng.choice(endings(world))
    return said.replace("in the end", "now").format(f"{{{letter}{answer}}}")


def tell(rng: Random, large: bool, states: float = 0.0) -> tuple[list[str], World]:
    """A story's sentences with slots (4 to 8, the closing one apart) and the world after it.

    `large` asks for four people and four places, so that four endings can be chosen from. `states` is the chance that
    an event, or a statement after it, is followed by one more true statement (and the story may then be longer).
    """
    people = OPTIONS if large else rng.choice((2, 3, 3, 4))
    places = OPTIONS if large else rng.choice((2, 3, 3, 4))
    things = rng.choice((1, 2)) if large else rng.choice((1, 2, 2, 3))
    where = [rng.randrange(places) for _ in range(people)]
    holder = [rng.randrange(people) if rng.random() < 0.5 else None for _ in range(things)]
    world = World(rng, places, where, holder, [rng.randrange(places) for _ in range(things)])
    sentences = opening(world)
    total = max(rng.randint(4, 8), min(8, len(sentences) + 2))
    if states:
        total = len(sentences) + rng.randint(4, 7)
        sentences.append(now(world))
    last: Any = None
    while len(sentences) < total:
        event = rng.choices([e for e, _ in EVENTS], [w for _, w in EVENTS])[0]
        person = rng.randrange(people)
        if event is state and last is state:
            continue
        text = event(world, person)
        if text is not None and (event is not state or text not in sentences):
            sentences.append(text)
            last = event
            while states and len(sentences) < total and rng.random() < states:
                sentences.append(now(world))
    return sentences, world


class Cast:
    """The words of one story: every slot keeps its word from the first sentence to the last."""

    def __init__(self, rng: Random) -> None:
        names = rng.sample([*SHE, *HE], OPTIONS)
        self.lists = {
            "n": names,
            "h": ["she" if name in SHE else "he" for name in names],
            "m": ["her" if name in SHE else "him" for name in names],
            "p": rng.sample(PLACES, OPTIONS),
            "o": rng.sample(THINGS, 3),
            "c": rng.sample(COLOURS, 3),
        }

    def fill(self, sentence: str) -> str:
        """The sentence with its words, a capital letter first and a full stop."""
        text = SLOT.sub(lambda slot: self.lists[slot[1]][int(slot[2])], sentence)
        return f"{text[0].upper()}{text[1:]}."


def owner(sentences: list[str]) -> Side:
    """The side that owns a plot (the sentences with their slots, the closing one apart)."""
    digest = hashlib.sha256(canonical(" . ".join(sentences)).encode()).digest()
    return OWNERS[int.from_bytes(digest[:4], "big") % len(OWNERS)]


def recency(sentences: list[str], letter: str, number: int) -> int | None:
    """How many of the four candidates were mentioned after this one last was; None if not all four are mentioned."""
    text = " ".join(sentences)
    last = [text.rfind(f"{{{letter}{candidate}}}") for candidate in range(OPTIONS)]
    return None if -1 in last else sum(place > last[number] for place in last)


def direct(sentences: list[str], closing: str, letter: str, number: int) -> bool:
    """True if the last sentence that names both the closing's subject and any candidate names the right one last."""
    subject = SLOT.search(closing)
    assert subject is not None
    found = -1
    for sentence in sentences:
        named = [int(slot[2]) for slot in SLOT.finditer(sentence) if slot[1] == letter and slot[0] != subject[0]]
        if subject[0] in sentence and named:
            found = named[-1]
    return found == number


def write_stories(split: Stories, count: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield rows {text} of 5 to 9 sentences, `split.count` unless `count` says otherwise; a shorter draw is a prefix.

    With `split.choice`, rows {text, choices, label}: the text stops before the closing sentence, and the four endings
    differ in one word, which each names a person or place of the story. The right one stands in each position equally
    often, and so does each rank of how lately its word was mentioned: neither tells anything. No text comes twice.
    """
    rng = Random(split.seed)  # noqa: S311 - the same rows on every machine is the point
    seen: set[str] = set()
    wanted = split.count if count is None else count
    sorts: list[
        tuple[int | None, bool]
    ] = []  # of gaps still wanted: how late the answer was mentioned, and how directly
    positions: list[int] = []
    while len(seen) < wanted:
        sentences, world = tell(rng, split.choice or rng.random() < 0.3, split.states)
        closing, letter, answer = rng.choice(endings(world))
        if owner(sentences) != split.side:
            continue
        if split.choice:
            sorts = sorts or [(rank, plain) for rank in range(OPTIONS) for plain in (True, False)]
            sort = recency(sentences, letter, answer), direct(sentences, closing.format(""), letter, answer)
            if sort not in sorts:
                continue
        cast = Cast(rng)
        text = " ".join(cast.fill(sentence) for sentence in sentences)
        if text in seen:
            continue
        seen.add(text)
        said = [cast.fill(closing.format(f"{{{letter}{number}}}")) for number in range(OPTIONS)]
        if not split.choice:
            yield {"text": f"{text} {said[answer]}"}
            continue
        sorts.remove(sort)
        positions = positions or rng.sample(range(OPTIONS), OPTIONS)
        choices = rng.sample([s for s in said if s != said[answer]], OPTIONS - 1)
        choices.insert(positions.pop(), said[answer])
        yield {"text": text, "choices": choices, "label": said[answer]}
