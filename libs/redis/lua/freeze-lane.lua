--[[
  Freezes a lane for as long as the upstream asked; never shortens a longer freeze.

  KEYS: 1 lane window
  ARGV: 1 freeze (ms)
  Output: ms that the lane stays frozen
]]
--@include common
local now = now_milliseconds()
local until_ms = math.max(now + tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'frozen_until_ms')) or 0)
redis.call('HSET', KEYS[1], 'frozen_until_ms', int(until_ms))
redis.call('PEXPIRE', KEYS[1], math.max(until_ms - now, redis.call('PTTL', KEYS[1])))
return until_ms - now
