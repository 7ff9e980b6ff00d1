#!lua flags=allow-oom
--[[
  Reserves room in a lane without holds (moderation), which has one upstream. The script has only that upstream's keys.

  Output: 0 reserved · > 0 ms to wait · −1 larger than the whole limit
]]
local requests = tonumber(ARGV[1])
local tokens = tonumber(ARGV[2])
local upstream_at = 3 -- from here on
--@include common
--@include window
--@include window-steady
--@include lane-upstreams
--@include lane-room
local now = now_milliseconds()
local upstream = lane_upstreams(KEYS, ARGV, upstream_at, now)[1]
local wait = lane_wait(upstream, now, requests, tokens)
if wait == 0 then lane_take(upstream, now, requests, tokens)
-- So that no inquiry of a visitor goes before it (`reserve-last`).
elseif wait > 0 then redis.call('HSET', upstream.state, 'waited_until_ms', int(now + wait)) end
return wait
