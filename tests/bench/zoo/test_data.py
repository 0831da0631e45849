"""The entailment data keeps its promises: nothing shared between sides, even labels, no drift, no help from n-grams."""

import json
import subprocess
import sys
import time
from collections import Counter
from itertools import islice

import pytest

from bench.errors import BadInput
from bench.zoo import DATA, FOLDER, data_version, digest, model_folder, rows
from bench.zoo.grammar import Split, overlap, write_rows
from bench.zoo.words import MATCHED_GENRES, MISMATCHED_GENRES, NUMBERS, RELATIONS, names
from tests.bench.zoo.conftest import Rows

KEYS = ["id", "premise", "hypothesis", "label", "genre", "template", "kind"]


def plain(text: str) -> list[str]:
    return text.replace(".", "").replace(",", "").split()


def used_names(rows: Rows) -> set[str]:
    every = set(names("train") + names("validation") + names("test"))
    return {word for row in rows for word in plain(row["premise"] + " " + row["hypothesis"])} & every


def test_rows_are_what_was_committed(sets: dict[str, Rows]) -> None:
    committed = {k: v for k, v in json.loads((FOLDER / "digests.json").read_text()).items() if k in DATA}
    assert {name: digest(found) for name, found in sets.items()} == committed
    assert sets.keys() == DATA.keys()


def test_rows_are_the_same_in_another_process(matched: Rows) -> None:
    code = "from bench.zoo import rows, digest; print(digest(rows('entailment/matched')))"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, cwd=FOLDER.parents[1], capture_output=True, text=True
    )
    assert told.stdout.strip() == digest(matched[:2048]), told.stderr


def test_every_row_has_the_same_keys_and_its_own_id(sets: dict[str, Rows]) -> None:
    for name, found in sets.items():
        assert len(found) <= DATA[name].count
        assert all(list(row) == KEYS for row in found)
        assert len({row["id"] for row in found}) == len(found)


def test_labels_are_balanced(sets: dict[str, Rows]) -> None:
    for name, found in sets.items():
        assert sorted(Counter(row["label"] for row in found).values())[0] >= len(found) // 3, name


@pytest.mark.parametrize("key", ["template", "pair", "name"])
def test_train_validation_and_test_share_nothing(sets: dict[str, Rows], key: str) -> None:
    def held(found: Rows) -> set[str]:
        if key == "name":
            return used_names(found)
        if key == "template":
            return {row["template"] for row in found}
        return {f"{row['premise']}|{row['hypothesis']}" for row in found}

    test = set().union(*(held(sets[f"entailment/{name}"]) for name in ("matched-20000", "mismatched", "hard")))
    sides = [held(sets["entailment/train"]), held(sets["entailment/validation"]), test]
    assert all(sides)
    assert len(set().union(*sides)) == sum(len(side) for side in sides)


def test_no_pair_comes_twice_and_templates_are_many(train: Rows, matched: Rows) -> None:
    for found in (train, matched):
        assert len({(row["premise"], row["hypothesis"]) for row in found}) == len(found)
        assert len({row["template"] for row in found}) >= 200


def test_mismatched_genres_are_never_trained_on(sets: dict[str, Rows]) -> None:
    assert {row["genre"] for row in sets["entailment/train"]} == set(MATCHED_GENRES)
    assert {row["genre"] for row in sets["entailment/mismatched"]} == set(MISMATCHED_GENRES)


def test_word_overlap_misleads_in_the_hard_set(sets: dict[str, Rows]) -> None:
    hard = sets["entailment/hard"]
    share = {
        label: [overlap(*(" ".join(plain(row[side])).lower() for side in ("premise", "hypothesis"))) for row in found]
        for label in ("entailment", "neutral", "contradiction")
        if (found := [row for row in hard if row["label"] == label])
    }
    assert min(share["neutral"] + share["contradiction"]) == 1
    assert max(share["entailment"]) < 1


def test_twenty_thousand_pairs_take_under_thirty_seconds() -> None:
    started = time.process_time()
    list(islice(write_rows(Split(side="test", seed=9, count=20_000)), 1_000))
    assert time.process_time() - started < 30 / 20


def test_a_wrong_name_is_answered_with_near_ones() -> None:
    with pytest.raises(BadInput, match="entailment/matched"):
        rows("entailment/match")
    with pytest.raises(BadInput, match="entailment-bart"):
        model_folder("entailment-bert")
    with pytest.raises(BadInput):
        data_version("news")


def test_versions_tell_data_sets_apart() -> None:
    assert len({data_version(name) for name in DATA}) == len(DATA)


def test_importing_the_zoo_loads_no_torch() -> None:
    code = "import sys, bench.zoo; assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parents[1], check=True)


def test_relations_and_numbers_are_single_words_apart() -> None:
    ends = [end for pair in RELATIONS for end in pair]
    assert len(set(ends)) == len(ends)
    assert len(NUMBERS) == 8
