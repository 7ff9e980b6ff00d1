#!lua flags=allow-oom
--[[
  An upstream failed, or refuses the account. After so many failures in a row calls leave it alone, twice as long each
  time. Then one call tries it (`begin-call`), and its success deletes the hash. One key counts a few times at most,
  because its own requests may be what fails. So does one campaign, as long as another one calls the upstream, too.

  Output: { failures in a row, ms that it is open from now on; 0: it is not }
]]
local circuit = KEYS[1] -- after it the shares of each lane that the upstream serves, of this minute and the last
local kind = ARGV[1] -- failing | account
local opening_failures = tonumber(ARGV[2]) -- in a row
local open_ms = tonumber(ARGV[3]) -- for so long at first
local longest_ms = tonumber(ARGV[4])
local jitter = tonumber(ARGV[5]) -- 0–1
local key_id = ARGV[6] or '' -- whose request failed; '': no request can be the cause
local most_of_key = tonumber(ARGV[7]) or 0 -- failures of one key that count
local campaign_id = ARGV[8] or '' -- that the key belongs to
local most_of_campaign = tonumber(ARGV[9]) or 0 -- failures of one campaign that count
--@include common
-- So many keys and campaigns are told apart. Where more fail, it is the upstream.
local KEYS_MAX = 50

-- Only who else calls the upstream can suffer. A campaign alone needs the circuit when the upstream fails.
local function others_call()
  for i = 2, #KEYS do
    local mine = redis.call('HEXISTS', KEYS[i], campaign_id)
    if redis.call('HLEN', KEYS[i]) > mine then return true end
  end
  return false
end

local now = now_milliseconds()
if key_id ~= '' then
  local of_key, of_campaign = 'k' .. key_id, 'c' .. campaign_id
  local by_key, by_campaign = unpack(redis.call('HMGET', circuit, of_key, of_campaign))
  by_key, by_campaign = tonumber(by_key) or 0, tonumber(by_campaign) or 0
  if by_key >= most_of_key or (by_campaign >= most_of_campaign and others_call()) then
    -- The call may have been the one that tries the upstream. Another call tries it now.
    redis.call('HDEL', circuit, 'probe_until_ms')
    return { tonumber(redis.call('HGET', circuit, 'failures')) or 0, 0 }
  end
  local has_room = redis.call('HLEN', circuit) < KEYS_MAX
  if by_campaign > 0 or has_room then redis.call('HSET', circuit, of_campaign, by_campaign + 1) end
  if by_key > 0 or has_room then redis.call('HSET', circuit, of_key, by_key + 1) end
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
