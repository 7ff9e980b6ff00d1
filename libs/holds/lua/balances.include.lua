-- Budget, spent and held of one level.
local function balance(level)
  local budget, spent, held = unpack(redis.call('HMGET', level, 'budget', 'spent', 'held'))
  return tonumber(budget) or 0, tonumber(spent) or 0, tonumber(held) or 0
end

-- Every level that a call counts against. The operator's two are kept whether or not a budget is set for them.
local function levels_of(key, campaign, operator_prefix, day)
  return { key, campaign, operator_prefix .. day, operator_prefix .. 'total' }
end

-- A day's balances are needed for as long as its calls may end or be corrected.
local function keep_day(operator_prefix, day)
  redis.call('PEXPIRE', operator_prefix .. day, 259200000)
end
