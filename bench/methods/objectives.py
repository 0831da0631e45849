"""What a model is trained on without a teacher: class labels, the text itself, or the reference for a text.

Each is mean cross-entropy over what is to be predicted in a batch: a label for each row, or every token that is no
padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bench.architecture import Architecture, architecture_of, label_ids
from bench.errors import BadInput
from bench.methods.encoding import Row, encoded, filler, padded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from bench.data import Example
    from bench.models import Loaded

IGNORED = -100  # target of padding
Batch = tuple[dict[str, "torch.Tensor"], "torch.Tensor"]  # inputs of the model, targets [rows] or [rows, tokens]


class Objective(Protocol):
    """Training examples of one kind, as token numbers."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        ...

    def batch(self, rows: Sequence[int]) -> Batch:
        """These rows, padded."""
        ...


def objective(
    loaded: Loaded,
    examples: Sequence[Example],
    data: str,
    *,
    max_length: int,
    max_target: int = 142,
    pack: bool = False,
) -> Objective:
    """What the architecture of the model is trained on.

    Args:
        loaded: a classifier, an encoder-decoder that writes, or a causal language model.
        examples: labelled with class names, with references, or text alone (a label is then not looked at).
        data: what the sweep calls them.
        max_length: most tokens of an input.
        max_target: most tokens of a reference.
        pack: causal models: join texts into rows of max_length tokens, rather than one text a row cut to that.

    Raises BadInput where the examples lack what the objective needs.
    """
    found = described(loaded.model)
    if found.classifies:
        return Labels.of(loaded, examples, data, max_length)
    if found.generates:
        return References.of(loaded, examples, data, max_length, max_target)
    if found.causal:
        return Texts.of(loaded, examples, data, max_length, pack=pack)
    raise BadInput(
        f"{type(loaded.model).__name__} is neither a classifier nor does it write text: choose another model."
    )


def described(model: PreTrainedModel) -> Architecture:
    """The architecture of a model in memory, whose config may still name the class that it was made from."""
    return architecture_of(model.config.to_dict()).changed(class_name=type(model).__name__)


def cross_entropy(model: Any, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over the targets of a batch that are not IGNORED."""
    from torch.nn import functional

    inputs, target = batch
    logits = model(**inputs).logits.float()
    return functional.cross_entropy(logits.flatten(0, -2), target.flatten(), ignore_index=IGNORED)


def _lengths(rows: Sequence[Row]) -> list[int]:
    return [len(row["input_ids"]) for row in rows]


def _pairs(examples: Sequence[Example]) -> list[str] | None:
    return None if not examples or examples[0].pair is None else [e.pair or "" for e in examples]


def _uncached(model: PreTrainedModel) -> dict[str, Any]:
    return {"use_cache": False} if hasattr(model.config, "use_cache") else {}


@dataclass(frozen=True, slots=True)
class Labels:
    """Texts or pairs and the number of their class."""

    rows: list[Row]
    targets: list[int]
    fill: int

    @classmethod
    def of(cls, loaded: Loaded, examples: Sequence[Example], data: str, max_length: int) -> Labels:
        known = label_ids(loaded.model.config.id2label)
        for example in examples:
            if example.label.lower() not in known:
                raise BadInput(
                    f"The data {data!r} has the label {example.label!r}, which the model does not know; it knows "
                    f"{', '.join(sorted(known))}: map it with labels."
                )
        rows = encoded(loaded, [e.text for e in examples], _pairs(examples), max_length)
        return cls(rows, [known[e.label.lower()] for e in examples], filler(loaded))

    @property
    def lengths(self) -> list[int]:
        return _lengths(self.rows)

    def batch(self, rows: Sequence[int]) -> Batch:
        import torch

        return padded([self.rows[r] for r in rows], self.fill), torch.tensor([self.targets[r] for r in rows])


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts whose every token is predicted from those before it."""

    rows: list[Row]
    fill: int
    model: PreTrainedModel

    @classmethod
    def of(cls, loaded: Loaded, examples: Sequence[Example], data: str, max_length: int, *, pack: bool) -> Texts:
        if any(e.pair is not None for e in examples):
            raise BadInput(f"A causal model is trained on single texts, but {data!r} has pairs: leave pair out.")
        most = min(max_length, described(loaded.model).positions or max_length)
        end = loaded.tokenizer.eos_token_id
        found = [row["input_ids"] for row in encoded(loaded, [e.text for e in examples], None, None if pack else most)]
        ends = [[end] if isinstance(end, int) and ids[-1:] != [end] else [] for ids in found]
        if pack:
            stream = [token for ids, last in zip(found, ends, strict=True) for token in (*ids, *last)]
            found = [stream[i : i + most] for i in range(0, len(stream), most)]
        else:
            found = [[*ids, *last][:most] for ids, last in zip(found, ends, strict=True)]
        rows: list[Row] = [{"input_ids": ids} for ids in found if len(ids) > 1]
        if not rows:
            raise BadInput(f"No text of {data!r} has two tokens, so there is nothing to predict: give longer texts.")
        return cls(rows, filler(loaded), loaded.model)

    @property
    def lengths(self) -> list[int]:
        return _lengths(self.rows)

    def batch(self, rows: Sequence[int]) -> Batch:
        import torch

        inputs = padded([self.rows[r] for r in rows], self.fill)
        ids, real = inputs["input_ids"], inputs["attention_mask"].bool()
        target = torch.full_like(ids, IGNORED)
        target[:, :-1] = torch.where(real[:, 1:], ids[:, 1:], IGNORED)
        return {**inputs, **_uncached(self.model)}, target


@dataclass(frozen=True, slots=True)
class References:
    """Texts and what should be written for them."""

    rows: list[Row]
    targets: list[Row]
    fill: int
    model: PreTrainedModel

    @classmethod
    def of(cls, loaded: Loaded, examples: Sequence[Example], data: str, max_length: int, max_target: int) -> References:
        if any(not e.label for e in examples):
            raise BadInput(
                f"A model that writes is trained on references, and {data!r} lacks some: name them with label."
            )
        rows = encoded(loaded, [e.text for e in examples], _pairs(examples), max_length)
        said = encoded(loaded, [e.label for e in examples], None, max_target, target=True)
        return cls(rows, [{"input_ids": row["input_ids"]} for row in said], filler(loaded), loaded.model)

    @property
    def lengths(self) -> list[int]:
        return _lengths(self.rows)

    def batch(self, rows: Sequence[int]) -> Batch:
        import torch

        inputs = padded([self.rows[r] for r in rows], self.fill)
        said = padded([self.targets[r] for r in rows], self.fill)
        target = torch.where(said["attention_mask"].bool(), said["input_ids"], IGNORED)
        shift: Any = self.model.prepare_decoder_input_ids_from_labels
        return {**inputs, "decoder_input_ids": shift(labels=target), **_uncached(self.model)}, target
