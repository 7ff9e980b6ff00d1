--[[
  What an upstream's answer says of its limits. What it has counted and we have not is counted here too; never the other way round.

  KEYS: 1 lane window  2 lane state
  ARGV: 1 requests a minute (0: not told)  2 tokens a minute (0: not told)  3 requests and 4 tokens that it counted when it answered
        5 requests a day (0: not told)
  Output: 1
]]
--@include common
--@include window
local now = now_milliseconds()
for field, value in pairs({ rpm = ARGV[1], tpm = ARGV[2], rpd = ARGV[5] }) do
  if tonumber(value) > 0 then redis.call('HSET', KEYS[2], field, value) end
end
-- All that it had counted by then we have counted since, unless somebody else uses the account, too.
local window = window_advance(KEYS[1], now)
local requests, tokens = math.max(0, tonumber(ARGV[3]) - window.requests), math.max(0, tonumber(ARGV[4]) - window.tokens)
if requests > 0 or tokens > 0 then window_add(KEYS[1], window, requests, tokens) end
return 1
