--[[
  What an upstream's answer says of its limits. What it has counted and we have not is counted here too; never the other way round.

  KEYS: 1 lane window  2 lane state
  ARGV: 1 requests a minute (0: not told)  2 tokens a minute (0: not told)  3 requests a day (0: not told)
        4 requests and 5 tokens that it counted when it answered (0: nothing to compare)
        6 requests and 7 tokens that we had counted when we sent the call  8 when that was (ms)
  Output: 1
]]
--@include common
--@include window
local now = now_milliseconds()
for field, value in pairs({ rpm = ARGV[1], tpm = ARGV[2], rpd = ARGV[3] }) do
  if tonumber(value) > 0 then redis.call('HSET', KEYS[2], field, value) end
end
local used_requests, used_tokens, sent = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[8])
local window = window_advance(KEYS[1], now)
local sent_bucket = math.floor(sent / window.bucket_ms)
if (used_requests == 0 and used_tokens == 0) or sent_bucket < window.head then return 1 end
-- What we sent since may have come there before: only what is beyond that, too, is somebody else's.
local requests, tokens = used_requests - tonumber(ARGV[6]), used_tokens - tonumber(ARGV[7])
local values = window_buckets(KEYS[1], window)
for i = 1 + 2 * (sent_bucket - window.head), #values, 2 do
  requests, tokens = requests - (tonumber(values[i]) or 0), tokens - (tonumber(values[i + 1]) or 0)
end
requests, tokens = math.max(0, requests), math.max(0, tokens)
if requests > 0 or tokens > 0 then window_add(KEYS[1], window, requests, tokens) end
return 1
