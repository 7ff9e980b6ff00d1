#!lua flags=allow-oom
--[[
  Takes over the limits that an upstream reports. Where the upstream counted more than the lane, the lane counts the
  rest, too. It never counts less than before. Fields of `state`: see `lane-upstreams`.

  Output: 1
]]
local window_key = KEYS[1]
local state = KEYS[2]
local reported_rpm = tonumber(ARGV[1]) -- requests a minute; 0: not reported
local reported_tpm = tonumber(ARGV[2]) -- tokens a minute; 0: not reported
local reported_rpd = tonumber(ARGV[3]) -- requests a day, by the project's report only; 0: not reported
local used_requests = tonumber(ARGV[4]) -- as the upstream counted them when it answered
local used_tokens = tonumber(ARGV[5]) -- both 0: nothing to compare
local counted_requests = tonumber(ARGV[6]) -- as the lane counted them when the call was sent
local counted_tokens = tonumber(ARGV[7])
local sent_ms = tonumber(ARGV[8]) -- when that was
local account = ARGV[9] -- whose headers these are: a fingerprint of the upstream's address and key; '': the project's
local answered = ARGV[10] == '1' -- by an answer, so that a limit that is missing there is no longer told
local reported_ipm = tonumber(ARGV[11]) or 0 -- images a minute; 0: not reported
--@include common
--@include window
-- The upstream may be many servers. So an answer without a limit proves little where others had it a moment ago.
local MISSED_MS = 60000
local now = now_milliseconds()

local function keep(field, value)
  redis.call('HSET', state, field, value, field .. '_ms', int(now))
end

local function forget(field)
  redis.call('HDEL', state, field, field .. '_ms')
end

if account == '' then
  for field, value in pairs({ project_rpm = reported_rpm, project_tpm = reported_tpm, project_rpd = reported_rpd,
    project_ipm = reported_ipm }) do
    if value > 0 then keep(field, int(value)) else forget(field) end
  end
else
  if redis.call('HGET', state, 'header_of') ~= account then
    forget('header_rpm')
    forget('header_tpm')
    forget('header_ipm')
    redis.call('HSET', state, 'header_of', account)
  end
  for field, value in pairs({ header_rpm = reported_rpm, header_tpm = reported_tpm }) do
    if value > 0 then
      keep(field, int(value))
    elseif answered and now - (tonumber(redis.call('HGET', state, field .. '_ms')) or now) > MISSED_MS then
      forget(field)
    end
  end
  -- Answers of text tell no limit of images, so that none says that it has gone.
  if reported_ipm > 0 then keep('header_ipm', int(reported_ipm)) end
end

local window = window_advance(window_key, now)
local sent_bucket = math.floor(sent_ms / window.bucket_ms)
if (used_requests == 0 and used_tokens == 0) or sent_bucket < window.head then return 1 end
-- Calls that the lane sent since may have arrived there first. Only the rest comes from somebody else.
local requests, tokens = used_requests - counted_requests, used_tokens - counted_tokens
local values = window_buckets(window_key, window)
for i = 1 + 2 * (sent_bucket - window.head), #values, 2 do
  requests, tokens = requests - (tonumber(values[i]) or 0), tokens - (tonumber(values[i + 1]) or 0)
end
requests, tokens = math.max(0, requests), math.max(0, tokens)
if requests > 0 or tokens > 0 then window_add(window_key, window, requests, tokens) end
return 1
