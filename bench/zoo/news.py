"""Short news items with reference summaries, written by a seeded grammar.

An item has a lead, some facts, at most one outcome, and sentences that matter to no summary: remarks, denials ("nobody
was hurt") and recalled events that look like the lead of another item. The summary keeps the lead, the weightiest of
the facts that are stated, and the outcome, each in other words; a number that the item corrects is kept as corrected.
So what is kept depends on what is said, not on where. Which of several wordings a summary takes is chance: even a
reader who understands everything stays below a ROUGE of 100.

A template is an item and its summary with all slots open; its digest decides which side owns it, and each side has its
own towns and surnames. So no template, town or surname is on two sides; the forms of single sentences are on all.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from bench.zoo.grammar import SLOT, canonical
from bench.zoo.news_forms import LISTS, Fact, Kind
from bench.zoo.news_kinds import KINDS, RECALLED, REMARKS

VERSION: Final = 1
Side = Literal["train", "validation", "holdout", "test"]
TOWNS, SURNAMES = (
    (first.split(), second.split())
    for first, second in (
        (
            "Mar Tar Bel Nor Hal Wes Kel Dun Ash Bren Cor Fal Gar Lin Mil Ros Sel Thorn Win Bar",
            "low fen ton by wick ford dale mere stead port gate field brook ham cliff worth combe holm pool bury",
        ),
        (
            "Ab Ber Cal Dor El Fin Gil Hart Is Jan Kor Lam Mol Nel Or Pel Rad Sor Tam Vol",
            "man son ler nik berg sky ez ova ault ini ard lund kov sen ius acs oto well tak ric",
        ),
    )
)
SHARES: Final[dict[Side, tuple[float, float]]] = {  # of the tables of towns, surnames and template digests
    "train": (0.0, 0.6), "validation": (0.6, 0.7), "holdout": (0.7, 0.8), "test": (0.8, 1.0),
}  # fmt: skip
WORDS: Final = (60, 110)  # words of an item, punctuation not counted
SENTENCES: Final = (6, 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """One data set of news items."""

    side: Side
    seed: int
    count: int  # rows


DATA: Final = {
    "summaries/train": News(side="train", seed=31, count=32_000),
    "summaries/validation": News(side="validation", seed=32, count=1_024),
    "summaries/holdout": News(side="holdout", seed=33, count=1_024),
    "summaries/test": News(side="test", seed=34, count=2_000),
}


def names(table: tuple[list[str], list[str]], side: Side) -> list[str]:
    """The names that one side may use: two parts each, and no two sides share one (they share the parts)."""
    every = [first + second for first in table[0] for second in table[1]]
    Random(20261121).shuffle(every)  # noqa: S311 - a fixed permutation, not a secret
    start, stop = (round(share * len(every)) for share in SHARES[side])
    return every[start:stop]


def draw_names(rng: Random, table: tuple[list[str], list[str]], pool: list[str], count: int) -> list[str]:
    """Draw `count` names no two of which share a part."""
    drawn: list[str] = []
    used: set[str] = set()
    while len(drawn) < count:
        name = rng.choice(pool)
        first = next(part for part in table[0] if name.startswith(part) and name[len(part) :] in table[1])
        parts = {first, name[len(first) :]}
        if not parts & used:
            drawn.append(name)
            used |= parts
    return drawn


def fill(sentence: str, lists: dict[str, list[str]]) -> str:
    """The sentence with its words, a capital letter first and a full stop."""
    text = SLOT.sub(lambda slot: lists[slot[1]][int(slot[2])], sentence)
    text = text.replace(" ,", ",").replace(" :", ":")
    return f"{text[0].upper()}{text[1:]}."


def compose(rng: Random, kind: Kind) -> tuple[list[str], list[str]]:
    """Sentences of an item and of its summary, with slots."""
    lead, facts = rng.choice(kind.leads), rng.sample(kind.facts, rng.choice((2, 2, 3)))
    outcome = rng.choice(kind.outcomes) if rng.random() < 0.8 else None
    kept: list[Fact] = [lead, max(facts, key=lambda fact: fact.rank), *([outcome] if outcome else [])]
    body = [rng.choice(fact.said) for fact in facts]
    body += [rng.choice(fact.denied) for fact in kind.facts if fact not in facts and fact.denied and rng.random() < 0.5]
    idle = [*rng.sample(RECALLED, 1), *rng.sample(REMARKS, 2), *kind.fillers]
    total = rng.randint(*SENTENCES)
    missing = max(0, total - len(body) - 1 - bool(outcome))
    body += rng.sample(idle, min(missing, len(idle)))
    rng.shuffle(body)
    if outcome:  # near the end, not always last
        body.insert(rng.randint(max(0, len(body) - 2), len(body)), rng.choice(outcome.said))
    before = 1 if any(body[0] == sentence for sentence in RECALLED) and rng.random() < 0.7 else 0
    body.insert(before, rng.choice(lead.said))
    return body, [rng.choice(fact.kept) for fact in kept]


def owns(side: Side, item: list[str], summary: list[str]) -> bool:
    """True if the side owns the template."""
    digest = hashlib.sha256(canonical(" . ".join([*item, "=>", *summary])).encode()).digest()
    start, stop = SHARES[side]
    return start <= int.from_bytes(digest[:4], "big") / 2**32 < stop


def repeats(summary: str) -> bool:
    """True if three words in a row come twice: beam search is told never to write that."""
    words = summary.replace(".", " .").replace("\n", " \n ").split(" ")
    threes = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(threes)) < len(threes)


def write_news(split: News, count: int | None = None) -> Iterator[dict[str, str]]:
    """Yield rows {text, summary}, `split.count` unless `count` says otherwise; a shorter draw is a prefix of a longer.

    Items have 6 to 10 sentences and 60 to 110 words, summaries two or three sentences, each on a line. No text comes
    twice.
    """
    rng = Random(split.seed)  # noqa: S311 - the same rows on every machine is the point
    towns, surnames = names(TOWNS, split.side), names(SURNAMES, split.side)
    seen: set[str] = set()
    wanted = split.count if count is None else count
    kinds = tuple(KINDS.values())
    while len(seen) < wanted:
        item, summary = compose(rng, rng.choice(kinds))
        if not SENTENCES[0] <= len(item) <= SENTENCES[1] or not owns(split.side, item, summary):
            continue
        lists = {letter: rng.sample(words, min(6, len(words))) for letter, words in LISTS.items()}
        lists["t"] = draw_names(rng, TOWNS, towns, 4)
        lists["s"] = draw_names(rng, SURNAMES, surnames, 6)
        text = " ".join(fill(sentence, lists) for sentence in item)
        short = "\n".join(fill(sentence, lists) for sentence in summary)
        if WORDS[0] <= len(text.split()) <= WORDS[1] and text not in seen and not repeats(short):
            seen.add(text)
            yield {"text": text, "summary": short}
