-- Counts bytes against what a key may send, and get again, within an hour. Include `window` first.
-- 243 buckets of this length are an hour: no wait is longer than that.
local HOUR_BUCKET_MS = 14800

-- A call leaves about so much in Redis, ledger and journal, whatever its size.
local FREE_CALL_BYTES = 4096

-- Returns nil where the bytes fit, and has counted them. Returns what `bytes` says in the header of `take-hold` where
-- they do not fit.
local function count_bytes(key_bytes, own_limit, default_limit, bytes, now)
  local limit = tonumber(own_limit) or 0
  if limit == 0 then limit = default_limit end
  if limit == 0 or bytes == 0 then return nil end
  if bytes > limit then return { 'bytes', int(limit), '-1', int(bytes) } end
  local window = window_advance(key_bytes, now, HOUR_BUCKET_MS)
  local wait = window_wait(key_bytes, window, now, 0, limit, 0, bytes)
  if wait > 0 then return { 'bytes', int(limit), int(wait), int(bytes) } end
  window_add(key_bytes, window, 0, bytes)
  return nil
end

-- Money bounds how many calls a key makes, but not those that cost nothing. Refuses none: the next `count_bytes` does.
local function count_free_call(key_bytes, now)
  window_add(key_bytes, window_advance(key_bytes, now, HOUR_BUCKET_MS), 0, FREE_CALL_BYTES)
end
