#!lua flags=allow-oom
--[[
  Puts entries of one unit on the shelf of a key, all or none. Evicts the key's oldest units where its bound asks for it.
  An entry that is there already changes nothing.

  Output: stored
    · full     the shelf has no room, or the key or its campaign has ended
    · large    this unit alone would be beyond the key's bound
    · missing  no such conversation
]]
local key = KEYS[1]
local campaign = KEYS[2]
local prefix = ARGV[1] -- of all keys of the shelf
local key_id = ARGV[2]
local campaign_id = ARGV[3]
local conversation = ARGV[4] -- that gets the items; '': none
local needs_conversation = ARGV[5] == '1' -- otherwise an entry whose conversation is gone stands alone
local life_ms = tonumber(ARGV[6])
local bound_of_key = tonumber(ARGV[7]) -- bytes
local bound_of_campaign = tonumber(ARGV[8])
local bound = tonumber(ARGV[9]) -- of all keys
local most_entries = tonumber(ARGV[10]) -- of a key
local most_items = tonumber(ARGV[11]) -- of a key
local entries_at = 12 -- from here on, of each entry: id, sealed, plain bytes, bytes that it adds to a request, parent
                      -- ('': none), and the ids of its items, with spaces between them
--@include common
--@include memory
--@include shelf
local now = now_milliseconds()
local shelf = shelf_of(prefix, key_id)
shelf_lapse(prefix, now)

local status, key_expires_ms = unpack(redis.call('HMGET', key, 'status', 'expires_ms'))
local key_expires = tonumber(key_expires_ms) or 0
if not status or status == 'revoked' or (key_expires > 0 and key_expires <= now)
  or redis.call('HGET', campaign, 'status') ~= 'active' then return 'full' end

local first_id = ARGV[entries_at]
if redis.call('EXISTS', shelf.entry .. first_id) == 1 then return 'stored' end
local unit = first_id
if conversation ~= '' and conversation ~= first_id then
  if (tonumber(redis.call('ZSCORE', shelf.order, conversation)) or 0) > now then
    unit = conversation
  elseif needs_conversation then
    return 'missing'
  end
end

local bytes, entries, items = 0, 0, 0
for i = entries_at, #ARGV, 6 do
  local ids = words(ARGV[i + 5])
  bytes = bytes + #ARGV[i] + #ARGV[i + 1] + 2 * #ARGV[i + 5] + SHELF_ENTRY_BYTES + #ids * SHELF_ITEM_BYTES
  entries = entries + 1
  items = items + #ids
end

local unit_bytes, unit_entries, unit_items = unit_sums(shelf, unit)
if unit_bytes + bytes > bound_of_key or unit_entries + entries > most_entries or unit_items + items > most_items then
  return 'large'
end
if not shelf_has_room(shelf, bytes, bound_of_key, campaign_id, bound_of_campaign, bound)
  or not memory_has_room(bytes) then
  return 'full'
end
shelf_evict(shelf, unit, function()
  return shelf_held(shelf, 'bytes') + bytes > bound_of_key or shelf_held(shelf, 'entries') + entries > most_entries
    or shelf_held(shelf, 'items') + items > most_items
end)

-- Later than that of any other unit, so that the oldest is known even within one millisecond.
local newest = redis.call('ZREVRANGE', shelf.order, 0, 0, 'WITHSCORES')
local lapses = math.max(now + life_ms, (tonumber(newest[2]) or 0) + 1)
local ends = key_expires > 0 and math.min(lapses, key_expires) or lapses
redis.call('HSET', shelf.sums, 'campaign', campaign_id)
for i = entries_at, #ARGV, 6 do
  local id, ids = ARGV[i], words(ARGV[i + 5])
  local entry = shelf.entry .. id
  redis.call('HSET', entry, 'unit', unit, 'sealed', ARGV[i + 1], 'plain', ARGV[i + 2], 'adds', ARGV[i + 3],
    'parent', ARGV[i + 4], 'ids', ARGV[i + 5], 'conversation', id == conversation and '' or conversation)
  redis.call('PEXPIREAT', entry, int(ends + SHELF_GRACE_MS))
  in_chunks(ids, function(chunk)
    local pairs_of_map = {}
    for _, item_id in ipairs(chunk) do
      pairs_of_map[#pairs_of_map + 1] = item_id
      pairs_of_map[#pairs_of_map + 1] = id
    end
    redis.call('HSET', shelf.map, unpack(pairs_of_map))
  end)
  if is_conversation(unit) then
    local list, from = shelf.list .. unit, shelf.from .. unit
    if id ~= unit then redis.call('SADD', shelf.within .. unit, id) end
    local upto = tonumber(redis.call('HGET', shelf.entry .. unit, 'upto')) or 0
    in_chunks(ids, function(chunk)
      local former, origins, places = redis.call('HMGET', from, unpack(chunk)), {}, {}
      for i, item_id in ipairs(chunk) do
        if not former[i] then
          upto = upto + 1
          origins[#origins + 1] = item_id
          origins[#origins + 1] = id
          places[#places + 1] = upto
          places[#places + 1] = item_id
        end
      end
      if #origins > 0 then
        redis.call('HSET', from, unpack(origins))
        redis.call('ZADD', list, unpack(places))
      end
    end)
    redis.call('HSET', shelf.entry .. unit, 'upto', upto)
    -- Where the conversation stood with this response: whoever continues the response continues from there.
    redis.call('HSET', entry, 'upto', upto)
  end
end
shelf_count(shelf, unit, bytes, entries, items)
redis.call('ZADD', shelf.order, int(lapses), unit)
redis.call('ZADD', shelf.all, int(ends), key_id .. ' ' .. unit)
if is_conversation(unit) then
  -- All its entries live on with it. Not at each append, because there may be a thousand: they have their grace meanwhile.
  local renewed = tonumber(redis.call('HGET', shelf.entry .. unit, 'renewed')) or 0
  if ends > renewed + SHELF_GRACE_MS / 2 then
    redis.call('HSET', shelf.entry .. unit, 'renewed', int(ends))
    local all = redis.call('SMEMBERS', shelf.within .. unit)
    all[#all + 1] = unit
    for _, entry_id in ipairs(all) do redis.call('PEXPIREAT', shelf.entry .. entry_id, int(ends + SHELF_GRACE_MS)) end
  end
  for _, name in ipairs({ shelf.list, shelf.from, shelf.within }) do
    redis.call('PEXPIREAT', name .. unit, int(ends + SHELF_GRACE_MS))
  end
end
return 'stored'
