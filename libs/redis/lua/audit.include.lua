-- How many bytes of a key are not booked yet.
local function audit_bytes_of(bytes, key_id)
  return tonumber(redis.call('HGET', bytes .. ':keys', key_id)) or 0
end

-- Appends to the record that accounting books. Counts the bytes that are not booked yet: contents are large, and Redis
-- is not. `key_id`: of the event, where the caller knows it.
local function record(stream, bytes, now, event, content, key_id)
  redis.call('XADD', stream, '*', 'at_ms', int(now), 'event', event, 'content', content)
  redis.call('INCRBY', bytes, #event + #content)
  -- Of each key beside them. A notice of the provider has no key.
  key_id = key_id or cjson.decode(event).key
  if type(key_id) == 'string' then redis.call('HINCRBY', bytes .. ':keys', key_id, #event + #content) end
end
