"""A published or local model as it is, in place of the base's weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench.architecture import Architecture
from bench.errors import Unavailable
from bench.recipe import Base, Step, Workplace

if TYPE_CHECKING:
    from bench.models import Loaded


class Checkpoint(Step):
    """Put another model in the base's place: someone's compressed release, or a smaller sibling.

    It gets no training. Its files are taken byte for byte. One that cannot be had (an unreachable hub, pickled weights)
    does not stop the sweep: its variant fails, and says why.
    """

    name: ClassVar[str] = "checkpoint"
    version: ClassVar[int] = 1
    follows: ClassVar[tuple[str, ...]] = ("int8_dynamic", "weight_only", "fp8", "sparse_2_4", "compile")  # it is new

    id: str = Field(description="hub id, local folder or zoo://NAME")
    revision: str | None = Field(default=None, description="hub revision, best a commit")
    relation: str = Field(default="published variant", description="what it is to the base, in words")

    @cached_property
    def resolved(self) -> Base:
        """The checkpoint's files and identity. Raises BadInput where they cannot be had."""
        from bench.bases import resolve_base

        return resolve_base("checkpoint", f"{self.id}@{self.revision}" if self.revision else self.id)

    @property
    def folder(self) -> Path:
        return Path(self.resolved.folder)

    @cached_property
    def missing(self) -> bool:
        """Whether it cannot be had here and now."""
        try:
            return self.resolved is None
        except Unavailable:
            return True

    def check(self, architecture: Architecture) -> Architecture:
        return architecture if self.missing else self.resolved.architecture

    def label(self, architecture: Architecture) -> str:
        del architecture
        return f"checkpoint {Path(self.id).name}"

    def request(self, data_ids: Mapping[str, str], seed: int | None) -> dict[str, Any]:
        return {
            "step": self.name,
            "version": self.version,
            "settings": {
                # Once it can be had it is another recipe, which is tried again.
                "identity": f"missing {self.id}@{self.revision}" if self.missing else self.resolved.identity,
                "relation": self.relation,
            },
            "seed": None,
        }

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del model, work
        from bench.models import load

        return load(self.folder)
