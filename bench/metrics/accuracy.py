"""Accuracy as a module of `evaluate`, for use beside other people's metrics. Needs the extra `metrics`."""

from collections.abc import Sequence

import datasets  # type: ignore[import-untyped]
import evaluate  # type: ignore[import-untyped]
from sklearn.metrics import accuracy_score  # type: ignore[import-untyped]

TEXT = datasets.Value("string")


class Accuracy(evaluate.Metric):  # type: ignore[misc]
    """Share of predictions that equal their reference; labels by name."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Share of examples whose predicted label is the right one.",
            citation="",
            inputs_description="predictions, references: names of labels, one a row",
            features=datasets.Features({"predictions": TEXT, "references": TEXT}),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}
