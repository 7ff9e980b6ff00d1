#!lua flags=allow-oom
--[[
  Replaces the content of a conversation's own entry, which has no items. Evicts the key's oldest units where its bound
  asks for it.

  Output: stored · missing
    · full     the shelf has no room
    · large    this conversation alone would be beyond the key's bound
]]
local prefix = ARGV[1] -- of all keys of the shelf
local key_id = ARGV[2]
local id = ARGV[3]
local sealed = ARGV[4]
local plain = ARGV[5] -- bytes
local campaign_id = ARGV[6]
local bound_of_key = tonumber(ARGV[7]) -- bytes
local bound_of_campaign = tonumber(ARGV[8])
local bound = tonumber(ARGV[9]) -- of all keys
--@include common
--@include memory
--@include shelf
local shelf = shelf_of(prefix, key_id)
local entry = shelf.entry .. id
if (tonumber(redis.call('ZSCORE', shelf.order, id)) or 0) <= now_milliseconds() then return 'missing' end
local bytes = #sealed - redis.call('HSTRLEN', entry, 'sealed')
if bytes > 0 then
  if unit_sums(shelf, id) + bytes > bound_of_key then return 'large' end
  if not shelf_has_room(shelf, bytes, bound_of_key, campaign_id, bound_of_campaign, bound)
    or not memory_has_room(bytes) then
    return 'full'
  end
  shelf_evict(shelf, id, function() return shelf_held(shelf, 'bytes') + bytes > bound_of_key end)
end
shelf_count(shelf, id, bytes, 0, 0)
redis.call('HSET', entry, 'sealed', sealed, 'plain', plain)
return 'stored'
