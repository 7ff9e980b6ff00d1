-- Redis' own clock in milliseconds: the only clock that leases, windows and deadlines know.
local function now_milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Integers up to 2^53 without an exponent. Lua's negative zero would read "-0", which Redis does not take for an integer.
local function int(number)
  if number == 0 then return '0' end
  return string.format('%.0f', number)
end

local function balance(hash)
  local fields = redis.call('HMGET', hash, 'budget', 'spent', 'held')
  return (tonumber(fields[1]) or 0), (tonumber(fields[2]) or 0), (tonumber(fields[3]) or 0)
end
