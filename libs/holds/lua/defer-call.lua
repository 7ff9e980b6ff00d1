#!lua flags=allow-oom
--[[
  The upstream refused a dispatched call without doing work: dispatched → held. The lane leaves that upstream alone for
  as long as it asked, within a bound. The lane's reservation stays, because a refused request counts against the limits,
  too (OpenAI, "Rate limits"). Images of another model, which nobody asked for yet, are given back. A call that waits for
  a reason of its own freezes nothing, and stays out of the line until its worker asks again with `joins`.

  Output: 1 deferred, now or by an earlier call of the same attempt · 0 not that attempt, or not dispatched
          −1 the door is closed
]]
local epoch = KEYS[1]
local hold = KEYS[2]
local leases = KEYS[3]
local lane_window = KEYS[4] -- of the upstream that refused
local journal = KEYS[5]
local waiting = KEYS[6]
local fair = KEYS[7]
local request_id = ARGV[1]
local refused_attempt = ARGV[2]
local freeze_ms = tonumber(ARGV[3])
local lease_ms = tonumber(ARGV[4])
local run_id = ARGV[5] -- of Redis
local joins = ARGV[6] ~= '0' -- the line; else a later call of the same attempt does it
local avoided = ARGV[7] or '' -- the upstream that others go before at the next attempt; '': none
local paced_tokens = tonumber(ARGV[8]) or 0 -- that the call takes of the lane, for a hold that Redis lost and made again
--@include common
--@include door
--@include window-correct
--@include lane-line
if door(epoch, run_id) == 'closed' then return -1 end
local state, attempt, key_id, campaign_id, amount, day, lane_tokens, drawn = unpack(redis.call('HMGET', hold,
  'state', 'attempt', 'key', 'campaign', 'amount', 'day', 'lane_tokens', 'drawn'))

-- The call has its turn again, before all others.
local function join(now)
  local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  local v, all_tokens = unpack(redis.call('HMGET', fair, 'v', 'tokens'))
  local tag = math.min(tonumber(v) or 0, tonumber(first[2]) or 0)
  lane_join(waiting, fair, request_id, key_id, tag, tonumber(lane_tokens) or paced_tokens, 0, now,
    tonumber(all_tokens) or 0, nil, drawn)
end

local now = now_milliseconds()
if state == 'held' and attempt == refused_attempt and attempt ~= '0' then
  if joins then join(now) end
  return 1
end
if state ~= 'dispatched' or attempt ~= refused_attempt then return 0 end
local until_ms = frozen_until(now + freeze_ms, now)
if freeze_ms > 0 and until_ms > frozen_until(redis.call('HGET', lane_window, 'frozen_until_ms'), now) then
  redis.call('HSET', lane_window, 'frozen_until_ms', int(until_ms))
  redis.call('PEXPIRE', lane_window, math.max(until_ms - now, redis.call('PTTL', lane_window)))
end
redis.call('HSET', hold, 'state', 'held', 'avoid', avoided)
if drawn then
  window_undraw(drawn)
  redis.call('HSET', hold, 'drawn', '0 0 ')
end
if joins then join(now) end
redis.call('ZADD', leases, int(now + lease_ms), request_id)
redis.call('XADD', journal, '*', 'kind', 'defer', 'request', request_id, 'key', key_id, 'campaign', campaign_id,
  'amount', amount, 'paid', '0', 'absorbed', '0', 'attempt', attempt, 'day', day, 'at_ms', int(now))
return 1
