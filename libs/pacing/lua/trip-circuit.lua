--[[
  An upstream failed, or refuses the account. After so many failures in a row calls leave it alone, twice as long each
  time. Then one call tries it (`start-call`), and its success deletes the hash. One key counts a few times at most,
  because its own requests may be what fails.

  Output: { failures in a row, ms that it is open from now on; 0: it is not }
]]
local circuit = KEYS[1]
local kind = ARGV[1] -- failing | account
local opening_failures = tonumber(ARGV[2]) -- in a row
local open_ms = tonumber(ARGV[3]) -- for so long at first
local longest_ms = tonumber(ARGV[4])
local jitter = tonumber(ARGV[5]) -- 0–1
local key_id = ARGV[6] or '' -- whose request failed; '': no request can be the cause
local most_of_key = tonumber(ARGV[7]) or 0 -- failures of one key that count
--@include common
-- So many keys are told apart. Where more fail, it is the upstream.
local KEYS_MAX = 50
local now = now_milliseconds()
if key_id ~= '' then
  local field = 'k' .. key_id
  local counted = tonumber(redis.call('HGET', circuit, field)) or 0
  if counted >= most_of_key then
    -- The call may have been the one that tries the upstream. Another key's call tries it now.
    redis.call('HDEL', circuit, 'probe_until_ms')
    return { tonumber(redis.call('HGET', circuit, 'failures')) or 0, 0 }
  end
  if counted > 0 or redis.call('HLEN', circuit) < KEYS_MAX then redis.call('HSET', circuit, field, counted + 1) end
end
local failures = redis.call('HINCRBY', circuit, 'failures', 1)
redis.call('HSET', circuit, 'kind', kind)
local beyond = failures - opening_failures
redis.call('PEXPIRE', circuit, 10 * longest_ms)
if beyond < 0 then return { failures, 0 } end
local open = math.ceil(math.min(longest_ms, open_ms * 2 ^ math.min(beyond, 20)) * (1 - jitter / 2))
redis.call('HSET', circuit, 'open_until_ms', int(now + open), 'tripped', '1')
redis.call('HDEL', circuit, 'probe_until_ms')
return { failures, open }
