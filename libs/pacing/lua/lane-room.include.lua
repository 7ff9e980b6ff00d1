-- Finds room at an upstream, and takes it. Include `window`, `window-steady` and `lane-upstreams` first.

-- Ms until the upstream's minute has room for so many images and seconds of sound. Providers count them by the minute
-- alone, and a limit of five images is no even rate.
local function lane_units_wait(upstream, now, images, seconds)
  if not lane_counts_units(upstream, images, seconds) then return 0 end
  upstream.units_minute = window_advance(upstream.units, now)
  return window_wait(upstream.units, upstream.units_minute, now, upstream.images, upstream.seconds, images, seconds)
end

-- The same until any upstream has it.
local function lane_units_in(upstreams, now, images, seconds)
  local wait = math.huge
  for _, upstream in ipairs(upstreams) do
    if lane_fits(upstream, 0, images, seconds) then
      wait = math.min(wait, lane_units_wait(upstream, now, images, seconds))
    end
  end
  return wait == math.huge and 0 or wait
end

-- Ms until an upstream has room, and why it has none: '' its limits, or the kind of `lane_circuit`; −1: it never has.
local function lane_wait(upstream, now, requests, tokens, images, seconds)
  images, seconds = images or 0, seconds or 0
  if not lane_fits(upstream, tokens, images, seconds) or (upstream.rpm > 0 and requests > upstream.rpm) then return -1, '' end
  upstream.minute = window_advance(upstream.window, now)
  local frozen = upstream.minute.frozen_until_ms - now
  local even = math.max(lane_used_until(upstream, now)) - upstream.burst - now
  local wait = math.max(0, frozen, even,
    window_wait(upstream.window, upstream.minute, now, upstream.rpm, upstream.tpm, requests, tokens),
    lane_units_wait(upstream, now, images, seconds))
  if upstream.rpd > 0 or upstream.tpd > 0 then
    upstream.whole_day = window_advance(upstream.day, now, DAY_BUCKET_MS)
    wait = math.max(wait,
      window_wait(upstream.day, upstream.whole_day, now, upstream.rpd, upstream.tpd, requests, tokens))
  end
  local open, kind = lane_circuit(upstream, now)
  return math.ceil(math.max(wait, open)), open >= wait and kind or ''
end

-- By how much the lane spreads requests and tokens beyond the even rate, because some came at once. Otherwise the
-- window would be full before they leave it, and the lane would stand still. Measured twice a second.
local SPREAD_EVERY_MS = 500
local SPREAD_MAX = 10
-- Calls never come quite evenly, and a large one leaves at once. A window that is full for a moment costs less than one
-- that never is.
local SPREAD_SLACK_MS = 3000
local SPREAD_MAX_MS = 5000

local function lane_spread(upstream, now)
  local age = now - upstream.spread_ms
  if age >= 0 and age < SPREAD_EVERY_MS then return upstream.spread_requests, upstream.spread_tokens end
  local requests, tokens = window_steady(upstream.window, upstream.minute, now, upstream.rpm, upstream.tpm,
    SPREAD_SLACK_MS)
  local function spread(limit, steady)
    return limit > 0 and math.max(1, math.min(SPREAD_MAX, limit / 60000 / math.max(steady, 1e-12))) or 1
  end
  requests, tokens = spread(upstream.rpm, requests), spread(upstream.tpm, tokens)
  redis.call('HSET', upstream.state, 'spread_requests', string.format('%.6f', requests),
    'spread_tokens', string.format('%.6f', tokens), 'spread_ms', int(now))
  upstream.spread_requests, upstream.spread_tokens, upstream.spread_ms = requests, tokens, now
  return requests, tokens
end

-- Takes the room that `lane_wait` found.
local function lane_take(upstream, now, requests, tokens, images, seconds)
  if lane_counts_units(upstream, images or 0, seconds or 0) then
    window_add(upstream.units, upstream.units_minute, images, seconds)
  end
  window_add(upstream.window, upstream.minute, requests, tokens)
  if upstream.whole_day then window_add(upstream.day, upstream.whole_day, requests, tokens) end
  if upstream.rpm == 0 and upstream.tpm == 0 then return end
  local spread_requests, spread_tokens = lane_spread(upstream, now)
  local requests_until, tokens_until = lane_used_until(upstream, now)
  local function used(until_ms, limit, amount, spread)
    local span = even_ms(limit, amount)
    return math.max(now, until_ms) + math.min(span * spread, math.max(span, SPREAD_MAX_MS))
  end
  -- The next call of the same step goes by them, too.
  upstream.requests_until = used(requests_until, upstream.rpm, requests, spread_requests)
  upstream.tokens_until = used(tokens_until, upstream.tpm, tokens, spread_tokens)
  redis.call('HSET', upstream.state, 'requests_until_ms', string.format('%.3f', upstream.requests_until),
    'tokens_until_ms', string.format('%.3f', upstream.tokens_until))
end
