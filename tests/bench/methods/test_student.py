"""Students: published sizes, weights that are the teacher's bit for bit, fresh parts that a seed decides."""

from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertModel,
)

from bench.architecture import architecture_of, describe
from bench.errors import BadInput
from bench.methods.student import Student
from bench.methods.student_weights import kept_layers, student_config
from bench.models import Loaded, load, parameter_count, save
from bench.recipe import Workplace
from tests import tiny, tiny_bert

WORDS = "the red cat runs"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("parents")
    return {
        "classifier": tiny_bert.saved(tiny_bert.classifier(), root / "classifier"),
        "deep": tiny_bert.saved(tiny_bert.classifier(layers=12), root / "deep"),
        "masked": tiny_bert.saved(tiny_bert.masked(), root / "masked"),
        "pretraining": tiny_bert.saved(tiny_bert.pretraining(seed=5), root / "pretraining"),
        "other": tiny_bert.saved(tiny_bert.classifier(seed=3, yes=0, no=1, unsure=2), root / "other"),
        "same": tiny_bert.saved(tiny_bert.classifier(seed=4, entailment=0, neutral=1, contradiction=2), root / "same"),
        "bart": tiny.saved(tiny.bart(), root / "bart"),
        "gpt2": tiny.saved(tiny.causal("gpt2"), root / "gpt2"),
    }


def made(folders: dict[str, Path], parent: str, seed: int = 0, **settings: object) -> Loaded:
    step = Student.model_validate(settings)
    weights = str(settings["weights"]) if "weights" in settings else None
    teachers = {weights: folders[weights]} if weights else {}
    checked = step.check_among(describe(folders[parent]), {n: describe(f) for n, f in teachers.items()})
    found = step.apply(load(folders[parent]), Workplace(seed, {}, teachers=teachers))
    really = architecture_of({**found.model.config.to_dict(), "architectures": [type(found.model).__name__]})
    if not checked.classifies:
        really = really.changed(labels=checked.labels)
    assert really == checked  # what the plan says is what comes out
    return found


def count(cls: type, config: BertConfig, **settings: object) -> int:
    """Parameters of the student that the settings give, without any weights."""
    step = Student.model_validate(settings)
    found = architecture_of({**config.to_dict(), "architectures": ["BertForMaskedLM"]})
    with torch.device("meta"):
        return parameter_count_of(cls(student_config(config, kept_layers(found, step), step)))


