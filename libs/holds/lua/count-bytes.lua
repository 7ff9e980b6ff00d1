#!lua flags=allow-oom
--[[
  Counts the bytes of a request that ingress refused before it asked for a hold.

  Output: { 'ok' }, or { 'bytes', limit, wait (ms), need (bytes) }; wait −1: larger than the whole limit
]]
local key = KEYS[1]
local key_bytes = KEYS[2]
local bytes = tonumber(ARGV[1])
local default_limit = tonumber(ARGV[2]) -- bytes an hour of a key without a limit of its own; 0: none
--@include common
--@include window
--@include bytes
local own_limit = redis.call('HGET', key, 'bytes_per_hour')
return count_bytes(key_bytes, own_limit, default_limit, bytes, now_milliseconds()) or { 'ok' }
