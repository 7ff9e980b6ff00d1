--[[
  The upstreams that serve a lane, beside their windows. Each has two hashes.
  `state`: `header_rpm` and `header_tpm` as the headers of its answers told them at `…_ms`, and `header_of` whose
  answers: a fingerprint of its address and key. `project_rpm`, `project_tpm` and `project_rpd` as the project's report
  told them at `…_ms`, and `header_ipm` and `project_ipm` of images. `requests_until_ms` and `tokens_until_ms`: until when its even rate of each is used up (virtual
  scheduling, ITU-T I.371). `factor` as of `factor_ms`: the share of its limits that is safe to use, where an upstream
  without headers has shown that they are lower. `spread_…`: see `lane_spread`.
  `units` is a window as well: it counts images as others count requests, and seconds of sound as others count tokens.
  `circuit`, one for all lanes: `failures` in a row, `kind`, `open_until_ms`, `tripped`: it was open, and
  `probe_until_ms`: one call tries.
]]
local REGROW_PER_MS = 0.1 / 60000

-- `rpm` and `tpm`, times the factor where there is one.
local function lane_limits(state, rpm, tpm, factor, factor_ms, now)
  factor = tonumber(factor)
  if not factor then return rpm, tpm end
  factor = factor + math.max(0, now - (tonumber(factor_ms) or now)) * REGROW_PER_MS
  if factor >= 1 then
    redis.call('HDEL', state, 'factor', 'factor_ms')
    return rpm, tpm
  end
  return rpm > 0 and math.max(1, math.floor(rpm * factor)) or 0, tpm > 0 and math.max(1, math.floor(tpm * factor)) or 0
end

-- What nobody confirms any more is forgotten. Answers confirm headers; accounting asks for the project's every quarter
-- of an hour.
local HEADER_LIFE_MS = 600000
local PROJECT_LIFE_MS = 3600000

-- A limit that was told at that time. nil: it was not told, or has lapsed. A later time comes from a clock that was put
-- back.
local function told_limit(value, told_ms, life_ms, now)
  local age = now - (tonumber(told_ms) or 0)
  return age >= -life_ms and age <= life_ms and tonumber(value) or nil
end

local STATE_FIELDS = { 'header_rpm', 'header_rpm_ms', 'header_tpm', 'header_tpm_ms', 'project_rpm', 'project_rpm_ms',
  'project_tpm', 'project_tpm_ms', 'project_rpd', 'project_rpd_ms', 'factor', 'factor_ms', 'requests_until_ms',
  'tokens_until_ms', 'spread_requests', 'spread_tokens', 'spread_ms', 'header_ipm', 'header_ipm_ms', 'project_ipm',
  'project_ipm_ms' }

local UPSTREAM_KEYS, UPSTREAM_ARGS = 5, 9

