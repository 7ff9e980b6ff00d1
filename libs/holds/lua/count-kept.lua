#!lua flags=allow-oom
--[[
  Counts the answers that Redis keeps for repeats. Those that lapsed count no more.

  Output: bytes
]]
local kept = KEYS[1]
local kept_bytes = KEYS[2]
local kept_prefix = ARGV[1] -- followed by a key's id
--@include common
--@include kept
kept_lapse(kept, kept_prefix, kept_bytes, now_milliseconds())
return tonumber(redis.call('GET', kept_bytes)) or 0
