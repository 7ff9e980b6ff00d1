--[[
  The upstream refused a dispatched call without doing work: dispatched → held, and the lane is frozen for as long as it asked.
  The lane's reservation stays: a refused request counts against the limits too (OpenAI, "Rate limits").

  KEYS: 1 hold  2 leases  3 lane window
  ARGV: 1 request id  2 attempt that was refused  3 freeze (ms)  4 lease (ms)
  Output: 1 deferred, now or by an earlier call of the same attempt · 0 not that attempt, or not dispatched
]]
--@include common
local hold = redis.call('HMGET', KEYS[1], 'state', 'attempt')
if hold[1] == 'held' and hold[2] == ARGV[2] and hold[2] ~= '0' then return 1 end
if hold[1] ~= 'dispatched' or hold[2] ~= ARGV[2] then return 0 end
local now = now_milliseconds()
local until_ms = now + tonumber(ARGV[3])
if until_ms > (tonumber(redis.call('HGET', KEYS[3], 'frozen_until_ms')) or 0) then
  redis.call('HSET', KEYS[3], 'frozen_until_ms', int(until_ms))
  redis.call('PEXPIRE', KEYS[3], math.max(tonumber(ARGV[3]), redis.call('PTTL', KEYS[3])))
end
redis.call('HSET', KEYS[1], 'state', 'held')
redis.call('ZADD', KEYS[2], int(now + tonumber(ARGV[4])), ARGV[1])
return 1
