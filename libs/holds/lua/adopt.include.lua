-- Makes a hold again that Redis lost before it reached the ledger, for the worker that runs the call. It counts at
-- every level and stands in the journal as if it had been taken now. It holds at most what is free, so that no budget
-- is ever exceeded. The operator absorbs what the call costs beyond it. Include `balances` first.
local function adopt_hold(hold, key, campaign, operator_prefix, journal, request_id, key_id, campaign_id, amount, day,
  attempt, now)
  for _, level in ipairs({ key, campaign }) do
    local budget, spent, held = balance(level)
    amount = math.max(0, math.min(amount, budget - spent - held))
  end
  for _, level in ipairs(levels_of(key, campaign, operator_prefix, day)) do
    redis.call('HINCRBY', level, 'held', int(amount))
  end
  redis.call('HINCRBY', key, 'running', 1)
  keep_day(operator_prefix, day)
  redis.call('HSET', hold, 'state', 'dispatched', 'key', key_id, 'campaign', campaign_id, 'amount', int(amount),
    'attempt', attempt, 'day', day)
  redis.call('XADD', journal, '*', 'kind', 'hold', 'request', request_id, 'key', key_id, 'campaign', campaign_id,
    'amount', int(amount), 'paid', '0', 'absorbed', '0', 'day', day, 'at_ms', int(now),
    'detail', '{"reason":"adopted after a loss of Redis"}')
end
