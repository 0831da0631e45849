"""A published number: what it says, where it stands, how it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import BadInput
from bench.sweep_file import sentence

FOLDER = Path(__file__).parent
SHIPPED = ("distilbart_mnli", "mistral_sliced", "bart_cnn_int8", "distilbert", "bert_mini")
UNITS = {
    "count": 1.0,
    "M": 1e6,
    "B": 1e9,
    "MB": 1e6,
    "GB": 1e9,
    "%": 1.0,
    "points": 1.0,
    "x": 1.0,
    "s": 1.0,
    "plain": 1.0,
}
Unit = Literal["", "count", "M", "B", "MB", "GB", "%", "points", "x", "s", "plain"]


class Claim(BaseModel):
    """One number or statement. `cells` make one claim each, with the cell's name after the id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[A-Za-z0-9._ -]+$")
    text: str
    value: float | str | None = None
    unit: Unit = ""
    source: str
    settings: str = ""
    unchecked: bool = Field(default=False, description="recalled from a source that was not read again")
    cells: dict[str, float] | None = None
    check: dict[str, Any]
    places: int | None = Field(default=None, description="decimal places published, where the value does not tell")
    model: str = ""
    cell: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> Claim:
        if (self.value is None) == (self.cells is None):
            raise ValueError(f"the claim {self.id!r} needs either a value or cells")
        return self

    @property
    def number(self) -> float:
        """The value as a number in its unit. Raises BadInput for words."""
        if not isinstance(self.value, int | float):
            raise BadInput(f"The claim {self.id!r} says {self.value!r}, which is no number: give a value to check.")
        return float(self.value)

    @property
    def half(self) -> float:
        """What rounding may hide, in the unit: half of the last place that was published."""
        if self.places is not None:
            return 0.5 * 10.0**-self.places
        digits = repr(self.number)
        return 0.5 * 10.0 ** -len(digits.rstrip("0").partition(".")[2])

    def fits(self, measured: float) -> bool:
        """Whether `measured`, in the unit's base (bytes, numbers), rounds to what was published."""
        scaled = measured / UNITS.get(self.unit, 1.0)
        return abs(scaled - self.number) <= self.half * (1 + 1e-9)

    def said(self) -> str:
        """The published value as people read it."""
        if isinstance(self.value, str):
            return self.value
        if self.unit == "count":
            return f"{self.number:,.0f}"
        return f"{self.number:g} {self.unit}" if self.unit not in ("plain", "") else f"{self.number:g}"


class File(BaseModel):
    """A file of claims about one model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    claims: tuple[Claim, ...]


def read_claims(path: Path) -> list[Claim]:
    """The claims of a file, one a cell. Raises BadInput with one sentence."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"The claims file {path} cannot be read ({error}): give a YAML file of claims.") from error
    try:
        found = File.model_validate(values)
    except ValidationError as error:
        raise BadInput(sentence(error, f"claims file {path.name}", File)) from error
    claims = [single for claim in found.claims for single in _singles(claim, found.model)]
    ids = [claim.id for claim in claims]
    twice = next((i for i in ids if ids.count(i) > 1), None)
    if twice is not None:
        raise BadInput(f"The claims file {path.name} has the id {twice!r} twice: give each claim its own.")
    return claims


def _singles(claim: Claim, model: str) -> list[Claim]:
    if claim.cells is None:
        return [claim.model_copy(update={"model": model})]
    return [
        claim.model_copy(
            update={
                "id": f"{claim.id}.{cell}",
                "text": f"{claim.text}: {cell}",
                "value": value,
                "cells": None,
                "model": model,
                "cell": cell,
            }
        )
        for cell, value in claim.cells.items()
    ]


def shipped_claims() -> list[Claim]:
    """The claims about the five published models."""
    return [claim for name in SHIPPED for claim in read_claims(FOLDER / f"{name}.yaml")]


def chosen(claims: Sequence[Claim], only: Sequence[str]) -> list[Claim]:
    """Those whose id, or whose model's, begins with one of `only`; all without any. Raises BadInput for no match."""
    if not only:
        return list(claims)
    found = [c for c in claims if any(o.lower() in c.model.lower() or c.id.startswith(o) for o in only)]
    if not found:
        models = ", ".join(dict.fromkeys(c.model for c in claims))
        raise BadInput(f"No claim has an id or model like {', '.join(only)}; models: {models}.")
    return found
