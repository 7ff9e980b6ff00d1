--[[
  A sliding window over requests and tokens, shared by the limits of a key and the limits of a lane.
  State: one hash; `h` oldest bucket kept, `n` and `t` sums over all kept buckets, `n<i>` and `t<i>` per bucket, and for a lane `frozen_until_ms`.
  A minute's bucket is a quarter of a second, a day's six minutes. 241 would be enough for every minute (day) to lie wholly inside what is
  counted; two more are for calls that were on their way for longer than others, so that the upstream counts them later than we do.
]]
local MINUTE_BUCKET_MS = 250
local DAY_BUCKET_MS = 360000
local BUCKETS = 243

local function window_advance(key, now_ms, bucket_ms)
  bucket_ms = bucket_ms or MINUTE_BUCKET_MS
  local current = math.floor(now_ms / bucket_ms)
  local state = redis.call('HMGET', key, 'h', 'n', 't', 'n' .. current, 't' .. current, 'frozen_until_ms')
  local head = tonumber(state[1])
  local oldest = current - BUCKETS + 1
  if not head or oldest - head > BUCKETS or head > current + 1 then
    redis.call('HDEL', key, 'h', 'n', 't')
    if head then
      redis.call('DEL', key)
      if state[6] then redis.call('HSET', key, 'frozen_until_ms', state[6]) end
    end
    redis.call('HSET', key, 'h', oldest, 'n', 0, 't', 0)
    redis.call('PEXPIRE', key, math.max(2 * BUCKETS * bucket_ms, (tonumber(state[6]) or 0) - now_ms))
    return { current = current, head = oldest, requests = 0, tokens = 0, bucket_ms = bucket_ms, frozen_until_ms = tonumber(state[6]) or 0 }
  end
  local requests, tokens = tonumber(state[2]), tonumber(state[3])
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
  return { current = current, head = head, requests = requests, tokens = tokens, bucket_ms = bucket_ms, frozen_until_ms = tonumber(state[6]) or 0,
    bucket_requests = tonumber(state[4]), bucket_tokens = tonumber(state[5]) }
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
  return (bucket + BUCKETS) * window.bucket_ms - now_ms
end

-- Requests and tokens a ms that can be kept up for a minute without waiting for the window for longer than `slack_ms` of its even rate:
-- at any time at most the room that there is and what has left by then. What lies within the next seconds is too little to tell.
local STEADY_FROM_MS = 5000

local function window_steady(key, window, now_ms, rpm, tpm, slack_ms)
  local values = window_buckets(key, window)
  local requests, tokens = math.huge, math.huge
  local room_requests, room_tokens = rpm * (1 + slack_ms / 60000) - window.requests, tpm * (1 + slack_ms / 60000) - window.tokens
  for i = 1, #values, 2 do
    local leaves_in = (window.head + (i - 1) / 2 + BUCKETS) * window.bucket_ms - now_ms
    if leaves_in >= STEADY_FROM_MS then
      requests, tokens = math.min(requests, room_requests / leaves_in), math.min(tokens, room_tokens / leaves_in)
    end
    room_requests, room_tokens = room_requests + (tonumber(values[i]) or 0), room_tokens + (tonumber(values[i + 1]) or 0)
  end
  return requests, tokens
end

-- As `window_advance` has just seen it: in one command rather than in one for each number.
local function window_add(key, window, requests, tokens)
  redis.call('HSET', key, 'n', int(window.requests + requests), 't', int(window.tokens + tokens),
    'n' .. window.current, int((window.bucket_requests or 0) + requests), 't' .. window.current, int((window.bucket_tokens or 0) + tokens))
  if not window.bucket_requests then redis.call('PEXPIRE', key, 2 * BUCKETS * window.bucket_ms) end
end

-- Replaces a reservation made in `bucket` by what was really used, while the bucket still counts.
local function window_correct(key, bucket, delta)
  local head = tonumber(redis.call('HGET', key, 'h'))
  if delta ~= 0 and head and bucket and bucket >= head then
    redis.call('HINCRBY', key, 't', delta)
    redis.call('HINCRBY', key, 't' .. bucket, delta)
  end
end
