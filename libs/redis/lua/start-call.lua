--[[
  Reserves the lane's capacity, records the dispatch and journals it, in one step: held → dispatched, before the socket opens.
  A caller whose answer was lost asks again with its nonce, before it sent anything, and hears `started` again.

  KEYS: 1 epoch  2 hold  3 leases  4 lane window  5 journal  6 key  7 campaign  8 waiting  9 fair  10 lane state
  ARGV: 1 request id  2 tokens to reserve  3 lane rpm (0: unlimited)  4 lane tpm (0: unlimited)  5 lease (ms)  6 nonce of the caller
        7 run id of Redis  8 burst (ms of the lane's even rate in advance)
        9 whether the upstream corrects what it counted by what was used (0 | 1)
  Output: { code, … }
    started    attempt, now, requests and tokens in the lane's window
    wait       ms until the lane has room
    late       ms of wait that the call's deadline does not allow. With room in the lane nothing is late: who no longer
               waits has voided the hold
    too_large  - larger than the lane's whole limit
    ended      state - the hold is dispatched already or ended: nothing may be sent
    unsent     attempt - dispatched by this very caller, who did not hear it, and presumed since: it was never sent
    invalid    - the key was revoked or has expired while the call waited, or its campaign was closed
    suspended  - the key was suspended while the call waited
    recovering - the door is not open
]]
--@include common
--@include window
--@include lane
if door(KEYS[1], ARGV[7]) ~= 'open' then return { 'recovering' } end
local hold = redis.call('HMGET', KEYS[2], 'state', 'deadline_ms', 'attempt', 'nonce', 'key', 'campaign', 'amount', 'day')
local now = now_milliseconds()
if hold[4] == ARGV[6] then
  if hold[1] == 'presumed' then return { 'unsent', hold[3] } end
  if hold[1] == 'dispatched' then
    redis.call('ZADD', KEYS[3], int(now + tonumber(ARGV[5])), ARGV[1])
    return { 'started', hold[3], int(now), '0', '0' }
  end
end
if hold[1] ~= 'held' then return { 'ended', hold[1] or 'missing' } end

local key = redis.call('HMGET', KEYS[6], 'status', 'expires_ms')
local expires = tonumber(key[2]) or 0
if not key[1] or key[1] == 'revoked' or (expires > 0 and expires <= now) or redis.call('HGET', KEYS[7], 'status') ~= 'active' then return { 'invalid' } end
if key[1] == 'suspended' then return { 'suspended' } end

local tokens = tonumber(ARGV[2])
local rpm, tpm = lane_limits(KEYS[10], tonumber(ARGV[3]), tonumber(ARGV[4]), now)
if tpm > 0 and tokens > tpm then return { 'too_large' } end
-- In the line's order: a small call does not slip past a large one that waits for its room.
local first = redis.call('ZRANGE', KEYS[8], 0, 0)[1]
if first and first ~= ARGV[1] and redis.call('ZSCORE', KEYS[8], ARGV[1]) then return { 'wait', '5' } end
local frozen = (tonumber(redis.call('HGET', KEYS[4], 'frozen_until_ms')) or 0) - now
local window = window_advance(KEYS[4], now)
local wait = math.max(frozen, window_wait(KEYS[4], window, now, rpm, tpm, 1, tokens), lane_pause(KEYS[10], now, tonumber(ARGV[8])))
if wait > 0 then
  -- A restored hold knows no deadline: it waits for as long as somebody renews its lease.
  local deadline = tonumber(hold[2])
  return { deadline and now + wait > deadline and 'late' or 'wait', int(wait) }
end

window_add(KEYS[4], window, 1, tokens)
lane_use(KEYS[10], now, lane_span(rpm, tpm, 1, tokens))
lane_serve(KEYS[8], KEYS[9], ARGV[1], hold[5], now)
local attempt = (tonumber(hold[3]) or 0) + 1
redis.call('HSET', KEYS[2], 'state', 'dispatched', 'attempt', attempt, 'nonce', ARGV[6], 'lane_bucket', int(window.current), 'lane_tokens', int(tokens))
if ARGV[9] == '1' then redis.call('HSET', KEYS[2], 'lane_token_ms', tpm > 0 and string.format('%.9f', 60000 / tpm) or '0') end
redis.call('ZADD', KEYS[3], int(now + tonumber(ARGV[5])), ARGV[1])
redis.call('XADD', KEYS[5], '*', 'kind', 'dispatch', 'request', ARGV[1], 'key', hold[5], 'campaign', hold[6],
  'amount', hold[7], 'paid', '0', 'absorbed', '0', 'attempt', int(attempt), 'day', hold[8], 'at_ms', int(now))
return { 'started', tostring(attempt), int(now), int(window.requests + 1), int(window.tokens + tokens) }
