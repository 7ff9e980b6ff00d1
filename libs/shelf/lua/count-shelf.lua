#!lua flags=allow-oom
--[[
  Counts the bytes on the shelf, of all keys. What lapsed counts no more.

  Output: bytes
]]
local prefix = ARGV[1] -- of all keys of the shelf
--@include common
--@include shelf
shelf_lapse(prefix, now_milliseconds())
return tonumber(redis.call('HGET', prefix .. 'bytes', 'all')) or 0
