"""Claims of a model card: the `model-index` in the YAML block that it begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.claims.published import Claim
from bench.errors import BadInput


def claims_of_card(path: Path) -> list[Claim]:
    """One claim for each metric that the card's model-index states. Raises BadInput for a card without one."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The model card {path} cannot be read ({error}): give a README.md of a model.") from error
    front = text.split("---", 2)
    if not text.startswith("---") or len(front) < 3:
        raise BadInput(
            f"The model card {path} does not begin with a YAML block between lines of ---: nothing to check."
        )
    try:
        values = yaml.safe_load(front[1])
    except yaml.YAMLError as error:
        raise BadInput(f"The YAML block of the model card {path} cannot be read ({error}): mend it.") from error
    index = values.get("model-index") if isinstance(values, dict) else None
    found = [claim for model in _mappings(index) for claim in _of_model(model)]
    if not found:
        raise BadInput(f"The model card {path} states no number in a model-index: add one, or write a claims file.")
    return found


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _of_model(model: dict[str, Any]) -> list[Claim]:
    name = str(model.get("name", "model"))
    found: list[Claim] = []
    for result in _mappings(model.get("results")):
        stated = result.get("dataset")
        dataset: dict[str, Any] = stated if isinstance(stated, dict) else {}
        data = str(dataset.get("name") or dataset.get("type") or "data")
        for metric in _mappings(result.get("metrics")):
            value, kind = metric.get("value"), str(metric.get("type", "metric"))
            if isinstance(value, int | float) and not isinstance(value, bool):
                found.append(_claim(name, data, dataset, kind, float(value), len(found)))
    return found


def _claim(model: str, data: str, dataset: dict[str, Any], metric: str, value: float, number: int) -> Claim:
    split = dataset.get("split")
    return Claim(
        id=f"{metric}-{number + 1}",
        text=f"{metric} on {data}{f' ({split})' if split else ''}",
        value=value,
        unit="plain",
        source="model card",
        model=model,
        check={"kind": "on_board", "metric": metric, "task": data},
    )
