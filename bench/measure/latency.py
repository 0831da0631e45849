"""A lease of latency: load the models, time them in rounds at every declared shape, state the figures."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.artefacts import Artefacts
from bench.job import LatencyJob, parts_of
from bench.measure.calls import calls_of
from bench.measure.clock import Call, clock_of
from bench.measure.conditions import Watch, capture
from bench.measure.energy import absence, meter
from bench.measure.figures import Table, figures
from bench.measure.inputs import inputs_of_shape
from bench.measure.predict import available_bytes, check_fit, fits_together, predict
from bench.measure.rounds import Models, Resident, Visits, measure_rounds
from bench.record import Conditions, Finished, Samples, Value
from bench.statistics.intervals import Interval, block_median
from bench.statistics.looks import look_level, planned_looks

if TYPE_CHECKING:
    from bench.models import Loaded

# Models that take turns in memory drift apart in between; twice the rounds make up for some of it.
ALTERNATING_ROUNDS = 2


def lease_values(
    tables: Mapping[str, Table],
    joules: Mapping[str, Table],
    artefact_ids: Sequence[str],
    shapes: Sequence[tuple[int, int]],
    new_tokens: int | None,
    looks: Sequence[int],
) -> tuple[Value, ...]:
    """Figures of each model and their ratios to the base, with intervals that respect autocorrelation.

    Args:
        tables: seconds per call [rounds, models] by the samples' scope, the base first.
        joules: joules per call likewise.
        artefact_ids: of the models.
        shapes: (batch size, tokens).
        new_tokens: how many tokens were written; None for forward passes.
        looks: the planned looks, over which the level is split.
    """
    level = look_level(looks=len(looks))
    values: list[Value] = []
    for figure in figures(tables, joules, shapes, new_tokens):
        for column, artefact_id in enumerate(artefact_ids):
            found = block_median(figure.scale * figure.table[:, column], level)
            values.append(_value(artefact_id, figure.metric, figure.scope, found))
            if column:
                found = block_median(figure.table[:, column] / figure.table[:, 0], level)
                values.append(_value(artefact_id, figure.ratio, figure.scope, found))
            else:
                values.append(Value.exact(artefact_id, figure.ratio, 1.0, figure.scope))
    return tuple(values)


def _value(artefact_id: str, metric: str, scope: str, found: Interval) -> Value:
    return Value(
        artefact_id=artefact_id,
        metric=metric,
        scope=scope,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        n=found.n,
        method=found.method,
    )


def narrow_enough(half_width: float, level: float) -> Callable[[Sequence[Table]], bool]:
    """Whether every model's ratio to the base has a relative half-width of at most `half_width`, in every part."""

    def enough(tables: Sequence[Table]) -> bool:
        ratios = [column for rounds in tables for column in (rounds[:, 1:] / rounds[:, :1]).T]
        return all(block_median(column, level).relative_half_width <= half_width for column in ratios)

    return enough


class Alternating:
    """Models that do not fit in memory together: the one that is asked for replaces the one before."""

    together = False

    def __init__(self, names: Sequence[str], load: Callable[[str], Sequence[Call]]) -> None:
        self._names = names
        self._load = load
        self._here: tuple[int, Sequence[Call]] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def calls(self, model: int) -> Sequence[Call]:
        if self._here is None or self._here[0] != model:
            self._here = None
            _release()
            calls = self._load(self._names[model])
            for call in calls:
                call()  # mapped weights are read by the first pass
            self._here = model, calls
        return self._here[1]


