--[[
  Reserves room in a lane that carries no holds (moderation).

  KEYS: of its one upstream
  ARGV: 1 requests  2 tokens  3… of its one upstream
  Output: 0 reserved · > 0 ms to wait · −1 larger than the whole limit
]]
--@include common
--@include window
--@include lane
local now = now_milliseconds()
local requests, tokens = tonumber(ARGV[1]), tonumber(ARGV[2])
local upstream = lane_upstreams(3, now)[1]
local wait = lane_wait(upstream, now, requests, tokens)
if wait == 0 then lane_take(upstream, now, requests, tokens) end
return wait
