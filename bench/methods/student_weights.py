"""How a student's config and weights are made from those of the model that it descends from."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertModel,
    PreTrainedConfig,
    PreTrainedModel,
)

from bench.architecture import Architecture, architecture_of, label_ids
from bench.errors import BadInput
from bench.methods.layer_copy import mapped_state, shorten_config
from bench.methods.student import Student, copied_layers, distilbert_class
from bench.models import Loaded

INNER_WIDTHS = ("intermediate_size", "hidden_dim", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim")
HEAD_COUNTS = ("num_attention_heads", "encoder_attention_heads", "decoder_attention_heads")
# BERT's names inside a layer -> DistilBERT's.
LAYER_NAMES = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
HEAD_NAMES = {
    "cls.predictions.transform.dense": "vocab_transform",
    "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
    "cls.predictions.decoder": "vocab_projector",
    "bert.pooler.dense": "pre_classifier",
    "classifier": "classifier",
}
DISTILBERT = {
    "DistilBertForSequenceClassification": DistilBertForSequenceClassification,
    "DistilBertForMaskedLM": DistilBertForMaskedLM,
    "DistilBertModel": DistilBertModel,
}


def made_from(source: Loaded, parent: Loaded, how: Student) -> Loaded:
    """The student with the source's tokenizer; draws from torch's global generator where weights are fresh."""
    teacher: PreTrainedModel = source.model.to(torch.float32)  # type: ignore[arg-type]
    fresh: list[str] = []
    if how.weights is not None and how.head == "parent":
        labels = label_names(parent.model.config)
        if architecture_of(parent.model.config.to_dict()).classifies and not _knows(teacher, labels):
            teacher, fresh = with_fresh_head(teacher, labels)
    found = architecture_of({**teacher.config.to_dict(), "architectures": [type(teacher).__name__]})
    keep = kept_layers(found, how)
    student = _build(teacher, found, keep, how)
    copies = how.init != "random"
    fresh = sorted({*fresh, *_copy_weights(teacher, student, keep, found)}) if copies else ["everything"]
    if student.can_generate() and teacher.can_generate():
        student.generation_config = teacher.generation_config
    student.train(False)
    made = Loaded(student, source.tokenizer, source.source, extra_files=dict(source.extra_files))
    copied = {stack: list(layers) for stack, layers in keep.items()} if copies else {}
    made.evidence["student"] = {"copied_layers": copied, "fresh": fresh}
    if how.architecture == "distilbert":
        _without_token_types(made)
    return made


def kept_layers(found: Architecture, how: Student) -> dict[str, tuple[int, ...]]:
    """Layers of the source by stack that the student copies; for random weights only their number counts."""
    keep: dict[str, tuple[int, ...]] = {}
    for stack, wanted in (("encoder", how.layers), ("decoder", how.decoder_layers)):
        depth = getattr(found, f"{stack}_layers")
        if depth is not None:
            count = wanted or depth
            keep[stack] = tuple(range(count)) if how.init == "random" else copied_layers(how.init, depth, count)
    return keep


def _build(
    teacher: PreTrainedModel, found: Architecture, keep: dict[str, tuple[int, ...]], how: Student
) -> PreTrainedModel:
    """The student's model with initial weights."""
    made: Any = DISTILBERT[distilbert_class(found)] if how.architecture == "distilbert" else type(teacher)
    student: PreTrainedModel = made(student_config(teacher.config, keep, how)).to(torch.float32)
    return student


def student_config(config: Any, keep: dict[str, tuple[int, ...]], how: Student) -> PreTrainedConfig:
    """The source's config with the student's depth and widths. Needs no weights."""
    new: Any = copy.deepcopy(config)
    new.dtype = torch.float32
    two_stacks = "decoder" in keep
    for stack, layers in keep.items():
        depth = config.decoder_layers if stack == "decoder" else config.num_hidden_layers
        shorten_config(new, stack, tuple(i % depth for i in layers), decoder_too=two_stacks)
    old_hidden, old_heads = config.hidden_size, config.num_attention_heads
    if how.hidden is not None:
        new.hidden_size = how.hidden
    if how.heads is not None:
        for key in HEAD_COUNTS:
            if getattr(new, key, None) is not None:
                setattr(new, key, how.heads)
        _fewer_key_heads(config, new, how.heads)
    if getattr(config, "head_dim", None) == old_hidden // old_heads:
        new.head_dim = new.hidden_size // new.num_attention_heads
    if how.ffn is not None:
        names = [key for key in INNER_WIDTHS if hasattr(new, key)]
        if not names:
            raise BadInput(
                f"student.ffn is {how.ffn}, but a {config.model_type} config does not say how wide its feed-forward "
                "layers are: leave ffn out."
            )
        for key in names:
            setattr(new, key, how.ffn)
    return distilbert_config(new) if how.architecture == "distilbert" else new


