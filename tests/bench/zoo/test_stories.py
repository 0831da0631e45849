"""Stories keep their promises: plots apart, endings that only tracking tells; the model reaches what is stated."""

import json
import math
import re
from collections import Counter, defaultdict
from itertools import islice, pairwise
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.zoo import FOLDER, digest, model_folder, write
from bench.zoo.stories import COLOURS, DATA, HE, PLACES, SHE, THINGS, Stories, owner, recency, write_stories
from bench.zoo.story_model import LAYERS, MAX_TOKENS, story_tokenizer

Rows = list[dict[str, Any]]
OPEN = {
    **dict.fromkeys((*SHE, *HE), "N"),
    **dict.fromkeys(PLACES, "P"),
    **dict.fromkeys(THINGS, "O"),
    **dict.fromkeys(COLOURS, "C"),
    **dict.fromkeys(("she", "he"), "H"),
    **dict.fromkeys(("her", "him"), "M"),
}


@pytest.fixture(scope="module")
def sets() -> dict[str, Rows]:
    return {name: list(islice(write(name), 2_048)) for name in DATA}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(model_folder("stories-mistral"), local_files_only=True)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(1)
    folder = model_folder("stories-mistral")
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()  # type: ignore[no-untyped-call]


def plot(text: str) -> str:
    """The story without its closing sentence, its open words numbered by first appearance."""
    seen: dict[str, str] = {}
    for word in re.findall(r"\w+|\.", text.split(" In the end")[0]):
        kind = OPEN.get(word.lower(), OPEN.get(word))
        seen.setdefault(word, word.lower() if kind is None else f"{kind}{sum(v[0] == kind for v in seen.values())}")
    return " ".join(seen[word] for word in re.findall(r"\w+|\.", text.split(" In the end")[0]))


def test_rows_are_what_was_committed(sets: dict[str, Rows]) -> None:
    committed = json.loads((FOLDER / "digests.json").read_text())
    assert {name: digest(found) for name, found in sets.items()} == {name: committed[name] for name in DATA}
    assert {name: split.count for name, split in DATA.items() if name != "stories/train"} == {
        name: len(found) for name, found in sets.items() if name != "stories/train"
    }


def test_stories_have_five_to_nine_sentences_and_known_words(sets: dict[str, Rows], tokenizer: Any) -> None:
    for name, found in sets.items():
        closing = 1 if name == "stories/choice" else 0
        assert {row["text"].count(".") + closing for row in found} <= set(range(5, 10))
        ids = tokenizer([row["text"] + " ".join(row.get("choices", ())) for row in found])["input_ids"]
        assert all(tokenizer.unk_token_id not in row for row in ids)
        assert max(map(len, ids)) <= MAX_TOKENS
    assert 200 <= len(tokenizer) <= 400
    assert tokenizer.get_vocab() == story_tokenizer().get_vocab()


def test_no_text_comes_twice_and_no_plot_is_on_two_sides(sets: dict[str, Rows]) -> None:
    plots = {name: {plot(row["text"]) for row in found} for name, found in sets.items()}
    for found in sets.values():
        assert len({row["text"] for row in found}) == len(found)
    test = plots["stories/test"] | plots["stories/choice"]
    assert not plots["stories/train"] & plots["stories/validation"]
    assert not (plots["stories/train"] | plots["stories/validation"]) & test
    assert len(plots["stories/train"]) >= 1_900


def test_a_plot_has_one_owner_whoever_plays_in_it() -> None:
    first, second = ["{n0} is in the {p0}", "{n1} is in the {p1}"], ["{n1} is in the {p1}", "{n0} is in the {p0}"]
    assert owner(first) == owner(second)
    assert {owner([f"{{n0}} {word}"]) for word in PLACES} == {"train", "validation", "test"}


def test_recency_counts_later_candidates() -> None:
    said = ["{n0} {n1} {n2} {n3}", "{n1}"]
    assert [recency(said, "n", number) for number in range(4)] == [3, 0, 2, 1]
    assert recency(said[1:], "n", 1) is None


def last(choice: str) -> str:
    return choice.rstrip(".").split()[-1]


