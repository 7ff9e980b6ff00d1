#!lua flags=allow-oom
--[[
  A worker says, after Redis lost something, that it runs this call: the hold is dispatched, whatever Redis came back with.

  KEYS: 1 epoch  2 hold  3 key  4 campaign  5 journal  6 leases  7 operator's levels, without the day
  ARGV: 1 request id  2 key id  3 campaign id  4 held amount (nano)  5 day  6 attempt  7 lease (ms)  8 lane  9 reply stream's process id
        10 run id of Redis
  Output: claimed (it is dispatched now) · known (it was, or has ended) · recovering
]]
--@include common
--@include adopt
if door(KEYS[1], ARGV[10]) == 'closed' then return 'recovering' end
local now = now_milliseconds()
local hold = redis.call('HMGET', KEYS[2], 'state', 'restored', 'amount')
if not hold[1] then
  adopt_hold(KEYS[2], KEYS[3], KEYS[4], KEYS[7], KEYS[5], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], now)
  redis.call('HSET', KEYS[2], 'lane', ARGV[8], 'reply_to', ARGV[9])
elseif hold[1] ~= 'held' or not hold[2] then
  return 'known'
else
  redis.call('HSET', KEYS[2], 'state', 'dispatched', 'attempt', ARGV[6])
end
journal_dispatch(KEYS[5], ARGV[1], ARGV[2], ARGV[3], redis.call('HGET', KEYS[2], 'amount'), ARGV[5], ARGV[6], now)
redis.call('ZADD', KEYS[6], int(now + tonumber(ARGV[7])), ARGV[1])
return 'claimed'
