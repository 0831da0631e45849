"""The kinds of check that a claim may name: settings that judge one claim. `check_of` finds the kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.claims.findings import Finding, judged
from bench.claims.measured import Measured
from bench.claims.published import FOLDER, UNITS, Claim
from bench.errors import BadInput, unknown
from bench.sweep_file import sentence


@dataclass
class Context:
    """What a check may look at beside its own claim."""

    claims: Mapping[str, Claim]  # of the same model, by id; with its cells
    measured: Measured | None = None  # numbers of a store
    rounds: int = 20
    timings: dict[Any, Any] = field(default_factory=dict)

    def number(self, claim_id: str) -> float:
        """The published number of another claim. Raises BadInput where there is none."""
        if claim_id not in self.claims:
            raise unknown("claim of this model", claim_id, self.claims)
        return self.claims[claim_id].number

    def numbers(self, claim_id: str) -> list[float]:
        """The numbers of a claim, or of all cells of a table."""
        cells = [c.number for i, c in self.claims.items() if i.startswith(f"{claim_id}.")]
        return cells or [self.number(claim_id)]


class Check(BaseModel):
    """Settings of one kind of check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    def judge(self, claim: Claim, context: Context) -> Finding:
        """The verdict on a claim."""
        raise NotImplementedError


def _close(claim: Claim, measured: float, exact: str, reason: str = "") -> Finding:
    return judged(claim.fits(measured), exact, reason)


class Layers(Check):
    """Transformer layers, as "ENCODER+DECODER" or as one number."""

    kind: ClassVar[str] = "layers"
    model: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.architecture import architecture_of
        from bench.claims.architectures import counted

        found = architecture_of(counted(self.model).config.to_dict())
        parts = [str(n) for n in (found.encoder_layers, found.decoder_layers) if n is not None]
        return judged("+".join(parts) == str(claim.value), "+".join(parts))


class Parameters(Check):
    """Parameters of an architecture, all or those that stay trainable. `{cell}` stands for the claim's cell."""

    kind: ClassVar[str] = "parameters"
    model: str
    frozen: tuple[Literal["encoder", "embeddings"], ...] = ()

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.architectures import counted, parameters

        model = counted(self.model.format(cell=claim.cell))
        found = parameters(model)
        if self.frozen:
            from bench.methods.finetune import freeze

            freeze(model, self.frozen)
            found = sum(p.numel() for p in model.parameters() if p.requires_grad)
            for p in model.parameters():
                p.requires_grad_(True)
        return _close(claim, found, f"{found:,}")


class Bytes(Check):
    """Bytes of the weights in one data type."""

    kind: ClassVar[str] = "bytes"
    model: str
    number_bytes: int = Field(gt=0)

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.architectures import counted, parameters

        found = parameters(counted(self.model)) * self.number_bytes
        near = abs(found / UNITS[claim.unit] / claim.number - 1) < 0.002  # a file has a header too
        return judged(claim.fits(found) or near, f"{found:,} bytes = {found / 1e6:,.1f} MB = {found / 2**20:,.1f} MiB")


class Linears(Check):
    """How many Linear layers there are, tied output layers with them."""

    kind: ClassVar[str] = "linears"
    model: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.architectures import counted
        from bench.methods.int8_sizes import linears, module_table

        found = len(linears(module_table(counted(self.model))))
        return _close(claim, found, str(found))


def kept_names() -> tuple[str, ...]:
    """The Linear layers that the card of the INT8 model names as kept in float32."""
    path = FOLDER / "bart_large_cnn_int8_fp32_modules.yaml"
    return tuple(yaml.safe_load(path.read_text(encoding="utf-8"))["kept"])


class Names(Check):
    """Whether the modules that a card lists exist, and how many different ones they are."""

    kind: ClassVar[str] = "names"
    model: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.architectures import counted
        from bench.methods.int8_sizes import linears, module_table

        names = set(kept_names())
        missing = sorted(names - set(linears(module_table(counted(self.model)))))
        reason = f"{len(missing)} are no Linear layers of {self.model}, such as {missing[0]}" if missing else ""
        return judged(not missing and claim.fits(len(names)), f"{len(names)} different names", reason)


class Title(Check):
    """Which of several architectures the listed modules belong to, and whether it is the one in the title."""

    kind: ClassVar[str] = "title"
    models: dict[str, str]  # architecture -> what its title would say

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.architectures import counted
        from bench.methods.int8_sizes import linears, module_table

        names = kept_names()
        missing = {m: [n for n in names if n not in linears(module_table(counted(m)))] for m in self.models}
        fitting = [title for model, title in self.models.items() if not missing[model]]
        reasons = [
            f"{len(lost)} of the {len(names)} modules that the card lists do not exist in {model}, such as {lost[0]}"
            for model, lost in missing.items()
            if lost
        ]
        return judged(
            str(claim.value) in fitting, f"the list fits {' and '.join(fitting) or 'none'}", "; ".join(reasons)
        )


