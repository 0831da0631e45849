"""What a student is trained for: its own targets, and likeness to its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.architecture import Architecture, architecture_of, label_ids
from bench.errors import BadInput
from bench.methods import distill_losses as losses
from bench.methods.distill_batches import Inputs, Part, Source, stream
from bench.methods.layer_copy import layer_map
from bench.methods.trained import Trained, thinned
from bench.methods.training import train
from bench.models import Loaded


@dataclass(frozen=True)
class Blend:
    """Weights of the losses, 0 for one that is not computed."""

    soft: float = 0.0  # class probabilities of the teacher, softened by `temperature`
    hard: float = 0.0  # cross-entropy of the labels
    cosine: float = 0.0  # direction of the last hidden states
    squared: float = 0.0  # logits
    hidden: float = 0.0  # matched hidden states of each stack
    temperature: float = 1.0
    entropy: bool = False  # soft is the plain cross-entropy with the teacher's probabilities
    normalised: bool = False  # hidden states are layer-normalised first
    supervised: bool = False  # hidden: outputs of the supervising layers instead of inputs of the copied ones


@dataclass(frozen=True)
class States:
    """Which hidden states are matched: pairs of numbers in the `hidden_states` of student and teacher, by stack."""

    encoder: tuple[tuple[int, int], ...] = ()
    decoder: tuple[tuple[int, int], ...] = ()


def matched_states(student: Architecture, teacher: Architecture, *, supervised: bool) -> States:
    """The pairs that the map of layers gives. State 0 is the embeddings, state i what enters layer i (0-based).

    By copied layers, what enters student layer i is compared with what enters its original. By supervising layers,
    what leaves student layer i is compared with what leaves the teacher's: the last student layer answers to the last
    of the teacher's (with inputs the top layers would learn nothing).
    """
    found: list[tuple[tuple[int, int], ...]] = []
    for mine, theirs in (
        (student.encoder_layers, teacher.encoder_layers),
        (student.decoder_layers, teacher.decoder_layers),
    ):
        if mine is None or theirs is None:
            found.append(())
        elif supervised:
            found.append(tuple((i + 1, t + 1) for i, t in enumerate(losses.supervised_map(theirs, mine))))
        else:
            found.append(tuple(enumerate(layer_map(theirs, mine))))
    return States(*found)


class Fitting(nn.Module):
    """The student with its loss on a part of a batch; the sums over all parts of a batch add up to the batch's loss."""

    def __init__(
        self,
        student: nn.Module,
        blend: Blend,
        teacher: nn.Module | None = None,
        order: Sequence[int] | None = None,
        states: States | None = None,
    ) -> None:
        """`order`: the teacher's number of each of the student's classes, where they may differ."""
        super().__init__()
        self.student = student
        self.blend = blend
        self.states = states or States()
        self._teacher = [teacher]  # in a list: it is no part of what is trained, moved or saved
        self._order = None if order is None else list(order)

    def forward(self, part: Part) -> Tensor:
        """The share of the batch's loss that this part has."""
        blend, counts = self.blend, part["counts"]
        needs = blend.cosine > 0 or blend.hidden > 0
        mine = self.student(**part["student"], output_hidden_states=needs)
        logits = logits_of(mine)
        total = logits.sum() * 0.0  # a part without rows of its own takes part in nothing but the exchange
        if part["weight"] == 0:
            return total
        if blend.hard:
            hard = losses.hard_cross_entropy(logits.flatten(0, -2), part["labels"].flatten())
            total = total + blend.hard * hard / counts["hard"]
        if part["taught"] is not None:
            return total + self._likeness(logits, part["taught"], part)
        theirs = self._taught(part["teacher"], needs) if part["teacher"] else None
        if theirs is None:
            return total
        total = total + self._likeness(logits, logits_of(theirs), part)
        if blend.cosine:
            seen = part["tokens"].bool()
            a, b = (last_states(out)[seen].float() for out in (mine, theirs))
            total = total + blend.cosine * losses.cosine_distance(a, b) / counts["tokens"]
        if blend.hidden:
            total = total + blend.hidden * self._imitation(mine, theirs, part)
        return total

    def _taught(self, inputs: Inputs, states: bool) -> Any:
        teacher = self._teacher[0]
        if teacher is None:
            return None
        with torch.no_grad():
            return teacher(**inputs, output_hidden_states=states)

    def _likeness(self, logits: Tensor, target: Tensor, part: Part) -> Tensor:
        """The losses between logits."""
        blend = self.blend
        if self._order is not None:
            target = target[..., self._order]
        chosen = part["soft"]
        a, b = logits[chosen], target[chosen]
        total = torch.zeros(())
        if blend.soft:
            soft = losses.soft_cross_entropy(a, b) if blend.entropy else losses.divergence(a, b, blend.temperature)
            total = total + blend.soft * soft / part["counts"]["soft"]
        if blend.squared:
            total = total + blend.squared * losses.squared_error(a, b) / part["counts"]["soft"]
        return total

    def _imitation(self, mine: Any, theirs: Any, part: Part) -> Tensor:
        """The losses between hidden states of both stacks."""
        total = torch.zeros(())
        for pairs, name, mask, count in (
            (self.states.encoder, "encoder_hidden_states", part["tokens"], part["counts"]["tokens"]),
            (self.states.decoder, "decoder_hidden_states", part["written"], part["counts"]["written"]),
        ):
            if pairs:
                ours, other = (out.get(name) or out["hidden_states"] for out in (mine, theirs))
                student, teacher = [ours[i] for i, _ in pairs], [other[j] for _, j in pairs]
                error = losses.hidden_error(student, teacher, mask, normalised=self.blend.normalised)
                total = total + error / count
        return total


