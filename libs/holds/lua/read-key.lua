#!lua flags=no-writes
--[[
  Finds the key behind a virtual key's hash, with its campaign. Reads only.

  Output:
    { 'recovering' }                                     - the door is not open
    { 'unknown' }                                        - no such key
    { 'ok', key id, flat key hash, flat campaign hash, now in milliseconds, requests and tokens in the key's window }
]]
local epoch = KEYS[1]
local token = KEYS[2] -- leads to the key's id
local run_id = ARGV[1] -- of Redis
local key_prefix = ARGV[2]
local campaign_prefix = ARGV[3]
local window_prefix = ARGV[4] -- of keys
local visitor_prefix = ARGV[5] -- followed by a claimant's id
--@include common
--@include door
--@include window
--@include visitor
if door(epoch, run_id) ~= 'open' then return { 'recovering' } end
local id = redis.call('GET', token)
if not id then return { 'unknown' } end
local key = redis.call('HGETALL', key_prefix .. id)
if #key == 0 then return { 'unknown' } end
local visitor = visitor_hash(key_prefix .. id, visitor_prefix)
if visitor ~= key_prefix .. id then
  -- Later fields win: what a strike on another key of the claimant led to counts for this one.
  local status, strike_times, cooldown_until = unpack(redis.call('HMGET', visitor, 'status', 'strike_times',
    'cooldown_until'))
  for field, value in pairs({ strike_times = strike_times, cooldown_until = cooldown_until }) do
    if value then key[#key + 1], key[#key + 2] = field, value end
  end
  if status == 'suspended' and redis.call('HGET', key_prefix .. id, 'status') == 'active' then
    key[#key + 1], key[#key + 2] = 'status', status
  end
end
local campaign_id = redis.call('HGET', key_prefix .. id, 'campaign')
local campaign = redis.call('HGETALL', campaign_prefix .. (campaign_id or ''))
if #campaign == 0 then return { 'unknown' } end
local now = now_milliseconds()
local requests, tokens = window_use(window_prefix .. id, now)
return { 'ok', id, key, campaign, int(now), int(requests), int(tokens) }
