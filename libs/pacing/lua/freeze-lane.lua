#!lua flags=allow-oom
--[[
  Freezes a lane for as long as the upstream asked, within a bound; never shortens a longer freeze. An upstream that does not report its
  limits has shown that they are lower than thought. The lane goes on with four fifths of them, and grows by a tenth a
  minute.

  Output: ms that the lane stays frozen
]]
local window = KEYS[1]
local state = KEYS[2]
local freeze_ms = tonumber(ARGV[1])
--@include common
local now = now_milliseconds()
local former_factor, factor_ms = unpack(redis.call('HMGET', state, 'factor', 'factor_ms'))
local regrown = math.max(0, now - (tonumber(factor_ms) or now)) * 0.1 / 60000
local factor = math.min(1, (tonumber(former_factor) or 1) + regrown)
redis.call('HSET', state, 'factor', string.format('%.4f', math.max(0.1, factor * 0.8)), 'factor_ms', int(now))
local former_until_ms = frozen_until(redis.call('HGET', window, 'frozen_until_ms'), now)
local until_ms = math.max(frozen_until(now + freeze_ms, now), former_until_ms)
redis.call('HSET', window, 'frozen_until_ms', int(until_ms))
redis.call('PEXPIRE', window, math.max(until_ms - now, redis.call('PTTL', window)))
return until_ms - now