def _release() -> None:
    """Give back what nothing refers to any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Crew:
    """The models of a lease, in memory together if they fit, else one at a time."""

    def __init__(self, job: LatencyJob, artefacts: Artefacts) -> None:
        self._job = job
        self._artefacts = artefacts
        self._examples = job.inputs.data.examples()
        self._resident: list[Loaded] = []
        self.backends: dict[str, str] = {}
        needs = [_needs(artefacts.path(artefact_id), job) for artefact_id in job.artefact_ids]
        self.together = fits_together(needs, available_bytes(job.device))

    def models(self, shape: tuple[int, int]) -> Models:
        """What to time at a shape."""
        if not self.together:
            return Alternating(self._job.artefact_ids, lambda a: self._calls(self._fetch(a), shape))
        if not self._resident:
            self._resident = self._load_all()
        return Resident([self._calls(model, shape) for model in self._resident])

    def _load_all(self) -> list[Loaded]:
        """All models, loaded in random order: where weights lie in memory makes equal models up to 1% unlike, and of
        copies the first to be loaded was the slowest.
        """
        order = np.random.default_rng(self._job.seed).permutation(len(self._job.artefact_ids))
        found = {int(place): self._fetch(self._job.artefact_ids[place]) for place in order}
        return [found[place] for place in range(len(found))]

    def _fetch(self, artefact_id: str) -> Loaded:
        from bench.models import load

        model = load(self._artefacts.path(artefact_id), self._job.device)
        if found := backend_of(model):
            self.backends[f"backend_{self._job.artefact_ids.index(artefact_id)}"] = found
        return model

    def _calls(self, model: Loaded, shape: tuple[int, int]) -> list[Call]:
        inputs = inputs_of_shape(model.tokenizer, self._examples, *shape)
        inputs = {name: tensor.to(model.model.device) for name, tensor in inputs.items()}
        return list(calls_of(model, inputs, self._job.new_tokens).values())


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one of the CPUs that it may use, the last one: the first also serves the machine itself."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def run_lease(job: LatencyJob, artefacts: Artefacts) -> tuple[Finished, Samples, Conditions]:
    """Measure every declared shape of a lease in this process, which must have done nothing else.

    Raises BadInput where an artefact is gone or an input of a shape cannot be made, DoesNotFit where a model cannot run
    the largest shape even alone, Contaminated where the device was not ours alone or its conditions changed.
    """
    import torch

    torch.set_num_threads(job.threads)
    watch = Watch(job.device, job.threads)
    watch.start()  # first: asking torch what a GPU has free puts our own context there, and strangers hide behind it
    for artefact_id in job.artefact_ids:
        check_fit([artefacts.path(artefact_id)], job.device, (*_largest(job), job.new_tokens or 0))
    crew = Crew(job, artefacts)
    looks = planned_looks(job.first_rounds, job.last_round)
    looks = looks if crew.together else tuple(ALTERNATING_ROUNDS * look for look in looks)
    energy = meter(job.device)
    visits: list[Visits] = []
    for shape in job.shapes:
        watch.part()
        with torch.inference_mode(), one_core() if job.protocol == "on_device" else nullcontext():
            found = measure_rounds(
                crew.models(shape),
                looks=looks,
                burst_seconds=0.0 if job.protocol == "on_device" else job.burst_ms / 1e3,
                enough=narrow_enough(job.half_width, look_level(looks=len(looks))),
                rng=np.random.default_rng([*job.seed, len(visits)]),
                clock=clock_of(job.device),
                meter=energy,
                after_round=watch.look,
            )
        visits.append(found)
    details = {
        **watch.finish(),
        **crew.backends,
        "kept_on_one_core": job.protocol == "on_device",
        "models_in_memory": "all together" if crew.together else "one at a time: they do not fit together",
        "energy": _energy_told(visits, job) if energy else absence(job.device),
    }
    values = _values(job, visits, looks)
    notes: dict[str, str | float | int | bool | None] = {
        "rounds": sum(max(v.round) + 1 for v in visits),
        **crew.backends,
    }
    return Finished(values=values, notes=notes), _samples(job, visits), capture(job.threads, job.device, **details)


def _energy_told(visits: Sequence[Visits], job: LatencyJob) -> str:
    """That energy was measured, or why its figures are not shown: a GPU's counter may move ten times a second only."""
    tables = [found.energy(len(job.artefact_ids))[-1] for found in visits]
    still, rounds = sum(int((table <= 0).sum()) for table in tables), sum(table.size for table in tables)
    if not still:
        return "measured"
    return (
        f"not shown: in {still} of {rounds} rounds of a model the counter did not move, so it is too coarse for visits "
        f"of {job.burst_ms:g} ms; raise latency.burst_ms"
    )


def _values(job: LatencyJob, visits: Sequence[Visits], looks: Sequence[int]) -> tuple[Value, ...]:
    """The figures of all shapes."""
    tables: dict[str, Table] = {}
    joules: dict[str, Table] = {}
    for shape, found in zip(job.shapes, visits, strict=True):
        parts = parts_of(shape, job.new_tokens)
        tables.update(zip(parts, found.tables(len(job.artefact_ids)), strict=True))
        joules.update(zip(parts, found.energy(len(job.artefact_ids)), strict=True))
    return lease_values(tables, joules, job.artefact_ids, job.shapes, job.new_tokens, looks)


def _needs(folder: Path, job: LatencyJob) -> int:
    """Bytes that a model needs at the largest shape, predicted before anything is loaded."""
    return predict(folder, *_largest(job), job.new_tokens or 0).total


def _largest(job: LatencyJob) -> tuple[int, int]:
    """The largest batch and the greatest length, together the most that any shape needs."""
    return max(batch for batch, _ in job.shapes), max(length for _, length in job.shapes)


def backend_of(model: Loaded) -> str | None:
    """Which kernels a model ran on that is int8 or has 2:4 weights, None for any other."""
    modules = model.model.modules()
    found = sorted({str(b) for m in modules if (b := getattr(m, "backend", None)) and isinstance(b, str)})
    if model.loader == "sparse_2_4":
        turned = sum("SparseSemiStructured" in type(p).__name__ for p in model.model.parameters())
        found.append(
            f"2:4 kernels for {turned} weights" if turned else "dense kernels: no 2:4 ones here for any weight"
        )
    return ", ".join(found) or None


def _samples(job: LatencyJob, visits: Sequence[Visits]) -> Samples:
    scopes = [parts_of(shape, job.new_tokens) for shape in job.shapes]
    flat = [(names[v.part[i]], v, i) for names, v in zip(scopes, visits, strict=True) for i in range(len(v.model))]
    return Samples(
        artefact_id=tuple(job.artefact_ids[v.model[i]] for _, v, i in flat),
        scope=tuple(scope for scope, _, _ in flat),
        lease=job.lease,
        round=np.array([v.round[i] for _, v, i in flat], dtype=np.int32),
        position=np.array([v.position[i] for _, v, i in flat], dtype=np.int16),
        calls=np.array([v.calls[i] for _, v, i in flat], dtype=np.int32),
        seconds=np.array([v.seconds[i] for _, v, i in flat]),
        first=np.array([v.first[i] for _, v, i in flat]),
        each=tuple(tuple(v.each[i]) for _, v, i in flat),
        joules=np.array([v.joules[i] for _, v, i in flat]),
    )
