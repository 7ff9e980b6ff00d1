--[[
  What a lane is at now.

  KEYS: 1 waiting  2 fair  3 shares of the last whole minute  4… of the upstreams
  ARGV: 1… of the upstreams
  Output: { waiting calls, waiting tokens, id of the next call or '', ms since the first of them came, shares, upstreams }
    shares: campaign, tokens, …
    an upstream: { rpm, tpm, requests and tokens of the last minute, frozen until (ms; 0: it is not), requests and tokens of the last
      day (0: not counted), circuit open until (ms; 0: closed), why or '', failures in a row, requests and tokens a day (0: unlimited) }
]]
--@include common
--@include window
--@include lane
local now = now_milliseconds()
local shown = {}
for _, upstream in ipairs(lane_upstreams(1, now)) do
  local minute = window_advance(upstream.window, now)
  local day = { requests = 0, tokens = 0 }
  if upstream.rpd > 0 or upstream.tpd > 0 then day = window_advance(upstream.day, now, DAY_BUCKET_MS) end
  local frozen = minute.frozen_until_ms
  local open, kind = lane_circuit(upstream, now)
  shown[#shown + 1] = { int(upstream.rpm), int(upstream.tpm), int(minute.requests), int(minute.tokens), frozen > now and int(frozen) or '0',
    int(day.requests), int(day.tokens), open > 0 and int(now + open) or '0', kind, upstream.failures, int(upstream.rpd), int(upstream.tpd) }
end
local waiting, first = redis.call('ZCARD', KEYS[1]), redis.call('ZRANGE', KEYS[1] .. '|', 0, 0, 'WITHSCORES')
return { tostring(waiting), waiting > 0 and redis.call('HGET', KEYS[2], 'tokens') or '0', redis.call('ZRANGE', KEYS[1], 0, 0)[1] or '',
  first[2] and int(math.max(0, now - first[2])) or '0', redis.call('HGETALL', KEYS[3]), shown }
