--[[
  Reserves room in a lane that carries no holds (moderation).

  KEYS: 1 lane window  2 lane state
  ARGV: 1 requests  2 tokens  3 rpm (0: unlimited)  4 tpm (0: unlimited)  5 burst (ms)
  Output: 0 reserved · > 0 ms to wait · −1 larger than the whole limit
]]
--@include common
--@include window
--@include lane
local now = now_milliseconds()
local requests, tokens = tonumber(ARGV[1]), tonumber(ARGV[2])
local rpm, tpm = lane_limits(KEYS[2], tonumber(ARGV[3]), tonumber(ARGV[4]), now)
if (tpm > 0 and tokens > tpm) or (rpm > 0 and requests > rpm) then return -1 end
local frozen = (tonumber(redis.call('HGET', KEYS[1], 'frozen_until_ms')) or 0) - now
local window = window_advance(KEYS[1], now)
local wait = math.max(frozen, window_wait(KEYS[1], window, now, rpm, tpm, requests, tokens), lane_pause(KEYS[2], now, tonumber(ARGV[5])))
if wait > 0 then return math.ceil(wait) end
window_add(KEYS[1], window, requests, tokens)
lane_use(KEYS[2], now, lane_span(rpm, tpm, requests, tokens))
return 0
