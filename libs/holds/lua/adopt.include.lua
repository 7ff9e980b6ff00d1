-- Makes a hold that Redis lost before it reached the ledger, for the worker that runs the call: held at every level and
-- journalled as if it had been taken now. Held is at most what is free, so that no budget is ever exceeded; what the call
-- costs beyond is the operator's.
local function adopt_hold(hold, key, campaign, operator_prefix, journal, request, key_id, campaign_id, amount, day, attempt, now)
  for _, hash in ipairs({ key, campaign }) do
    local budget, spent, held = balance(hash)
    amount = math.max(0, math.min(amount, budget - spent - held))
  end
  for _, hash in ipairs(levels_of(key, campaign, operator_prefix, day)) do redis.call('HINCRBY', hash, 'held', int(amount)) end
  redis.call('HINCRBY', key, 'running', 1)
  keep_day(operator_prefix, day)
  redis.call('HSET', hold, 'state', 'dispatched', 'key', key_id, 'campaign', campaign_id, 'amount', int(amount), 'attempt', attempt, 'day', day)
  redis.call('XADD', journal, '*', 'kind', 'hold', 'request', request, 'key', key_id, 'campaign', campaign_id,
    'amount', int(amount), 'paid', '0', 'absorbed', '0', 'day', day, 'at_ms', int(now), 'detail', '{"reason":"adopted after a loss of Redis"}')
end

local function journal_dispatch(journal, request, key_id, campaign_id, amount, day, attempt, now)
  redis.call('XADD', journal, '*', 'kind', 'dispatch', 'request', request, 'key', key_id, 'campaign', campaign_id,
    'amount', amount, 'paid', '0', 'absorbed', '0', 'attempt', attempt, 'day', day, 'at_ms', int(now))
end
