--[[
  A call joins those that wait for a lane. Its place is where its key's turn comes: calls of one key follow one another, and
  keys take turns by what they take of the lane, so that many calls of one key do not stand before another key's first.
  Idempotent by request id.

  KEYS: 1 waiting  2 fair  3 lane window  4 lane state  5 hold  6 ticket
  ARGV: 1 request id  2 key id  3 tokens  4 weight of the key  5 lane rpm (0: unlimited)  6 lane tpm (0: unlimited)  7 burst (ms)
        8 ticket  9 life of the ticket (ms)
  Output: { code, calls before it, ms until its turn as far as anybody knows }
    entered · late (its deadline comes first, and it does not join) · gone (its hold does not wait)
]]
--@include common
--@include window
--@include lane
local now = now_milliseconds()
local hold = redis.call('HMGET', KEYS[5], 'state', 'deadline_ms')
if hold[1] ~= 'held' then return { 'gone', 0, 0 } end
local tokens, weight, burst = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[7])
local rpm, tpm = lane_limits(KEYS[4], tonumber(ARGV[5]), tonumber(ARGV[6]), now)
local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
if known then
  local before, eta = lane_ahead(KEYS[1], KEYS[2], KEYS[3], KEYS[4], known, rpm, tpm, burst, now)
  return { 'entered', before, eta }
end
local clock = redis.call('HMGET', KEYS[2], 'v', 'f' .. ARGV[2])
local tag = math.max(tonumber(clock[1]) or 0, tonumber(clock[2]) or 0)
local before, eta = lane_ahead(KEYS[1], KEYS[2], KEYS[3], KEYS[4], tag, rpm, tpm, burst, now)
local deadline = tonumber(hold[2])
-- One that is larger than the whole limit is told so when its turn comes.
local fits = tpm == 0 or tokens <= tpm
if deadline and fits and eta > 0 and now + eta > deadline then return { 'late', before, eta } end
-- A lane without limits shares by tokens.
local span = lane_span(rpm, tpm, 1, tokens)
if span == 0 then span = 1 + tokens / 1000 end
lane_join(KEYS[1], KEYS[2], ARGV[1], ARGV[2], tag, tokens, span / weight)
redis.call('HSET', KEYS[2], 'f' .. ARGV[2], string.format('%.6f', tag + span / weight))
redis.call('SET', KEYS[6], ARGV[8], 'PX', ARGV[9])
return { 'entered', before, eta }