def parameter_count_of(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_published_sizes_of_distilbert() -> None:
    base = BertConfig(id2label={0: "a", 1: "b", 2: "c"})
    settings = {"layers": 6, "architecture": "distilbert"}
    assert count(DistilBertModel, base, **settings) == 66_362_880
    assert count(DistilBertForMaskedLM, base, **settings) == 66_985_530
    assert count(DistilBertForSequenceClassification, base, **settings) == 66_955_779
    assert count(BertForSequenceClassification, base) == 109_484_547
    assert count(BertModel, base) == 109_482_240


GRID = {
    2: (4.4, 9.7, 22.8, 39.2),
    4: (4.8, 11.3, 29.1, 53.4),
    6: (5.2, 12.8, 35.4, 67.6),
    8: (5.6, 14.4, 41.7, 81.8),
    10: (6.0, 16.0, 48.0, 95.9),
    12: (6.4, 17.6, 54.3, 110.1),
}


@pytest.mark.parametrize("layers", GRID)
def test_compact_berts_have_the_published_sizes(layers: int) -> None:
    """The 24 models of Turc et al. 2019, in millions: heads = width / 64, inner width = 4 x width."""
    for hidden, expected in zip((128, 256, 512, 768), GRID[layers], strict=True):
        shape = {"layers": layers, "hidden": hidden, "heads": hidden // 64, "ffn": 4 * hidden, "init": "random"}
        assert round(count(BertForPreTraining, BertConfig(), **shape) / 1e6, 1) == expected


def test_bert_mini_to_the_last_parameter() -> None:
    shape = {"layers": 4, "hidden": 256, "heads": 4, "ffn": 1024, "init": "random"}
    assert count(BertModel, BertConfig(), **shape) == 11_170_560
    assert count(BertForPreTraining, BertConfig(), **shape) == 11_267_900


def test_six_of_twelve_layers_bit_for_bit(folders: dict[str, Path]) -> None:
    teacher = load(folders["deep"]).model.state_dict()
    student = made(folders, "deep", layers=6)
    assert student.evidence["student"] == {"copied_layers": {"encoder": [0, 2, 4, 7, 9, 11]}, "fresh": []}
    for name, tensor in student.model.state_dict().items():
        parts = name.split(".")
        if "layer" in parts:
            at = parts.index("layer") + 1
            parts[at] = str((0, 2, 4, 7, 9, 11)[int(parts[at])])
        assert torch.equal(tensor, teacher[".".join(parts)]), name


@pytest.mark.parametrize("kind", ["classifier", "masked", "pretraining"])
def test_distilbert_has_the_teachers_weights(folders: dict[str, Path], kind: str) -> None:
    teacher = load(folders[kind]).model.state_dict()
    found = made(folders, kind, layers=2, architecture="distilbert")
    student = found.model.state_dict()
    assert found.evidence["student"]["fresh"] == []
    for name in ("word_embeddings.weight", "position_embeddings.weight", "LayerNorm.weight", "LayerNorm.bias"):
        assert torch.equal(student[f"distilbert.embeddings.{name}"], teacher[f"bert.embeddings.{name}"])
    assert not [name for name in student if "token_type" in name]
    for new, old in ((0, 0), (1, 3)):
        mine, theirs = f"distilbert.transformer.layer.{new}", f"bert.encoder.layer.{old}"
        assert torch.equal(student[f"{mine}.attention.k_lin.bias"], teacher[f"{theirs}.attention.self.key.bias"])
        assert torch.equal(student[f"{mine}.sa_layer_norm.bias"], teacher[f"{theirs}.attention.output.LayerNorm.bias"])
        assert torch.equal(student[f"{mine}.output_layer_norm.bias"], teacher[f"{theirs}.output.LayerNorm.bias"])
    if kind == "classifier":
        assert torch.equal(student["pre_classifier.weight"], teacher["bert.pooler.dense.weight"])
        assert torch.equal(student["classifier.bias"], teacher["classifier.bias"])
    else:
        assert torch.equal(student["vocab_projector.bias"], teacher["cls.predictions.bias"])
        assert found.model.get_parameter("vocab_projector.weight") is found.model.get_input_embeddings().weight


def test_distilbert_of_every_layer_computes_what_bert_does(folders: dict[str, Path]) -> None:
    """With token types of zero, all layers copied: the same masked-language logits. No mapping can be wrong then."""
    bert = load(folders["masked"])
    with torch.no_grad():
        bert.model.get_parameter("bert.embeddings.token_type_embeddings.weight").zero_()
        batch = bert.tokenizer([WORDS, "the dog [MASK] not"], padding=True, return_tensors="pt")
        student = Student(architecture="distilbert").apply(load(folders["masked"]), Workplace(0, {}))
        batch.pop("token_type_ids")
        expected, found = bert.model(**batch).logits, student.model(**batch).logits
    seen = batch["attention_mask"].bool()
    assert torch.allclose(found[seen], expected[seen], atol=1e-6)
    assert expected.std() > 0.1


def test_distilbert_knows_no_token_types_after_saving(folders: dict[str, Path], tmp_path: Path) -> None:
    student = made(folders, "classifier", layers=2, architecture="distilbert")
    save(student, tmp_path / "student")
    again = load(tmp_path / "student")
    for loaded in (student, again):
        assert set(loaded.tokenizer(WORDS, "the cat red")) == {"input_ids", "attention_mask"}
    batch = again.tokenizer(WORDS, "the cat red", return_tensors="pt")
    as_bert = load(folders["classifier"]).tokenizer(WORDS, "the cat red")
    assert batch["input_ids"][0].tolist() == as_bert["input_ids"]
    weights = student.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.model.state_dict().items())
    with torch.no_grad():
        # Where weights lie in memory may change the last digit of a sum, with AVX2 alone.
        assert torch.allclose(again.model(**batch).logits, student.model(**batch).logits, atol=1e-6)


def test_first_layers(folders: dict[str, Path]) -> None:
    teacher, student = load(folders["deep"]).model.state_dict(), made(folders, "deep", layers=3, init="first")
    assert all(torch.equal(tensor, teacher[name]) for name, tensor in student.model.state_dict().items())
    assert parameter_count(student.model) < parameter_count(load(folders["deep"]).model)


def test_both_stacks_of_bart_and_gpt2(folders: dict[str, Path]) -> None:
    bart = made(folders, "bart", layers=1, decoder_layers=2)
    assert bart.evidence["student"]["copied_layers"] == {"encoder": [0], "decoder": [0, 3]}
    teacher = load(folders["bart"]).model.state_dict()
    name = "model.decoder.layers.{}.fc1.weight"
    assert torch.equal(bart.model.state_dict()[name.format(1)], teacher[name.format(3)])
    depth = describe(folders["gpt2"]).encoder_layers
    assert depth is not None
    gpt2 = made(folders, "gpt2", layers=depth - 1)
    last = load(folders["gpt2"]).model.state_dict()[f"transformer.h.{depth - 1}.mlp.c_fc.weight"]
    assert torch.equal(gpt2.model.state_dict()[f"transformer.h.{depth - 2}.mlp.c_fc.weight"], last)


def test_random_weights_come_from_the_seed(folders: dict[str, Path]) -> None:
    shape = {"layers": 6, "hidden": 24, "heads": 4, "ffn": 40, "init": "random"}
    first, again, other = (made(folders, "classifier", seed, **shape).model.state_dict() for seed in (1, 1, 2))
    assert first["bert.encoder.layer.5.intermediate.dense.weight"].shape == (40, 24)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_other_weights_get_a_head_for_the_parents_labels(folders: dict[str, Path]) -> None:
    body = load(folders["pretraining"]).model.state_dict()
    found = made(folders, "classifier", weights="pretraining")
    assert found.model.config.id2label == tiny.LABELS
    assert found.evidence["student"]["fresh"] == ["classifier"]
    assert all(torch.equal(t, body[n]) for n, t in found.model.state_dict().items() if n.startswith("bert."))
    first, other = (made(folders, "classifier", seed, weights="pretraining").model.state_dict() for seed in (0, 1))
    assert torch.equal(first["classifier.weight"], found.model.state_dict()["classifier.weight"])
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_head_for_other_labels_is_not_taken_over(folders: dict[str, Path]) -> None:
    """Three labels there, three here, but not the same: its weights would fit and mean nothing."""
    strange = load(folders["other"]).model.state_dict()["classifier.weight"]
    found = made(folders, "classifier", weights="other")
    assert "classifier" in found.evidence["student"]["fresh"]
    assert not torch.equal(found.model.state_dict()["classifier.weight"], strange)
    kept = made(folders, "classifier", weights="same")
    assert kept.evidence["student"]["fresh"] == []
    assert kept.model.config.id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}


