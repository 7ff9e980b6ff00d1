--[[
  An upstream failed, or refuses the account. From so many failures in a row on it is left alone, twice as long each time; then one
  call tries (`start-call`), and its success deletes the hash.

  KEYS: 1 circuit
  ARGV: 1 kind (failing | account)  2 failures in a row that open it  3 ms that it is then open  4 longest (ms)  5 jitter (0–1)
  Output: { failures in a row, ms that it is open from now on; 0: it is not }
]]
--@include common
local now = now_milliseconds()
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('HSET', KEYS[1], 'kind', ARGV[1])
local longest, beyond = tonumber(ARGV[4]), failures - tonumber(ARGV[2])
redis.call('PEXPIRE', KEYS[1], 10 * longest)
if beyond < 0 then return { failures, 0 } end
local open = math.ceil(math.min(longest, tonumber(ARGV[3]) * 2 ^ math.min(beyond, 20)) * (1 - tonumber(ARGV[5]) / 2))
redis.call('HSET', KEYS[1], 'open_until_ms', int(now + open), 'tripped', '1')
redis.call('HDEL', KEYS[1], 'probe_until_ms')
return { failures, open }
