#!lua flags=allow-oom
-- Deletes all that a key has on the shelf. Returns nothing.
local prefix = ARGV[1] -- of all keys of the shelf
local key_id = ARGV[2]
--@include common
--@include shelf
shelf_forget(prefix, key_id)
