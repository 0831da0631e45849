"""Claims about bytes: which build a published size belongs to, which unit it was written in, what a token costs."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from bench.claims.checks import Check, Context, kept_names
from bench.claims.findings import Finding, judged
from bench.claims.published import UNITS, Claim

NEAR = 0.001  # relative: what a file adds to its tensors, and what rounding hides


def builds(model: str) -> dict[str, int]:
    """Bytes of every way in which the model may have been quantised, in the format of torch.ao."""
    from bench.claims.architectures import counted
    from bench.methods.int8_sizes import TORCH_AO, linears, module_table, predicted_bytes, tied_heads

    table = module_table(counted(model))
    names, kept = linears(table), kept_names()
    count, heads = len(names), len(tied_heads(table))

    def size(float_ones: tuple[str, ...], *, head: bool = True, embeddings: bool = False) -> int:
        return predicted_bytes(
            table,
            float_ones,
            embeddings=embeddings,
            lm_head="int8" if head else "float",
            channel_bytes=TORCH_AO,
        )

    found = {
        "float32": size(names, head=False),
        f"all {count} in int8": size(()),
        f"{count - heads} in int8, the output layer in float32": size((), head=False),
        f"all {count} in int8, embeddings uint8": size((), embeddings=True),
    }
    if set(kept) <= set(names):
        described = f"{len(kept)} of {count} in float32"
        head = "lm_head" not in kept
        found[described] = size(kept, head=head)
        found[f"{described}, embeddings uint8"] = size(kept, head=head, embeddings=True)
    return found


class Builds(Check):
    """Which way of quantising a published size belongs to, and whether that is the one described."""

    kind: ClassVar[str] = "builds"
    model: str
    described: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        sizes = builds(self.model)
        published = claim.number * UNITS[claim.unit]
        half = claim.half * UNITS[claim.unit]
        fitting = [name for name, size in sizes.items() if abs(size - published) <= half + NEAR * size]
        megabytes = {name: f"{size / 1e6:,.1f} MB" for name, size in sizes.items()}
        found = f"{self.described}: {megabytes.get(self.described, 'not a build of this model')}"
        if self.described in fitting:
            return judged(True, found)
        told = " and ".join(f"'{name}' ({megabytes[name]})" for name in fitting) or "no build that was tried"
        return judged(False, found, f"the published size is that of {told}")


def unit_hypotheses(size: int) -> dict[str, float]:
    """What a size of so many bytes may be written as, by how someone came to it."""
    gigabytes = round(size / 1e9, 2)  # what the hub shows
    return {
        "millions of bytes (MB)": size / 1e6,
        "MiB": size / 2**20,
        "the hub's decimal GB times 1024": gigabytes * 1024,
        "GiB times 1000": size / 2**30 * 1000,
    }


class UnitSlip(Check):
    """Which unit a size was written in; only MB and MiB are units of it."""

    kind: ClassVar[str] = "unit_slip"
    model: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.architectures import counted, parameters

        size = 4 * parameters(counted(self.model))
        half = claim.half
        fitting = [name for name, value in unit_hypotheses(size).items() if abs(value - claim.number) <= half]
        found = f"{size / 1e6:,.0f} MB = {size / 2**20:,.0f} MiB"
        honest = any(name in fitting for name in ("millions of bytes (MB)", "MiB"))
        slip = fitting[0] if fitting else "none of the usual readings"
        return judged(honest, found, "" if honest else f"the published number is {slip}")


class Cache(Check):
    """Bytes of keys and values a token, over all layers."""

    kind: ClassVar[str] = "cache"
    model: str
    number_bytes: int = Field(gt=0)

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.architectures import counted

        config = counted(self.model).config
        head = config.hidden_size // config.num_attention_heads
        found = 2 * config.num_hidden_layers * config.num_key_value_heads * head * self.number_bytes
        return judged(claim.fits(found), f"{found:,} bytes")


class DecodeBound(Check):
    """Weights read for one token, base over variant: what decoding can gain at most where memory is the limit."""

    kind: ClassVar[str] = "decode_bound"
    base: str
    variant: str

    def judge(self, claim: Claim, context: Context) -> Finding:
        from bench.claims.architectures import counted, parameters

        def read(name: str) -> int:
            model = counted(name)
            table: Any = model.get_input_embeddings()  # one row of it is read
            return parameters(model) - int(table.weight.numel())

        found = read(self.base) / read(self.variant)
        return judged(claim.fits(found), f"{found:.3f} x")


class Adapters(Check):
    """Parameters of low-rank adapters on the feed-forward layers."""

    kind: ClassVar[str] = "adapters"
    model: str
    rank: int = Field(gt=0)

    def judge(self, claim: Claim, context: Context) -> Finding:
        from torch import nn

        from bench.claims.architectures import counted

        wanted = ("gate_proj", "up_proj", "down_proj")
        found = sum(
            self.rank * (m.in_features + m.out_features)
            for name, m in counted(self.model).named_modules()
            if isinstance(m, nn.Linear) and name.endswith(wanted)
        )
        return judged(claim.fits(found), f"{found:,}")
