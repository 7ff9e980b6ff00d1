#!/usr/bin/env bash
# Writes everything that has to be kept into one file: `docker/backup.sh FILE`. Calls go on meanwhile.
# Redis needs no backup: it is rebuilt from the ledger. Keep .env beside it: without DAYPASS_SECRET no key works again.
set -euo pipefail
file=${1:?usage: docker/backup.sh FILE}
compose=${COMPOSE:-docker compose}
umask 077
$compose exec -T postgres pg_dump -U daypass -d daypass -Fc >"$file.part"
mv "$file.part" "$file"
echo "$file: $(wc -c <"$file") bytes"
