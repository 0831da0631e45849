"""What a model writes greedily, counted by hand, and judged by a model whose chances are known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.architecture import describe
from bench.data import Example
from bench.errors import BadInput
from bench.models import Loaded, load
from bench.record import Examples
from bench.store.quality import point
from bench.tasks import sequences
from bench.tasks.generation import Generation, counts
from bench.tasks.sequences import padded, write
from tests import tiny

TASK = Generation(max_length=64, new_tokens=8, prompt_tokens=5)
TEXTS = ["the red cat runs", "the blue dog", "green bird sleeps not big small the red cat runs", "red"]


def examples(*texts: str) -> list[Example]:
    return [Example(i, text, None, "", slice="s") for i, text in enumerate(texts)]


def judged_by(folder: Path, **changes: Any) -> Generation:
    return TASK.model_copy(update={"judge": str(folder), **changes})


def test_n_grams_by_hand() -> None:
    """1 2 1 2 1 2 1: 5 pairs after the first, two of them distinct; 4-grams 1212 2121 1212 2121, the last two again."""
    found = counts([[1, 2, 1, 2, 1, 2, 1], [7, 8], []])
    assert {k: v.tolist() for k, v in found.items()} == {
        "unigrams": [7, 2, 0],
        "distinct_unigrams": [2, 2, 0],
        "bigrams": [6, 1, 0],
        "distinct_bigrams": [2, 1, 0],
        "fourgrams": [4, 0, 0],
        "repeated": [2, 0, 0],
    }


def test_writes_what_is_most_likely_until_the_end(decoders: dict[str, Path]) -> None:
    """the, red, blue, green, end; a cat runs for ever."""
    found = TASK.outcomes(load(decoders["bigrams"]), examples("the", "big cat"))
    assert found.prediction == ("red blue green", "runs cat runs cat runs cat runs cat")
    assert found.columns["length"].tolist() == [4, 8]
    assert found.columns["ended"].tolist() == [1, 0]
    assert found.columns["unigrams"].tolist() == [3, 8]
    assert point(found, "eos_rate") == 0.5
    assert point(found, "text_length") == 6
    assert point(found, "repeated_4gram") == 3 / 5  # of rcrc crcr rcrc crcr rcrc
    assert point(found, "distinct_1") == 5 / 11
    assert point(found, "distinct_2") == (2 + 2) / (2 + 7)
    assert math.isnan(point(found, "greedy_agreement"))
    assert math.isnan(point(found, "own_perplexity"))


def test_the_judge_by_hand(decoders: dict[str, Path], tmp_path: Path) -> None:
    """A variant that goes astray after "blue": the, red 1/2, blue 1/2, cat 1/4, runs 3/4, end 1/4 under the base."""
    chances = {"the": {"red": 1.0}, "red": {"blue": 1.0}, "blue": {"cat": 1.0}, "cat": {"runs": 1.0}}
    variant = load(tiny.saved(tiny.bigrams({**chances, "runs": {"</s>": 1.0}}), tmp_path / "variant"))
    found = judged_by(decoders["bigrams"]).outcomes(variant, examples("the", "big cat"))
    assert found.prediction == ("red blue cat runs", "runs")
    assert found.columns["judge_nll"] == pytest.approx([math.log(2 * 2 * 4 / 0.75 * 4), math.log(4 / 0.75)], abs=1e-4)
    assert found.columns["judged"].tolist() == [5, 2]
    assert found.columns["same"].tolist() == [2, 1]
    assert found.score == pytest.approx([0.4, 0.5])
    assert point(found, "greedy_agreement") == pytest.approx(3 / 7)
    assert point(found, "own_perplexity") == pytest.approx((64 / 0.75 * 4 / 0.75) ** (1 / 7), rel=1e-4)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt2", "bart"])
def test_a_model_agrees_with_itself_in_any_batch(kind: str, decoders: dict[str, Path]) -> None:
    model = load(decoders[kind])
    task = judged_by(decoders[kind])
    found = task.outcomes(model, examples(*TEXTS))
    assert point(found, "greedy_agreement") == 1
    for tokens in (8, 40):
        other = task.model_copy(update={"batch_tokens": tokens}).outcomes(model, examples(*TEXTS))
        assert other.prediction == found.prediction
        assert np.abs(other.columns["judge_nll"] - found.columns["judge_nll"]).max() < 1e-4
    with torch.inference_mode():
        for i, ids in enumerate(task.prompts(model, examples(*TEXTS))):
            generate: Any = model.model.generate
            (whole,) = generate(
                torch.tensor([ids]), max_new_tokens=8, do_sample=False, forced_eos_token_id=None
            ).tolist()
            written = whole[1:] if kind == "bart" else whole[len(ids) :]
            assert found.prediction[i] == str(model.tokenizer.decode(written, skip_special_tokens=True)).strip()


def tokens_of(model: Loaded) -> list[list[int]]:
    """What the model writes, token by token."""
    return write(model, TASK.prompts(model, examples(*TEXTS)), TASK._config(model), TASK.new_tokens, 4096)


def longest_common(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_first_difference_is_where_the_base_writes_otherwise(kind: str, decoders: dict[str, Path]) -> None:
    """The judge never writes, yet counts exactly the tokens before its own text would differ."""
    base = load(decoders[kind])
    variant = load(decoders[kind])
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        weight = variant.model.get_parameter("lm_head.weight")
        weight.add_(torch.randn(weight.shape, generator=generator) * 0.012)
    shared = [longest_common(a, b) for a, b in zip(tokens_of(variant), tokens_of(base), strict=True)]
    found = judged_by(decoders[kind]).outcomes(variant, examples(*TEXTS))
    assert found.columns["same"].tolist() == shared
    assert 0 < sum(shared) < found.columns["judged"].sum()


def test_judging_is_by_the_same_tokens_only(decoders: dict[str, Path]) -> None:
    model = load(decoders["bigrams"])
    model.tokenizer.add_tokens(["purple"])
    with pytest.raises(BadInput, match="another vocabulary"):
        judged_by(decoders["bigrams"]).outcomes(model, examples("the"))


def chatting(folder: Path, template: str | None) -> Loaded:
    model = load(folder)
    model.tokenizer.chat_template = template
    return model


TEMPLATE = "{% for m in messages %}<s> big {{ m['content'] }}{% endfor %}{% if add_generation_prompt %} the{% endif %}"


def test_chat_puts_the_whole_text_into_the_template(decoders: dict[str, Path]) -> None:
    task = TASK.model_copy(update={"chat": True, "prompt_tokens": 1})
    model = chatting(decoders["bigrams"], TEMPLATE)
    (prompt,) = task.prompts(model, examples("cat runs"))
    assert model.tokenizer.decode(prompt) == "<s> big cat runs the"
    assert task.outcomes(model, examples("cat runs")).prediction == ("red blue green",)
    with pytest.raises(BadInput, match="Row 1 of the data has 63 tokens"):
        task.prompts(model, examples("cat " * 60))
    with pytest.raises(BadInput, match="no chat template"):
        task.prompts(chatting(decoders["bigrams"], None), examples("cat"))


def test_prompts_are_beginnings(decoders: dict[str, Path]) -> None:
    model = load(decoders["llama"])
    assert [len(p) for p in TASK.prompts(model, examples(*TEXTS))] == [5, 4, 6, 2]
    without = TASK.model_copy(update={"bos": False})
    assert [len(p) for p in without.prompts(model, examples(*TEXTS))] == [4, 3, 5, 1]


def test_a_forced_first_token_is_neither_counted_nor_judged(decoders: dict[str, Path], tmp_path: Path) -> None:
    model = tiny.writer(seed=3)
    config: Any = model.generation_config
    config.forced_bos_token_id = 5
    folder = tiny.saved(model, tmp_path / "forced")
    found = judged_by(folder).outcomes(load(folder), examples(*TEXTS))
    assert all(text.startswith(tiny.WORDS[1]) for text in found.prediction)
    ended = found.columns["ended"]
    assert found.columns["judged"].tolist() == (found.columns["length"] - 1).tolist()
    assert found.columns["unigrams"].tolist() == (found.columns["length"] - 1 - ended).tolist()
    assert point(found, "greedy_agreement") == 1


def test_a_judge_is_loaded_once(decoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import bench.models

    loads: list[Path] = []

    def counting(folder: Path, device: str) -> Loaded:
        loads.append(folder)
        return load(folder, device)

    monkeypatch.setattr(bench.models, "load", counting)
    sequences._JUDGES.clear()
    model = load(decoders["llama"])

    def run() -> Examples:
        return judged_by(decoders["llama"]).outcomes(model, examples("the"))

    assert run().prediction == run().prediction
    assert loads == [decoders["llama"]]


def test_padding_stands_on_the_side_asked_for(decoders: dict[str, Path]) -> None:
    tokenizer = load(decoders["llama"]).tokenizer
    ids, mask = padded(tokenizer, [[5, 6, 7], [8]], "left")
    assert ids.tolist() == [[5, 6, 7], [1, 1, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    tokenizer.pad_token = None
    ids, mask = padded(tokenizer, [[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [8, 2, 2]]  # without a padding token the end token fills, and is masked
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_what_cannot_be_done_is_refused(decoders: dict[str, Path], models: dict[str, Path]) -> None:
    for kind in ("llama", "bart"):
        TASK.check(describe(decoders[kind]), "b", frozenset({""}))
    with pytest.raises(BadInput, match="is DistilBertForSequenceClassification"):
        TASK.check(describe(models["distilbert"]), "b", frozenset())
    with pytest.raises(BadInput, match="set chat to false"):
        TASK.model_copy(update={"chat": True}).check(describe(decoders["bart"]), "b", frozenset())
    with pytest.raises(BadInput, match="leaves room for 6"):
        Generation(max_length=16, new_tokens=8, prompt_tokens=7).check(describe(decoders["llama"]), "b", frozenset())
    with pytest.raises(BadInput, match=r"prompt_tokens . new_tokens . 1 is 69 but the model 'b' has 64"):
        Generation(new_tokens=36, prompt_tokens=32).check(describe(decoders["llama"]), "b", frozenset())
    with pytest.raises(BadInput, match="empty text"):
        TASK.check_examples(examples(" "))
