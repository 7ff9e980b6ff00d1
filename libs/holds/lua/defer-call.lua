#!lua flags=allow-oom
--[[
  The upstream refused a dispatched call without doing work: dispatched → held, and that upstream is left alone in
  this lane for as long as it asked.
  The lane's reservation stays: a refused request counts against the limits too (OpenAI, "Rate limits").

  KEYS: 1 epoch  2 hold  3 leases  4 lane window  5 journal  6 waiting  7 fair
  ARGV: 1 request id  2 attempt that was refused  3 freeze (ms)  4 lease (ms)  5 run id of Redis
  Output: 1 deferred, now or by an earlier call of the same attempt · 0 not that attempt, or not dispatched · −1 the door is closed
]]
--@include common
--@include window
--@include lane
if door(KEYS[1], ARGV[5]) == 'closed' then return -1 end
local hold = redis.call('HMGET', KEYS[2], 'state', 'attempt', 'key', 'campaign', 'amount', 'day', 'lane_tokens')
if hold[1] == 'held' and hold[2] == ARGV[2] and hold[2] ~= '0' then return 1 end
if hold[1] ~= 'dispatched' or hold[2] ~= ARGV[2] then return 0 end
local now = now_milliseconds()
local until_ms = now + tonumber(ARGV[3])
if until_ms > (tonumber(redis.call('HGET', KEYS[4], 'frozen_until_ms')) or 0) then
  redis.call('HSET', KEYS[4], 'frozen_until_ms', int(until_ms))
  redis.call('PEXPIRE', KEYS[4], math.max(tonumber(ARGV[3]), redis.call('PTTL', KEYS[4])))
end
redis.call('HSET', KEYS[2], 'state', 'held')
lane_return(KEYS[6], KEYS[7], ARGV[1], hold[3], tonumber(hold[7]) or 0, now)
redis.call('ZADD', KEYS[3], int(now + tonumber(ARGV[4])), ARGV[1])
redis.call('XADD', KEYS[5], '*', 'kind', 'defer', 'request', ARGV[1], 'key', hold[3], 'campaign', hold[4],
  'amount', hold[5], 'paid', '0', 'absorbed', '0', 'attempt', hold[2], 'day', hold[6], 'at_ms', int(now))
return 1
