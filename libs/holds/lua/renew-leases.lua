#!lua flags=allow-oom
--[[
  Renews the leases of calls that a process answers for. Only existing leases: an ended hold has none.

  KEYS: 1 epoch  2 leases
  ARGV: 1 run id of Redis  2 lease (ms)  3 state that the hold must be in ('': any)  4 prefix of holds  5… request ids
  Output: the door as it stands: '<phase> <run id> <number>', or '' when it is closed (nothing was renewed then)
]]
--@include common
if door(KEYS[1], ARGV[1]) == 'closed' then return '' end
local until_ms = int(now_milliseconds() + tonumber(ARGV[2]))
for i = 5, #ARGV do
  if redis.call('ZSCORE', KEYS[2], ARGV[i]) and (ARGV[3] == '' or redis.call('HGET', ARGV[4] .. ARGV[i], 'state') == ARGV[3]) then
    redis.call('ZADD', KEYS[2], until_ms, ARGV[i])
  end
end
return redis.call('GET', KEYS[1])
