#!lua flags=no-writes
--[[
  Reads a claim link with its campaign. Writes nothing.

  Output: { phase of the door, link's JSON or '', the operator's switch or '', flat campaign hash, now in milliseconds,
    claims of the campaign within the hour, sealed virtual key of the named claim or '', that claim counts (0 | 1) }
]]
local epoch = KEYS[1]
local link = KEYS[2]
local door_switch = KEYS[3]
local claim = KEYS[4] -- a name that no claim has, where the caller asks about none
local run_id = ARGV[1] -- of Redis
local campaign_prefix = ARGV[2]
local window_prefix = ARGV[3] -- of the campaigns' claims
--@include common
--@include door
--@include window
--@include claim-window
local now = now_milliseconds()
local state = redis.call('GET', link) or ''
local campaign, claims = {}, 0
if state ~= '' then
  local id = cjson.decode(state).campaign
  campaign = redis.call('HGETALL', campaign_prefix .. id)
  claims = window_use(window_prefix .. id, now, CLAIM_BUCKET_MS, BUCKETS)
end
local token, counts = unpack(redis.call('HMGET', claim, 'token', 'counts'))
return { door(epoch, run_id), state, redis.call('GET', door_switch) or '', campaign, int(now), int(claims), token or '',
  counts == '1' and '1' or '0' }
