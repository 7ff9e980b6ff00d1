--[[
  Reserves the lane's capacity and records the dispatch, in one step: held → dispatched, before the socket opens.
  A caller whose answer was lost asks again with its nonce, before it sent anything, and hears `started` again.

  KEYS: 1 hold  2 leases  3 lane window
  ARGV: 1 request id  2 tokens to reserve  3 lane rpm (0: unlimited)  4 lane tpm (0: unlimited)  5 lease (ms)  6 nonce of the caller
  Output: { code, … }
    started    attempt, now
    wait       ms until the lane has room
    late       ms of wait that the call's deadline does not allow. With room in the lane nothing is late: who no longer
               waits has voided the hold
    too_large  - larger than the lane's whole limit
    ended      state - the hold is dispatched already or ended: nothing may be sent
]]
--@include common
--@include window
local hold = redis.call('HMGET', KEYS[1], 'state', 'deadline_ms', 'attempt', 'nonce')
if hold[1] == 'dispatched' and hold[4] == ARGV[6] then return { 'started', hold[3], int(now_milliseconds()) } end
if hold[1] ~= 'held' then return { 'ended', hold[1] or 'missing' } end
local now = now_milliseconds()
local deadline = tonumber(hold[2])

local tokens, rpm, tpm = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if tpm > 0 and tokens > tpm then return { 'too_large' } end
local frozen = (tonumber(redis.call('HGET', KEYS[3], 'frozen_until_ms')) or 0) - now
local window = window_advance(KEYS[3], now)
local wait = math.max(frozen, window_wait(KEYS[3], window, now, rpm, tpm, 1, tokens))
if wait > 0 then
  return { now + wait > deadline and 'late' or 'wait', int(wait) }
end

window_add(KEYS[3], window, 1, tokens)
local attempt = (tonumber(hold[3]) or 0) + 1
redis.call('HSET', KEYS[1], 'state', 'dispatched', 'attempt', attempt, 'nonce', ARGV[6], 'lane_bucket', int(window.current), 'lane_tokens', int(tokens))
redis.call('ZADD', KEYS[2], int(now + tonumber(ARGV[5])), ARGV[1])
return { 'started', tostring(attempt), int(now) }
