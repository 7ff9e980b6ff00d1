#!lua flags=allow-oom
--[[
  Begins the calls of a lane whose turns are next, in the line's order: as `start-call` begins each, in one step with
  the look at the line and with the read of the bodies. Removes calls that nobody waits for any more. Stops at the first
  call that the lane has no room for. A call that is refused stays in the line until its caller ends it. From the first
  call that waits only for another model's images, it passes over all that draw, and they keep their turns.

  Each look of a process has a number, one higher than the look before. A process whose answer was lost asks again with
  the same number, before it sends anything. It gets the same calls, and no other begins. A look that comes late, after
  one with a higher number, begins nothing.

  Output: { 'looked', calls that still wait, calls } or { 'recovering' }: the door is not open
    of each call: id, ticket ('': Redis has none any more), body ('': it is larger than asked for; false: Redis lost it,
    or the call did not start), answer of `start-call`
]]
local epoch = KEYS[1]
local leases = KEYS[2]
local journal = KEYS[3]
local waiting = KEYS[4]
local fair = KEYS[5]
local shares = KEYS[6] -- of this minute
local last_look = KEYS[7] -- of the process at this lane: '<number> <id> <id> …'; after it the keys of the upstreams
local most = tonumber(ARGV[1]) -- calls
local look = tonumber(ARGV[2])
local process = ARGV[3]
local is_repeat = ARGV[4] == '1' -- an earlier copy of this look may come later
local look_life_ms = ARGV[5]
local lease_ms = tonumber(ARGV[6])
local run_id = ARGV[7] -- of Redis
local probe_ms = tonumber(ARGV[8]) -- for so long only one call tries a failing upstream
local body_bytes_max = tonumber(ARGV[9]) -- a larger body is not in the answer
local visitor_prefix = ARGV[10] -- followed by a claimant's id
local hold_prefix = ARGV[11]
local ticket_prefix = ARGV[12]
local body_prefix = ARGV[13]
local key_prefix = ARGV[14]
local campaign_prefix = ARGV[15]
local upstreams_at = 16 -- from here on
--@include common
--@include door
--@include journal-dispatch
--@include window
--@include window-steady
--@include lane-upstreams
--@include lane-room
--@include lane-line
--@include visitor
--@include begin-call
local LOOK_MAX = 10000 -- calls that nobody waits for
local PASSED_MAX = 1000 -- calls that wait for images: behind so many nothing begins
local LOOK_PASSED = 64 -- at once

if door(epoch, run_id) ~= 'open' then return { 'recovering' } end
local now = now_milliseconds()
local lane = { leases = leases, journal = journal, waiting = waiting, fair = fair, shares = shares,
  upstreams = lane_upstreams(KEYS, ARGV, upstreams_at, now), lease_ms = lease_ms, probe_ms = probe_ms,
  visitor_prefix = visitor_prefix }
local calls = {}

local function body_of(id)
  local bytes = redis.call('STRLEN', body_prefix .. id)
  if bytes == 0 then return false end
  return bytes <= body_bytes_max and redis.call('GET', body_prefix .. id) or ''
end

-- Returns the code of `start-call`, or `passed`.
local function begin(id, ticket, fields, about, tag)
  local images, seconds, drawing = lane_units_of(ticket)
  local answer = begin_call(lane, { id = id, hold = hold_prefix .. id, key = key_prefix .. (fields[5] or ''),
    campaign = campaign_prefix .. (fields[6] or ''), tokens = tonumber((about or ''):match('^%d+')) or 0,
    images = images, seconds = seconds, drawing = drawing, nonce = process .. ':' .. look, fields = fields,
    tag = tag }, now)
  local code = answer[1]
  if code == 'wait' and answer[3] == 'images' then return 'passed' end
  calls[#calls + 1] = { id, ticket, code == 'started' and body_of(id), answer }
  return code
end

local function fields_of(id)
  return redis.call('HMGET', hold_prefix .. id, unpack(BEGIN_FIELDS))
end

local stored = redis.call('GET', last_look)
local stored_look = stored and tonumber(stored:match('^%d+')) or 0
if stored_look >= look then
  if stored_look == look then
    for id in stored:gmatch(' (%S+)') do
      local tag = tonumber(redis.call('ZSCORE', waiting, id))
      begin(id, redis.call('GET', ticket_prefix .. id) or '', fields_of(id), redis.call('HGET', fair, 'c' .. id), tag)
    end
  end
  return { 'looked', redis.call('ZCARD', waiting), calls }
end

local function about_all(ids, prefix)
  local names = {}
  for i = 1, #ids, 2 do names[#names + 1] = prefix .. ids[i] end
  return redis.call('HMGET', fair, unpack(names))
end

local begun, refused, removed, passed, is_full = {}, 0, 0, 0, false
while #calls < most and removed < LOOK_MAX and passed < PASSED_MAX and not is_full do
  -- Refused calls are the first of the line until they end, and so are those that wait for images.
  local first = refused + passed
  local count = passed > 0 and LOOK_PASSED or most - #calls
  local ids = redis.call('ZRANGE', waiting, first, first + count - 1, 'WITHSCORES')
  if #ids == 0 then break end
  local about = about_all(ids, 'c')
  local draws = passed > 0 and about_all(ids, 'i') or {}
  for i = 1, #ids, 2 do
    local id = ids[i]
    local at = (i + 1) / 2
    if #calls == most then break end
    if draws[at] then
      passed = passed + 1
    else
      local fields = fields_of(id)
      local ticket = fields[1] == 'held' and redis.call('GET', ticket_prefix .. id)
      if not ticket then
        lane_leave(waiting, fair, id, true)
        removed = removed + 1
        -- Its turn may have gone to another call, which is first then.
        break
      end
      local code = begin(id, ticket, fields, about[at], tonumber(ids[i + 1]))
      if code == 'started' then
        begun[#begun + 1] = id
      elseif code == 'passed' then
        passed = passed + 1
        break
      elseif code == 'wait' then
        is_full = true
        break
      else
        refused = refused + 1
      end
    end
  end
end
-- Calls behind them do not wait for them.
if passed > 0 then redis.call('HSET', fair, 'passed_over', passed, 'passed_over_ms', int(now)) end
if #begun > 0 or is_repeat then
  redis.call('SET', last_look, table.concat({ int(look), unpack(begun) }, ' '), 'PX', look_life_ms)
end
return { 'looked', redis.call('ZCARD', waiting) - refused, calls }
