#!/usr/bin/env bash
# Restarts the services one after another, or brings a new image in (after `docker compose build`), while calls go on: for each
# process a new one is started first (but for accounting: bookings wait while it is away), and the old one ends when the new one is ready and
# its own calls are answered, or their time is over (DAYPASS_SHUTDOWN_DEADLINE_MS, and DAYPASS_STOP_SECONDS to kill it, which is more).
set -euo pipefail
compose=${COMPOSE:-docker compose}
# It has the admin API's port, so that there is one of it: bookings wait while it is away.
$compose up --detach --no-deps --force-recreate --wait accounting
# Compose knows that a new ingress is healthy before the balancer has found it, and then the old one must not go yet.
servers() { $compose exec -T balancer curl -fsS http://127.0.0.1:8404/servers || echo 0; }
balanced() {
  for _ in $(seq 60); do
    [ "$(servers)" -ge "$1" ] && return
    sleep 1
  done
  echo "the balancer does not see $1 ingress after a minute; the old ones were left running" >&2
  return 1
}
# Two that end at once would leave calls nowhere to go.
forgotten() {
  for _ in $(seq 10); do
    [ "$(servers)" -le "$1" ] && return
    sleep 1
  done
}
# Who reads tickets goes before who writes them: a new version reads those of the old one, and not always the other way round.
for service in forwarding moderation ingress; do
  old=$($compose ps -q "$service")
  count=$(wc -w <<<"$old")
  if [ "$service" = ingress ]; then before=$(servers); fi
  $compose up --detach --no-deps --no-recreate --wait --scale "$service=$((2 * count))" "$service"
  # The balancer has places for 16.
  if [ "$service" = ingress ]; then balanced "$((before + count < 16 ? before + count : 16))"; fi
  if [ "$service" = ingress ]; then seen=$(servers); fi
  for id in $old; do
    docker stop --time "${DAYPASS_STOP_SECONDS:-30}" "$id" >/dev/null
    docker rm "$id" >/dev/null
    if [ "$service" = ingress ]; then forgotten "$((seen -= 1))"; fi
  done
  $compose up --detach --no-deps --no-recreate --wait --scale "$service=$count" "$service"
done
echo "restarted"
