#!/usr/bin/env bash
# One node of a Ray cluster, started again whenever it ends. A node that was cut off from the head is declared dead, and
# its raylet ends itself when it hears of that; without this loop a healed machine would never come back.
#
#   node.sh head ADDRESS [ray start's options]           ADDRESS: this machine's in the private network
#   node.sh worker ADDRESS HEAD:PORT [ray start's options]     or auto: the one from which HEAD is reached
#
# The token is read from RAY_AUTH_TOKEN, or the file RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token: the same on every node.
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

refuse() {
  echo "node.sh: $*" >&2
  exit 2
}

role=${1:-}
address=${2:-}
case "$role" in
  head)
    [ $# -ge 2 ] || refuse "no address was given: node.sh head ADDRESS, this machine's address in the private network."
    shift 2
    arguments=(--head --port=6379 --dashboard-host=127.0.0.1)
    ;;
  worker)
    [ $# -ge 3 ] || refuse "two addresses are needed: node.sh worker ADDRESS HEAD:PORT."
    if [ "$address" = auto ]; then # a datagram socket knows the way without sending anything
      address=$(python3 -c '
import socket, sys
way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
way.connect((sys.argv[1], 1))
print(way.getsockname()[0])' "${3%:*}") || refuse "$3 cannot be reached from here: give HEAD:PORT as other nodes do."
    fi
    arguments=("--address=$3")
    shift 3
    ;;
  *) refuse "'$role' is no role: head or worker." ;;
esac

token=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}
[ -n "${RAY_AUTH_TOKEN:-}" ] || [ -s "$token" ] ||
  refuse "there is no token at $token, and without one anybody who reaches this machine can run code on it: copy" \
    "the head's, which 'openssl rand -hex 32' makes, readable for its owner only."

# A second start, as by `ray up`, would fight with the first for the ports.
mkdir -p "$HOME/.ray"
exec 9>"$HOME/.ray/node-$(uname -n).lock"
flock --nonblock 9 || refuse "this machine is looked after already: end the other node.sh first."

# A raylet that ends in good order, as after the loss of its agent, goes unnoticed by `ray start`: the machine would stay
# without one for good. Killed, not asked: asked while it ends its processes itself, it waits for ever.
watch() {
  local missed=-1
  while kill -0 "$1" 2>/dev/null; do
    if pgrep -P "$1" -f raylet/raylet >/dev/null; then
      missed=0
    elif [ "$missed" -ge 0 ]; then
      missed=$((missed + 1))
    fi
    if [ "$missed" -ge 5 ]; then
      echo "node.sh: the raylet has ended, and the rest of the node is ended with it" >&2
      pkill -KILL -P "$1" || true # they may all have ended by themselves
      kill -KILL "$1" 2>/dev/null
      return
    fi
    sleep 1
  done
}

node=
end() {
  trap - TERM INT
  [ -z "$node" ] || kill -TERM "$node" 2>/dev/null || true
  # shellcheck disable=SC2046
  kill $(jobs -p) 2>/dev/null || true
  wait
  exit 143
}
trap end TERM INT

pause=1
while true; do
  began=$SECONDS
  ray start --block "--node-ip-address=$address" "${arguments[@]}" "$@" 9>&- &
  node=$!
  watch "$node" 9>&- &
  wait "$node" && code=0 || code=$?
  kill $! 2>/dev/null || true
  # A head that is down for long is asked less and less often.
  if [ $((SECONDS - began)) -ge 60 ]; then pause=1; elif [ "$pause" -lt 8 ]; then pause=$((pause * 2)); fi
  echo "node.sh: the node ended with $code after $((SECONDS - began)) s, and is started again in $pause s" >&2
  sleep "$pause" 9>&- &
  wait $!
done
