#!/usr/bin/env bash
# Puts a backup in the place of what is there: `docker/restore.sh FILE`. Everything since that backup is lost, Redis' part of it, too:
# calls of that time were made and paid, and the books do not know them (reconciliation shows them as drift).
set -euo pipefail
file=${1:?usage: docker/restore.sh FILE}
compose=${COMPOSE:-docker compose}
[ -r "$file" ] || { echo "there is no file $file" >&2; exit 1; }
$compose up --detach --wait postgres redis
$compose exec -T postgres pg_restore --list <"$file" >/dev/null || { echo "$file is no backup; nothing was changed" >&2; exit 1; }
# As many of each as there are now.
scale=()
for service in ingress moderation forwarding; do
  count=$($compose ps -q "$service" | wc -l)
  [ "$count" -eq 0 ] || scale+=(--scale "$service=$count")
done
sql() { $compose exec -T postgres psql -v ON_ERROR_STOP=1 -q -U daypass -d "$1"; }
# Roles belong to the server, not to the database, and the backup grants them their rights.
sql postgres <<'SQL'
DO $$ BEGIN CREATE ROLE daypass_service NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE auditor NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DROP DATABASE IF EXISTS daypass_restored WITH (FORCE);
CREATE DATABASE daypass_restored;
SQL
# Beside what is there, so that a file that was cut off costs nothing.
$compose exec -T postgres pg_restore --exit-on-error --single-transaction -U daypass -d daypass_restored <"$file" ||
  { echo "$file could not be restored; nothing was changed" >&2; exit 1; }
# Nobody may write meanwhile.
$compose stop ingress moderation forwarding accounting
sql postgres <<'SQL'
DROP DATABASE IF EXISTS daypass WITH (FORCE);
ALTER DATABASE daypass_restored RENAME TO daypass;
SQL
# Its balances are newer than the books now; accounting builds it anew.
$compose exec -T redis redis-cli FLUSHALL >/dev/null
$compose up --detach --wait ${scale[@]+"${scale[@]}"} ingress moderation forwarding accounting
echo "restored from $file"
