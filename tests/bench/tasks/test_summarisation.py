"""Beam search by the settings that count in the end, the same in any batch, scored against references."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.architecture import describe
from bench.data import Example
from bench.errors import BadInput
from bench.metrics.rouge import rouge
from bench.models import Loaded, load
from bench.sweep_file import TaskSection
from bench.tasks.sequences import write
from bench.tasks.spec import bind_task
from bench.tasks.summarisation import Summarisation

OWN = {"num_beams": 3, "length_penalty": 2.0, "min_length": 4, "max_length": 12, "no_repeat_ngram_size": 3}
TASK = Summarisation(source_tokens=32, max_length=12, no_repeat_ngram_size=2, min_length=3)
TEXTS = ["the red cat runs", "blue dog", "green bird sleeps not big small the red cat", "the the small", "dog"]


def examples() -> list[Example]:
    return [Example(i, text, None, f"the cat. Big {text}", slice="s") for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def model(decoders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A BART with settings of its own, and weights large enough that texts differ."""
    folder = Path(shutil.copytree(decoders["bart"], tmp_path_factory.mktemp("own") / "bart"))
    config = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    config |= {**OWN, "early_stopping": True, "forced_bos_token_id": 0, "max_new_tokens": 5}
    (folder / "generation_config.json").write_text(json.dumps(config), encoding="utf-8")
    found = load(folder)
    with torch.no_grad():
        for name, weight in found.model.named_parameters():
            if "layer_norm" not in name and "layernorm" not in name:
                weight.mul_(12)
    return found


def test_settings_are_the_models_unless_the_task_says(model: Loaded) -> None:
    own = {**OWN, "early_stopping": True, "forced_bos_token_id": 0, "forced_eos_token_id": 2}
    of_model = Summarisation(num_beams="model").effective(model)
    assert of_model == {**own, "decoder_start_token_id": 2}
    said: dict[str, Any] = {
        "num_beams": 2,
        "length_penalty": 0.5,
        "min_length": 0,
        "max_length": 9,
        "no_repeat_ngram_size": 0,
        "early_stopping": "never",
        "forced_bos_token_id": None,
        "forced_eos_token_id": None,
    }
    assert Summarisation(**said).effective(model) == {**said, "decoder_start_token_id": 2}
    assert Summarisation().effective(model)["num_beams"] == 4


def test_what_nobody_says_is_refused_for_the_length_only(decoders: dict[str, Path]) -> None:
    plain = load(decoders["bart"])
    with pytest.raises(BadInput, match="set max_length on the task"):
        Summarisation().effective(plain)
    found = Summarisation(max_length=20).effective(plain)
    assert (found["length_penalty"], found["min_length"], found["no_repeat_ngram_size"]) == (1.0, 0, 0)
    assert (found["early_stopping"], found["forced_bos_token_id"], found["forced_eos_token_id"]) == (False, None, 2)


def test_equals_the_model_on_each_text_alone(model: Loaded) -> None:
    """The settings reach the search: the same texts as from `generate` with every setting named."""
    found = TASK.outcomes(model, examples())
    assert len(set(found.prediction)) > 1
    for i, example in enumerate(examples()):
        inputs = model.tokenizer(example.text, return_tensors="pt")
        generate: Any = model.model.generate
        (ids,) = generate(
            **inputs,
            num_beams=4,
            length_penalty=2.0,
            min_length=3,
            max_length=12,
            max_new_tokens=None,
            no_repeat_ngram_size=2,
            early_stopping=True,
            forced_bos_token_id=0,
            forced_eos_token_id=2,
        ).tolist()
        assert found.prediction[i] == str(model.tokenizer.decode(ids, skip_special_tokens=True)).strip()
        assert found.columns["length"][i] == len(ids) - 1
        assert len({tuple(ids[j : j + 2]) for j in range(len(ids) - 1)}) == len(ids) - 1  # no 2-gram twice


def test_batches_do_not_matter(model: Loaded) -> None:
    together = TASK.outcomes(model, examples())
    for tokens in (8, 200):
        other = TASK.model_copy(update={"batch_tokens": tokens}).outcomes(model, examples())
        assert other.prediction == together.prediction
        assert other.score.tolist() == together.score.tolist()


