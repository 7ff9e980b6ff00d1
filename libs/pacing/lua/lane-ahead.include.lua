-- How long a call waits in the line. Include `lane-upstreams` first.

-- The limits of all that serve the lane together; 0: unlimited.
local function lane_together(upstreams)
  local rpm, tpm = 0, 0
  for _, upstream in ipairs(upstreams) do
    rpm = (upstream.rpm == 0 or rpm < 0) and -1 or rpm + upstream.rpm
    tpm = (upstream.tpm == 0 or tpm < 0) and -1 or tpm + upstream.tpm
  end
  return math.max(0, rpm), math.max(0, tpm)
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

-- Calls before this tag, and the estimated ms until its turn.
local function lane_ahead(waiting, fair, upstreams, tag, now)
  local before = redis.call('ZCOUNT', waiting, '-inf', '(' .. string.format('%.6f', tag))
  local passed_over, passed_over_ms = unpack(redis.call('HMGET', fair, 'passed_over', 'passed_over_ms'))
  if now - (tonumber(passed_over_ms) or 0) < PASSED_OVER_LIFE_MS then
    before = math.max(0, before - (tonumber(passed_over) or 0))
  end
  local all = redis.call('ZCARD', waiting)
  local tokens = all > 0 and (tonumber(redis.call('HGET', fair, 'tokens')) or 0) * before / all or 0
  -- Calls with earlier turns may come meanwhile, so that the speed of the last half minute tells more than the line.
  local v, measured_speed = unpack(redis.call('HMGET', fair, 'v', 'speed'))
  local rpm, tpm = lane_together(upstreams)
  local speed = (rpm > 0 or tpm > 0) and tonumber(measured_speed) or 0
  local by_speed = speed > 0 and (tag - (tonumber(v) or 0)) / speed or 0
  return before, math.ceil(math.max(0, lane_even(upstreams, now, before, tokens), by_speed))
end
