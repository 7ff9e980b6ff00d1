--[[
  Freezes a lane for as long as the upstream asked; never shortens a longer freeze. An upstream that does not tell its limits has
  shown that they are lower than thought: the lane goes on with four fifths of them, and grows by a tenth a minute.

  KEYS: 1 lane window  2 lane state
  ARGV: 1 freeze (ms)
  Output: ms that the lane stays frozen
]]
--@include common
local now = now_milliseconds()
local told = redis.call('HMGET', KEYS[2], 'factor', 'factor_ms')
local factor = math.min(1, (tonumber(told[1]) or 1) + math.max(0, now - (tonumber(told[2]) or now)) * 0.1 / 60000)
redis.call('HSET', KEYS[2], 'factor', string.format('%.4f', math.max(0.1, factor * 0.8)), 'factor_ms', int(now))
local until_ms = math.max(now + tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'frozen_until_ms')) or 0)
redis.call('HSET', KEYS[1], 'frozen_until_ms', int(until_ms))
redis.call('PEXPIRE', KEYS[1], math.max(until_ms - now, redis.call('PTTL', KEYS[1])))
return until_ms - now
