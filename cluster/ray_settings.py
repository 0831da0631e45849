"""Ray's settings where its defaults hurt. Ray reads them when it is imported, so `apply` comes before that.

By default Ray notices a dead node after a minute, re-runs a task lost in a partition after five, repeats a task that
ran out of memory for ever, leaves a killed worker's grandchildren running, gives its workers less of a CPU than any
other process and ends them after an idle second, reports usage, and starts without a token though it listens on every
interface. Every node, driver and command of a cluster needs the same settings.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

SETTINGS = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "3000",
    "RAY_task_oom_retries": "0",  # the next attempt is the plan's business, with a larger lease
    "RAY_process_group_cleanup_enabled": "true",
    "RAY_worker_niceness": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "60000",  # the next one would import torch anew
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
}


def apply() -> None:
    """Put the settings into the environment of this process and its children, and see to it that there is a token."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    path = Path.home() / ".ray" / "auth_token"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
