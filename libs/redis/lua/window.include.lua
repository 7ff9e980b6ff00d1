--[[
  A sliding window over requests and tokens, for the limits of a key and the limits of a lane.
  State: one hash. `h` is the oldest bucket kept. `n` and `t` are sums over all kept buckets, `n<i>` and `t<i>` are one
  bucket's. A lane has `frozen_until_ms` beside them.
  A minute's bucket is a quarter of a second, a day's six minutes. 241 buckets would cover every whole minute (day). Two
  more are for calls that travel for longer than others, so that the upstream counts them later than Daypass does.
  Nobody counts a key's calls but Daypass. Its window has one bucket less than a whole minute needs, so that no call
  waits for longer than a minute.
]]
local MINUTE_BUCKET_MS = 250
local DAY_BUCKET_MS = 360000
local BUCKETS = 243
local KEY_BUCKETS = 240

local function window_advance(key, now_ms, bucket_ms, buckets)
  bucket_ms = bucket_ms or MINUTE_BUCKET_MS
  buckets = buckets or BUCKETS
  local current = math.floor(now_ms / bucket_ms)
  local head, requests, tokens, bucket_requests, bucket_tokens, frozen_value = unpack(redis.call('HMGET', key,
    'h', 'n', 't', 'n' .. current, 't' .. current, 'frozen_until_ms'))
  head = tonumber(head)
  local frozen_until_ms = frozen_until(frozen_value, now_ms)
  -- Stored, so that it comes nearer.
  if frozen_until_ms < (tonumber(frozen_value) or 0) then
    frozen_value = int(frozen_until_ms)
    redis.call('HSET', key, 'frozen_until_ms', frozen_value)
  end
  local oldest = current - buckets + 1
  if not head or oldest - head > BUCKETS or head > current + 1 then
    redis.call('HDEL', key, 'h', 'n', 't')
    if head then
      redis.call('DEL', key)
      if frozen_value then redis.call('HSET', key, 'frozen_until_ms', frozen_value) end
    end
    redis.call('HSET', key, 'h', oldest, 'n', 0, 't', 0)
    redis.call('PEXPIRE', key, math.max(2 * BUCKETS * bucket_ms, frozen_until_ms - now_ms))
    return { current = current, head = oldest, requests = 0, tokens = 0, bucket_ms = bucket_ms, buckets = buckets,
      frozen_until_ms = frozen_until_ms }
  end
  requests, tokens = tonumber(requests), tonumber(tokens)
  if head < oldest then
    local fields = {}
    for i = head, oldest - 1 do
      fields[#fields + 1] = 'n' .. i
      fields[#fields + 1] = 't' .. i
    end
    local values = redis.call('HMGET', key, unpack(fields))
    for i = 1, #values, 2 do
      requests = requests - (tonumber(values[i]) or 0)
      tokens = tokens - (tonumber(values[i + 1]) or 0)
    end
    redis.call('HDEL', key, unpack(fields))
    redis.call('HSET', key, 'h', oldest, 'n', requests, 't', tokens)
    head = oldest
  end
  return { current = current, head = head, requests = requests, tokens = tokens, bucket_ms = bucket_ms,
    buckets = buckets, frozen_until_ms = frozen_until_ms, bucket_requests = tonumber(bucket_requests),
    bucket_tokens = tonumber(bucket_tokens) }
end

-- The requests and tokens that a window counts, a key's unless told otherwise, without a change to it.
local function window_use(key, now_ms, bucket_ms, buckets)
  local head, requests, tokens = unpack(redis.call('HMGET', key, 'h', 'n', 't'))
  head, requests, tokens = tonumber(head), tonumber(requests) or 0, tonumber(tokens) or 0
  local oldest = math.floor(now_ms / (bucket_ms or MINUTE_BUCKET_MS)) - (buckets or KEY_BUCKETS) + 1
  if not head or oldest - head > BUCKETS then return 0, 0 end
  if head >= oldest then return requests, tokens end
  local gone = {}
  for i = head, oldest - 1 do
    gone[#gone + 1] = 'n' .. i
    gone[#gone + 1] = 't' .. i
  end
  local values = redis.call('HMGET', key, unpack(gone))
  for i = 1, #values, 2 do
    requests, tokens = requests - (tonumber(values[i]) or 0), tokens - (tonumber(values[i + 1]) or 0)
  end
  return requests, tokens
end

-- Requests and tokens of each bucket that counts, the oldest first.
local function window_buckets(key, window)
  local fields = {}
  for i = window.head, window.current do
    fields[#fields + 1] = 'n' .. i
    fields[#fields + 1] = 't' .. i
  end
  return redis.call('HMGET', key, unpack(fields))
end

-- Milliseconds until `requests` and `tokens` fit under the limits (0: unlimited); 0 when they fit now.
local function window_wait(key, window, now_ms, rpm, tpm, requests, tokens)
  local over_requests = rpm > 0 and window.requests + requests - rpm or 0
  local over_tokens = tpm > 0 and window.tokens + tokens - tpm or 0
  if over_requests <= 0 and over_tokens <= 0 then return 0 end
  local values = window_buckets(key, window)
  local bucket = window.head
  for i = 1, #values, 2 do
    over_requests = over_requests - (tonumber(values[i]) or 0)
    over_tokens = over_tokens - (tonumber(values[i + 1]) or 0)
    if over_requests <= 0 and over_tokens <= 0 then break end
    bucket = bucket + 1
  end
  return (bucket + window.buckets) * window.bucket_ms - now_ms
end

-- As `window_advance` has just seen it: in one command rather than in one for each number.
local function window_add(key, window, requests, tokens)
  redis.call('HSET', key, 'n', int(window.requests + requests), 't', int(window.tokens + tokens),
    'n' .. window.current, int((window.bucket_requests or 0) + requests),
    't' .. window.current, int((window.bucket_tokens or 0) + tokens))
  if not window.bucket_requests then redis.call('PEXPIRE', key, 2 * BUCKETS * window.bucket_ms) end
end
