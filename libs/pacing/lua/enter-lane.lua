--[[
  A call joins those that wait for a lane. Its place is where its key's turn comes: calls of one key follow one another, and
  keys take turns by what they take of the lane, so that many calls of one key do not stand before another key's first.
  Idempotent by request id. The verdicts that let it come so far go into the record first, in the same step, whatever becomes of the call.

  KEYS: 1 waiting  2 fair  3 hold  4 ticket  5 audit stream  6 its bytes  7… of the upstreams
  ARGV: 1 request id  2 key id  3 tokens  4 weight of the key  5 ticket  6 life of the ticket (ms)  7 events for the record
        8… of each the event (JSON), and its sealed content ('' for none)  … of the upstreams
  Output: { code, calls before it, ms until its turn as far as anybody knows }
    entered · late (its deadline comes first, and it does not join) · too_large (for all upstreams) · gone (its hold does not wait)
]]
--@include common
--@include window
--@include lane
--@include audit
local now = now_milliseconds()
local events = tonumber(ARGV[7])
for i = 8, 7 + 2 * events, 2 do record(KEYS[5], KEYS[6], now, ARGV[i], ARGV[i + 1]) end
local hold = redis.call('HMGET', KEYS[3], 'state', 'deadline_ms')
if hold[1] ~= 'held' then return { 'gone', 0, 0 } end
local tokens, weight = tonumber(ARGV[3]), tonumber(ARGV[4])
local upstreams = lane_upstreams(8 + 2 * events, now)
local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
if known then
  local before, eta = lane_ahead(KEYS[1], KEYS[2], upstreams, known, now)
  return { 'entered', before, eta }
end
local fits = false
for _, upstream in ipairs(upstreams) do fits = fits or lane_fits(upstream, tokens) end
if not fits then return { 'too_large', 0, 0 } end
local clock = redis.call('HMGET', KEYS[2], 'v', 'f' .. ARGV[2])
local tag = math.max(tonumber(clock[1]) or 0, tonumber(clock[2]) or 0)
local before, eta = lane_ahead(KEYS[1], KEYS[2], upstreams, tag, now)
local deadline = tonumber(hold[2])
if deadline and eta > 0 and now + eta > deadline then return { 'late', before, eta } end
-- A lane without limits shares by tokens.
local rpm, tpm = lane_together(upstreams)
local span = lane_span(rpm, tpm, 1, tokens)
if span == 0 then span = 1 + tokens / 1000 end
lane_join(KEYS[1], KEYS[2], ARGV[1], ARGV[2], tag, tokens, span / weight, now)
redis.call('HSET', KEYS[2], 'f' .. ARGV[2], string.format('%.6f', tag + span / weight))
redis.call('SET', KEYS[4], ARGV[5], 'PX', ARGV[6])
return { 'entered', before, eta }
