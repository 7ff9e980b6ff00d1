#!lua flags=allow-oom
--[[
  Renews the leases of calls that a process answers for. Only existing leases: an ended hold has none.

  Output: the door as it stands: '<phase> <run id> <number>', or '' when it is closed (no lease was renewed then)
]]
local epoch = KEYS[1]
local leases = KEYS[2]
local run_id = ARGV[1] -- of Redis
local lease_ms = tonumber(ARGV[2])
local wanted_state = ARGV[3] -- that the hold must be in; '': any
local hold_prefix = ARGV[4]
local request_ids_at = 5 -- from here on
--@include common
--@include door
if door(epoch, run_id) == 'closed' then return '' end
local until_ms = int(now_milliseconds() + lease_ms)
for i = request_ids_at, #ARGV do
  local request_id = ARGV[i]
  if redis.call('ZSCORE', leases, request_id)
    and (wanted_state == '' or redis.call('HGET', hold_prefix .. request_id, 'state') == wanted_state) then
    redis.call('ZADD', leases, until_ms, request_id)
  end
end
return redis.call('GET', epoch)
