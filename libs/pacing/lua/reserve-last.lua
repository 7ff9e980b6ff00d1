#!lua flags=allow-oom
--[[
  Reserves room in the moderation lane for an inquiry of a visitor, after all who judge calls. Inquiries take at most a
  part of the lane's limits in a minute. They leave half of its burst free, so that the next verdict finds room at once.
  While somebody waits for the lane, no inquiry goes.

  Output: 0 reserved · > 0 ms to wait · −1 larger than the part
]]
local inquiries = KEYS[1] -- their own window; after it the keys of the lane's one upstream
local tokens = tonumber(ARGV[1])
local share = tonumber(ARGV[2]) -- inquiries take one part of so many
local default_rpm = tonumber(ARGV[3]) -- of a lane without a known limit
local default_tpm = tonumber(ARGV[4])
local upstream_at = 5 -- from here on
--@include common
--@include window
--@include window-steady
--@include lane-upstreams
--@include lane-room
local WAITED_MAX_MS = 130000
local now = now_milliseconds()
local upstream = lane_upstreams(KEYS, ARGV, upstream_at, now)[1]
local rpm = upstream.rpm > 0 and math.max(1, math.floor(upstream.rpm / share)) or default_rpm
local tpm = upstream.tpm > 0 and math.max(1, math.floor(upstream.tpm / share)) or default_tpm
if tokens > tpm then return -1 end

local waited = (tonumber(redis.call('HGET', upstream.state, 'waited_until_ms')) or 0) - now
-- A later time comes from a clock that somebody put back.
if waited > WAITED_MAX_MS then waited = 0 end

local half = upstream.burst / 2
local requests_ms, tokens_ms = math.min(half, even_ms(upstream.rpm, 1)), math.min(half, even_ms(upstream.tpm, tokens))
upstream.burst = half - math.max(requests_ms, tokens_ms)
local wait = lane_wait(upstream, now, 1, tokens)
if wait < 0 then return -1 end
local own = window_advance(inquiries, now)
wait = math.max(wait, waited, own.frozen_until_ms - now, window_wait(inquiries, own, now, rpm, tpm, 1, tokens))
if wait > 0 then return math.ceil(wait) end

window_add(inquiries, own, 1, tokens)
window_add(upstream.window, upstream.minute, 1, tokens)
if upstream.whole_day then window_add(upstream.day, upstream.whole_day, 1, tokens) end
local requests_until, tokens_until = lane_used_until(upstream, now)
redis.call('HSET', upstream.state,
  'requests_until_ms', string.format('%.3f', math.max(now, requests_until) + requests_ms),
  'tokens_until_ms', string.format('%.3f', math.max(now, tokens_until) + tokens_ms))
return 0