def test_nothing_but_the_story_tells_the_ending(sets: dict[str, Rows]) -> None:
    rows = sets["stories/choice"]
    positions = Counter(row["choices"].index(row["label"]) for row in rows)
    assert positions == dict.fromkeys(range(4), 256)
    late: Counter[int] = Counter()
    for row in rows:
        words = [last(choice) for choice in row["choices"]]
        assert len(set(words)) == 4
        assert all(f"{word}" in row["text"] for word in words)
        assert len({choice.removesuffix(f"{word}.") for choice, word in zip(row["choices"], words, strict=True)}) == 1
        order = sorted(words, key=row["text"].rfind)
        late[order.index(last(row["label"]))] += 1
    assert late == dict.fromkeys(range(4), 256)


def last_places(told: list[str]) -> dict[str, str]:
    """Where each person was last said to be or to go, read off the English."""
    where: dict[str, str] = {}
    for sentence in told:
        named = [word for word in re.findall(r"the (\w+)", sentence) if word in PLACES]
        for person in re.findall(r"[A-Z]\w+", sentence):
            stated = re.search(rf"\b{person}(?: and \w+ are| is)(?: now| still)? in the (\w+)", sentence)
            stated = stated or re.search(rf"and {person} are in the (\w+)", sentence)
            pair = re.match(r"(\w+) and (\w+) go ", sentence)
            moves = sentence.startswith(person) and re.search(r"goes|walks|runs|carries|brings|finds", sentence)
            if stated:
                where[person] = stated[1]
            elif moves or (pair and person in pair.groups()):
                where[person] = named[-1]
    return where


def test_endings_agree_with_a_second_reading() -> None:
    """People's last places, read off the English of test stories that close on a person."""
    checked = 0
    for row in write_stories(Stories(side="test", seed=91, count=400)):
        *told, closing = row["text"].rstrip(".").split(". ")
        asked = re.fullmatch(r"In the end (\w+) is in the (\w+)", closing)
        if not asked:
            continue
        where = last_places(told)
        assert where[asked[1]] == asked[2], row["text"]
        checked += 1
    assert checked > 50


def bigram_perplexity(train: list[list[int]], test: list[list[int]], size: int) -> float:
    """Counts of word pairs with 0.1 added to each; over all tokens but the first of each story."""
    pairs: dict[int, Counter[int]] = defaultdict(Counter)
    for ids in train:
        for one, two in pairwise(ids):
            pairs[one][two] += 1
    loss = [
        -math.log((pairs[one][two] + 0.1) / (pairs[one].total() + 0.1 * size))
        for ids in test
        for one, two in pairwise(ids)
    ]
    return math.exp(sum(loss) / len(loss))


@torch.no_grad()
def test_perplexity_is_far_below_a_bigram_model(model: Any, tokenizer: Any, sets: dict[str, Rows]) -> None:
    train = tokenizer([row["text"] for row in sets["stories/train"]])["input_ids"]
    test = tokenizer([row["text"] for row in sets["stories/test"][:100]])["input_ids"]
    loss, count = 0.0, 0
    for ids in test:
        batch = torch.tensor([ids])
        loss += float(model(input_ids=batch, labels=batch).loss) * (len(ids) - 1)
        count += len(ids) - 1
    assert math.exp(loss / count) < 2.85
    assert bigram_perplexity(train, test, len(tokenizer)) > 8


@torch.no_grad()
def test_endings_are_chosen_above_chance(model: Any, tokenizer: Any, sets: dict[str, Rows]) -> None:
    right = 0
    for row in sets["stories/choice"][:100]:
        ids = tokenizer([f"{row['text']} {choice}" for choice in row["choices"]], return_tensors="pt")["input_ids"]
        chances = model(input_ids=ids[:, :-1]).logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).sum((1, 2))
        right += row["choices"][int(chances.argmax())] == row["label"]
    assert right >= 58  # chance: 25


def test_shape_and_size(model: Any, tokenizer: Any) -> None:
    folder = model_folder("stories-mistral")
    assert (folder / "model.safetensors").stat().st_size <= 2_200_000
    assert model.config.architectures == ["MistralForCausalLM"]
    assert (model.config.num_hidden_layers, model.config.tie_word_embeddings) == (LAYERS, False)
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [0, 1, 2]
    assert tokenizer("Anna")["input_ids"][0] == 0


@torch.no_grad()
def test_every_layer_changes_what_is_predicted(model: Any, tokenizer: Any, sets: dict[str, Rows]) -> None:
    ids = tokenizer(sets["stories/test"][0]["text"], return_tensors="pt")["input_ids"]
    states = model(input_ids=ids, output_hidden_states=True).hidden_states[:-1]
    for before, after in pairwise(states):
        assert torch.linalg.vector_norm(after - before) > 0.02 * torch.linalg.vector_norm(before)
