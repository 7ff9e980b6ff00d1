-- Counts the answers that Redis keeps for repeats: by key, and in all. `of_key` has the bytes of each name, and their
-- sum in `bytes`. `kept` has key and name of each answer, by when it lapses.

-- Around an answer Redis needs about this much.
local KEPT_EXTRA_BYTES = 512
-- So many lapsed answers are counted down at once: more than one script can add.
local LAPSED_MAX = 100

local function kept_leave(of_key, all_bytes, name)
  local bytes = tonumber(redis.call('HGET', of_key, name))
  if not bytes then return end
  redis.call('HDEL', of_key, name)
  redis.call('DECRBY', all_bytes, bytes)
  if redis.call('HINCRBY', of_key, 'bytes', -bytes) <= 0 then redis.call('DEL', of_key) end
end

local function kept_lapse(kept, prefix, all_bytes, now)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', kept, '-inf', int(now), 'LIMIT', 0, LAPSED_MAX)) do
    local key_id, name = member:match('^(%S+) (%S+)$')
    kept_leave(prefix .. key_id, all_bytes, name)
    redis.call('ZREM', kept, member)
  end
end

-- Deletes all answers of a key. Its names stay, so that no repeat is billed twice.
local function kept_forget(of_key, all_bytes, idempotency_prefix)
  for _, name in ipairs(redis.call('HKEYS', of_key)) do
    local record = idempotency_prefix .. name
    if redis.call('HDEL', record, 'packed', 'bytes') > 0 then redis.call('HSET', record, 'state', 'unanswered') end
  end
  local bytes = redis.call('HGET', of_key, 'bytes')
  if bytes then redis.call('DECRBY', all_bytes, bytes) end
  redis.call('DEL', of_key)
end
