#!lua flags=allow-oom
--[[
  The places of calls that wait for a lane.

  Output: for each id its position (1: next) and the estimated ms until its turn; 0 and 0 where it does not wait
]]
local waiting = KEYS[1]
local fair = KEYS[2] -- after it the keys of the upstreams
local count = tonumber(ARGV[1]) -- of request ids
local request_ids_at = 2 -- from here on
local upstreams_at = request_ids_at + count -- from here on
--@include common
--@include lane-upstreams
--@include lane-ahead
local now = now_milliseconds()
local upstreams = lane_upstreams(KEYS, ARGV, upstreams_at, now)
local line = lane_read(waiting, fair, 'v')
local positions = {}
for i = request_ids_at, upstreams_at - 1 do
  local tag = tonumber(redis.call('ZSCORE', waiting, ARGV[i]))
  local before, eta = -1, 0
  if tag then before, eta = lane_ahead(waiting, fair, upstreams, tag, now, line) end
  positions[#positions + 1] = before + 1
  positions[#positions + 1] = eta
end
return positions
