--[[
  A lane beyond its window. Of each upstream that serves it: `state`, one hash: `rpm`, `tpm` and `rpd` as it last told them,
  `requests_until_ms` and `tokens_until_ms` until when its even rate of each is used up (virtual scheduling, ITU-T I.371), `factor` and
  `factor_ms` a share of the limits that an upstream without headers has shown to be too much, `spread_…` (see `lane_spread`); `circuit`,
  one hash for all lanes: `failures` in a row, `kind`, `open_until_ms`, `tripped`: it was open, and `probe_until_ms`: one call tries.
  `waiting`: ids by virtual time (start-time fair queueing), `waiting|<key>` those of one key, `waiting|` all of them by arrival.
  `fair`, one hash: `v` the lane's virtual time, `f<key>` where a key's next call begins, `c<id>` '<tokens> <span> <key>' of a waiting
  call, `tokens` of all of them, `speed` of virtual time over the last `speed_over_ms`, and `v_then` at `then_ms` from which it is measured.
]]
local REGROW_PER_MS = 0.1 / 60000

-- `told`: rpm, tpm, factor and factor_ms out of the state.
local function lane_limits(state, told, rpm, tpm, now)
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

-- A call takes a minute of the even rate at most, so that a time beyond this comes from a clock that was put back.
local AHEAD_MAX_MS = 130000

-- Until when the even rate of requests and that of tokens are used up. Each by itself: small calls use up the one, large calls the
-- other, and both limits are used only where neither waits for the other.
local function lane_used_until(upstream, now)
  local requests, tokens = upstream.requests_until, upstream.tokens_until
  return requests - now > AHEAD_MAX_MS and now or requests, tokens - now > AHEAD_MAX_MS and now or tokens
end

-- So much of an even rate, in ms; 0 where there is no limit.
local function even_ms(limit, amount)
  return limit > 0 and amount * 60000 / limit or 0
end

-- What a call takes of a lane, in ms of the even rate that it takes more of; 0 where there are no limits.
local function lane_span(rpm, tpm, requests, tokens)
  return math.max(even_ms(rpm, requests), even_ms(tpm, tokens))
end

local UPSTREAM_KEYS, UPSTREAM_ARGS = 4, 7

