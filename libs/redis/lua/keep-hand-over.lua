#!lua
--[[
  Keeps what a one-time code stands for.

  Output:
    { 'ok' }
    { 'wait', wait (ms) }  - this key got its codes of the minute
]]
local hand_over = KEYS[1]
local count = KEYS[2] -- of the key
local sealed = ARGV[1]
local life_ms = ARGV[2]
local most = tonumber(ARGV[3])
local window_ms = ARGV[4]
--@include common
if (tonumber(redis.call('GET', count)) or 0) >= most then return { 'wait', int(redis.call('PTTL', count)) } end
if redis.call('INCR', count) == 1 then redis.call('PEXPIRE', count, window_ms) end
redis.call('SET', hand_over, sealed, 'PX', life_ms)
return { 'ok' }
