--[[
  An upstream failed, or refuses the account. After so many failures in a row calls leave it alone, twice as long each
  time. Then one call tries it (`start-call`), and its success deletes the hash.

  Output: { failures in a row, ms that it is open from now on; 0: it is not }
]]
local circuit = KEYS[1]
local kind = ARGV[1] -- failing | account
local opening_failures = tonumber(ARGV[2]) -- in a row
local open_ms = tonumber(ARGV[3]) -- for so long at first
local longest_ms = tonumber(ARGV[4])
local jitter = tonumber(ARGV[5]) -- 0–1
--@include common
local now = now_milliseconds()
local failures = redis.call('HINCRBY', circuit, 'failures', 1)
redis.call('HSET', circuit, 'kind', kind)
local beyond = failures - opening_failures
redis.call('PEXPIRE', circuit, 10 * longest_ms)
if beyond < 0 then return { failures, 0 } end
local open = math.ceil(math.min(longest_ms, open_ms * 2 ^ math.min(beyond, 20)) * (1 - jitter / 2))
redis.call('HSET', circuit, 'open_until_ms', int(now + open), 'tripped', '1')
redis.call('HDEL', circuit, 'probe_until_ms')
return { failures, open }