-- The upstreams that serve the lane, in the order that they are taken in. Each has the last keys, `window`, `state`, `circuit` and
-- `day`, and from `argument` on rpm, tpm, rpd, tpd (0: unlimited), burst (ms), whether it corrects what it counted (0 | 1), and its name.
-- What its state says is read here, once.
local function lane_upstreams(argument, now)
  local upstreams = {}
  local count = (#ARGV - argument + 1) / UPSTREAM_ARGS
  for i = 0, count - 1 do
    local key, first = #KEYS - (count - i) * UPSTREAM_KEYS, argument + i * UPSTREAM_ARGS
    local upstream = { window = KEYS[key + 1], state = KEYS[key + 2], circuit = KEYS[key + 3], day = KEYS[key + 4],
      tpd = tonumber(ARGV[first + 3]), burst = tonumber(ARGV[first + 4]), corrects = ARGV[first + 5] == '1', name = ARGV[first + 6] }
    local told = redis.call('HMGET', upstream.state, 'rpm', 'tpm', 'factor', 'factor_ms', 'rpd', 'requests_until_ms', 'tokens_until_ms',
      'spread_requests', 'spread_tokens', 'spread_ms')
    upstream.rpm, upstream.tpm = lane_limits(upstream.state, told, tonumber(ARGV[first]), tonumber(ARGV[first + 1]), now)
    upstream.rpd = tonumber(told[5]) or tonumber(ARGV[first + 2])
    upstream.requests_until, upstream.tokens_until = tonumber(told[6]) or 0, tonumber(told[7]) or 0
    upstream.spread_requests, upstream.spread_tokens, upstream.spread_ms = tonumber(told[8]), tonumber(told[9]), tonumber(told[10]) or 0
    upstreams[#upstreams + 1] = upstream
  end
  return upstreams
end

local function lane_fits(upstream, tokens)
  return (upstream.tpm == 0 or tokens <= upstream.tpm) and (upstream.tpd == 0 or tokens <= upstream.tpd)
end

local PROBE_LOOK_MS = 100

-- Ms until an upstream is to be asked again, because it was away (`failing`) or refuses the account (`account`), and which; 0 and ''.
-- Sets its `failures` and `tripped`.
local function lane_circuit(upstream, now)
  local told = redis.call('HMGET', upstream.circuit, 'open_until_ms', 'kind', 'probe_until_ms', 'failures', 'tripped')
  upstream.failures, upstream.tripped = told[4] or '0', told[5]
  -- While one call tries, it may be well any moment.
  local wait = math.max((tonumber(told[1]) or 0) - now, math.min(PROBE_LOOK_MS, (tonumber(told[3]) or 0) - now))
  if wait <= 0 then return 0, '' end
  return wait, told[2] or 'failing'
end

-- Ms until an upstream has room, and why (as above); −1: it will never have.
local function lane_wait(upstream, now, requests, tokens)
  if not lane_fits(upstream, tokens) or (upstream.rpm > 0 and requests > upstream.rpm) then return -1, '' end
  upstream.minute = window_advance(upstream.window, now)
  local frozen = upstream.minute.frozen_until_ms - now
  local even = math.max(lane_used_until(upstream, now)) - upstream.burst - now
  local wait = math.max(0, frozen, even, window_wait(upstream.window, upstream.minute, now, upstream.rpm, upstream.tpm, requests, tokens))
  if upstream.rpd > 0 or upstream.tpd > 0 then
    upstream.whole_day = window_advance(upstream.day, now, DAY_BUCKET_MS)
    wait = math.max(wait, window_wait(upstream.day, upstream.whole_day, now, upstream.rpd, upstream.tpd, requests, tokens))
  end
  local open, kind = lane_circuit(upstream, now)
  return math.ceil(math.max(wait, open)), open >= wait and kind or ''
end

-- By how much requests and tokens are to be spread beyond the even rate, because some came at once: else the window would be full
-- before they leave it, and the lane stand still. Looked at twice a second.
local SPREAD_EVERY_MS = 500
local SPREAD_MAX = 10
-- Calls never come quite evenly, and a large one leaves at once: a window that is full for a moment costs less than one that never is.
local SPREAD_SLACK_MS = 3000
local SPREAD_MAX_MS = 5000

local function lane_spread(upstream, now)
  local age = now - upstream.spread_ms
  if age >= 0 and age < SPREAD_EVERY_MS then return upstream.spread_requests, upstream.spread_tokens end
  local requests, tokens = window_steady(upstream.window, upstream.minute, now, upstream.rpm, upstream.tpm, SPREAD_SLACK_MS)
  local function spread(limit, steady)
    return limit > 0 and math.max(1, math.min(SPREAD_MAX, limit / 60000 / math.max(steady, 1e-12))) or 1
  end
  requests, tokens = spread(upstream.rpm, requests), spread(upstream.tpm, tokens)
  redis.call('HSET', upstream.state, 'spread_requests', string.format('%.6f', requests), 'spread_tokens', string.format('%.6f', tokens), 'spread_ms', int(now))
  return requests, tokens
end

-- Takes the room that `lane_wait` found.
local function lane_take(upstream, now, requests, tokens)
  window_add(upstream.window, upstream.minute, requests, tokens)
  if upstream.whole_day then window_add(upstream.day, upstream.whole_day, requests, tokens) end
  if upstream.rpm == 0 and upstream.tpm == 0 then return end
  local spread_requests, spread_tokens = lane_spread(upstream, now)
  local requests_until, tokens_until = lane_used_until(upstream, now)
  local function used(until_ms, limit, amount, spread)
    local span = even_ms(limit, amount)
    return string.format('%.3f', math.max(now, until_ms) + math.min(span * spread, math.max(span, SPREAD_MAX_MS)))
  end
  redis.call('HSET', upstream.state, 'requests_until_ms', used(requests_until, upstream.rpm, requests, spread_requests),
    'tokens_until_ms', used(tokens_until, upstream.tpm, tokens, spread_tokens))
end

-- The limits of all that serve the lane together; 0: unlimited.
local function lane_together(upstreams)
  local rpm, tpm = 0, 0
  for _, upstream in ipairs(upstreams) do
    rpm = (upstream.rpm == 0 or rpm < 0) and -1 or rpm + upstream.rpm
    tpm = (upstream.tpm == 0 or tpm < 0) and -1 or tpm + upstream.tpm
  end
  return math.max(0, rpm), math.max(0, tpm)
end

local function lane_join(waiting, fair, id, key, tag, tokens, span, now)
  local score = string.format('%.6f', tag)
  if redis.call('ZADD', waiting, 'NX', score, id) == 0 then return end
  redis.call('ZADD', waiting .. '|', int(now), id)
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
  redis.call('ZREM', waiting .. '|', id)
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

-- How fast virtual time goes, as seen over half a minute; what was seen before a break says nothing. Less than that misleads: it stands
-- still while some large calls have their turns, and leaps after them.
local SAMPLE_MS = 2000
local SAMPLE_MAX_MS = 10000
local SPEED_OVER_MS = 30000

local function lane_clock(fair, v, now)
  local seen = redis.call('HMGET', fair, 'v_then', 'then_ms', 'speed', 'speed_over_ms')
  local since = now - (tonumber(seen[2]) or 0)
  if since < SAMPLE_MS then return end
  if since <= SAMPLE_MAX_MS then
    local before = tonumber(seen[4]) or 0
    local speed = ((tonumber(seen[3]) or 0) * before + v - tonumber(seen[1])) / (before + since)
    redis.call('HSET', fair, 'speed', string.format('%.9f', speed), 'speed_over_ms', int(math.min(before + since, SPEED_OVER_MS)))
  else
    redis.call('HDEL', fair, 'speed', 'speed_over_ms')
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
local function lane_return(waiting, fair, id, key, tokens, now)
  local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  local tag = math.min(tonumber(redis.call('HGET', fair, 'v')) or 0, tonumber(first[2]) or 0)
  lane_join(waiting, fair, id, key, tag, tokens, 0, now)
end

-- Ms until the upstreams have room for so much beside what they took; those that are closed count only where all are.
local function lane_even(upstreams, now, requests, tokens)
  local open, opens_in = {}, math.huge
  for _, upstream in ipairs(upstreams) do
    local closed = math.max((tonumber(redis.call('HGET', upstream.window, 'frozen_until_ms')) or 0) - now, (lane_circuit(upstream, now)))
    if closed <= 0 then open[#open + 1] = upstream end
    opens_in = math.min(opens_in, math.max(0, closed))
  end
  if #open == 0 then open = upstreams end
  local rpm, tpm = lane_together(open)
  if rpm == 0 and tpm == 0 then return opens_in end
  local requests_in, tokens_in = even_ms(rpm, requests), even_ms(tpm, tokens)
  for _, upstream in ipairs(open) do
    local requests_until, tokens_until = lane_used_until(upstream, now)
    if rpm > 0 then requests_in = requests_in + upstream.rpm / rpm * (math.max(now, requests_until) - upstream.burst - now) end
    if tpm > 0 then tokens_in = tokens_in + upstream.tpm / tpm * (math.max(now, tokens_until) - upstream.burst - now) end
  end
  return math.max(opens_in, requests_in, tokens_in)
end

-- Calls that come before this place, and the ms until its turn as far as anybody knows.
local function lane_ahead(waiting, fair, upstreams, tag, now)
  local before, all = redis.call('ZCOUNT', waiting, '-inf', '(' .. string.format('%.6f', tag)), redis.call('ZCARD', waiting)
  local tokens = all > 0 and (tonumber(redis.call('HGET', fair, 'tokens')) or 0) * before / all or 0
  -- Others come meanwhile whose turn is sooner: how long it took of late says more than who is there now.
  local clock = redis.call('HMGET', fair, 'v', 'speed')
  local rpm, tpm = lane_together(upstreams)
  local speed = (rpm > 0 or tpm > 0) and tonumber(clock[2]) or 0
  local fairly = speed > 0 and (tag - (tonumber(clock[1]) or 0)) / speed or 0
  return before, math.ceil(math.max(0, lane_even(upstreams, now, before, tokens), fairly))
end

-- For an upstream that corrects what it counted: the window, and the even rate with it. Included after `window`.
local function lane_correct(window, state, bucket, delta, token_ms)
  window_correct(window, bucket, delta)
  local until_ms = tonumber(redis.call('HGET', state, 'tokens_until_ms'))
  if until_ms and delta < 0 then redis.call('HSET', state, 'tokens_until_ms', string.format('%.3f', until_ms + delta * token_ms)) end
end
