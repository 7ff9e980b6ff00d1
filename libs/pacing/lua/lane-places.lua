--[[
  Where calls stand that wait for a lane.

  KEYS: 1 waiting  2 fair  3… of the upstreams
  ARGV: 1 number of ids  2… request ids, and then of the upstreams
  Output: for each id its place (1: next) and the ms until its turn as far as anybody knows; 0 and 0 where it does not wait
]]
--@include common
--@include window
--@include lane
local now, count = now_milliseconds(), tonumber(ARGV[1])
local upstreams = lane_upstreams(2 + count, now)
local places = {}
for i = 2, 1 + count do
  local tag = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]))
  local before, eta = -1, 0
  if tag then before, eta = lane_ahead(KEYS[1], KEYS[2], upstreams, tag, now) end
  places[#places + 1] = before + 1
  places[#places + 1] = eta
end
return places
