#!lua flags=allow-oom
-- Deletes the answers that Redis keeps for a key's repeats. Returns nothing.
local of_key = KEYS[1]
local kept_bytes = KEYS[2]
local idempotency_prefix = ARGV[1] -- followed by a name
--@include kept
kept_forget(of_key, kept_bytes, idempotency_prefix)
