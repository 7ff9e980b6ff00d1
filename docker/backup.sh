#!/usr/bin/env bash
# Writes everything that has to be kept into one file: `docker/backup.sh FILE`. Calls go on meanwhile.
# Redis needs no backup: it is rebuilt from the ledger. Keep DAYPASS_SECRET beside it: without it no key works again.
# Without an .env: docker compose exec -T accounting cat /secrets/services/DAYPASS_SECRET
set -euo pipefail
file=${1:?usage: docker/backup.sh FILE}
compose=${COMPOSE:-docker compose}
umask 077
$compose exec -T postgres pg_dump -U daypass -d daypass -Fc >"$file.part"
mv "$file.part" "$file"
echo "$file: $(wc -c <"$file") bytes"