def _fewer_key_heads(config: Any, new: Any, heads: int) -> None:
    """Grouped-query attention: as many query heads share a key head as before."""
    groups = getattr(config, "num_key_value_heads", None)
    if groups is not None:
        share = config.num_attention_heads // groups
        if heads % share:
            raise BadInput(f"student.heads is {heads}, but {share} share one key head: give a multiple of {share}.")
        new.num_key_value_heads = heads // share


def distilbert_config(config: Any) -> DistilBertConfig:
    """DistilBERT's config for a BERT's; learned positions, for they are copied."""
    made = DistilBertConfig(
        vocab_size=config.vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        sinusoidal_pos_embds=False,
        n_layers=config.num_hidden_layers,
        n_heads=config.num_attention_heads,
        dim=config.hidden_size,
        hidden_dim=config.intermediate_size,
        dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        activation=config.hidden_act,
        initializer_range=config.initializer_range,
        pad_token_id=config.pad_token_id,
        tie_word_embeddings=config.tie_word_embeddings,
        id2label=config.id2label,
        label2id=config.label2id,
    )
    if config.classifier_dropout is not None:
        made.seq_classif_dropout = config.classifier_dropout
    return made


def distilbert_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """BERT's weights under DistilBERT's names; token types, the pair head and what has no counterpart are left out."""
    result: dict[str, torch.Tensor] = {}
    bare = not any(name.startswith("bert.") for name in state)
    prefix = "" if bare else "distilbert."
    for name, tensor in state.items():
        inner = name.removeprefix("bert.")
        module, _, kind = inner.rpartition(".")
        layer = re.match(r"encoder\.layer\.(\d+)\.(.*)$", module)
        if layer:
            result[f"{prefix}transformer.layer.{layer[1]}.{LAYER_NAMES[layer[2]]}.{kind}"] = tensor
        elif inner.startswith("embeddings.") and "token_type" not in inner:
            result[f"{prefix}{inner}"] = tensor
        elif head := HEAD_NAMES.get(name.rpartition(".")[0]):
            result[f"{head}.{kind}"] = tensor
    return result


def _copy_weights(
    teacher: PreTrainedModel, student: PreTrainedModel, keep: dict[str, tuple[int, ...]], found: Architecture
) -> list[str]:
    """Put the teacher's weights into the student; gives the names of modules that had to stay fresh."""
    state = mapped_state(teacher.state_dict(), keep, decoder_too=found.decoder_layers is not None)
    if type(student).__name__.startswith("DistilBert") and found.model_type == "bert":
        wanted = student.state_dict()
        renamed = distilbert_state(state)
        state = {n: t for n, t in renamed.items() if n in wanted and t.shape == wanted[n].shape}
    missing, unexpected = student.load_state_dict(state, strict=False)
    if unexpected:
        raise ValueError(f"the student has no place for {unexpected[:3]}")
    student.tie_weights()
    tied = {n for n, _ in student.named_parameters(remove_duplicate=False)} - {n for n, _ in student.named_parameters()}
    return sorted({name.rpartition(".")[0] for name in missing if name not in tied})


def with_fresh_head(model: PreTrainedModel, labels: tuple[str, ...]) -> tuple[PreTrainedModel, list[str]]:
    """The model's body under a new classification head, and the names of the fresh modules.

    Draws from torch's global generator. No weight of a former head is kept, whatever its shape.
    """
    config = copy.deepcopy(model.config)
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: i for i, name in enumerate(labels)}
    config.problem_type = None
    found: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    found.to(torch.float32)  # type: ignore[arg-type]
    missing, _ = found.base_model.load_state_dict(model.base_model.state_dict(), strict=False)
    prefix = found.base_model_prefix
    head = {name.rpartition(".")[0] for name in found.state_dict() if not name.startswith(f"{prefix}.")}
    return found, sorted({*head, *(f"{prefix}.{name.rpartition('.')[0]}" for name in missing)})


def label_names(config: Any) -> tuple[str, ...]:
    """The labels of a config in the order of their numbers."""
    return tuple(str(config.id2label[number]) for number in sorted(config.id2label))


def _knows(model: PreTrainedModel, labels: tuple[str, ...]) -> bool:
    """Whether the model already classifies into exactly these labels, in whatever order."""
    classifies = type(model).__name__.endswith("ForSequenceClassification")
    return classifies and set(label_ids(model.config.id2label)) == {name.lower() for name in labels}


def _without_token_types(made: Loaded) -> None:
    """The tokenizer must not speak of token types, which DistilBERT lacks: in memory and in the saved folder."""
    names = ["input_ids", "attention_mask"]
    made.tokenizer.model_input_names = names
    path = made.source / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    settings["model_input_names"] = names
    made.extra_files["tokenizer_config.json"] = json.dumps(settings, indent=2, sort_keys=True) + "\n"
