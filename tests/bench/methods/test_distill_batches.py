"""Batches of distillation: parts add up to the whole, targets are where they belong, other vocabularies are refused."""

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from bench.data import Example
from bench.errors import BadInput
from bench.methods.distill import Distill
from bench.methods.distill_batches import Part, Source, labelled, parts, stream, texts, written
from bench.methods.distill_losses import IGNORED
from bench.methods.distill_training import Blend, Fitting, class_order
from bench.methods.student_weights import label_names
from bench.models import Loaded, load
from tests import tiny, tiny_bert

STEP = Distill(data="train", shortest=4, batch=8)


def examples(count: int = 24) -> list[Example]:
    return [Example(n, r["premise"], r["hypothesis"], r["label"]) for n, r in enumerate(tiny.rows(count, seed=3))]


def alone(count: int = 24) -> list[Example]:
    return [Example(e.index, e.text, None, "the cat") for e in examples(count)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    made = {
        "masked": tiny_bert.saved(tiny_bert.masked(layers=2), root / "masked"),
        "other": tiny_bert.saved(tiny_bert.masked(layers=2, seed=7), root / "other"),
        "classifier": tiny_bert.saved(tiny_bert.classifier(layers=2), root / "classifier"),
        "turned": tiny_bert.saved(
            tiny_bert.classifier(layers=2, entailment=0, neutral=1, contradiction=2), root / "turned"
        ),
        "bart": tiny.saved(tiny.bart(), root / "bart"),
        "writer": tiny.saved(tiny.writer(), root / "writer"),
        "causal": tiny.saved(tiny.causal("gpt2"), root / "causal"),
    }
    return {name: load(folder) for name, folder in made.items()}


def gradients(fitting: Fitting, batch: Sequence[Part]) -> tuple[float, dict[str, torch.Tensor]]:
    fitting.zero_grad()
    fitting.train(False)
    total = 0.0
    for part in batch:
        loss = fitting(part)
        torch.autograd.backward(loss)
        total += loss.item()
    return total, {n: p.grad.clone() for n, p in fitting.named_parameters() if p.grad is not None}


def sources(loaded: dict[str, Loaded]) -> dict[str, tuple[Source, Fitting]]:
    everything = Blend(soft=5, hard=2, cosine=1, squared=0.1, temperature=2)
    masked = texts(loaded["masked"], loaded["other"], examples(), STEP, 0, masked=True, favour_rare=True)
    classes = labelled(loaded["classifier"], loaded["turned"], examples(), STEP, gold=True)
    order = class_order(*(label_names(loaded[name].model.config) for name in ("classifier", "turned")))
    write = written(
        loaded["writer"],
        loaded["writer"],
        alone(),
        ["the cat runs " * (1 + 2 * (e.index % 4)) for e in alone()],
        STEP,
        20,
    )
    soft = Blend(soft=0.5, hard=0.5, temperature=2)
    return {
        "masked": (masked, Fitting(copy.deepcopy(loaded["masked"].model), everything, loaded["other"].model)),
        "classes": (classes, Fitting(copy.deepcopy(loaded["classifier"].model), soft, loaded["turned"].model, order)),
        "written": (write, Fitting(copy.deepcopy(loaded["writer"].model), soft, tiny.writer(seed=5))),
    }


@pytest.mark.parametrize("kind", ["masked", "classes", "written"])
@pytest.mark.parametrize("count", [2, 5, 11])
def test_parts_add_up_to_the_whole(loaded: dict[str, Loaded], kind: str, count: int) -> None:
    """Loss and every gradient, whatever parts of however many tokens a batch falls into; of 11 some are empty."""
    source, fitting = sources(loaded)[kind]
    whole = source.whole([0, 3, 5, 7, 11, 13, 17], 4)
    total, expected = gradients(fitting, [whole])
    split = parts(whole, count)
    assert len({float(p["tokens"].sum()) for p in split}) > 1  # unequal token counts
    assert sum(p["weight"] == 0 for p in split) == max(0, count - 7)
    found, ours = gradients(fitting, split)
    assert found == pytest.approx(total, rel=1e-5)
    assert set(ours) == set(expected)
    for name, gradient in expected.items():
        assert torch.allclose(ours[name], gradient, rtol=1e-3, atol=1e-6), name
    assert any(gradient.abs().max() > 1e-4 for gradient in expected.values())


def test_equal_means_of_parts_would_be_wrong(loaded: dict[str, Loaded]) -> None:
    """Guards the test above: the parts hold so different numbers of tokens that averaging their means shows."""
    source, fitting = sources(loaded)["written"]
    whole = source.whole([0, 3, 5, 7, 11, 13, 17], 4)
    total, _ = gradients(fitting, [whole])
    means = []
    for part in parts(whole, 5):
        counts = {"soft": float(part["soft"].sum()), "hard": float((part["labels"] != IGNORED).sum())}
        part["counts"] = {**part["counts"], **counts}
        means.append(gradients(fitting, [part])[0])
    assert sum(means) / len(means) != pytest.approx(total, rel=3e-5)


def test_processes_share_what_one_would_do(loaded: dict[str, Loaded]) -> None:
    source, _ = sources(loaded)["masked"]
    one = [p["student"]["input_ids"] for p in stream(source, STEP, 4, seed=3)]
    halves = [list(stream(source, STEP, 4, seed=3, share=k, processes=2)) for k in (0, 1)]
    for update in range(4):
        rows = sorted(str(r[r != 0].tolist()) for r in one[update])
        shared = [r for half in halves for r in half[update]["student"]["input_ids"]]
        assert sorted(str(r[r != 0].tolist()) for r in shared) == rows


def test_masks_change_with_the_update_and_the_seed(loaded: dict[str, Loaded]) -> None:
    source = texts(loaded["masked"], loaded["other"], examples(), STEP, 0, masked=True, favour_rare=True)
    other = texts(loaded["masked"], loaded["other"], examples(), STEP, 1, masked=True, favour_rare=True)
    first, again, later = (source.whole([0, 1, 2], update) for update in (1, 1, 2))
    assert torch.equal(first["labels"], again["labels"])
    assert not torch.equal(first["labels"], later["labels"])
    assert not torch.equal(first["labels"], other.whole([0, 1, 2], 1)["labels"])
    for part in (first, later):
        assert torch.equal(part["student"]["input_ids"], part["teacher"]["input_ids"])
    only = texts(
        loaded["masked"], loaded["other"], examples(), STEP, 0, masked=True, favour_rare=True, masked_only=True
    ).whole([0, 1, 2], 1)
    assert torch.equal(only["soft"], only["labels"] != IGNORED)
    assert torch.equal(first["soft"], first["tokens"].bool())


def test_causal_targets_are_the_next_tokens(loaded: dict[str, Loaded]) -> None:
    source = texts(loaded["causal"], None, alone(), STEP, 0, masked=False, favour_rare=False)
    part = source.whole([0, 1, 2, 3], 0)
    for ids, labels, real in zip(part["student"]["input_ids"], part["labels"], part["tokens"].sum(dim=1), strict=True):
        assert labels[: real - 1].tolist() == ids[1:real].tolist()
        assert (labels[real - 1 :] == IGNORED).all()


def test_classes_go_by_name(loaded: dict[str, Loaded]) -> None:
    """The teacher numbers its labels the other way round: the student itself, with rows turned, teaches nothing."""
    student, teacher = loaded["classifier"], copy.deepcopy(loaded["turned"])
    state = student.model.state_dict()
    for name in ("classifier.weight", "classifier.bias"):
        state[name] = state[name].flip(0)
    teacher.model.load_state_dict(state)
    order = class_order(label_names(student.model.config), label_names(teacher.model.config))
    assert order == [2, 1, 0]
    part = labelled(student, teacher, examples(), STEP, gold=False).whole(range(8), 0)
    assert (part["labels"] == IGNORED).all()
    by_name = Fitting(student.model, Blend(soft=1.0, temperature=2), teacher.model, order)
    by_number = Fitting(student.model, Blend(soft=1.0, temperature=2), teacher.model)
    with torch.no_grad():
        assert by_name(part).item() == 0.0
        assert by_number(part).item() > 1e-3
    gold = labelled(student, teacher, examples(), STEP, gold=True).whole(range(8), 0)
    numbers = {name: number for number, name in tiny.LABELS.items()}
    assert gold["labels"].tolist() == [numbers[e.label] for e in examples()[:8]]


def test_each_model_reads_with_its_own_tokenizer(loaded: dict[str, Loaded]) -> None:
    part = labelled(loaded["classifier"], loaded["bart"], examples(), STEP, gold=True).whole([0, 1], 0)
    assert set(part["student"]) == {"input_ids", "attention_mask", "token_type_ids"}
    assert set(part["teacher"]) == {"input_ids", "attention_mask"}
    first = loaded["bart"].tokenizer(examples()[0].text, examples()[0].pair)["input_ids"]
    assert part["teacher"]["input_ids"][0, : len(first)].tolist() == first


def test_short_and_unknown_texts_are_left_out(loaded: dict[str, Loaded]) -> None:
    """Four of five words unknown, with [CLS] and [SEP] 4/7; two of four 2/6; 'red' has three tokens."""
    lines = ["the red cat runs big", "what is this the thing", "red", "the x cat y"]
    given = [Example(n, text, None, "") for n, text in enumerate(lines)]
    source = texts(loaded["masked"], None, given, STEP, 0, masked=True, favour_rare=False)
    assert source.left_out == {"short": 1, "unknown": 1}
    assert source.lengths == [7, 6]
    with pytest.raises(
        BadInput, match=r"All 4 texts of 'train' are left out: 4 have fewer than 12 tokens.*lower distill"
    ):
        texts(loaded["masked"], None, given, Distill(data="train"), 0, masked=True, favour_rare=False)


def test_written_targets_are_shifted_right(loaded: dict[str, Loaded]) -> None:
    """BART starts with </s> (2); a target is <s> words </s>; nothing is predicted under padding."""
    source = written(loaded["writer"], loaded["writer"], alone(), ["the cat", "the"] * 12, STEP, 20)
    part = source.whole([0, 1], 0)
    assert part["labels"].tolist() == [[0, 15, 7, 2], [0, 15, 2, IGNORED]]
    assert part["student"]["decoder_input_ids"].tolist() == [[2, 0, 15, 7], [2, 0, 15, 2]]
    assert part["written"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    short = parts(part, 2)[1]
    assert short["labels"].tolist() == [[0, 15, 2]]
    assert short["student"]["decoder_input_ids"].shape == (1, 3)
    assert part["counts"] == {"soft": 7.0, "hard": 7.0, "tokens": float(part["tokens"].sum()), "written": 7.0}


def test_other_vocabularies_are_refused(loaded: dict[str, Loaded], tmp_path: Path) -> None:
    folder = tiny_bert.saved(tiny_bert.masked(layers=2), tmp_path / "turned")
    tiny_bert.tokenizer(tuple(reversed(tiny.WORDS))).save_pretrained(folder)
    with pytest.raises(
        BadInput, match=r"different vocabularies \(17 and 17 tokens, 12 of the teacher's mean something"
    ):
        texts(loaded["masked"], load(folder), examples(), STEP, 0, masked=True, favour_rare=True)


def test_masking_needs_a_mask_token(loaded: dict[str, Loaded]) -> None:
    with pytest.raises(BadInput, match="has no mask token"):
        texts(loaded["bart"], None, examples(), STEP, 0, masked=True, favour_rare=False)


def test_an_unknown_label_is_named(loaded: dict[str, Loaded]) -> None:
    strange = [*examples(2), Example(2, "the cat", "red", "maybe")]
    with pytest.raises(BadInput, match=r"'train' has the label 'maybe'.*gold: false"):
        labelled(loaded["classifier"], loaded["turned"], strange, STEP, gold=True)
    assert labelled(loaded["classifier"], loaded["turned"], strange, STEP, gold=False).lengths