class CopiedLayers(Check):
    """Which teacher layers a student copies, bit for bit; by the step `layer_copy` on a narrow model of that depth."""

    kind: ClassVar[str] = "copied_layers"
    depth: int = Field(gt=0)
    keep: int = Field(gt=0)

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.copies import copied

        found = " ".join(map(str, copied(self.depth, self.keep)))
        return judged(found == str(claim.value), found)


class Arithmetic(Check):
    """A number that follows from other published ones; in percent where it is a share."""

    kind: ClassVar[str] = "arithmetic"
    operation: Literal["relative_loss", "retention", "ratio", "mean"]
    of: tuple[str, ...]

    def judge(self, claim: Claim, context: Context) -> Finding:
        if self.operation == "mean":
            values = [x for name in self.of for x in context.numbers(name)]
            found = sum(values) / len(values)
        else:
            first, second = (context.number(name) for name in self.of)
            share = {"relative_loss": 1 - second / first, "retention": second / first, "ratio": first / second}
            found = share[self.operation] * (1 if self.operation == "ratio" else 100)
        return _close(claim, found, f"{found:.2f} {claim.unit}".strip())


class Below(Check):
    """A statement that a loss stays below a bound, for each of the pairs (before, after) that it may speak of."""

    kind: ClassVar[str] = "below"
    pairs: dict[str, tuple[str, str]]
    relative: bool = False

    def judge(self, claim: Claim, context: Context) -> Finding:
        losses = {}
        for name, (before, after) in self.pairs.items():
            first, second = context.number(before), context.number(after)
            losses[name] = 100 * (1 - second / first) if self.relative else first - second
        unit = " %" if self.relative else ""
        found = ", ".join(f"{name} {loss:.3g}{unit}" for name, loss in losses.items())
        over = [name for name, loss in losses.items() if loss >= claim.number]
        within = [name for name in losses if name not in over]
        reason = f"true for {' and '.join(within) or 'none'}, not for {' and '.join(over)}" if over else ""
        return judged(not over, found, reason)


class Smallest(Check):
    """Which cell of a published table is the smallest."""

    kind: ClassVar[str] = "smallest"
    of: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        cells = {c.cell: c.number for i, c in context.claims.items() if i.startswith(f"{self.of}.")}
        found = min(cells, key=cells.__getitem__)
        return judged(found == claim.value, f"{found} at {cells[found]:g}")


class CellFits(Check):
    """Whether a cell of a table fits the mean that was published with the table."""

    kind: ClassVar[str] = "cell_fits"
    table: str
    cell: str
    macro: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        cells = {c.cell: c.number for i, c in context.claims.items() if i.startswith(f"{self.table}.")}
        cells[self.cell] = claim.number
        mean = sum(cells.values()) / len(cells)
        macro = context.claims[self.macro]
        reason = (
            "" if macro.fits(mean) else f"the mean over the table would be {mean:.2f}, and {macro.said()} was published"
        )
        return judged(macro.fits(mean), f"mean {mean:.2f}", reason)


class Chance(Check):
    """Whether an accuracy is more than chance, by how much published runs of one model differ among themselves."""

    kind: ClassVar[str] = "chance"
    chance: float
    runs: tuple[float, float]  # published averages of two runs of the same model

    def judge(self, claim: Claim, context: Context) -> Finding:
        above, spread = claim.number - self.chance, abs(self.runs[1] - self.runs[0])
        found = f"{above:+.1f} points from chance"
        if above > 2 * spread:
            return Finding("needs weights", found, "clearly above chance; the number itself needs the weights")
        reason = f"two published runs of one model differ by {spread:.1f} points, so this is chance, not generalisation"
        return Finding("not reproduced", found, reason)


class Hardware(Check):
    """A number that cannot be compared here, and why."""

    kind: ClassVar[str] = "hardware"
    reason: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        return Finding("not comparable", "", self.reason)


def _table() -> dict[str, type[Check]]:
    from bench.claims.scores import OnBoard, Quality
    from bench.claims.sizes import Adapters, Builds, Cache, DecodeBound, UnitSlip
    from bench.claims.speed import Speed

    kinds: tuple[type[Check], ...] = (
        *(Layers, Parameters, Bytes, Linears, Names, Title, CopiedLayers, Arithmetic, Below, Smallest, CellFits),
        *(Chance, Hardware, Quality, OnBoard, Builds, UnitSlip, Cache, DecodeBound, Adapters, Speed),
    )
    return {kind.kind: kind for kind in kinds}


def check_of(claim: Claim) -> Check:
    """The check that a claim names. Raises BadInput for an unknown kind or a wrong setting."""
    kinds = _table()
    settings = dict(claim.check)
    kind = settings.pop("kind", None)
    if kind not in kinds:
        raise unknown("kind of check", kind, kinds)
    try:
        return kinds[str(kind)].model_validate(settings)
    except ValidationError as error:
        raise BadInput(sentence(error, f"check of the claim {claim.id}", kinds[str(kind)])) from error
