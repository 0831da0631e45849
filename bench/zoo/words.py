"""The words of the entailment grammar: names, nouns, verbs and relations, and which side may use them.

A name is two syllables, and train and test share no name. A noun is a compound ("mill" + "house"): each genre owns a
diagonal of the table of first by second parts, so the genres that training never sees use compounds it has never seen.
"""

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Final, Literal

Side = Literal["train", "validation", "test"]

ONSETS: Final = (
    "Ba", "Be", "Da", "Do", "Fe", "Fi", "Ga", "Go", "Ha", "Jo", "Ka", "Ki",
    "La", "Lo", "Ma", "Mi", "Na", "Ne", "Pa", "Ra", "Ro", "Sa", "Ta", "Vi",
)  # fmt: skip
CODAS: Final = (
    "bel", "bor", "dan", "dis", "fen", "gar", "hun", "jin", "kas", "lem", "lor", "mar",
    "mun", "nek", "nis", "pol", "rad", "ric", "sev", "sol", "tam", "tor", "ven", "zin",
)  # fmt: skip

FIRST_PARTS: Final = ("mill", "farm", "boat", "hill", "lake", "wood", "salt", "wind")
PLACE_PARTS: Final = ("house", "yard", "room", "shop", "field", "gate", "barn", "tower")
JOB_PARTS: Final = ("man", "hand", "keeper", "maid", "boy", "girl", "master", "guard")
THING_PARTS: Final = ("lamp", "rope", "cup", "key", "bell", "book", "coat", "box")

# A genre's number is the diagonal of the compound table that it owns.
MATCHED_GENRES: Final = {"family": 0, "market": 1, "school": 2, "village": 3, "workshop": 4}
MISMATCHED_GENRES: Final = {"harbour": 5, "theatre": 6, "museum": 7}

ACTIONS: Final = ("sings", "swims", "paints", "cooks", "runs", "reads", "digs", "sails")
DEEDS: Final = ("praised", "helped", "thanked", "called", "followed", "trusted", "blamed", "taught")
RELATIONS: Final = (
    ("older than", "younger than"),
    ("taller than", "shorter than"),
    ("richer than", "poorer than"),
    ("faster than", "slower than"),
    ("above", "below"),
    ("ahead of", "behind"),
)
COUNTED: Final = ("eggs", "nails", "coins", "cards", "beads")
NUMBERS: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine")


def names(side: Side) -> tuple[str, ...]:
    """The names one side may use: 346 for train, 58 for validation, 172 for test; no two sides share one."""
    table = [onset + coda for onset in ONSETS for coda in CODAS]
    Random(20261121).shuffle(table)  # noqa: S311 - a fixed permutation, not a secret
    cuts = {"train": (0, 346), "validation": (346, 404), "test": (404, 576)}
    start, stop = cuts[side]
    return tuple(table[start:stop])


@lru_cache
def compounds(parts: tuple[str, ...], diagonal: int) -> tuple[str, ...]:
    """The eight nouns of one genre: `FIRST_PARTS[i]` joined to `parts[(diagonal - i) mod 8]`."""
    return tuple(first + parts[(diagonal - i) % len(parts)] for i, first in enumerate(FIRST_PARTS))


def draw_names(rng: Random, pool: Sequence[str], count: int) -> list[str]:
    """Draw `count` names no two of which share a syllable, so that either syllable tells them apart."""
    drawn: list[str] = []
    onsets: set[str] = set()
    codas: set[str] = set()
    while len(drawn) < count:
        name = pool[int(rng.random() * len(pool))]
        if name[:2] not in onsets and name[2:] not in codas:
            drawn.append(name)
            onsets.add(name[:2])
            codas.add(name[2:])
    return drawn
