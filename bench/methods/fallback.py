"""Accuracy-driven fallback: which modules of an int8 model stay in float so that the score holds. Pure; no torch.

The tuning loop of neural-compressor (its strategies "basic" and "mse"), with a bisection over the cumulative order, a
rule against noise in the greedy one, and one test of non-inferiority on data that the search has not seen. What it
must know of the model, it asks (`bench.recipe.Question`); whatever is asked depends on settings and answers alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from bench.errors import BadInput
from bench.metrics import Metric, metric
from bench.recipe import Question
from bench.settings import Settings

FLOAT, TRIAL, ERROR = "float score", "int8 trial", "int8 error"  # kinds of questions

Answer = Mapping[str, Any]
Answers = Mapping[str, dict[str, Any]]


class Fallback(Settings):
    """How far the score may fall, on which data, and how modules to keep in float are searched for."""

    task: str = Field(description="name of a task of the sweep; its kind and settings are used on the data below")
    data: str = Field(description="name of the data set that the search scores on")
    holdout: str = Field(description="name of the data set of the one test at the end; other rows")
    metric: str | None = Field(default=None, description="a metric of the task; null: its main one")
    tolerance: float = Field(default=0.01, gt=0, allow_inf_nan=False, description="loss that is allowed")
    relative: bool = Field(default=True, description="tolerance as a share of the float score, else in its unit")
    order: Literal["mse", "sensitivity", "random"] = Field(
        default="mse", description="by output error, one pass; by one evaluation a module; or shuffled, to compare"
    )
    search: Literal["cumulative", "greedy"] = Field(
        default="cumulative", description="shortest prefix of the order by bisection; or one by one beyond noise"
    )
    max_trials: int = Field(default=100, ge=1, description="evaluations of the search, without those of the order")
    calibration_samples: int = Field(default=128, ge=1, description="rows of the data used for the mse order at most")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of the random order")

    @field_validator("metric")
    @classmethod
    def _per_example(cls, value: str | None) -> str | None:
        if value is not None and (not metric(value).source or metric(value).source[0] == "cells"):
            raise ValueError(
                f"fallback.metric is {value}, which is no mean or ratio over examples, so that no paired test is made "
                "of it: choose another, such as accuracy"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Fallback:
        if self.relative and self.tolerance >= 1:
            raise ValueError(
                f"fallback.tolerance is {self.tolerance:g} of the float score, which allows to lose all of it: choose "
                "a share below 1, or set relative to false"
            )
        if self.data == self.holdout:
            raise ValueError(
                f"fallback.data and fallback.holdout are both {self.data!r}: name other rows for the test, such as the "
                "same source with another offset"
            )
        return self

    @property
    def label(self) -> str:
        loss = f"{100 * self.tolerance:g}% of" if self.relative else f"{self.tolerance:g}"
        of = self.metric or self.task
        return f"fallback {self.order}{' greedy' if self.search == 'greedy' else ''}, {loss} {of}"


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of modules in float, as the search met it; `taken` unless a greedy search went back."""

    kept: tuple[str, ...]
    score: float | None  # None where it is not finite
    reached: bool
    taken: bool = True


@dataclass(frozen=True, slots=True)
class Search:
    """Where the search stands or ended."""

    metric: Metric
    base: float
    n: int
    target: float
    modules: tuple[str, ...]
    trials: tuple[Trial, ...]
    ranking: tuple[tuple[str, float | None], ...] = ()
    kept: tuple[str, ...] = ()
    met: bool = False
    stopped: str = ""
    holdout: tuple[Answer, Answer] | None = field(default=None, repr=False)  # of the float model and of the chosen one

    @property
    def score(self) -> float | None:
        """Of what was chosen, on the tuning data."""
        return next(t.score for t in self.trials if t.kept == self.kept)

    @property
    def monotone(self) -> bool:
        """Whether more modules in float never scored less, in what was tried."""
        by_size = sorted(self.trials, key=lambda t: len(t.kept))
        losses = [_loss(self.metric, self.base, t.score) for t in by_size]
        return all(b <= a for a, b in pairwise(losses))


