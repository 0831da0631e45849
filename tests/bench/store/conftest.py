"""A bucket on a real S3 server, for the tests of stores and artefacts that lie in one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bench.store import bucket
from bench.store import folder as folders
from tests.bench.store.s3 import Proxy, environment, forget, forget_buckets, make_bucket, moto_server


@pytest.fixture(scope="session")
def server() -> Iterator[int]:
    with moto_server() as port:
        yield port


@pytest.fixture
def proxy(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """An empty bucket called `results` behind a proxy, and this process set up to use it."""
    forget_buckets(server)
    make_bucket(server, "results")
    found = Proxy(server)
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment(found.port).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PAREDOWN_CACHE", str(tmp_path / "here"))
    monkeypatch.setattr(bucket, "ANSWER", timedelta(seconds=20))
    monkeypatch.setattr(bucket, "FIRST_PAUSE", 0.005)
    # No test releases its lease, and the next one has the same names: a renewal would write into it.
    monkeypatch.setattr(folders, "RENEW_SECONDS", 3600.0)
    forget()
    yield found
    forget()
    found.close()
