--[[
  The shelf: what a virtual key may name later. An entry is a response, a conversation, or one item of a conversation's
  own. Entries that end together are a unit: a response alone, or a conversation with all that belongs to it.
  Of each key:
    of:<key>:<id>      an entry: `sealed` and what the scripts must know of it
    order:<key>        its units, by when they lapse
    sums:<key>         bytes, entries and items: of all units, and of each (`u:<unit>`)
    items:<key>        item id → entry id
    list:<key>:<conv>  the items of a conversation, in their order
    from:<key>:<conv>  item id → entry id within a conversation
    in:<key>:<conv>    the entries of a conversation beside itself, those without items, too
  Of all keys: `all` has key and unit by when they lapse, and `bytes` their bytes, in all and by campaign.
]]
-- Lapsed units are deleted with the next entry of anybody. Redis deletes them itself where nothing comes for so long.
local SHELF_GRACE_MS = 3600000
-- So many lapsed units are deleted at once: more than one script can add. The last of them is the one with which they
-- have so many entries: a conversation alone may have a thousand, and deleting takes time from all.
local SHELF_LAPSED_MAX = 100
local SHELF_LAPSED_ENTRIES = 200
-- Around an entry, and around an item's id, Redis needs about this much.
local SHELF_ENTRY_BYTES = 768
local SHELF_ITEM_BYTES = 192
-- Arguments of one command: Lua's stack has room for 8,000.
local SHELF_CHUNK = 1000

local function shelf_of(prefix, key_id)
  local function of(kind) return prefix .. kind .. ':' .. key_id end
  return { key_id = key_id, entry = of('of') .. ':', order = of('order'), sums = of('sums'), map = of('items'),
    list = of('list') .. ':', from = of('from') .. ':', within = of('in') .. ':', all = prefix .. 'all', bytes = prefix .. 'bytes' }
end

local function is_conversation(id) return id:sub(1, 5) == 'conv_' end
local function is_response(id) return id:sub(1, 5) == 'resp_' end

local function words(text)
  local found = {}
  for word in (text or ''):gmatch('%S+') do found[#found + 1] = word end
  return found
end

-- Calls `work` with at most SHELF_CHUNK of the values at a time.
local function in_chunks(values, work)
  for start = 1, #values, SHELF_CHUNK do
    local chunk = {}
    for i = start, math.min(#values, start + SHELF_CHUNK - 1) do chunk[#chunk + 1] = values[i] end
    work(chunk)
  end
end

local function unit_sums(shelf, unit)
  local bytes, entries, items = (redis.call('HGET', shelf.sums, 'u:' .. unit) or '0 0 0'):match('^(%S+) (%S+) (%S+)$')
  return tonumber(bytes), tonumber(entries), tonumber(items)
end

local function add_bytes(shelf, owner, bytes)
  if redis.call('HINCRBY', shelf.bytes, owner, int(bytes)) <= 0 then redis.call('HDEL', shelf.bytes, owner) end
end

-- Adds to the sums of a unit, of its key, of its campaign and of all.
local function shelf_count(shelf, unit, bytes, entries, items)
  local former_bytes, former_entries, former_items = unit_sums(shelf, unit)
  local campaign = redis.call('HGET', shelf.sums, 'campaign')
  redis.call('HSET', shelf.sums, 'u:' .. unit,
    int(former_bytes + bytes) .. ' ' .. int(former_entries + entries) .. ' ' .. int(former_items + items))
  redis.call('HINCRBY', shelf.sums, 'bytes', int(bytes))
  redis.call('HINCRBY', shelf.sums, 'entries', int(entries))
  redis.call('HINCRBY', shelf.sums, 'items', int(items))
  add_bytes(shelf, 'all', bytes)
  if campaign then add_bytes(shelf, campaign, bytes) end
end

-- An item that a newer entry has, too, stays known by that one.
local function unmap(shelf, entry_id, ids)
  in_chunks(ids, function(chunk)
    local entries, mine = redis.call('HMGET', shelf.map, unpack(chunk)), {}
    for i, entry in ipairs(entries) do
      if entry == entry_id then mine[#mine + 1] = chunk[i] end
    end
    if #mine > 0 then redis.call('HDEL', shelf.map, unpack(mine)) end
  end)
end

local function remove_entry(shelf, entry_id)
  unmap(shelf, entry_id, words(redis.call('HGET', shelf.entry .. entry_id, 'ids')))
  redis.call('UNLINK', shelf.entry .. entry_id)
end

local function forget_unit(shelf, unit)
  redis.call('ZREM', shelf.order, unit)
  redis.call('ZREM', shelf.all, shelf.key_id .. ' ' .. unit)
  local bytes, entries, items = unit_sums(shelf, unit)
  shelf_count(shelf, unit, -bytes, -entries, -items)
  redis.call('HDEL', shelf.sums, 'u:' .. unit)
  if redis.call('ZCARD', shelf.order) == 0 then redis.call('UNLINK', shelf.sums, shelf.map) end
end

local function remove_unit(shelf, unit)
  if is_conversation(unit) then
    for _, entry_id in ipairs(redis.call('SMEMBERS', shelf.within .. unit)) do remove_entry(shelf, entry_id) end
    redis.call('UNLINK', shelf.list .. unit, shelf.from .. unit, shelf.within .. unit)
  end
  remove_entry(shelf, unit)
  forget_unit(shelf, unit)
end

-- Of all that a key has: bytes, entries or items.
local function shelf_held(shelf, name) return tonumber(redis.call('HGET', shelf.sums, name)) or 0 end

-- Whether so many more bytes fit below the bounds. What the key gives up for them is free then.
local function shelf_has_room(shelf, bytes, bound_of_key, campaign_id, bound_of_campaign, bound)
  local evicted = math.max(0, shelf_held(shelf, 'bytes') + bytes - bound_of_key)
  local function fits(owner, most)
    return (tonumber(redis.call('HGET', shelf.bytes, owner)) or 0) - evicted + bytes <= most
  end
  return fits('all', bound) and fits(campaign_id, bound_of_campaign)
end

-- Deletes the key's oldest units, but never this one, for as long as the key has too much.
local function shelf_evict(shelf, unit, has_too_much)
  while has_too_much() do
    local oldest = redis.call('ZRANGE', shelf.order, 0, 1)
    remove_unit(shelf, oldest[1] == unit and oldest[2] or oldest[1])
  end
end

local function shelf_lapse(prefix, now)
  local lapsed = redis.call('ZRANGEBYSCORE', prefix .. 'all', '-inf', int(now), 'LIMIT', 0, SHELF_LAPSED_MAX)
  local removed = 0
  for _, member in ipairs(lapsed) do
    if removed >= SHELF_LAPSED_ENTRIES then return end
    local key_id, unit = member:match('^(%S+) (%S+)$')
    local shelf = shelf_of(prefix, key_id)
    local _, entries = unit_sums(shelf, unit)
    removed = removed + entries
    remove_unit(shelf, unit)
  end
end

-- Deletes all that a key has on the shelf. Its number of entries is bounded.
local function shelf_forget(prefix, key_id)
  local shelf = shelf_of(prefix, key_id)
  for _, unit in ipairs(redis.call('ZRANGE', shelf.order, 0, -1)) do remove_unit(shelf, unit) end
end
