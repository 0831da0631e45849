"""A model with its Linear layers and embeddings replaced by int8 ones, and the same put together again from a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.methods.int8_backends import Activations
from bench.methods.int8_embedding import Int8Embedding, is_word_embedding
from bench.methods.int8_linear import Int8DynamicLinear

QUANTISED = (Int8DynamicLinear, Int8Embedding)


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Layers of exactly this type, by name, in model order."""
    return {name: module for name, module in model.named_modules() if type(module) is nn.Linear}


def tied_linears(model: nn.Module) -> frozenset[str]:
    """Names of the Linear layers that use the weight of an embedding."""
    embedded = {_storage(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    return frozenset(name for name, m in linear_layers(model).items() if _storage(m.weight) in embedded)


def _storage(weight: Tensor) -> int:
    """What two modules share when they share a weight; on the meta device there are no addresses."""
    return id(weight) if weight.is_meta else weight.data_ptr()


def quantise(
    model: PreTrainedModel, linears: Collection[str], activations: Activations | str, *, embeddings: bool = False
) -> dict[str, Any]:
    """Replace the named Linear layers, and all word embeddings if asked, in place; returns the settings of `restored`.

    A quantised layer that shared its weight with an embedding has its own from then on, and so has a layer left in
    float whose embedding is quantised. Embeddings that share a weight share the quantised one. Weights of any floating
    type are read as float32; what a quantised module gives out has the type of what it is given, and an embedding the
    type it had. Raises ValueError for weights that are not finite.
    """
    layers = linear_layers(model)
    made = {name: Int8DynamicLinear.from_linear(layers[name], activations) for name in linears}
    for name, layer in made.items():
        model.set_submodule(name, layer)
    settings: dict[str, Any] = {"activations": activations}
    if embeddings:
        settings["embeddings"] = _quantise_embeddings(model)
    _untie(model)
    return settings


def _quantise_embeddings(model: PreTrainedModel) -> str:
    """The data type that the embeddings had and give out."""
    firsts: dict[int, Int8Embedding] = {}
    dtype = torch.float32
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Embedding) and is_word_embedding(module):
            dtype = module.weight.dtype
            first = firsts.get(_storage(module.weight))
            if first is None:
                first = firsts.setdefault(_storage(module.weight), Int8Embedding.from_embedding(module))
                model.set_submodule(name, first)
            else:
                model.set_submodule(name, _alias(module, first))
    return str(dtype).removeprefix("torch.")


def _alias(embedding: nn.Embedding, first: Int8Embedding) -> Int8Embedding:
    """A table with its own scale of the output and the other's weights."""
    with torch.device("meta"):
        made = Int8Embedding.shaped_as(embedding, first.like.dtype)
    made.share(first)
    return made.train(embedding.training)


def _untie(model: PreTrainedModel) -> None:
    """Have `tie_weights()` leave quantised modules alone: it would give them a float weight beside their own."""
    for _, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            # As the model was made: patterns no longer fit once modules have other parameters.
            ties = module.all_tied_weights_keys
            kept = {a: b for a, b in ties.items() if not (_is_quantised(module, a) or _is_quantised(module, b))}
            if kept != ties:
                module._tied_weights_keys = kept
                module.all_tied_weights_keys = dict(kept)


def _is_quantised(model: nn.Module, parameter: str) -> bool:
    """Whether the parameter's module, which may no longer have it, is one of ours."""
    return isinstance(model.get_submodule(parameter.rpartition(".")[0]), QUANTISED)


def restored(
    model: PreTrainedModel, state: Mapping[str, Tensor], activations: Activations | str, embeddings: str | None = None
) -> PreTrainedModel:
    """Fill a model without weights (on the meta device) with the state of a quantised one.

    Args:
        model: the model that was quantised, as its config describes it.
        state: name -> tensor; `.weight_int8` and `.weight_uint8` say what was quantised.
        activations: as `quantise` was given.
        embeddings: the type that quantised embeddings give out; None where there are none.

    Raises ValueError where the state has int8 weights for what is no Linear layer or word embedding.
    """
    model.tie_weights()  # so that it shows which modules share
    layers, names = linear_layers(model), [key.rpartition(".") for key in state]
    for name in [name for name, _, kind in names if kind == "weight_int8"]:
        if name not in layers:
            raise ValueError(f"int8 weights for {name!r}, which is no Linear layer")
        linear = layers[name]
        with torch.device("meta"):
            made = Int8DynamicLinear(linear.in_features, linear.out_features, linear.bias is not None, activations)
        model.set_submodule(name, made)
    tables = {name for name, _, kind in names if kind == "weight_uint8"}
    shared = _place_tables(model, tables, getattr(torch, embeddings or "float32"))
    _untie(model)
    model.load_state_dict(state, strict=False, assign=True)
    for alias, name in shared.items():
        alias.share(model.get_submodule(name))  # type: ignore[arg-type]
    model.tie_weights()
    return model


def _place_tables(model: PreTrainedModel, tables: Collection[str], dtype: torch.dtype) -> dict[Int8Embedding, str]:
    """Put empty tables in the place of the named embeddings and of those that share with them, which are returned."""
    embeddings = {n: m for n, m in model.named_modules() if isinstance(m, nn.Embedding) and is_word_embedding(m)}
    strange = sorted(set(tables) - embeddings.keys())
    if strange:
        raise ValueError(f"uint8 weights for {strange[0]!r}, which is no word embedding")
    owners = {_storage(embeddings[name].weight): name for name in tables}
    shared: dict[Int8Embedding, str] = {}
    for name, embedding in embeddings.items():
        owner = owners.get(_storage(embedding.weight))
        if owner is None:
            continue
        with torch.device("meta"):
            made = Int8Embedding.shaped_as(embedding, dtype)
        model.set_submodule(name, made)
        if name != owner:
            shared[made] = owner
    return shared
