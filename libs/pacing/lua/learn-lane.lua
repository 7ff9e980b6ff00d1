--[[
  Takes over the limits that an upstream reports. Where the upstream counted more than the lane, the lane counts the
  rest, too. It never counts less than before.

  Output: 1
]]
local window_key = KEYS[1]
local state = KEYS[2]
local reported_rpm = ARGV[1] -- requests a minute; 0: not reported
local reported_tpm = ARGV[2] -- tokens a minute; 0: not reported
local reported_rpd = ARGV[3] -- requests a day; 0: not reported
local used_requests = tonumber(ARGV[4]) -- as the upstream counted them when it answered
local used_tokens = tonumber(ARGV[5]) -- both 0: nothing to compare
local counted_requests = tonumber(ARGV[6]) -- as the lane counted them when the call was sent
local counted_tokens = tonumber(ARGV[7])
local sent_ms = tonumber(ARGV[8]) -- when that was
--@include common
--@include window
local now = now_milliseconds()
for field, value in pairs({ rpm = reported_rpm, tpm = reported_tpm, rpd = reported_rpd }) do
  if tonumber(value) > 0 then redis.call('HSET', state, field, value) end
end
local window = window_advance(window_key, now)
local sent_bucket = math.floor(sent_ms / window.bucket_ms)
if (used_requests == 0 and used_tokens == 0) or sent_bucket < window.head then return 1 end
-- Calls that the lane sent since may have arrived there first. Only the rest comes from somebody else.
local requests, tokens = used_requests - counted_requests, used_tokens - counted_tokens
local values = window_buckets(window_key, window)
for i = 1 + 2 * (sent_bucket - window.head), #values, 2 do
  requests, tokens = requests - (tonumber(values[i]) or 0), tokens - (tonumber(values[i + 1]) or 0)
end
requests, tokens = math.max(0, requests), math.max(0, tokens)
if requests > 0 or tokens > 0 then window_add(window_key, window, requests, tokens) end
return 1
