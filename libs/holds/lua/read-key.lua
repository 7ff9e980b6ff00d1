--[[
  Finds the key behind a virtual key's hash, with its campaign. Reads only.

  KEYS: 1 epoch  2 token → key id
  ARGV: 1 run id of Redis  2 prefix of key hashes  3 prefix of campaign hashes
  Output:
    { 'recovering' }                                     - the door is not open
    { 'unknown' }                                        - no such key
    { 'ok', key id, flat key hash, flat campaign hash, now in milliseconds }
]]
--@include common
if door(KEYS[1], ARGV[1]) ~= 'open' then return { 'recovering' } end
local id = redis.call('GET', KEYS[2])
if not id then return { 'unknown' } end
local key = redis.call('HGETALL', ARGV[2] .. id)
if #key == 0 then return { 'unknown' } end
local campaign_id = redis.call('HGET', ARGV[2] .. id, 'campaign')
local campaign = redis.call('HGETALL', ARGV[3] .. (campaign_id or ''))
if #campaign == 0 then return { 'unknown' } end
return { 'ok', id, key, campaign, int(now_milliseconds()) }
