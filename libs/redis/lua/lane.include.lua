--[[
  A lane beyond its window. `state`, one hash: `rpm` and `tpm` as the upstream last told them, `tat` until when the lane's even
  rate is used up (ms; virtual scheduling, ITU-T I.371), `factor` and `factor_ms` a share of the limits that an upstream without
  headers has shown to be too much. `waiting`: ids by virtual time (start-time fair queueing). `fair`, one hash: `v` the lane's
  virtual time, `f<key>` where a key's next call begins, `c<id>` '<tokens> <key>' of a waiting call, `tokens` of all of them.
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

-- Ms until the even rate allows another call, with `burst` ms of it in advance.
local function lane_pause(state, now, burst)
  return math.max(0, math.ceil((tonumber(redis.call('HGET', state, 'tat')) or 0) - burst - now))
end

local function lane_use(state, now, span)
  if span <= 0 then return end
  local tat = math.max(now, tonumber(redis.call('HGET', state, 'tat')) or 0) + span
  redis.call('HSET', state, 'tat', int(math.ceil(tat)))
end

local function lane_leave(waiting, fair, id)
  if redis.call('ZREM', waiting, id) == 0 then return end
  if redis.call('ZCARD', waiting) == 0 then
    -- Nobody waits, so there is nothing to be fair about.
    redis.call('DEL', fair)
    return
  end
  local tokens = tonumber((redis.call('HGET', fair, 'c' .. id) or '0'):match('^%d+')) or 0
  redis.call('HDEL', fair, 'c' .. id)
  redis.call('HINCRBY', fair, 'tokens', int(-tokens))
end

-- A call's turn has come: the lane's virtual time goes on to where the call begins.
local function lane_serve(waiting, fair, id, key)
  local tag = tonumber(redis.call('ZSCORE', waiting, id))
  if not tag then return end
  local v = math.max(tonumber(redis.call('HGET', fair, 'v')) or 0, tag)
  lane_leave(waiting, fair, id)
  if redis.call('EXISTS', fair) == 0 then return end
  redis.call('HSET', fair, 'v', string.format('%.6f', v))
  if (tonumber(redis.call('HGET', fair, 'f' .. key)) or 0) <= v then redis.call('HDEL', fair, 'f' .. key) end
end

-- A call that the upstream sent back has its turn again, before all others.
local function lane_return(waiting, fair, id, key, tokens)
  local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  local tag = math.min(tonumber(redis.call('HGET', fair, 'v')) or 0, tonumber(first[2]) or 0)
  if redis.call('ZADD', waiting, 'NX', string.format('%.6f', tag), id) == 0 then return end
  redis.call('HSET', fair, 'c' .. id, int(tokens) .. ' ' .. key)
  redis.call('HINCRBY', fair, 'tokens', int(tokens))
end

-- Calls that come before this place, and the ms until its turn as far as anybody knows.
local function lane_ahead(waiting, fair, window, state, tag, rpm, tpm, burst, now)
  local before, all = redis.call('ZCOUNT', waiting, '-inf', '(' .. string.format('%.6f', tag)), redis.call('ZCARD', waiting)
  local tokens = all > 0 and (tonumber(redis.call('HGET', fair, 'tokens')) or 0) * before / all or 0
  local frozen = (tonumber(redis.call('HGET', window, 'frozen_until_ms')) or 0) - now
  local even = math.max(now, tonumber(redis.call('HGET', state, 'tat')) or 0) + lane_span(rpm, tpm, before, tokens) - burst - now
  return before, math.ceil(math.max(0, frozen, even))
end
