--[[
  Renews the leases of calls that a process answers for. Only existing leases: an ended hold has none.

  KEYS: 1 leases
  ARGV: 1 lease (ms)  2 state that the hold must be in ('': any)  3 prefix of holds  4… request ids
  Output: how many were renewed
]]
--@include common
local until_ms = int(now_milliseconds() + tonumber(ARGV[1]))
local renewed = 0
for i = 4, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) and (ARGV[2] == '' or redis.call('HGET', ARGV[3] .. ARGV[i], 'state') == ARGV[2]) then
    redis.call('ZADD', KEYS[1], until_ms, ARGV[i])
    renewed = renewed + 1
  end
end
return renewed
