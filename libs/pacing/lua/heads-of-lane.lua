#!lua flags=allow-oom
--[[
  The calls whose turns are next, in their order. Removes calls that nobody waits for any more. Passes over the calls of
  the crowd: of keys and campaigns that get no place in the caller's process, and of those that have another model draw
  where the crowd says so. They keep their turns.

  Output: tickets; none where no call waits that the process has a place for
]]
local waiting = KEYS[1]
local fair = KEYS[2]
local hold_prefix = ARGV[1]
local ticket_prefix = ARGV[2]
local most = tonumber(ARGV[3]) -- tickets
local drawing = ARGV[4] == '1' -- the crowd has all calls that have another model draw
local campaigns = tonumber(ARGV[5]) or 0 -- of the crowd
local crowd_at = 6 -- from here on: its campaigns, then its keys
--@include common
--@include lane-line
local LOOK_CROWDED = 256 -- at once
local LOOK_MAX = 10000

local crowded_campaigns, crowded_keys = {}, {}
for i = crowd_at, #ARGV do
  if i < crowd_at + campaigns then crowded_campaigns[ARGV[i]] = true else crowded_keys[ARGV[i]] = true end
end
local is_crowded = drawing or #ARGV >= crowd_at

-- A key stays in its campaign, so that one look is enough for all its calls.
local function is_passed_over(id, about)
  if drawing and redis.call('HEXISTS', fair, 'i' .. id) == 1 then return true end
  local key = (about or ''):match('^%d+ %S+ (.*)$') or ''
  if crowded_keys[key] == nil then
    crowded_keys[key] = campaigns > 0 and crowded_campaigns[redis.call('HGET', hold_prefix .. id, 'campaign')] or false
  end
  return crowded_keys[key]
end

local function about_of(ids)
  local fields = {}
  for i, id in ipairs(ids) do fields[i] = 'c' .. id end
  return redis.call('HMGET', fair, unpack(fields))
end

local tickets, at, removed, before_first = {}, 0, 0, 0
while #tickets < most and at + removed < LOOK_MAX do
  local ids = redis.call('ZRANGE', waiting, at, at + (is_crowded and LOOK_CROWDED or most) - 1)
  if #ids == 0 then break end
  local about = is_crowded and about_of(ids)
  for i, id in ipairs(ids) do
    if #tickets == most then break end
    if is_crowded and is_passed_over(id, about[i]) then
      at = at + 1
      if #tickets == 0 then before_first = before_first + 1 end
    else
      local ticket = redis.call('HGET', hold_prefix .. id, 'state') == 'held' and redis.call('GET', ticket_prefix .. id)
      if ticket then
        tickets[#tickets + 1] = ticket
        at = at + 1
      else
        lane_leave(waiting, fair, id, true)
        removed = removed + 1
      end
    end
  end
end
if is_crowded and redis.call('EXISTS', fair) == 1 then
  redis.call('HSET', fair, 'passed_over', before_first, 'passed_over_ms', int(now_milliseconds()))
end
return tickets
