#!lua flags=allow-oom
--[[
  Shows what waits in a lane, and what its upstreams have taken.

  Output: { waiting calls, waiting tokens, id of the next call or '', ms since the first of them came, shares,
    upstreams }
    shares: campaign, tokens, …
    an upstream: { rpm, tpm, requests and tokens of the last minute, frozen until (ms; 0: it is not), requests and
      tokens of the last day (0: not counted), circuit open until (ms; 0: closed), why or '', failures in a row,
      requests and tokens a day (0: unlimited), images and seconds of sound a minute (0: unlimited), images and
      seconds of the last minute (0 where nothing limits them) }
]]
local waiting = KEYS[1]
local fair = KEYS[2]
local shares = KEYS[3] -- of the last whole minute; after it the keys of the upstreams
local upstreams_at = 1 -- from here on
--@include common
--@include window
--@include lane-upstreams
local now = now_milliseconds()
local shown = {}
for _, upstream in ipairs(lane_upstreams(KEYS, ARGV, upstreams_at, now)) do
  local minute = window_advance(upstream.window, now)
  local day = { requests = 0, tokens = 0 }
  if upstream.rpd > 0 or upstream.tpd > 0 then day = window_advance(upstream.day, now, DAY_BUCKET_MS) end
  local units = { requests = 0, tokens = 0 }
  if upstream.images > 0 or upstream.seconds > 0 then units = window_advance(upstream.units, now) end
  local frozen = minute.frozen_until_ms
  local open, kind = lane_circuit(upstream, now)
  shown[#shown + 1] = { int(upstream.rpm), int(upstream.tpm), int(minute.requests), int(minute.tokens),
    frozen > now and int(frozen) or '0', int(day.requests), int(day.tokens), open > 0 and int(now + open) or '0', kind,
    upstream.failures, int(upstream.rpd), int(upstream.tpd), int(upstream.images), int(upstream.seconds),
    int(units.requests), int(units.tokens) }
end
local calls = redis.call('ZCARD', waiting)
local first = redis.call('ZRANGE', waiting .. '|', 0, 0, 'WITHSCORES')
return { tostring(calls), calls > 0 and redis.call('HGET', fair, 'tokens') or '0',
  redis.call('ZRANGE', waiting, 0, 0)[1] or '', first[2] and int(math.max(0, now - first[2])) or '0',
  redis.call('HGETALL', shares), shown }
