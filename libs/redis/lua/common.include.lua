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

-- What the door says to a caller who talks to this run of Redis: open · settling · closed. A restarted Redis has another
-- run id, so it is closed until accounting has vetted what it came back with.
local function door(epoch, run)
  local value = redis.call('GET', epoch)
  if not value then return 'closed' end
  local phase, vetted = value:match('^(%a+) (%S+)')
  return vetted == run and phase or 'closed'
end

-- Every level that a call counts against. The operator's two are kept whether or not a budget is set for them.
local function levels_of(key, campaign, operator_prefix, day)
  return { key, campaign, operator_prefix .. day, operator_prefix .. 'total' }
end

-- A day's balances are needed for as long as its calls may end or be corrected.
local function keep_day(operator_prefix, day)
  redis.call('PEXPIRE', operator_prefix .. day, 259200000)
end
