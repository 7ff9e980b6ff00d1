#!lua flags=allow-oom
--[[
  Lets no inquiry go for as long as the upstream asked, within a bound; never shortens a longer freeze. The lane itself
  goes on.

  Output: ms that they stay frozen
]]
local window = KEYS[1]
local freeze_ms = tonumber(ARGV[1])
--@include common
local now = now_milliseconds()
local former_until_ms = frozen_until(redis.call('HGET', window, 'frozen_until_ms'), now)
local until_ms = math.max(frozen_until(now + freeze_ms, now), former_until_ms)
redis.call('HSET', window, 'frozen_until_ms', int(until_ms))
redis.call('PEXPIRE', window, math.max(until_ms - now, redis.call('PTTL', window)))
return until_ms - now
