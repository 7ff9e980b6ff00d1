-- Appends to the record that accounting books. Counts the bytes that are not booked yet: contents are large, and Redis
-- is not.
local function record(stream, bytes, now, event, content)
  redis.call('XADD', stream, '*', 'at_ms', int(now), 'event', event, 'content', content)
  redis.call('INCRBY', bytes, #event + #content)
end
