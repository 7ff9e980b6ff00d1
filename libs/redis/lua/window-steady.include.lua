-- The requests and tokens a ms that a lane can send evenly for a minute, while it waits for the window no longer than
-- `slack_ms` of its even rate. At any time that is the free part of the window, and what has left the window by then.
-- The next seconds are too short to measure. Include `window` first.
local STEADY_FROM_MS = 5000

local function window_steady(key, window, now_ms, rpm, tpm, slack_ms)
  local values = window_buckets(key, window)
  local requests, tokens = math.huge, math.huge
  local free_requests = rpm * (1 + slack_ms / 60000) - window.requests
  local free_tokens = tpm * (1 + slack_ms / 60000) - window.tokens
  for i = 1, #values, 2 do
    local leaves_in = (window.head + (i - 1) / 2 + BUCKETS) * window.bucket_ms - now_ms
    if leaves_in >= STEADY_FROM_MS then
      requests, tokens = math.min(requests, free_requests / leaves_in), math.min(tokens, free_tokens / leaves_in)
    end
    free_requests = free_requests + (tonumber(values[i]) or 0)
    free_tokens = free_tokens + (tonumber(values[i + 1]) or 0)
  end
  return requests, tokens
end
