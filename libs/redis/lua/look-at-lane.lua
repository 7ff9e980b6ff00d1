--[[
  What a lane is at now.

  KEYS: 1 waiting  2 fair  3 lane window  4 lane state
  ARGV: 1 lane rpm (0: unlimited)  2 lane tpm (0: unlimited)
  Output: { rpm, tpm, requests and tokens of the last minute, frozen until (ms; 0: it is not), waiting calls, waiting tokens, id of the next call or '' }
]]
--@include common
--@include window
--@include lane
local now = now_milliseconds()
local rpm, tpm = lane_limits(KEYS[4], tonumber(ARGV[1]), tonumber(ARGV[2]), now)
local window = window_advance(KEYS[3], now)
local frozen = tonumber(redis.call('HGET', KEYS[3], 'frozen_until_ms')) or 0
local waiting = redis.call('ZCARD', KEYS[1])
local tokens = waiting > 0 and redis.call('HGET', KEYS[2], 'tokens') or '0'
return { int(rpm), int(tpm), int(window.requests), int(window.tokens), frozen > now and int(frozen) or '0', tostring(waiting), tokens or '0',
  redis.call('ZRANGE', KEYS[1], 0, 0)[1] or '' }
