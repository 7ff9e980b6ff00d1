--[[
  Reserves the lane's capacity, records the dispatch and journals it, in one step: held → dispatched, before the socket opens.
  A caller whose answer was lost asks again with its nonce, before it sent anything, and hears `started` again.

  KEYS: 1 epoch  2 hold  3 leases  4 journal  5 key  6 campaign  7 waiting  8 fair  9 shares of this minute  10… of the upstreams
  ARGV: 1 request id  2 tokens to reserve  3 lease (ms)  4 nonce of the caller  5 run id of Redis  6 ms in which a call that tries a
        failing upstream has to say how it went  7… of the upstreams
  Output: { code, … }
    started    attempt, now, requests and tokens in the upstream's window, the upstream's name, its failures in a row
    wait       ms until an upstream has room, and why it has none: '' its limits · failing · account (it was told that it refuses it)
    late       the same, where the call's deadline does not allow it. With room in the lane nothing is late: who no longer
               waits has voided the hold
    too_large  - larger than each upstream's whole limit
    ended      state - the hold is dispatched already or ended: nothing may be sent
    unsent     attempt - dispatched by this very caller, who did not hear it, and presumed since: it was never sent
    invalid    - the key was revoked or has expired while the call waited, or its campaign was closed
    suspended  - the key was suspended while the call waited
    recovering - the door is not open
]]
--@include common
--@include window
--@include lane
if door(KEYS[1], ARGV[5]) ~= 'open' then return { 'recovering' } end
local hold = redis.call('HMGET', KEYS[2], 'state', 'deadline_ms', 'attempt', 'nonce', 'key', 'campaign', 'amount', 'day', 'upstream')
local now = now_milliseconds()
if hold[4] == ARGV[4] then
  if hold[1] == 'presumed' then return { 'unsent', hold[3] } end
  if hold[1] == 'dispatched' then
    redis.call('ZADD', KEYS[3], int(now + tonumber(ARGV[3])), ARGV[1])
    return { 'started', hold[3], int(now), '0', '0', hold[9] or '', '0' }
  end
end
if hold[1] ~= 'held' then return { 'ended', hold[1] or 'missing' } end

local key = redis.call('HMGET', KEYS[5], 'status', 'expires_ms')
local expires = tonumber(key[2]) or 0
if not key[1] or key[1] == 'revoked' or (expires > 0 and expires <= now) or redis.call('HGET', KEYS[6], 'status') ~= 'active' then return { 'invalid' } end
if key[1] == 'suspended' then return { 'suspended' } end

-- In the line's order: a small call does not slip past a large one that waits for its room.
local first = redis.call('ZRANGE', KEYS[7], 0, 0)[1]
if first and first ~= ARGV[1] and redis.call('ZSCORE', KEYS[7], ARGV[1]) then return { 'wait', '5', '' } end

local tokens = tonumber(ARGV[2])
local chosen, wait, why = nil, nil, ''
for _, upstream in ipairs(lane_upstreams(7, now)) do
  local its_wait, its_why = lane_wait(upstream, now, 1, tokens)
  if its_wait == 0 then
    chosen = upstream
    break
  end
  if its_wait > 0 and (not wait or its_wait < wait) then wait, why = its_wait, its_why end
end
if not chosen then
  if not wait then return { 'too_large' } end
  -- A restored hold knows no deadline: it waits for as long as somebody renews its lease.
  local deadline = tonumber(hold[2])
  return { deadline and now + wait > deadline and 'late' or 'wait', int(wait), why }
end

lane_take(chosen, now, 1, tokens)
-- One call tries, the others wait for what becomes of it.
if chosen.tripped then redis.call('HSET', chosen.circuit, 'probe_until_ms', int(now + tonumber(ARGV[6]))) end
lane_serve(KEYS[7], KEYS[8], ARGV[1], hold[5], now)
if redis.call('HINCRBY', KEYS[9], hold[6], int(tokens)) == tokens then redis.call('PEXPIRE', KEYS[9], 180000) end
local attempt = (tonumber(hold[3]) or 0) + 1
redis.call('HSET', KEYS[2], 'state', 'dispatched', 'attempt', attempt, 'nonce', ARGV[4], 'lane_bucket', int(chosen.minute.current), 'lane_tokens', int(tokens),
  'upstream', chosen.name)
if chosen.corrects then
  redis.call('HSET', KEYS[2], 'lane_window', chosen.window, 'lane_state', chosen.state, 'lane_token_ms',
    chosen.tpm > 0 and string.format('%.9f', 60000 / chosen.tpm) or '0')
else
  redis.call('HDEL', KEYS[2], 'lane_token_ms')
end
redis.call('ZADD', KEYS[3], int(now + tonumber(ARGV[3])), ARGV[1])
redis.call('XADD', KEYS[4], '*', 'kind', 'dispatch', 'request', ARGV[1], 'key', hold[5], 'campaign', hold[6],
  'amount', hold[7], 'paid', '0', 'absorbed', '0', 'attempt', int(attempt), 'day', hold[8], 'at_ms', int(now))
return { 'started', tostring(attempt), int(now), int(chosen.minute.requests + 1), int(chosen.minute.tokens + tokens), chosen.name, chosen.failures }
