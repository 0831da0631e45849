"""2:4 sparsity: of every four neighbouring weights of a row two are zero, a pattern that NVIDIA's GPUs skip.

By magnitude (Mishra et al. 2021, arXiv:2104.08378) or by magnitude times the norm of the input that a weight meets
(Wanda, Sun et al. 2023, arXiv:2306.11695). Nothing is trained, so expect a loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.methods.int8_dynamic import kept_as
from bench.recipe import Promise, Question, Step, Workplace

if TYPE_CHECKING:
    from torch import Tensor

    from bench.models import Loaded

NORMS = "norms.safetensors"


class Sparse24(Step):
    """Zero half of every Linear layer's weights but those kept and those tied to an embedding.

    The weights are stored dense, zeros and all: the file is no smaller. On a GPU of compute capability 8.0 or more, in
    bfloat16 or float16 (`cast` may follow), they run as torch's semi-structured tensors; on a CPU they run dense, and
    no time is saved. Wanda's norms come from one pass of the dense model, where the paper prunes block after block.
    """

    name: ClassVar[str] = "sparse_2_4"
    version: ClassVar[int] = 1
    data_settings: ClassVar[tuple[str, ...]] = ("data",)

    score: Literal["magnitude", "wanda"] = Field(default="magnitude", description="which two of four weights stay")
    data: str | None = Field(default=None, description="name of the calibration data, for wanda")
    samples: int = Field(default=128, ge=1, description="rows of the calibration data to use at most")
    max_length: int = Field(default=512, ge=2, description="tokens; longer samples are cut")
    keep: tuple[str, ...] = Field(default=(), description="names of modules to keep dense; * matches any text")

    @model_validator(mode="after")
    def _consistent(self) -> Sparse24:
        if (self.score == "wanda") != (self.data is not None):
            raise ValueError("sparse_2_4 needs data, a calibration data set, where score is wanda, and only there")
        return self

    def check(self, architecture: Architecture) -> Architecture:
        return architecture.changed(sealed=self.name)

    def label(self, architecture: Architecture) -> str:
        del architecture
        kept = kept_as(self.keep, "dense")
        said = ", ".join(note for note in ("Wanda" if self.score == "wanda" else "", kept) if note)
        return f"2:4 sparse{f' ({said})' if said else ''}"

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del architecture, teachers
        return Promise(same=("parameters", "bytes", "layers", "flops"), sparser=True, plain=True)

    def questions(
        self, answers: Mapping[str, dict[str, Any]], before: Architecture, teachers: Mapping[str, Architecture]
    ) -> tuple[Question, ...]:
        del before, teachers
        return tuple(q for q in self._asks() if q.key not in answers)

    def _asks(self) -> tuple[Question, ...]:
        """The norms of all layers, whichever are kept: recipes that keep others share them."""
        if self.data is None:
            return ()
        settings = {"samples": self.samples, "max_length": self.max_length}
        return (Question("input norms", settings, (self.data,)),)

    def study(self, model: Loaded, question: Question, work: Workplace) -> dict[str, Any]:
        from safetensors.torch import save_file

        from bench.methods.input_norms import input_norms
        from bench.methods.int8_model import linear_layers

        examples = work.data[question.data[0]].examples()[: question.settings["samples"]]
        found = input_norms(model, linear_layers(model.model), examples, question.settings["max_length"])
        save_file(found, work.left(NORMS))
        return {"samples": len(examples), "layers": len(found)}

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        from bench.methods.int8_dynamic import chosen_names
        from bench.methods.int8_model import linear_layers, tied_linears
        from bench.methods.sparse_layout import thin_out

        layers = linear_layers(model.model)
        chosen = chosen_names(tuple(layers), tied_linears(model.model), self.keep, step=self.name)
        fit = [name for name in chosen if layers[name].in_features % 4 == 0]
        if not fit:
            raise BadInput("sparse_2_4 needs Linear layers whose inputs are a multiple of 4, and this model has none.")
        norms = self._norms(fit, work)
        for name in fit:
            thin_out(layers[name], norms.get(name))
        model.evidence[self.name] = {
            "sparse": fit,
            "unfit": [name for name in chosen if name not in fit],
            "stored": "dense, with zeros",
            "faster_on": "GPUs of compute capability 8.0 or more, in bfloat16 or float16",
        }
        model.loader, model.loader_settings = self.name, {}
        return model

    def _norms(self, names: Sequence[str], work: Workplace) -> dict[str, Tensor]:
        """The norms of what enters these layers, float32 [in] by name; of none where the score needs none."""
        from safetensors.torch import load_file

        found: dict[str, Tensor] = {}
        for question in self._asks():
            found = load_file(work.passes[question.key] / NORMS)
        wrong = [name for name in names if name in found and not bool(found[name].isfinite().all())]
        if wrong:
            raise BadInput(f"sparse_2_4 meets values that are not finite in {wrong[0]}: put it before cast.")
        return found
