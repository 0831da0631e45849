"""Connecting to a Ray cluster, or starting one here: quick to say what is wrong, and the same code on every node."""

from __future__ import annotations

import json
import logging
import platform
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.exceptions import RayError

from bench.code import code_version
from bench.errors import BadInput, ClusterLost

NAMESPACE = "paredown"
ANSWER_SECONDS = 8.0  # that a head is given to answer
EXCLUDED = ["**/__pycache__/**", "*.pyc"]
SHIPPED = ("bench", "cluster")  # packages that workers import


def start(address: str | None, cpus: int | None = None) -> None:
    """Connect to a cluster, or start one on this machine.

    `ray_settings.apply` must have come before this module was imported.

    Raises BadInput where no Ray answers at `address`, where it is of another version, or where the token is not its.
    """
    if address is not None:
        check_address(address)
    known: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": logging.ERROR}
    known["runtime_env"] = shipped_code()
    try:
        if address is None:
            ray.init(num_cpus=cpus, include_dashboard=False, configure_logging=True, **known)
        else:
            ray.init(address=address, **known)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        with suppress(Exception):
            ray.shutdown()
        raise BadInput(_refusal(address, error)) from error


def our_code() -> str:
    """The version of what workers run of this project; the same in every process of a sweep."""
    return code_version(*SHIPPED)


def shipped_code() -> dict[str, Any]:
    """The runtime environment that puts this process's code before whatever a node has installed."""
    our_code()  # now, not after somebody has changed a file
    root = Path(__file__).parents[1]
    return {"py_modules": [str(root / name) for name in SHIPPED], "excludes": EXCLUDED}


def check_address(address: str) -> None:
    """Raise BadInput within seconds where no Ray can be reached, or one that this process cannot work with."""
    if address in ("auto", "local"):
        return
    if address.startswith("ray://"):
        raise BadInput(
            f"The address is {address!r}, of a Ray client server, through which a driver cannot see its nodes: give "
            "HOST:PORT of the head (6379 unless it was changed), on a machine that the cluster can reach."
        )
    host, colon, port = address.rpartition(":")
    if not colon or not host or not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 65536:
        raise BadInput(f"The address is {address!r}, but a Ray cluster is named by HOST:PORT, such as 10.0.0.1:6379.")
    began = time.monotonic()
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise BadInput(
            f"Nothing answers at {address!r} ({error.strerror or error}, after {time.monotonic() - began:.1f} s): "
            "start a head there, or check the address and the way to it."
        ) from error
    _check_gcs(address)


def _check_gcs(address: str) -> None:
    """Ask the head who it is. The client's own retries last longer than anybody waits, so it runs beside."""
    found: list[Any] = []

    def ask() -> None:
        try:
            client = GcsClient(address=address)
            found.append(client.internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=ANSWER_SECONDS))
        except Exception as error:  # noqa: BLE001 - whatever it is, the head does not answer as one does
            found.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    if not found:
        raise BadInput(
            f"What listens at {address!r} has not answered as a Ray head within {ANSWER_SECONDS:g} s: check the "
            "address, and that the head was started with the same token (RAY_AUTH_MODE=token)."
        )
    if isinstance(found[0], Exception):
        raise BadInput(_refusal(address, found[0]))
    about = json.loads(found[0] or b"{}")
    theirs, mine = (about.get("ray_version"), about.get("python_version")), (ray.__version__, platform.python_version())
    if all(theirs) and theirs != mine:
        raise BadInput(_other_versions(address, theirs, mine))


def _refusal(address: str | None, error: BaseException) -> str:
    """Why there is no connection, in one sentence."""
    text = " ".join(str(error).split())
    if "auth" in text.lower():
        return (
            f"The cluster at {address!r} does not accept this process's token: set RAY_AUTH_TOKEN, or "
            "RAY_AUTH_TOKEN_PATH, to what its head was started with."
        )
    where = "started here" if address is None else f"reached at {address!r}"
    return f"No Ray cluster can be {where} ({text[:200]}): check the address and the token."


def _other_versions(address: str, theirs: tuple[str, ...], mine: tuple[str, ...]) -> str:
    return (
        f"The cluster at {address!r} runs Ray {theirs[0]} on Python {theirs[1]} and this process Ray {mine[0]} on "
        f"Python {mine[1]}: use the same versions on both sides."
    )


def alive_nodes() -> dict[str, dict[str, Any]]:
    """What Ray says of every living node, by its id.

    Raises ClusterLost where the node of this process is none of them: its Ray has ended, or the head was started anew.
    What was asked of the old one is never answered, and nothing else says so.
    """
    alive = {row["NodeID"]: row for row in ray.nodes() if row["Alive"]}  # type: ignore[no-untyped-call]
    if ray.get_runtime_context().get_node_id() not in alive:
        raise ClusterLost("the Ray cluster that this sweep ran on was lost, or has lost this machine")
    return alive


def node_name(host: str, node_id: str) -> str:
    """How a node is called everywhere: hosts may share a name, and ids say nothing to people."""
    return f"{host}/{node_id[:8]}"
