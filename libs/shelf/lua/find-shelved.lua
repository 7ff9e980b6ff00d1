#!lua flags=allow-oom
--[[
  Finds what a request names, all of it or nothing: a chain of responses with all its links, the items of a conversation,
  single items. Counts the bytes of what it found against those that the key sends within an hour, before it reads them.

  Kinds of what is named: response (with all that it continues) · conversation (its items) · item · optional (an item
  that may be missing) · record (one entry as it is) · page (items of a conversation) · member (one item of it)

  Output:
    { 'ok', before, items, entries, bytes, more (0 | 1) }
       before   item id ('': the whole entry) and entry id of each, the oldest first
       items    item id and entry id of each
       entries  id, plain bytes and sealed content of each that the two name
    { 'missing', index of what is named, its id, or that of the item that a page starts after }
    { 'broken', index, id that the chain leads to }
    { 'long', index } the chain has too many links
    { 'large', bytes } together they are larger than a request may be
    { 'bytes', limit, wait (ms), need (bytes) } as in `take-hold`
]]
local key = KEYS[1]
local key_bytes = KEYS[2]
local prefix = ARGV[1] -- of all keys of the shelf
local key_id = ARGV[2]
local default_bytes_per_hour = tonumber(ARGV[3]) -- of a key without a limit of its own; 0: none
local measure = ARGV[4] -- which of an entry's bytes count: `adds` or `plain`
local most_bytes = tonumber(ARGV[5])
local most_links = tonumber(ARGV[6])
local after = ARGV[7] -- of a page: the item before it, '': none. Of a member: its id
local page_size = tonumber(ARGV[8])
local is_descending = ARGV[9] == '1'
local names_at = 10 -- from here on: kind and id of each that is named
--@include common
--@include window
--@include bytes
--@include shelf
local now = now_milliseconds()
local shelf = shelf_of(prefix, key_id)
local alive, known = {}, {}

-- An entry whose time is over is none, also where nobody deleted it yet.
local function read_entry(id)
  local unit, hidden, parent, bytes, conversation, upto = unpack(redis.call('HMGET', shelf.entry .. id,
    'unit', 'hidden', 'parent', measure, 'conversation', 'upto'))
  if not unit then return nil end
  if alive[unit] == nil then alive[unit] = (tonumber(redis.call('ZSCORE', shelf.order, unit)) or 0) > now end
  if not alive[unit] then return nil end
  return { unit = unit, hidden = hidden, parent = parent, bytes = tonumber(bytes), conversation = conversation,
    upto = upto }
end

-- Thousands of items may stand in one entry.
local function look(id)
  if known[id] == nil then known[id] = read_entry(id) or false end
  return known[id] or nil
end

local before, items = {}, {}
local chosen, order, total, more = {}, {}, 0, '0'

local function choose(into, item_id, entry_id, entry)
  into[#into + 1] = item_id
  into[#into + 1] = entry_id
  if not chosen[entry_id] then
    chosen[entry_id] = true
    order[#order + 1] = entry_id
    total = total + entry.bytes
  end
end

local function choose_all(into, conversation, ids)
  in_chunks(ids, function(chunk)
    for i, entry_id in ipairs(redis.call('HMGET', shelf.from .. conversation, unpack(chunk))) do
      local entry = entry_id and look(entry_id)
      if entry then choose(into, chunk[i], entry_id, entry) end
    end
  end)
end

local function chain(id)
  local links = {}
  while id ~= '' do
    local entry = look(id)
    if not entry or entry.hidden then return #links == 0 and 'missing' or 'broken', id end
    if #links == most_links then return 'long', id end
    links[#links + 1] = { id = id, entry = entry }
    if entry.conversation ~= '' then
      if entry.unit ~= entry.conversation then return 'broken', entry.conversation end
      links[#links] = nil
      choose_all(before, entry.unit, redis.call('ZRANGEBYSCORE', shelf.list .. entry.unit, '-inf', entry.upto))
      break
    end
    id = entry.parent
  end
  for i = #links, 1, -1 do choose(before, '', links[i].id, links[i].entry) end
  return nil
end

local function page(conversation)
  local list = shelf.list .. conversation
  local start = 0
  if after ~= '' then
    local rank = redis.call(is_descending and 'ZREVRANK' or 'ZRANK', list, after)
    if not rank then return 'missing', after end
    start = rank + 1
  end
  local ids = redis.call(is_descending and 'ZREVRANGE' or 'ZRANGE', list, start, start + page_size)
  if #ids > page_size then
    more = '1'
    ids[#ids] = nil
  end
  choose_all(items, conversation, ids)
  return nil
end

local function member(conversation)
  local entry_id = redis.call('HGET', shelf.from .. conversation, after)
  local entry = entry_id and look(entry_id)
  if not entry then return 'missing', after end
  choose(items, after, entry_id, entry)
  return nil
end

local entry_of_item = {}
local function find_items()
  local ids = {}
  for i = names_at, #ARGV, 2 do
    if ARGV[i] == 'item' or ARGV[i] == 'optional' then ids[#ids + 1] = ARGV[i + 1] end
  end
  in_chunks(ids, function(chunk)
    for i, entry_id in ipairs(redis.call('HMGET', shelf.map, unpack(chunk))) do entry_of_item[chunk[i]] = entry_id end
  end)
end

local function name(kind, id)
  if kind == 'response' then return chain(id) end
  if kind == 'item' or kind == 'optional' then
    local entry_id = entry_of_item[id]
    local entry = entry_id and look(entry_id)
    if not entry then return kind == 'item' and 'missing' or nil, id end
    choose(items, id, entry_id, entry)
    return nil
  end
  local entry = look(id)
  if not entry or entry.hidden then return 'missing', id end
  if kind == 'record' then choose(items, '', id, entry) end
  if kind == 'conversation' then choose_all(before, id, redis.call('ZRANGE', shelf.list .. id, 0, -1)) end
  if kind == 'page' then return page(id) end
  if kind == 'member' then return member(id) end
  return nil
end

find_items()
for i = names_at, #ARGV, 2 do
  local fault, id = name(ARGV[i], ARGV[i + 1])
  if fault then return { fault, int((i - names_at) / 2), id } end
end
if total > most_bytes then return { 'large', int(total) } end
local bytes_per_hour = redis.call('HGET', key, 'bytes_per_hour')
local too_many = count_bytes(key_bytes, bytes_per_hour, default_bytes_per_hour, total, now)
if too_many then return too_many end
local entries = {}
for _, id in ipairs(order) do
  local plain, sealed = unpack(redis.call('HMGET', shelf.entry .. id, 'plain', 'sealed'))
  entries[#entries + 1] = id
  entries[#entries + 1] = plain
  entries[#entries + 1] = sealed
end
return { 'ok', before, items, entries, int(total), more }
