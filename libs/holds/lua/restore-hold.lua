#!lua
--[[
  Brings a hold back as the ledger knows it. It leaves balances and journal alone: they come out of the ledger, too. It
  does not change a hold that Redis has.

  Output: 1 restored · 0 it was there
]]
local hold = KEYS[1]
local leases = KEYS[2]
local request_id = ARGV[1]
local key_id = ARGV[2]
local campaign_id = ARGV[3]
local amount = ARGV[4] -- nano-dollars, as the next two
local state = ARGV[5]
local paid = ARGV[6]
local absorbed = ARGV[7]
local day = ARGV[8]
local attempt = ARGV[9]
local lease_ms = tonumber(ARGV[10]) -- of a hold that has not ended
local retention_ms = ARGV[11] -- of an ended one
--@include common
if redis.call('EXISTS', hold) == 1 then return 0 end
redis.call('HSET', hold, 'state', state, 'key', key_id, 'campaign', campaign_id, 'amount', amount, 'paid', paid,
  'absorbed', absorbed, 'day', day, 'attempt', attempt, 'restored', '1')
if state == 'held' or state == 'dispatched' then
  redis.call('ZADD', leases, int(now_milliseconds() + lease_ms), request_id)
else
  redis.call('PEXPIRE', hold, retention_ms)
end
return 1
