#!/usr/bin/env bash
# A Ray cluster of this machine alone, reached through the loopback address, that several sweeps can share:
#
#   laptop.sh [ray start's options]        in one terminal, ends with Ctrl-C
#   paredown run demo --address 127.0.0.1:6379        in others
#
# `paredown run` without --address starts a cluster of its own and needs none of this.
set -euo pipefail

# Those of cluster/ray_settings.py; a test holds them equal.
export RAY_health_check_period_ms=1000
export RAY_health_check_timeout_ms=2000
export RAY_health_check_failure_threshold=3
export RAY_health_check_initial_delay_ms=1000
export RAY_grpc_client_keepalive_time_ms=5000
export RAY_grpc_client_keepalive_timeout_ms=3000
export RAY_task_oom_retries=0
export RAY_process_group_cleanup_enabled=true
export RAY_worker_niceness=0
export RAY_idle_worker_killing_time_threshold_ms=60000
export RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token

# Ray's services listen on every interface whatever the address: the token is what keeps strangers out.
token=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}
if [ -z "${RAY_AUTH_TOKEN:-}" ] && [ ! -s "$token" ]; then
  mkdir -p "$(dirname "$token")"
  (umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' >"$token")
fi

exec ray start --head --block --node-ip-address=127.0.0.1 --port=6379 --dashboard-host=127.0.0.1 "$@"