def logits_of(output: Any) -> Tensor:
    """Class or token scores in float32, whatever a model calls them."""
    found: Tensor = output["prediction_logits"] if "prediction_logits" in output else output["logits"]
    return found.float()


def last_states(output: Any) -> Tensor:
    """The last hidden states of a model with one stack."""
    found: Tensor = output["hidden_states"][-1]
    return found


def class_order(student: Sequence[str], teacher: Sequence[str]) -> list[int]:
    """The teacher's number of each of the student's classes, by name. Raises BadInput where the names differ."""
    mine, theirs = (label_ids(dict(enumerate(names))) for names in (student, teacher))
    if set(mine) != set(theirs):
        raise BadInput(
            f"The student has the labels {', '.join(sorted(mine))}, its teacher {', '.join(sorted(theirs))}: distil "
            "from a teacher with the same labels."
        )
    return [theirs[name] for name in sorted(mine, key=mine.__getitem__)]


def matched(student: Loaded, teacher: Loaded, blend: Blend) -> States:
    """The matched states of two loaded models."""
    first, second = (architecture_of(loaded.model.config.to_dict()) for loaded in (student, teacher))
    return matched_states(first, second, supervised=blend.supervised)


def run(fitting: Fitting, source: Source, step: Trained, seed: int, accelerator: Any = None) -> dict[str, Any]:
    """Train on the source's batches, alone or as one of several processes; gives number and losses of the updates.

    The optimiser averages over parts and processes, so each part's share is multiplied by their number: the update is
    that of the undivided batch, however many tokens each part holds.
    """
    how = step.optimisation(len(source.lengths))
    share, processes = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    scale = step.accumulation * processes
    batches = stream(source, step, how.steps, seed, share, processes)
    found = torch.tensor(train(fitting, batches, lambda model, part: model(part) * scale, how, accelerator=accelerator))
    if accelerator is not None:
        found = accelerator.reduce(found, reduction="mean")
    return {"updates": how.steps, "examples": len(source.lengths), "losses": thinned(found.tolist())}
