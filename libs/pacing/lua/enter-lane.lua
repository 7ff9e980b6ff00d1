#!lua
--[[
  A call joins the line of a lane. Its place follows from its key's turns. Calls of one key follow one another. Keys
  take turns by what they take of the lane, so that many calls of one key do not go before another key's first.
  Idempotent by request id. The verdicts on the call's input go into the record first, in the same step, whatever
  becomes of the call.

  Output: { code, calls before it, estimated ms until its turn }
    entered · late (its deadline comes first, and it does not join) · too_large (for all upstreams)
    · gone (its hold does not wait)
]]
local waiting = KEYS[1]
local fair = KEYS[2]
local hold = KEYS[3]
local ticket_key = KEYS[4]
local audit_stream = KEYS[5]
local audit_bytes = KEYS[6] -- after it the keys of the upstreams
local request_id = ARGV[1]
local key_id = ARGV[2]
local tokens = tonumber(ARGV[3])
local weight = tonumber(ARGV[4]) -- of the key
local ticket = ARGV[5]
local ticket_life_ms = ARGV[6]
local events = tonumber(ARGV[7]) -- for the record
local images = tonumber(ARGV[8]) -- that the call takes of the lane
local seconds = tonumber(ARGV[9]) -- of sound
local drawing = ARGV[10] ~= '' and cjson.decode(ARGV[10]) or nil -- see `lane_drawing`
local events_at = 11 -- from here on: of each event its JSON, and its encrypted content ('': none)
local upstreams_at = events_at + 2 * events -- from here on
--@include common
--@include window
--@include window-steady
--@include lane-upstreams
--@include lane-room
--@include lane-line
--@include lane-ahead
--@include audit
local now = now_milliseconds()
for i = events_at, upstreams_at - 1, 2 do record(audit_stream, audit_bytes, now, ARGV[i], ARGV[i + 1], key_id) end
local state, deadline_ms = unpack(redis.call('HMGET', hold, 'state', 'deadline_ms'))
if state ~= 'held' then return { 'gone', 0, 0 } end
local upstreams = lane_upstreams(KEYS, ARGV, upstreams_at, now)
local former_tag = tonumber(redis.call('ZSCORE', waiting, request_id))
if former_tag then
  local before, eta = lane_ahead(waiting, fair, upstreams, former_tag, now, lane_read(waiting, fair, 'v'))
  return { 'entered', before, eta }
end
local seen = lane_drawing(upstreams, drawing, now)
local fits = false
for _, upstream in ipairs(seen) do fits = fits or lane_fits(upstream, tokens, images, seconds) end
if not fits then return { 'too_large', 0, 0 } end
local line, key_begins = lane_read(waiting, fair, 'f' .. key_id)
local tag = math.max(line.v, tonumber(key_begins) or 0)
local before, eta = lane_ahead(waiting, fair, upstreams, tag, now, line)
eta = math.max(eta, lane_units_in(seen, now, images, seconds))
local deadline = tonumber(deadline_ms)
if deadline and eta > 0 and now + eta > deadline then return { 'late', before, eta } end
-- What the call takes of the lane: ms of the even rate that it takes more of. A lane without limits shares by tokens.
-- Images of another model are not the lane's.
local rpm, tpm, lane_images, lane_seconds = lane_together(upstreams)
local span = math.max(even_ms(rpm, 1), even_ms(tpm, tokens), even_ms(lane_images, drawing and 0 or images),
  even_ms(lane_seconds, seconds))
if span == 0 then span = 1 + tokens / 1000 end
lane_join(waiting, fair, request_id, key_id, tag, tokens, span / weight, now, line.tokens, tag + span / weight,
  drawing ~= nil)
redis.call('SET', ticket_key, ticket, 'PX', ticket_life_ms)
return { 'entered', before, eta }