class _Waiting(Exception):  # noqa: N818 - it is no error
    """The search goes no further without answers to these."""

    def __init__(self, questions: tuple[Question, ...]) -> None:
        super().__init__()
        self.questions = questions


def pending(settings: Fallback, scheme: Mapping[str, Any], answers: Answers) -> tuple[Question, ...]:
    """The questions to be answered next; none once the search has ended, or cannot go on (`search` says why)."""
    try:
        search(settings, scheme, answers)
    except _Waiting as waiting:
        return waiting.questions
    except BadInput:
        return ()
    return ()


def search(settings: Fallback, scheme: Mapping[str, Any], answers: Answers) -> Search:
    """Follow the search as far as the answers go.

    Args:
        settings: of the search.
        scheme: the other settings of the step, which a trial must know; plain JSON.
        answers: by `Question.key`.

    Raises BadInput where the float score allows no target.
    """
    ask = _Ask(settings, scheme, answers)
    base, all_int8 = ask(ask.floating(settings.data), ask.trial(()))
    measured, score = metric(str(base["metric"])), float(base["score"])
    if settings.relative and score <= 0:
        raise BadInput(
            f"The float model's {measured.name} on {settings.data!r} is {score:g}, and no tolerance is relative to "
            "that: set fallback.relative to false, or choose another metric."
        )
    allowed = settings.tolerance * (score if settings.relative else 1.0)
    target = score - allowed if measured.better == "higher" else score + allowed
    start = Search(measured, score, int(base["n"]), target, tuple(all_int8["modules"]), ())
    first = _tried(start, (), all_int8)
    found = replace(start, trials=(first,), met=first.reached, stopped="met by int8 throughout")
    if not first.reached:
        found = replace(found, ranking=_rank(ask, found))
        found = (_greedy if settings.search == "greedy" else _cumulative)(ask, found)
    held, chosen = ask(ask.floating(settings.holdout), ask.trial(found.kept, settings.holdout))
    return replace(found, holdout=(held, chosen))


class _Ask:
    """Questions of one search, and their answers or `_Waiting`."""

    def __init__(self, settings: Fallback, scheme: Mapping[str, Any], answers: Answers) -> None:
        self.settings = settings
        self._scheme = dict(scheme)
        self._answers = answers

    def __call__(self, *questions: Question) -> list[dict[str, Any]]:
        missing = tuple(q for q in questions if q.key not in self._answers)
        if missing:
            raise _Waiting(missing)
        return [self._answers[q.key] for q in questions]

    def floating(self, data: str) -> Question:
        """The model as it is. On the holdout the tuning data come along, to see that no row is in both."""
        settings = self.settings
        names = (data,) if data == settings.data else (data, settings.data)
        return Question(FLOAT, {"metric": settings.metric}, names, (settings.task,))

    def trial(self, kept: Sequence[str], data: str | None = None) -> Question:
        """int8 but for these modules."""
        settings = self.settings
        asked = {**self._scheme, "metric": settings.metric, "kept": sorted(kept)}
        return Question(TRIAL, asked, (data or settings.data,), (settings.task,))

    def errors(self) -> Question:
        """The error of each module's output."""
        settings = self.settings
        named = ("activations", "keep_fp32", "lm_head")
        asked = {**{k: self._scheme[k] for k in named}, "samples": settings.calibration_samples}
        return Question(ERROR, asked, (settings.data,), (settings.task,))


def _tried(found: Search, kept: tuple[str, ...], answer: Answer) -> Trial:
    score = None if answer["score"] is None else float(answer["score"])
    higher = found.metric.better == "higher"
    reached = score is not None and (score >= found.target if higher else score <= found.target)
    return Trial(kept, score, reached)


