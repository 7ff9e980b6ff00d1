#!lua flags=allow-oom
--[[
  Takes an entry off the shelf of a key: a response, a conversation, or one item of a conversation. The responses of a
  deleted conversation stay, and the items of a deleted response stay in its conversation.

  Output: 1, or 0 where the key has no such entry
]]
local prefix = ARGV[1] -- of all keys of the shelf
local key_id = ARGV[2]
local id = ARGV[3] -- of a response or a conversation
local item_id = ARGV[4] -- of an item of that conversation; '': all of it
--@include common
--@include shelf
local shelf = shelf_of(prefix, key_id)
local unit, hidden = unpack(redis.call('HMGET', shelf.entry .. id, 'unit', 'hidden'))
local lapses = unit and tonumber(redis.call('ZSCORE', shelf.order, unit)) or 0
if hidden or lapses <= now_milliseconds() then return 0 end

local function bytes_of(entry_id, ids)
  local sealed = redis.call('HSTRLEN', shelf.entry .. entry_id, 'sealed')
  return #entry_id + sealed + 2 * #ids + SHELF_ENTRY_BYTES + #words(ids) * SHELF_ITEM_BYTES
end

if item_id ~= '' then
  local from = shelf.from .. id
  local entry_id = redis.call('HGET', from, item_id)
  if not entry_id then return 0 end
  redis.call('HDEL', from, item_id)
  redis.call('ZREM', shelf.list .. id, item_id)
  -- An item of a response stays in the response.
  if entry_id == item_id then
    shelf_count(shelf, unit, -bytes_of(entry_id, item_id), -1, -1)
    redis.call('SREM', shelf.within .. id, entry_id)
    remove_entry(shelf, entry_id)
  end
  return 1
end

if is_conversation(id) then
  local ends = redis.call('ZSCORE', shelf.all, key_id .. ' ' .. id)
  for _, entry_id in ipairs(redis.call('SMEMBERS', shelf.within .. id)) do
    local its_ids, its_hidden = unpack(redis.call('HMGET', shelf.entry .. entry_id, 'ids', 'hidden'))
    if its_ids and not its_hidden and is_response(entry_id) then
      local bytes, items = bytes_of(entry_id, its_ids), #words(its_ids)
      shelf_count(shelf, id, -bytes, -1, -items)
      redis.call('HSET', shelf.entry .. entry_id, 'unit', entry_id)
      shelf_count(shelf, entry_id, bytes, 1, items)
      redis.call('ZADD', shelf.order, int(lapses), entry_id)
      redis.call('ZADD', shelf.all, ends, key_id .. ' ' .. entry_id)
      -- It must not go with the conversation.
      redis.call('SREM', shelf.within .. id, entry_id)
    end
  end
  remove_unit(shelf, id)
elseif unit == id then
  remove_unit(shelf, id)
else
  redis.call('HSET', shelf.entry .. id, 'hidden', '1')
end
return 1
