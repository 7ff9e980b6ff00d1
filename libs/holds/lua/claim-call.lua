#!lua flags=allow-oom
--[[
  A worker claims a call that it runs, after Redis lost data. The hold is dispatched then, whatever Redis came back
  with.

  Output: claimed (it is dispatched now) · known (it was, has ended, or was put back) · recovering (the door is closed)
]]
local epoch = KEYS[1]
local hold = KEYS[2]
local key = KEYS[3]
local campaign = KEYS[4]
local journal = KEYS[5]
local leases = KEYS[6]
local operator_prefix = KEYS[7] -- of the operator's levels: the day is to be added
local request_id = ARGV[1]
local key_id = ARGV[2]
local campaign_id = ARGV[3]
local held_amount = tonumber(ARGV[4]) -- nano-dollars
local day = ARGV[5]
local attempt = ARGV[6]
local lease_ms = tonumber(ARGV[7])
local lane = ARGV[8]
local reply_to = ARGV[9] -- the process whose reply stream takes the answer
local run_id = ARGV[10] -- of Redis
--@include common
--@include door
--@include balances
--@include adopt
--@include dispatch-lost
--@include journal-dispatch
if door(epoch, run_id) == 'closed' then return 'recovering' end
local now = now_milliseconds()
local state, restored, former_attempt = unpack(redis.call('HMGET', hold, 'state', 'restored', 'attempt'))
if not state then
  adopt_hold(hold, key, campaign, operator_prefix, journal, request_id, key_id, campaign_id, held_amount, day, attempt,
    now)
  redis.call('HSET', hold, 'lane', lane, 'reply_to', reply_to)
elseif not is_dispatch_lost(state, restored, former_attempt, attempt) then
  return 'known'
else
  redis.call('HSET', hold, 'state', 'dispatched', 'attempt', attempt)
end
journal_dispatch(journal, request_id, key_id, campaign_id, redis.call('HGET', hold, 'amount'), day, attempt, now)
redis.call('ZADD', leases, int(now + lease_ms), request_id)
return 'claimed'