-- The upstreams that serve the lane, in the order that they are taken in. The script's last keys are theirs: of each
-- `window`, `state`, `circuit`, `day` and `units`. So are its last arguments, from the number `argument` on: of each
-- rpm, tpm, rpd, tpd (0: unlimited), burst (ms), whether it corrects what it counted (0 | 1), its name, and images and
-- seconds of sound a minute (0: unlimited). Reads each state once.
local function lane_upstreams(KEYS, ARGV, argument, now)
  local upstreams = {}
  local count = (#ARGV - argument + 1) / UPSTREAM_ARGS
  for i = 0, count - 1 do
    local key, arg = #KEYS - (count - i) * UPSTREAM_KEYS + 1, argument + i * UPSTREAM_ARGS
    local window, state, circuit, day, units = unpack(KEYS, key, key + UPSTREAM_KEYS - 1)
    local rpm, tpm, rpd, tpd, burst_ms, corrects, name, images, seconds = unpack(ARGV, arg, arg + UPSTREAM_ARGS - 1)
    local header_rpm, header_rpm_ms, header_tpm, header_tpm_ms, project_rpm, project_rpm_ms, project_tpm, project_tpm_ms,
      project_rpd, project_rpd_ms, factor, factor_ms, requests_until_ms, tokens_until_ms, spread_requests,
      spread_tokens, spread_ms, header_ipm, header_ipm_ms, project_ipm, project_ipm_ms = unpack(redis.call('HMGET', state, unpack(STATE_FIELDS)))
    rpm = told_limit(header_rpm, header_rpm_ms, HEADER_LIFE_MS, now)
      or told_limit(project_rpm, project_rpm_ms, PROJECT_LIFE_MS, now) or tonumber(rpm)
    tpm = told_limit(header_tpm, header_tpm_ms, HEADER_LIFE_MS, now)
      or told_limit(project_tpm, project_tpm_ms, PROJECT_LIFE_MS, now) or tonumber(tpm)
    rpm, tpm = lane_limits(state, rpm, tpm, factor, factor_ms, now)
    upstreams[#upstreams + 1] = {
      name = name,
      window = window,
      state = state,
      circuit = circuit,
      day = day,
      units = units,
      rpm = rpm,
      tpm = tpm,
      rpd = told_limit(project_rpd, project_rpd_ms, PROJECT_LIFE_MS, now) or tonumber(rpd),
      tpd = tonumber(tpd),
      images = told_limit(header_ipm, header_ipm_ms, HEADER_LIFE_MS, now)
        or told_limit(project_ipm, project_ipm_ms, PROJECT_LIFE_MS, now) or tonumber(images),
      seconds = tonumber(seconds),
      burst = tonumber(burst_ms),
      corrects = corrects == '1',
      requests_until = tonumber(requests_until_ms) or 0,
      tokens_until = tonumber(tokens_until_ms) or 0,
      spread_requests = tonumber(spread_requests),
      spread_tokens = tonumber(spread_tokens),
      spread_ms = tonumber(spread_ms) or 0,
    }
  end
  return upstreams
end

local PROBE_LOOK_MS = 100

-- Ms for which calls leave an upstream alone, and why: it fails (`failing`) or refuses the account (`account`). 0 and
-- '' where calls may go to it. Sets its `failures` and `tripped`.
local function lane_circuit(upstream, now)
  local open_until_ms, kind, probe_until_ms, failures, tripped = unpack(redis.call('HMGET', upstream.circuit,
    'open_until_ms', 'kind', 'probe_until_ms', 'failures', 'tripped'))
  upstream.failures, upstream.tripped = failures or '0', tripped
  -- While one call tries it, the upstream may recover any moment.
  local probe = math.min(PROBE_LOOK_MS, (tonumber(probe_until_ms) or 0) - now)
  local wait = math.max((tonumber(open_until_ms) or 0) - now, probe)
  if wait <= 0 then return 0, '' end
  return wait, kind or 'failing'
end

-- A call takes a minute of the even rate at most. A later time comes from a clock that somebody put back.
local AHEAD_MAX_MS = 130000

-- Until when the even rate of requests and that of tokens are used up, each by itself. Small calls use up the one, and
-- large calls the other. Both limits are used only where neither waits for the other. Where a limit has lapsed, nothing
-- of it is used up.
local function lane_used_until(upstream, now)
  local function until_ms(limit, used_until)
    return (limit == 0 or used_until - now > AHEAD_MAX_MS) and now or used_until
  end
  return until_ms(upstream.rpm, upstream.requests_until), until_ms(upstream.tpm, upstream.tokens_until)
end

-- So much of an even rate, in ms; 0 where there is no limit.
local function even_ms(limit, amount)
  return limit > 0 and amount * 60000 / limit or 0
end

-- `images`, `seconds`: what a call takes beside a request and its tokens; 0 of most.
local function lane_fits(upstream, tokens, images, seconds)
  return (upstream.tpm == 0 or tokens <= upstream.tpm) and (upstream.tpd == 0 or tokens <= upstream.tpd)
    and (upstream.images == 0 or images <= upstream.images) and (upstream.seconds == 0 or seconds <= upstream.seconds)
end

-- Whether the upstream limits what the call takes. Most calls take neither, and cost no look at that window.
local function lane_counts_units(upstream, images, seconds)
  return (upstream.images > 0 and images > 0) or (upstream.seconds > 0 and seconds > 0)
end

-- Of a ticket: images, seconds of sound, and who draws (`lane_drawing`). Most have none, and nobody reads those.
local function lane_units_of(ticket)
  if not ticket or not ticket:find('"pacedUnits"', 1, true) then return 0, 0 end
  local units = cjson.decode(ticket).pacedUnits or {}
  return tonumber(units.images) or 0, tonumber(units.audioSeconds) or 0, units.drawing
end

-- The upstreams as a call sees them whose images another model makes: its images count against that model's lane.
-- `drawing`: of each upstream there `name`, `slot` and `ipm`; nil: the images are the lane's own. One that does not
-- serve that lane has no known limit of images. The rest is one and the same for all calls.
local function lane_drawing(upstreams, drawing, now)
  if not drawing then return upstreams end
  local seen = {}
  for i, upstream in ipairs(upstreams) do
    local own = { images = 0 }
    for _, part in ipairs(drawing) do
      if part.name == upstream.name then
        local state = upstream.state:match('^.-:lane:state:') .. part.slot
        local header, header_ms, project, project_ms = unpack(redis.call('HMGET', state, 'header_ipm', 'header_ipm_ms',
          'project_ipm', 'project_ipm_ms'))
        own.units = upstream.units:match('^.-:window:units:') .. part.slot
        own.images = told_limit(header, header_ms, HEADER_LIFE_MS, now)
          or told_limit(project, project_ms, PROJECT_LIFE_MS, now) or tonumber(part.ipm)
      end
    end
    seen[i] = setmetatable(own, { __index = upstream, __newindex = upstream })
  end
  return seen
end
