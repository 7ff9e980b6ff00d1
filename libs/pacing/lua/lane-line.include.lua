--[[
  The line of calls that wait for a lane.
  `waiting`: ids by virtual time (start-time fair queueing). `waiting|<key>`: those of one key. `waiting|`: all of them
  by arrival.
  `fair`, one hash: `v` the lane's virtual time, `f<key>` where a key's next call begins, `c<id>` '<tokens> <span>
  <key>' of a waiting call, `i<id>`: another model draws for it, `tokens` of all of them, `speed` of virtual time over the
  last `speed_over_ms`, and `v_then` at `then_ms` from which it is measured. `passed_over`: at `passed_over_ms` so many
  calls at the front waited for a place in a process, or for images, rather than for the lane.
]]

-- `tag`: the virtual time at which the call begins. `span`: how much virtual time it takes. `all_tokens`: of those that
-- wait already. `next_begins`: where its key's next call begins; nil: as before. `draws`: another model draws for it.
local function lane_join(waiting, fair, id, key, tag, tokens, span, now, all_tokens, next_begins, draws)
  local score = string.format('%.6f', tag)
  if redis.call('ZADD', waiting, 'NX', score, id) == 0 then return end
  redis.call('ZADD', waiting .. '|', int(now), id)
  redis.call('ZADD', waiting .. '|' .. key, score, id)
  local fields = { 'c' .. id, int(tokens) .. ' ' .. string.format('%.6f', span) .. ' ' .. key, 'tokens',
    int(all_tokens + tokens) }
  if next_begins then fields[5], fields[6] = 'f' .. key, string.format('%.6f', next_begins) end
  redis.call('HSET', fair, unpack(fields))
  if draws then redis.call('HSET', fair, 'i' .. id, '1') end
end

-- The last of a key's calls, where it begins, and what it takes; nil where none waits.
local function lane_last(waiting, fair, key)
  local last = redis.call('ZRANGE', waiting .. '|' .. key, -1, -1, 'WITHSCORES')
  if not last[1] then return nil end
  return last[1], tonumber(last[2]), tonumber((redis.call('HGET', fair, 'c' .. last[1]) or ''):match('^%d+ (%S+)')) or 0
end

-- A turn that nobody takes any more goes to its key's last call. So a key keeps its share, whichever calls give up.
local function lane_inherit(waiting, fair, key, tag, span)
  if redis.call('HEXISTS', fair, 'f' .. key) == 0 then return end
  local last, begins, takes = lane_last(waiting, fair, key)
  -- One that takes more than the turn has would come before its time.
  if last and begins > tag and takes > 0 and takes <= span + 0.000001 then
    local score = string.format('%.6f', tag)
    redis.call('ZADD', waiting, score, last)
    redis.call('ZADD', waiting .. '|' .. key, score, last)
    last, begins, takes = lane_last(waiting, fair, key)
  end
  redis.call('HSET', fair, 'f' .. key, string.format('%.6f', last and math.max(tag, begins + takes) or tag))
end

-- `unserved`: the call leaves without its turn, which goes to another of its key. `tag`: its own, where the caller knows
-- it. Returns whether others still wait.
local function lane_leave(waiting, fair, id, unserved, tag)
  tag = tag or tonumber(redis.call('ZSCORE', waiting, id))
  if not tag then return false end
  local about, all_tokens = unpack(redis.call('HMGET', fair, 'c' .. id, 'tokens'))
  local tokens, span, key = (about or '0 0 '):match('^(%d+) (%S+) (.*)$')
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', waiting .. '|', id)
  redis.call('ZREM', waiting .. '|' .. key, id)
  if redis.call('EXISTS', waiting) == 0 then
    -- Nobody waits, so there is nothing to be fair about.
    redis.call('DEL', fair)
    return false
  end
  redis.call('HDEL', fair, 'c' .. id, 'i' .. id)
  redis.call('HSET', fair, 'tokens', int((tonumber(all_tokens) or 0) - tonumber(tokens)))
  if unserved then lane_inherit(waiting, fair, key, tag, tonumber(span)) end
  return true
end
