#!lua flags=allow-oom
--[[
  Counts a request that costs no money against what its key may ask in a minute, and its bytes against what the key may
  send in an hour.

  Output: { 'ok' }, { 'requests', limit, wait (ms) }, or { 'bytes', limit, wait (ms), need (bytes) } as in `take-hold`
]]
local key = KEYS[1]
local key_window = KEYS[2]
local key_bytes = KEYS[3]
local bytes = tonumber(ARGV[1]) -- 0: an earlier step counted them
local default_bytes_per_hour = tonumber(ARGV[2]) -- of a key without a limit of its own; 0: none
--@include common
--@include window
--@include bytes
local now = now_milliseconds()
local rpm, bytes_per_hour = unpack(redis.call('HMGET', key, 'rpm', 'bytes_per_hour'))
local too_many_bytes = count_bytes(key_bytes, bytes_per_hour, default_bytes_per_hour, bytes, now)
if too_many_bytes then return too_many_bytes end
rpm = tonumber(rpm) or 0
local window = window_advance(key_window, now, MINUTE_BUCKET_MS, KEY_BUCKETS)
local wait = window_wait(key_window, window, now, rpm, 0, 1, 0)
if wait > 0 then return { 'requests', int(rpm), int(wait) } end
window_add(key_window, window, 1, 0)
return { 'ok' }