def test_the_models_own_settings_do_not_leak_into_a_search(model: Loaded) -> None:
    """A forced first token, set to none by the task, stays away, and the model is left as it was."""
    before = model.model.generation_config
    config = TASK.model_copy(update={"forced_bos_token_id": None, "num_beams": 1})._config(model)
    ids = [[int(i) for i in model.tokenizer(e.text)["input_ids"]] for e in examples()]
    assert any(row[0] != 0 for row in write(model, ids, config, 12, 4096))
    assert model.model.generation_config is before


def test_scores_are_rouge_of_the_texts(model: Loaded) -> None:
    found = TASK.outcomes(model, examples())
    expected = rouge(found.label, found.prediction, stemmer=True, splitter="punctuation")
    for kind, values in expected.items():
        assert found.columns[kind].tolist() == values.tolist()
    assert found.score.tolist() == expected["rougeLsum"].tolist()
    assert found.slice == ("s",) * len(TEXTS)
    assert np.isnan(found.confidence).all()
    assert found.label[1] == "the cat. Big blue dog"


def test_references_are_cut_as_texts_are(model: Loaded) -> None:
    """Five tokens are three words and the two that frame them."""
    task = TASK.model_copy(update={"reference_tokens": 5})
    assert set(task.outcomes(model, [Example(0, "the red", None, "the red cat runs")]).label) == {"the red cat"}


def test_sources_are_cut(model: Loaded) -> None:
    task = TASK.model_copy(update={"source_tokens": 8})
    long = [Example(0, "red cat " * 3 + end, None, "red") for end in ("dog " * 90, "big " * 9)]
    assert len({task.outcomes(model, [e]).prediction for e in long}) == 1


def test_what_cannot_be_done_is_refused(decoders: dict[str, Path], models: dict[str, Path]) -> None:
    bart = describe(decoders["bart"])
    TASK.check(bart, "b", frozenset({"the"}))
    with pytest.raises(BadInput, match="is BartForSequenceClassification"):
        TASK.check(describe(models["bart"]), "b", frozenset())
    with pytest.raises(BadInput, match="is LlamaForCausalLM"):
        TASK.check(describe(decoders["llama"]), "b", frozenset())
    with pytest.raises(BadInput, match="need a reference"):
        TASK.check(bart, "b", frozenset({""}))
    with pytest.raises(BadInput, match="source_tokens is 1024 but the model 'b' has 64"):
        Summarisation().check(bart, "b", frozenset())
    with pytest.raises(BadInput, match="max_length is 65"):
        Summarisation(source_tokens=32, max_length=65).check(bart, "b", frozenset())
    with pytest.raises(BadInput, match="min_length is 12, not below max_length"):
        Summarisation(source_tokens=32, max_length=12, min_length=12).check(bart, "b", frozenset())
    with pytest.raises(BadInput, match=r"asks for rouge-score 0\.0\.1"):
        Summarisation(source_tokens=32, rouge_score="0.0.1").check(bart, "b", frozenset())
    for wrong, words in (
        (Example(3, " ", None, "x"), "Row 4 .* empty text"),
        (Example(0, "x", None, " "), "reference"),
    ):
        with pytest.raises(BadInput, match=words):
            TASK.check_examples([wrong])


def test_a_sweep_names_it_and_its_scorer(tmp_path: Path) -> None:
    from bench.data import DataSpec

    rows = [{"text": "the red cat", "summary": "cat"}]
    (tmp_path / "news.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = {"news": DataSpec(source=str(tmp_path / "news.jsonl"), label="summary")}
    spec = bind_task("s", TaskSection.model_validate({"kind": "summarisation", "data": "news"}), data)
    assert spec.settings["rouge_score"] == Summarisation().rouge_score
    assert spec.metrics[0] == "rougeLsum"
    assert spec.labels == ()  # references are no classes, and would make every job as long as the data
    assert {spec.settings[k] for k in ("length_penalty", "max_length", "early_stopping")} == {"model"}
