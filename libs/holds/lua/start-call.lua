#!lua flags=allow-oom
--[[
  Reserves the lane's capacity, records the dispatch and journals it, in one step: held → dispatched, before the socket
  opens. A caller whose answer was lost asks again with its nonce, before it sends anything, and gets `started` again.

  Output: { code, … }
    started    attempt, now, requests and tokens in the upstream's window, the upstream's name, its failures in a row
    wait       ms until an upstream has room, and why it has none: '' its limits · failing · account (it refuses that)
    late       the same, where the call's deadline does not allow it. With room in the lane nothing is late: who no
               longer waits has voided the hold
    too_large  - larger than each upstream's whole limit
    ended      state - the hold is dispatched already or ended: nothing may be sent
    unsent     attempt - this caller lost the answer to its own dispatch, and the hold is presumed since: nobody sent it
    invalid    - the key was revoked or has expired while the call waited, or its campaign was closed
    suspended  - the key was suspended while the call waited
    recovering - the door is not open
]]
local epoch = KEYS[1]
local hold = KEYS[2]
local leases = KEYS[3]
local journal = KEYS[4]
local key = KEYS[5]
local campaign = KEYS[6]
local waiting = KEYS[7]
local fair = KEYS[8]
local shares = KEYS[9] -- of this minute; after it the keys of the upstreams
local request_id = ARGV[1]
local tokens = tonumber(ARGV[2]) -- to reserve
local lease_ms = tonumber(ARGV[3])
local caller_nonce = ARGV[4]
local run_id = ARGV[5] -- of Redis
local probe_ms = tonumber(ARGV[6]) -- for so long only this call tries a failing upstream
local overtakes = ARGV[7] == '1' -- the calls before it in the line get no place in the caller's process
local behind = ARGV[8] -- the caller starts this call right before; '': none
local visitor_prefix = ARGV[9] -- followed by a claimant's id
local upstreams_at = 10 -- from here on
--@include common
--@include door
--@include journal-dispatch
--@include window
--@include window-steady
--@include lane-upstreams
--@include lane-room
--@include lane-line
--@include visitor

-- How fast virtual time goes, measured over half a minute. Less than that misleads: virtual time stands still while
-- some large calls have their turns, and leaps after them. A speed from before a break means nothing.
local SAMPLE_MS = 2000
local SAMPLE_MAX_MS = 10000
local SPEED_OVER_MS = 30000

local OWN_PROBE_MS = 500

local function measure_speed(v, now)
  local v_then, then_ms, speed, speed_over_ms = unpack(redis.call('HMGET', fair,
    'v_then', 'then_ms', 'speed', 'speed_over_ms'))
  local since = now - (tonumber(then_ms) or 0)
  if since < SAMPLE_MS then return end
  if since <= SAMPLE_MAX_MS then
    local before = tonumber(speed_over_ms) or 0
    local new_speed = ((tonumber(speed) or 0) * before + v - tonumber(v_then)) / (before + since)
    redis.call('HSET', fair, 'speed', string.format('%.9f', new_speed),
      'speed_over_ms', int(math.min(before + since, SPEED_OVER_MS)))
  else
    redis.call('HDEL', fair, 'speed', 'speed_over_ms')
  end
  redis.call('HSET', fair, 'v_then', string.format('%.6f', v), 'then_ms', int(now))
end

-- The call's turn has come: the lane's virtual time goes on to where the call begins.
local function take_turn(key_id, now)
  local tag = tonumber(redis.call('ZSCORE', waiting, request_id))
  if not tag then return end
  local v = math.max(tonumber(redis.call('HGET', fair, 'v')) or 0, tag)
  lane_leave(waiting, fair, request_id, false)
  if redis.call('EXISTS', fair) == 0 then return end
  redis.call('HSET', fair, 'v', string.format('%.6f', v))
  measure_speed(v, now)
  if (tonumber(redis.call('HGET', fair, 'f' .. key_id)) or 0) <= v then redis.call('HDEL', fair, 'f' .. key_id) end
end

