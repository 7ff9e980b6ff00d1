-- How long a call waits in the line. Include `lane-upstreams` first.

-- The limits of all that serve the lane together; 0: unlimited.
local function lane_together(upstreams)
  local function together(limit)
    local sum = 0
    for _, upstream in ipairs(upstreams) do
      if upstream[limit] == 0 then return 0 end
      sum = sum + upstream[limit]
    end
    return sum
  end
  return together('rpm'), together('tpm'), together('images'), together('seconds')
end

-- Ms until the upstreams have room for so much more. A frozen or failing one counts only where all of them are.
local function lane_even(upstreams, now, requests, tokens)
  local open, opens_in = {}, math.huge
  for _, upstream in ipairs(upstreams) do
    local frozen = frozen_until(redis.call('HGET', upstream.window, 'frozen_until_ms'), now) - now
    local closed = math.max(frozen, (lane_circuit(upstream, now)))
    if closed <= 0 then open[#open + 1] = upstream end
    opens_in = math.min(opens_in, math.max(0, closed))
  end
  if #open == 0 then open = upstreams end
  local rpm, tpm = lane_together(open)
  if rpm == 0 and tpm == 0 then return opens_in end
  local requests_in, tokens_in = even_ms(rpm, requests), even_ms(tpm, tokens)
  for _, upstream in ipairs(open) do
    local requests_until, tokens_until = lane_used_until(upstream, now)
    local requests_ahead = math.max(now, requests_until) - upstream.burst - now
    local tokens_ahead = math.max(now, tokens_until) - upstream.burst - now
    if rpm > 0 then requests_in = requests_in + upstream.rpm / rpm * requests_ahead end
    if tpm > 0 then tokens_in = tokens_in + upstream.tpm / tpm * tokens_ahead end
  end
  return math.max(opens_in, requests_in, tokens_in)
end

-- Processes look at a line at least so often while they pass over calls.
local PASSED_OVER_LIFE_MS = 5000

-- What the line says of itself, and the further field that the caller asks for.
local function lane_read(waiting, fair, field)
  local v, speed, tokens, passed_over, passed_over_ms, value = unpack(redis.call('HMGET', fair, 'v', 'speed', 'tokens',
    'passed_over', 'passed_over_ms', field))
  return {
    calls = redis.call('ZCARD', waiting),
    v = tonumber(v) or 0,
    speed = tonumber(speed) or 0,
    tokens = tonumber(tokens) or 0,
    passed_over = tonumber(passed_over) or 0,
    passed_over_ms = tonumber(passed_over_ms) or 0,
  }, value
end

-- Calls before this tag, and the estimated ms until its turn. `line`: of `lane_read`.
local function lane_ahead(waiting, fair, upstreams, tag, now, line)
  local before = line.calls > 0 and redis.call('ZCOUNT', waiting, '-inf', '(' .. string.format('%.6f', tag)) or 0
  if now - line.passed_over_ms < PASSED_OVER_LIFE_MS then before = math.max(0, before - line.passed_over) end
  local tokens = line.calls > 0 and line.tokens * before / line.calls or 0
  -- Calls with earlier turns may come meanwhile, so that the speed of the last half minute tells more than the line.
  local rpm, tpm, images, seconds = lane_together(upstreams)
  local speed = math.max(rpm, tpm, images, seconds) > 0 and line.speed or 0
  local by_speed = speed > 0 and (tag - line.v) / speed or 0
  return before, math.ceil(math.max(0, lane_even(upstreams, now, before, tokens), by_speed))
end
