-- Begins one call, as `start-call` describes its answers. Include `journal-dispatch`, `lane-room`, `lane-line` and
-- `visitor` first.

-- How fast virtual time goes, measured over half a minute. Less than that misleads: virtual time stands still while
-- some large calls have their turns, and leaps after them. A speed from before a break means nothing.
local SAMPLE_MS = 2000
local SAMPLE_MAX_MS = 10000
local SPEED_OVER_MS = 30000

local OWN_PROBE_MS = 500
local SHARES_LIFE_MS = 180000

-- Of the hold; `begin_call` gets their values as `fields`.
local BEGIN_FIELDS = { 'state', 'deadline_ms', 'attempt', 'nonce', 'key', 'campaign', 'amount', 'day', 'upstream',
  'avoid', 'lane_token_ms' }

local function measure_speed(fair, v, now, v_then, then_ms, speed, speed_over_ms)
  local since = now - (tonumber(then_ms) or 0)
  if since < SAMPLE_MS then return end
  if since <= SAMPLE_MAX_MS then
    local before = tonumber(speed_over_ms) or 0
    local new_speed = ((tonumber(speed) or 0) * before + v - tonumber(v_then)) / (before + since)
    redis.call('HSET', fair, 'speed', string.format('%.9f', new_speed),
      'speed_over_ms', int(math.min(before + since, SPEED_OVER_MS)))
  else
    redis.call('HDEL', fair, 'speed', 'speed_over_ms')
  end
  redis.call('HSET', fair, 'v_then', string.format('%.6f', v), 'then_ms', int(now))
end

-- The call's turn has come: the lane's virtual time goes on to where the call begins.
local function take_turn(waiting, fair, id, tag, key_id, now)
  if not tag or not lane_leave(waiting, fair, id, false, tag) then return end
  local former_v, key_begins, v_then, then_ms, speed, speed_over_ms = unpack(redis.call('HMGET', fair,
    'v', 'f' .. key_id, 'v_then', 'then_ms', 'speed', 'speed_over_ms'))
  local v = math.max(tonumber(former_v) or 0, tag)
  redis.call('HSET', fair, 'v', string.format('%.6f', v))
  measure_speed(fair, v, now, v_then, then_ms, speed, speed_over_ms)
  if key_begins and tonumber(key_begins) <= v then redis.call('HDEL', fair, 'f' .. key_id) end
end

-- Without its images the call would have room.
local function waits_for_images(upstreams, call, now)
  for _, upstream in ipairs(upstreams) do
    if lane_wait(upstream, now, 1, call.tokens, 0, call.seconds) == 0 then return true end
  end
  return false
end

-- `lane`: its keys (leases, journal, waiting, fair, shares), its `upstreams`, and lease_ms, probe_ms, visitor_prefix.
-- `call`: id, its keys (hold, key, campaign), `tokens`, `images` and `seconds` to reserve, `drawing`: who makes the images
-- (`lane_drawing`), the caller's `nonce`, the hold's `fields`, its `tag` where it waits in the line, and then
-- `stands_behind`: whether others come first; nil: it is the first.
local function begin_call(lane, call, now)
  local state, deadline_ms, former_attempt, nonce, key_id, campaign_id, amount, day, former_upstream, avoided,
    former_token_ms = unpack(call.fields)
  if nonce == call.nonce then
    if state == 'presumed' then return { 'unsent', former_attempt } end
    if state == 'dispatched' then
      redis.call('ZADD', lane.leases, int(now + lane.lease_ms), call.id)
      return { 'started', former_attempt, int(now), '0', '0', former_upstream or '', '0' }
    end
  end
  if state ~= 'held' then return { 'ended', state or 'missing' } end

  local status, expires_ms = unpack(redis.call('HMGET', call.key, 'status', 'expires_ms'))
  local expires = tonumber(expires_ms) or 0
  if not status or status == 'revoked' or (expires > 0 and expires <= now)
    or redis.call('HGET', call.campaign, 'status') ~= 'active' then return { 'invalid' } end
  if status == 'suspended' or is_suspended_with_visitor(call.key, lane.visitor_prefix) then return { 'suspended' } end
  if call.tag and call.stands_behind and call.stands_behind() then return { 'wait', '5', '' } end

  local chosen, wait, why = nil, nil, ''
  local upstreams = lane_drawing(lane.upstreams, call.drawing, now)
  for _, upstream in ipairs(upstreams) do
    local its_wait, its_why = lane_wait(upstream, now, 1, call.tokens, call.images, call.seconds)
    if its_wait == 0 then
      chosen = chosen or upstream
      -- The one that just failed for this call goes last.
      if upstream.name ~= avoided then
        chosen = upstream
        break
      end
    end
    if its_wait > 0 and (not wait or its_wait < wait) then wait, why = its_wait, its_why end
  end
  if not chosen then
    if not wait then return { 'too_large' } end
    if call.drawing and waits_for_images(lane.upstreams, call, now) then why = 'images' end
    -- A restored hold has no deadline: it waits for as long as somebody renews its lease.
    local deadline = tonumber(deadline_ms)
    return { deadline and now + wait > deadline and 'late' or 'wait', int(wait), why }
  end

  lane_take(chosen, now, 1, call.tokens, call.images, call.seconds)
  -- One call tries the upstream, and the others wait for its outcome.
  -- They wait less for a campaign whose own requests failed there, and may be the cause.
  if chosen.tripped then
    local failed_there = redis.call('HEXISTS', chosen.circuit, 'c' .. campaign_id) == 1
    local until_ms = now + (failed_there and math.min(lane.probe_ms, OWN_PROBE_MS) or lane.probe_ms)
    redis.call('HSET', chosen.circuit, 'probe_until_ms', int(until_ms))
  end
  take_turn(lane.waiting, lane.fair, call.id, call.tag, key_id, now)
  if redis.call('HINCRBY', lane.shares, campaign_id, int(call.tokens)) == call.tokens then
    redis.call('PEXPIRE', lane.shares, SHARES_LIFE_MS)
  end
  local attempt = int((tonumber(former_attempt) or 0) + 1)
  local dispatched = { 'state', 'dispatched', 'attempt', attempt, 'nonce', call.nonce,
    'lane_bucket', int(chosen.minute.current), 'lane_tokens', int(call.tokens), 'upstream', chosen.name }
  if chosen.corrects then
    for _, value in ipairs({ 'lane_window', chosen.window, 'lane_state', chosen.state,
      'lane_token_ms', chosen.tpm > 0 and string.format('%.9f', 60000 / chosen.tpm) or '0' }) do
      dispatched[#dispatched + 1] = value
    end
  elseif former_token_ms then
    redis.call('HDEL', call.hold, 'lane_token_ms')
  end
  if call.drawing then
    dispatched[#dispatched + 1] = 'drawn'
    dispatched[#dispatched + 1] = lane_counts_units(chosen, call.images, 0)
      and int(call.images) .. ' ' .. int(chosen.units_minute.current) .. ' ' .. chosen.units or '0 0 '
  end
  redis.call('HSET', call.hold, unpack(dispatched))
  redis.call('ZADD', lane.leases, int(now + lane.lease_ms), call.id)
  journal_dispatch(lane.journal, call.id, key_id, campaign_id, amount, day, attempt, now)
  return { 'started', attempt, int(now), int(chosen.minute.requests + 1), int(chosen.minute.tokens + call.tokens),
    chosen.name, chosen.failures }
end
