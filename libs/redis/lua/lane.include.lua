--[[
  A lane beyond its window. `state`, one hash: `rpm` and `tpm` as the upstream last told them, `tat` until when the lane's even
  rate is used up (ms; virtual scheduling, ITU-T I.371), `factor` and `factor_ms` a share of the limits that an upstream without
  headers has shown to be too much. `waiting`: ids by virtual time (start-time fair queueing), and `waiting|<key>` those of one key.
  `fair`, one hash: `v` the lane's virtual time, `f<key>` where a key's next call begins, `c<id>` '<tokens> <span> <key>' of a waiting
  call, `tokens` of all of them, `speed` of virtual time, and `v_then` at `then_ms` from which it is measured.
]]
local REGROW_PER_MS = 0.1 / 60000

local function lane_limits(state, rpm, tpm, now)
  local told = redis.call('HMGET', state, 'rpm', 'tpm', 'factor', 'factor_ms')
  rpm, tpm = tonumber(told[1]) or rpm, tonumber(told[2]) or tpm
  local factor = tonumber(told[3])
  if not factor then return rpm, tpm end
  factor = factor + math.max(0, now - (tonumber(told[4]) or now)) * REGROW_PER_MS
  if factor >= 1 then
    redis.call('HDEL', state, 'factor', 'factor_ms')
    return rpm, tpm
  end
  return rpm > 0 and math.max(1, math.floor(rpm * factor)) or 0, tpm > 0 and math.max(1, math.floor(tpm * factor)) or 0
end

-- What a call takes of the lane's even rate, in ms; 0 where it has no limits.
local function lane_span(rpm, tpm, requests, tokens)
  return math.max(rpm > 0 and requests * 60000 / rpm or 0, tpm > 0 and tokens * 60000 / tpm or 0)
end

-- A call takes a minute of the even rate at most, so that a time beyond this comes from a clock that was put back.
local TAT_AHEAD_MAX_MS = 130000

local function lane_tat(state, now)
  local tat = tonumber(redis.call('HGET', state, 'tat')) or 0
  return tat - now > TAT_AHEAD_MAX_MS and now or tat
end

-- Ms until the even rate allows another call, with `burst` ms of it in advance.
local function lane_pause(state, now, burst)
  return math.max(0, math.ceil(lane_tat(state, now) - burst - now))
end

local function lane_use(state, now, span)
  if span <= 0 then return end
  local tat = math.max(now, lane_tat(state, now)) + span
  redis.call('HSET', state, 'tat', int(math.ceil(tat)))
end

local function lane_join(waiting, fair, id, key, tag, tokens, span)
  local score = string.format('%.6f', tag)
  if redis.call('ZADD', waiting, 'NX', score, id) == 0 then return end
  redis.call('ZADD', waiting .. '|' .. key, score, id)
  redis.call('HSET', fair, 'c' .. id, int(tokens) .. ' ' .. string.format('%.6f', span) .. ' ' .. key)
  redis.call('HINCRBY', fair, 'tokens', int(tokens))
end

-- The last of a key's calls, where it begins, and what it takes; nil where none waits.
local function lane_last(waiting, fair, key)
  local last = redis.call('ZRANGE', waiting .. '|' .. key, -1, -1, 'WITHSCORES')
  if not last[1] then return nil end
  return last[1], tonumber(last[2]), tonumber((redis.call('HGET', fair, 'c' .. last[1]) or ''):match('^%d+ (%S+)')) or 0
end

-- A turn that nobody takes any more goes to its key's last call, so that a key keeps its share whatever calls of it give up.
local function lane_inherit(waiting, fair, key, place, span)
  if redis.call('HEXISTS', fair, 'f' .. key) == 0 then return end
  local last, begins, takes = lane_last(waiting, fair, key)
  -- One that takes more than the turn has would come before its time.
  if last and begins > place and takes > 0 and takes <= span + 0.000001 then
    local score = string.format('%.6f', place)
    redis.call('ZADD', waiting, score, last)
    redis.call('ZADD', waiting .. '|' .. key, score, last)
    last, begins, takes = lane_last(waiting, fair, key)
  end
  redis.call('HSET', fair, 'f' .. key, string.format('%.6f', last and math.max(place, begins + takes) or place))
