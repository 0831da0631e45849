"""What CI demands of the machine that it runs on, with stand-ins for all that it starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKE = 'echo "$* ${PAREDOWN_REQUIRE_HOSTS:-no}" >> "$LOG"'
IP = 'echo "ip $1 $2" >> "$LOG"; [ "$2" != add ] || exit "$NETNS"'


def run(folder: Path, *, user: int, netns: int) -> list[str]:
    """What `.ci/run` starts: of make its target, and whether hosts are required there."""
    for name, body in {"make": MAKE, "ip": IP, "id": f"echo {user}", "chromium": "true"}.items():
        stand_in = folder / name
        stand_in.write_text(f"#!/bin/sh\n{body}\n")
        stand_in.chmod(0o755)
    log = folder / "log"
    kept = {name: value for name, value in os.environ.items() if name != "PAREDOWN_REQUIRE_HOSTS"}
    environment = {**kept, "PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(log), "NETNS": str(netns)}
    subprocess.run([ROOT / ".ci" / "run"], check=True, env=environment, capture_output=True, timeout=60)
    return log.read_text().splitlines()


def test_where_hosts_can_be_made_their_tests_may_not_be_skipped(tmp_path: Path) -> None:
    told = run(tmp_path, user=0, netns=0)
    assert [line for line in told if line.startswith("ip ")] == ["ip netns add", "ip netns delete"]
    assert told[-1] == "test-cluster 1"
    assert {line.split()[0] for line in told} >= {"demo", "lint", "types", "test"}


@pytest.mark.parametrize(("user", "netns"), [(0, 1), (1000, 0)])
def test_where_they_cannot_be_made_the_rest_is_tested(tmp_path: Path, user: int, netns: int) -> None:
    assert run(tmp_path, user=user, netns=netns)[-1] == "test-cluster no"
