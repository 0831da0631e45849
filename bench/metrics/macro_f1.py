"""Macro F1 as a module of `evaluate`, for use beside other people's metrics. Needs the extra `metrics`."""

from collections.abc import Sequence

import datasets  # type: ignore[import-untyped]
import evaluate  # type: ignore[import-untyped]
from sklearn.metrics import f1_score  # type: ignore[import-untyped]

TEXT = datasets.Value("string")


class MacroF1(evaluate.Metric):  # type: ignore[misc]
    """Unweighted mean F1 over the labels that occur as prediction or reference; labels by name."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Unweighted mean over labels of the F1 score of each label.",
            citation="",
            inputs_description="predictions, references: names of labels, one a row",
            features=datasets.Features({"predictions": TEXT, "references": TEXT}),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"macro_f1": float(f1_score(references, predictions, average="macro", zero_division=0.0))}
