-- Redis' own clock in milliseconds: the only clock that leases, windows and deadlines go by.
local function now_milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Integers up to 2^53 without an exponent. Lua's negative zero would read "-0", which is no integer to Redis.
local function int(number)
  if number == 0 then return '0' end
  return string.format('%.0f', number)
end

-- No upstream stops a lane for longer, whatever its headers say.
local FREEZE_MAX_MS = 120000

-- Until when a lane is frozen. A version without the bound may have stored a later time.
local function frozen_until(value, now)
  return math.min(now + FREEZE_MAX_MS, tonumber(value) or 0)
end
