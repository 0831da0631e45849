"""On which hardware class a sweep is measured where its jobs run on a cluster. Pure.

The driver need not be such a machine: heads and laptops often have no GPU.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bench.errors import BadInput


@dataclass(frozen=True, slots=True)
class Offer:
    """The hardware classes that a node's jobs may be measured as."""

    cpu: tuple[str, ...] = ()  # for 1 thread, 2 threads and so on, as many as it has CPUs
    gpu: str | None = None

    @property
    def classes(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self.cpu) | ({self.gpu} if self.gpu else frozenset[str]())


def measured_class(
    offers: Collection[Offer], *, gpu: bool, threads: int, asked: str | None = None, here: str | None = None
) -> str:
    """The class of a cluster on which a sweep is measured.

    Args:
        offers: one of each node that takes jobs.
        gpu: whether models are measured on a GPU.
        threads: that models use on a CPU.
        asked: the class, or how it begins.
        here: that of the driver's machine, which is taken where a node is of it and nothing else is asked for.

    Raises:
        BadInput: no node can be measured so, none or several are of the class asked for, or there are several to
            choose from.
    """
    found = {offer.gpu if gpu else offer.cpu[threads - 1] for offer in offers if gpu or len(offer.cpu) >= threads}
    classes = sorted(each for each in found if each)
    if not classes:
        raise BadInput(_nowhere(offers, gpu=gpu, threads=threads))
    listed = "; ".join(map(repr, classes))
    if asked is not None:
        alike = [each for each in classes if each.lower().startswith(asked.lower())]
        if len(alike) != 1:
            raise BadInput(
                f"--hardware is {asked!r}, with which {'several' if alike else 'none'} of the cluster's classes "
                f"begin{'' if alike else 's'}: give one of {listed}."
            )
        return alike[0]
    if here in classes:
        return here
    if len(classes) > 1:
        raise BadInput(
            f"The cluster can measure on {len(classes)} hardware classes, and a frontier lives in one: name it with "
            f"--hardware, by its beginning, out of {listed}."
        )
    return classes[0]


def _nowhere(offers: Collection[Offer], *, gpu: bool, threads: int) -> str:
    if gpu:
        return (
            f"device is 'cuda', but none of the cluster's nodes ({len(offers)}) gives Ray a GPU whose model can be "
            "told: add a node with one (and the extra paredown[gpu]), or set device=cpu."
        )
    most = max((len(offer.cpu) for offer in offers), default=0)
    return (
        f"latency.threads is {threads}, but the cluster's largest node has {most} CPUs: set latency.threads to at most "
        f"{most}, or add a larger node."
    )
