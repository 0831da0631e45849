"""The page over a store in an S3-compatible bucket: what it reads is copied to this machine, artefacts are not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from leaderboard import PAGE
from leaderboard.source import STORE
from tests.bench.store.s3 import environment, make_bucket, moto_server
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import BASE, VARIANTS, make_store

pytest.importorskip("obstore")
pytest.importorskip("moto")

URL = "s3://results/some/store"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The sample in a bucket, seen from a machine that has no copy of anything."""
    with moto_server() as port:
        make_bucket(port, "results")
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in environment(port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PAREDOWN_CACHE", str(tmp_path / "there"))
        make_store(URL)  # type: ignore[arg-type]
        monkeypatch.setenv("PAREDOWN_CACHE", str(tmp_path / "here"))
        monkeypatch.setenv(STORE, URL)
        yield URL


def test_every_page_works_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    page = AppTest.from_file(PAGE, default_timeout=60).run()
    assert "sample &lt;b&gt;sweep" in words(page)
    page.query_params["variant"] = VARIANTS[1].recipe_id[:16]
    text = words(page.switch_page("pages_/variant.py").run())
    assert f"{BASE}: int8" in text
    for tab, said in (
        ("Lineage and layers", "lies in a bucket, and no copy of it is on this machine: no layer map"),
        ("Examples", "examples match"),
        ("Attempts", "attempts at jobs that concern this variant"),
        ("Why this number", "How it was summarised"),
    ):
        page.session_state["tab"] = tab
        assert said in words(page.run()), tab
    for name in ("pareto", "compare", "sweeps", "claims"):
        text = words(page.switch_page(f"pages_/{name}.py").run())
        assert "cannot be read" not in text
        assert str(tmp_path) not in text
