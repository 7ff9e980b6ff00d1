-- Journals that a worker sends the call now, or has sent it. The day is the hold's own.
local function journal_dispatch(journal, request_id, key_id, campaign_id, amount, day, attempt, now)
  redis.call('XADD', journal, '*', 'kind', 'dispatch', 'request', request_id, 'key', key_id, 'campaign', campaign_id,
    'amount', amount, 'paid', '0', 'absorbed', '0', 'attempt', attempt, 'day', day, 'at_ms', int(now))
end