if door(epoch, run_id) ~= 'open' then return { 'recovering' } end
local state, deadline_ms, former_attempt, nonce, key_id, campaign_id, amount, day, former_upstream, avoided = unpack(
  redis.call('HMGET', hold, 'state', 'deadline_ms', 'attempt', 'nonce', 'key', 'campaign', 'amount', 'day', 'upstream',
    'avoid'))
local now = now_milliseconds()
if nonce == caller_nonce then
  if state == 'presumed' then return { 'unsent', former_attempt } end
  if state == 'dispatched' then
    redis.call('ZADD', leases, int(now + lease_ms), request_id)
    return { 'started', former_attempt, int(now), '0', '0', former_upstream or '', '0' }
  end
end
if state ~= 'held' then return { 'ended', state or 'missing' } end

local status, expires_ms = unpack(redis.call('HMGET', key, 'status', 'expires_ms'))
local expires = tonumber(expires_ms) or 0
if not status or status == 'revoked' or (expires > 0 and expires <= now)
  or redis.call('HGET', campaign, 'status') ~= 'active' then return { 'invalid' } end
if status == 'suspended' or is_suspended_with_visitor(key, visitor_prefix) then return { 'suspended' } end

-- Calls start in the line's order: a small one does not overtake a large one that waits for room.
local function stands_behind()
  if overtakes then return behind ~= '' and redis.call('ZSCORE', waiting, behind) end
  local first = redis.call('ZRANGE', waiting, 0, 0)[1]
  return first and first ~= request_id
end
if redis.call('ZSCORE', waiting, request_id) and stands_behind() then return { 'wait', '5', '' } end

local chosen, wait, why = nil, nil, ''
for _, upstream in ipairs(lane_upstreams(KEYS, ARGV, upstreams_at, now)) do
  local its_wait, its_why = lane_wait(upstream, now, 1, tokens)
  if its_wait == 0 then
    chosen = chosen or upstream
    -- The one that just failed for this call goes last.
    if upstream.name ~= avoided then
      chosen = upstream
      break
    end
  end
  if its_wait > 0 and (not wait or its_wait < wait) then wait, why = its_wait, its_why end
end
if not chosen then
  if not wait then return { 'too_large' } end
  -- A restored hold has no deadline: it waits for as long as somebody renews its lease.
  local deadline = tonumber(deadline_ms)
  return { deadline and now + wait > deadline and 'late' or 'wait', int(wait), why }
end

lane_take(chosen, now, 1, tokens)
-- One call tries the upstream, and the others wait for its outcome.
-- They wait less for a campaign whose own requests failed there, and may be the cause.
if chosen.tripped then
  local failed_there = redis.call('HEXISTS', chosen.circuit, 'c' .. campaign_id) == 1
  local until_ms = now + (failed_there and math.min(probe_ms, OWN_PROBE_MS) or probe_ms)
  redis.call('HSET', chosen.circuit, 'probe_until_ms', int(until_ms))
end
take_turn(key_id, now)
if redis.call('HINCRBY', shares, campaign_id, int(tokens)) == tokens then redis.call('PEXPIRE', shares, 180000) end
local attempt = (tonumber(former_attempt) or 0) + 1
redis.call('HSET', hold, 'state', 'dispatched', 'attempt', attempt, 'nonce', caller_nonce,
  'lane_bucket', int(chosen.minute.current), 'lane_tokens', int(tokens), 'upstream', chosen.name)
if chosen.corrects then
  redis.call('HSET', hold, 'lane_window', chosen.window, 'lane_state', chosen.state,
    'lane_token_ms', chosen.tpm > 0 and string.format('%.9f', 60000 / chosen.tpm) or '0')
else
  redis.call('HDEL', hold, 'lane_token_ms')
end
redis.call('ZADD', leases, int(now + lease_ms), request_id)
journal_dispatch(journal, request_id, key_id, campaign_id, amount, day, int(attempt), now)
return { 'started', tostring(attempt), int(now), int(chosen.minute.requests + 1), int(chosen.minute.tokens + tokens),
  chosen.name, chosen.failures }
