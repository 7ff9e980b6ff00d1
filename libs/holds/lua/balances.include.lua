-- A field that is not there counts as 0.
local function amounts(budget, spent, held, absorbed)
  return tonumber(budget) or 0, tonumber(spent) or 0, tonumber(held) or 0, tonumber(absorbed) or 0
end

-- Budget, spent, held and absorbed of one level.
local function balance(level)
  return amounts(unpack(redis.call('HMGET', level, 'budget', 'spent', 'held', 'absorbed')))
end

-- The operator absorbs what a call cost beyond its hold. It counts beside what was spent, so that a leak ends with the
-- budgets of the campaign and of the operator. No key pays for it. It stays below 2^53, which no budget comes near, so
-- that many absurd reports raise no error in mid-script.
local function absorb(levels, amount)
  if amount <= 0 then return end
  for _, level in ipairs(levels) do
    local absorbed = tonumber(redis.call('HGET', level, 'absorbed')) or 0
    redis.call('HSET', level, 'absorbed', int(math.min(absorbed + amount, 9007199254740991)))
  end
end

-- Every level that a call counts against. The operator's two are kept whether or not a budget is set for them.
local function levels_of(key, campaign, operator_prefix, day)
  return { key, campaign, operator_prefix .. day, operator_prefix .. 'total' }
end

-- A day's balances are needed for as long as its calls may end or be corrected.
local function keep_day(operator_prefix, day)
  redis.call('PEXPIRE', operator_prefix .. day, 259200000)
end
