"""Pre-training on unlabelled text: masked-language modelling for encoders, next-token prediction for decoders.

BERT's other task, whether one sentence follows another (Devlin et al. 2018; part of the compact models' pre-training in
Turc et al. 2019), is left out: Liu et al. 2019 (arXiv:1907.11692) found that it does not help, and the texts here stand
alone, so that there is no next sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.methods.trained import Trained
from bench.recipe import Workplace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bench.models import Loaded


class Pretrain(Trained):
    """Train on text alone. A classifier gets a language head for the time; its body is trained, its own head stays."""

    name: ClassVar[str] = "pretrain"
    version: ClassVar[int] = 1

    favour_rare: bool = Field(default=False, description="mask rare words more often, by count^-0.7")

    def check(self, architecture: Architecture) -> Architecture:
        self.check_trainable(architecture)
        if architecture.decoder_layers is not None or not (
            architecture.masked or architecture.causal or architecture.classifies
        ):
            raise BadInput(
                f"pretrain trains masked and causal language models and encoders that classify, but this is a "
                f"{architecture.class_name}: leave the step out."
            )
        return architecture

    def label(self, architecture: Architecture) -> str:
        del architecture
        return "pre-trained"

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        import torch

        torch.manual_seed(work.seed)
        classifier = model.model
        if type(classifier).__name__.endswith("ForSequenceClassification"):
            model.model = masked_model(classifier)
            model.evidence["pretrain"] = self.fit_everywhere(model, work)
            # The body alone is taken back; what it lacks in a masked model (a pooler) stays as it was.
            classifier.base_model.load_state_dict(model.model.base_model.state_dict(), strict=False)
            model.model = classifier
        else:
            model.evidence["pretrain"] = self.fit_everywhere(model, work)
        model.model.train(False)
        return model

    def fit(
        self, model: Loaded, work: Workplace, accelerator: Any = None, targets: Sequence[str] | None = None
    ) -> dict[str, Any]:
        del targets
        from bench.methods.distill_batches import texts
        from bench.methods.distill_training import Blend, Fitting, run

        masked = not type(model.model).__name__.endswith(("ForCausalLM", "LMHeadModel"))
        examples = work.data[self.data].examples()
        source = texts(model, None, examples, self, work.seed, masked=masked, favour_rare=self.favour_rare)
        found = run(Fitting(model.model, Blend(hard=1.0)), source, self, work.seed, accelerator)
        objective = "masked language modelling, no next-sentence task" if masked else "next token"
        return {"objective": objective, "left_out": source.left_out, **found}


def masked_model(classifier: PreTrainedModel) -> PreTrainedModel:
    """A masked-language model with the classifier's body and a fresh head, drawn from torch's global generator.

    Raises BadInput where transformers has none for the architecture.
    """
    from transformers import AutoModelForMaskedLM

    try:
        found: PreTrainedModel = AutoModelForMaskedLM.from_config(classifier.config)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise BadInput(
            f"transformers has no masked-language model for a {classifier.config.model_type} classifier: leave the "
            "pretrain step out."
        ) from error
    missing, _ = found.base_model.load_state_dict(classifier.base_model.state_dict(), strict=False)
    if missing:
        raise ValueError(f"the masked model has weights that the classifier lacks: {missing[:3]}")
    return found