def test_own_head_and_a_smaller_student_of_other_weights(folders: dict[str, Path]) -> None:
    found = made(folders, "classifier", weights="pretraining", head="own", layers=2, architecture="distilbert")
    assert type(found.model) is DistilBertForMaskedLM
    fresh = made(folders, "classifier", weights="masked", layers=2, architecture="distilbert")
    assert type(fresh.model) is DistilBertForSequenceClassification
    assert {"classifier", "bert.pooler.dense"} <= set(fresh.evidence["student"]["fresh"])
    assert fresh.model.config.id2label == tiny.LABELS


def test_only_what_is_drawn_depends_on_the_seed() -> None:
    assert not Student(layers=2).stochastic
    assert Student(layers=2).request({}, 5)["seed"] is None
    assert Student(init="random").request({}, 5)["seed"] == 5
    request = Student(weights="mini").request({"teacher mini": "abc"}, 5)
    assert request["seed"] == 5
    assert request["settings"]["weights"] == "abc"  # the identity of its bytes, not its name


WRONG = {
    "hidden": ({"hidden": 32}, "changes hidden but init is 'published'"),
    "ffn": ({"ffn": 32, "init": "first"}, "changes ffn but init is 'first'"),
    "deeper": ({"layers": 9}, "layers is 9, but there are 4 layers to copy"),
    "heads": ({"heads": 3, "init": "random"}, "hidden 16 and 3 heads"),
    "no decoder": ({"decoder_layers": 1}, "decoder_layers is 1, but a bert model has no such stack"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_said(folders: dict[str, Path], name: str) -> None:
    settings, words = WRONG[name]
    with pytest.raises(BadInput, match=words):
        Student.model_validate(settings).check(describe(folders["classifier"]))


def test_wrong_parents_are_said(folders: dict[str, Path]) -> None:
    bert = describe(folders["classifier"])
    with pytest.raises(BadInput, match="distilbert is made from a BERT, but this is a bart model"):
        Student(architecture="distilbert").check(describe(folders["bart"]))
    with pytest.raises(BadInput, match="are int8"):
        Student(layers=1).check(bert.changed(int8=True))
    teachers = {"gpt2": describe(folders["gpt2"])}
    with pytest.raises(BadInput, match=r"'gpt2', a GPT2LMHeadModel, but the model before is a BertForMaskedLM"):
        Student(weights="gpt2").check_among(describe(folders["masked"]), teachers)
    assert Student(hidden=16, heads=2, layers=2).check(bert).encoder_layers == 2  # no change of width is none


def test_other_families(tmp_path: Path) -> None:
    """RoBERTa keeps everything but layers; a Llama with grouped key heads can have other widths."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=16, hidden_size=16, num_hidden_layers=12, num_attention_heads=2, intermediate_size=24, pad_token_id=1
    )
    folders = {
        "roberta": tiny.saved(tiny_bert.strengthened(RobertaForMaskedLM(config)), tmp_path / "roberta"),
        "llama": tiny.saved(tiny.causal("llama"), tmp_path / "llama"),
    }
    roberta = made(folders, "roberta", layers=6)
    assert roberta.evidence["student"] == {"copied_layers": {"encoder": [0, 2, 4, 7, 9, 11]}, "fresh": []}
    teacher = load(folders["roberta"]).model.state_dict()
    mine = roberta.model.state_dict()
    assert torch.equal(mine["lm_head.dense.bias"], teacher["lm_head.dense.bias"])
    name = "roberta.encoder.layer.{}.output.dense.bias"
    assert torch.equal(mine[name.format(3)], teacher[name.format(7)])
    llama = made(folders, "llama", layers=2, hidden=24, heads=4, ffn=20, init="random")
    assert llama.model.get_parameter("model.layers.1.self_attn.k_proj.weight").shape == (12, 24)
    with torch.no_grad():
        assert llama.model(**llama.tokenizer(WORDS, return_tensors="pt")).logits.shape[-1] == 16
    with pytest.raises(BadInput, match="heads is 3, but 2 share one key head"):
        made(folders, "llama", hidden=24, heads=3, init="random")
