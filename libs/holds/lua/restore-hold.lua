--[[
  Brings a hold back as the ledger knows it. Balances and journal are not touched: they come out of the ledger too. A hold
  that Redis has is left as it is.

  KEYS: 1 hold  2 leases
  ARGV: 1 request id  2 key id  3 campaign id  4 amount (nano)  5 state  6 paid (nano)  7 absorbed (nano)  8 day  9 attempt
        10 lease (ms; of one that is not ended)  11 retention (ms; of an ended one)
  Output: 1 restored · 0 it was there
]]
--@include common
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[5], 'key', ARGV[2], 'campaign', ARGV[3], 'amount', ARGV[4], 'paid', ARGV[6], 'absorbed', ARGV[7],
  'day', ARGV[8], 'attempt', ARGV[9], 'restored', '1')
if ARGV[5] == 'held' or ARGV[5] == 'dispatched' then
  redis.call('ZADD', KEYS[2], int(now_milliseconds() + tonumber(ARGV[10])), ARGV[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[11])
end
return 1
