#!lua flags=allow-oom
-- Deletes the files of a request whose call does not begin. Output: 1 deleted · 0 there were none
local files = KEYS[1]
local line = KEYS[2]
local sizes = KEYS[3]
local request_id = ARGV[1]
--@include common
--@include files
files_forget(line, sizes, request_id)
return redis.call('UNLINK', files)