end

local function lane_leave(waiting, fair, id, unserved)
  local place = tonumber(redis.call('ZSCORE', waiting, id))
  if not place then return end
  local tokens, span, key = (redis.call('HGET', fair, 'c' .. id) or '0 0 '):match('^(%d+) (%S+) (.*)$')
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', waiting .. '|' .. key, id)
  if redis.call('ZCARD', waiting) == 0 then
    -- Nobody waits, so there is nothing to be fair about.
    redis.call('DEL', fair)
    return
  end
  redis.call('HDEL', fair, 'c' .. id)
  redis.call('HINCRBY', fair, 'tokens', int(-tonumber(tokens)))
  if unserved then lane_inherit(waiting, fair, key, place, tonumber(span)) end
end

-- How fast virtual time goes, as seen over the last seconds; what was seen longer ago says nothing.
local SAMPLE_MS = 2000
local SAMPLE_MAX_MS = 10000

local function lane_clock(fair, v, now)
  local seen = redis.call('HMGET', fair, 'v_then', 'then_ms', 'speed')
  local since = now - (tonumber(seen[2]) or 0)
  if since < SAMPLE_MS then return end
  if since <= SAMPLE_MAX_MS then
    local speed = (v - tonumber(seen[1])) / since
    redis.call('HSET', fair, 'speed', string.format('%.9f', seen[3] and (speed + tonumber(seen[3])) / 2 or speed))
  else
    redis.call('HDEL', fair, 'speed')
  end
  redis.call('HSET', fair, 'v_then', string.format('%.6f', v), 'then_ms', int(now))
end

-- A call's turn has come: the lane's virtual time goes on to where the call begins.
local function lane_serve(waiting, fair, id, key, now)
  local tag = tonumber(redis.call('ZSCORE', waiting, id))
  if not tag then return end
  local v = math.max(tonumber(redis.call('HGET', fair, 'v')) or 0, tag)
  lane_leave(waiting, fair, id)
  if redis.call('EXISTS', fair) == 0 then return end
  redis.call('HSET', fair, 'v', string.format('%.6f', v))
  lane_clock(fair, v, now)
  if (tonumber(redis.call('HGET', fair, 'f' .. key)) or 0) <= v then redis.call('HDEL', fair, 'f' .. key) end
end

-- A call that the upstream sent back has its turn again, before all others.
local function lane_return(waiting, fair, id, key, tokens)
  local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  local tag = math.min(tonumber(redis.call('HGET', fair, 'v')) or 0, tonumber(first[2]) or 0)
  lane_join(waiting, fair, id, key, tag, tokens, 0)
end

-- Calls that come before this place, and the ms until its turn as far as anybody knows.
local function lane_ahead(waiting, fair, window, state, tag, rpm, tpm, burst, now)
  local before, all = redis.call('ZCOUNT', waiting, '-inf', '(' .. string.format('%.6f', tag)), redis.call('ZCARD', waiting)
  local tokens = all > 0 and (tonumber(redis.call('HGET', fair, 'tokens')) or 0) * before / all or 0
  local frozen = (tonumber(redis.call('HGET', window, 'frozen_until_ms')) or 0) - now
  local even = math.max(now, lane_tat(state, now)) + lane_span(rpm, tpm, before, tokens) - burst - now
  -- Others come meanwhile whose turn is sooner: how long it took of late says more than who is there now.
  local clock = redis.call('HMGET', fair, 'v', 'speed')
  local speed = (rpm > 0 or tpm > 0) and tonumber(clock[2]) or 0
  local fairly = speed > 0 and (tag - (tonumber(clock[1]) or 0)) / speed or 0
  return before, math.ceil(math.max(0, frozen, even, fairly))
end

-- For an upstream that corrects what it counted: the window, and the even rate with it. Included after `window`.
local function lane_correct(window, state, bucket, delta, token_ms)
  window_correct(window, bucket, delta)
  local tat = tonumber(redis.call('HGET', state, 'tat'))
  if tat and delta < 0 then redis.call('HSET', state, 'tat', int(tat + math.ceil(delta * token_ms))) end
end