def _loss(measured: Metric, base: float, score: float | None) -> float:
    """How much worse than the base, in the metric's unit; infinite for what has no score."""
    if score is None:
        return math.inf
    return base - score if measured.better == "higher" else score - base


def _rank(ask: _Ask, found: Search) -> tuple[tuple[str, float | None], ...]:
    """The modules, those first that most need float, each with what it was ordered by.

    By mse: descending (neural-compressor's "mse"; an error that is not finite comes first). By sensitivity: by the
    score of the model that has this module alone in float, best first, later modules first where they tie, as its
    "basic" strategy goes through them in reversed order.
    """
    if ask.settings.order == "random":
        shuffled = list(found.modules)
        random.Random(ask.settings.seed).shuffle(shuffled)  # noqa: S311 - an order, no secret
        return tuple((name, None) for name in shuffled)
    if ask.settings.order == "mse":
        (answer,) = ask(ask.errors())
        errors = [(str(name), error) for name, error in answer["errors"]]
        return tuple(sorted(errors, key=lambda e: -math.inf if e[1] is None else -e[1]))
    answers = ask(*(ask.trial([name]) for name in found.modules))
    scores = [(name, _tried(found, (name,), a).score) for name, a in zip(found.modules, answers, strict=True)]
    scores.reverse()
    return tuple(sorted(scores, key=lambda s: _loss(found.metric, found.base, s[1])))


def _cumulative(ask: _Ask, found: Search) -> Search:
    """Bisect for the shortest prefix of the order that meets the target; at least one module stays int8.

    Exact where scores rise with the prefix. Where they do not, it is the shortest of those tried that met the target.
    """
    order = [name for name, _ in found.ranking]
    trials = list(found.trials)
    failed, good = 0, len(order)  # the whole order would be the float model: never tried, so never an answer
    while good - failed > 1 and len(trials) < ask.settings.max_trials:
        middle = (failed + good) // 2
        kept = tuple(order[:middle])
        (answer,) = ask(ask.trial(kept))
        trials.append(_tried(found, kept, answer))
        failed, good = (failed, middle) if trials[-1].reached else (middle, good)
    met = good < len(order)
    stopped = "no shorter prefix left" if good - failed <= 1 else "max_trials"
    best = min(trials, key=lambda t: (_loss(found.metric, found.base, t.score), len(t.kept)))
    return replace(
        found, trials=tuple(trials), met=met, stopped=stopped, kept=tuple(order[:good]) if met else best.kept
    )


def _greedy(ask: _Ask, found: Search) -> Search:
    """One module after the other; each stays in float only if that gains more than one paired standard error.

    A trial that reaches the target within its noise is not taken: the search is over once one is that was.
    """
    from bench.statistics.noninferiority import gain

    trials = list(found.trials)
    (best,) = ask(ask.trial(()))
    kept: tuple[str, ...] = ()
    stopped = "no module left"
    for name, _ in found.ranking:
        if len(trials) >= ask.settings.max_trials:
            stopped = "max_trials"
            break
        if len(kept) == len(found.modules) - 1:
            break  # at least one module stays int8
        (answer,) = ask(ask.trial((*kept, name)))
        trial = _tried(found, (*kept, name), answer)
        if trial.score is None:
            taken = False
        elif best["score"] is None:
            taken = True
        else:
            kind, better = found.metric.source[0], found.metric.better
            rise, error = gain(columns(answer), columns(best), kind, better)  # type: ignore[arg-type]
            taken = rise > error
        trials.append(replace(trial, taken=taken))
        if taken:
            kept, best = trial.kept, answer
            if trial.reached:
                return replace(found, trials=tuple(trials), kept=kept, met=True, stopped="met")
    return replace(found, trials=tuple(trials), kept=kept, stopped=stopped)


def columns(answer: Answer) -> Any:
    """Per-example columns [1 or 2, examples]."""
    return np.array([answer["examples"], *([answer["weights"]] if "weights" in answer else [])], dtype=np.float64)
