-- Counts the bytes of files that Redis keeps for calls: of each request (`of:<id>`), of each key (`key:<id>`), of all
-- (`all`), in `sizes`. `line` has the requests by when their files lapse.

-- So many lapsed requests are counted down at once: more than one script can add.
local FILES_LAPSED_MAX = 100

local function files_forget(line, sizes, request_id)
  redis.call('ZREM', line, request_id)
  local of = redis.call('HGET', sizes, 'of:' .. request_id)
  if not of then return end
  local bytes, key_id = of:match('^(%d+) (.*)$')
  redis.call('HDEL', sizes, 'of:' .. request_id)
  for _, whose in ipairs({ 'all', 'key:' .. key_id }) do
    if redis.call('HINCRBY', sizes, whose, -tonumber(bytes)) <= 0 then redis.call('HDEL', sizes, whose) end
  end
end

local function files_lapse(line, sizes, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', int(now), 'LIMIT', 0, FILES_LAPSED_MAX)) do
    files_forget(line, sizes, id)
  end
end
