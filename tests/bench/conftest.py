"""Tiny models and data, made once for all tests of the package. Nobody may write into these folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.data import DataSpec, Example
from tests import tiny

PAIR: dict[str, Any] = {"text": "premise", "pair": "hypothesis", "label": "label"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved classifiers: bart (2 encoder, 4 decoder layers), bert and distilbert (3 layers); a writer like bart."""
    import torch

    torch.set_num_threads(1)  # as jobs do
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, Callable[[], Any]] = {
        "bart": tiny.bart,
        "bert": tiny.bert,
        "distilbert": tiny.distilbert,
        "writer": tiny.writer,
    }
    return {name: tiny.saved(make(), folder / name) for name, make in made.items()}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSpec]:
    """96 rows to train on and 700 to test on, enough for two windows."""
    folder = tmp_path_factory.mktemp("data")
    sizes = {"train": (96, 1), "test": (700, 2)}
    return {
        name: DataSpec(source=str(tiny.data_file(folder / f"{name}.jsonl", count, seed)), **PAIR)
        for name, (count, seed) in sizes.items()
    }


@pytest.fixture(scope="session")
def examples(data: dict[str, DataSpec]) -> list[Example]:
    return data["test"].examples()
