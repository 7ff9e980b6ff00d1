--[[
  Ends a hold, moves the money, journals it, and answers the visitor, all in one step. The only place that knows the
  transitions. Idempotent: a repeat changes nothing and returns the first outcome.

    post     held? no · dispatched → posted · presumed → posted with a correcting refund
    void     held → voided · dispatched → voided (the caller knows that the upstream did no work)
    cancel   held → voided · dispatched: left to whoever runs it (`running`)
    presume  held → voided · dispatched → presumed (nobody saw the end: the bound is booked until a report corrects it)
    expire   like presume, if the lease has really run out

  The visitor pays at most the held amount; what is beyond it is the operator's (absorbed).

  KEYS: 1 hold  2 key  3 campaign  4 journal  5 leases  6 key window  7 lane window  8 body  9 reply stream
  ARGV: 1 request id  2 transition  3 cost (nano)  4 tokens really used (-1: unknown)  5 detail (JSON)
        6 reply payload ('' for none)  7 retention of the ended hold (ms; a presumed one may be corrected for longer, ARGV 11)  8 strike (0 | 1)
        9 bound of the reply stream (entries)  10 life of the reply stream (ms)
        11 retention of a presumed hold (ms)
  Output: { outcome, state, paid, absorbed, key budget − spent − held }
    outcome: applied · repeated · corrected · running · missing · leased · refused
]]
--@include common
--@include window
local hold = redis.call('HMGET', KEYS[1], 'state', 'key', 'campaign', 'amount', 'paid', 'key_bucket', 'key_tokens', 'lane_bucket', 'lane_tokens', 'absorbed', 'day')
local state = hold[1]
if not state then return { 'missing', '', '0', '0', '0' } end
-- The caller names the accounts, the hold knows them: money must not move elsewhere.
if KEYS[2]:sub(-#hold[2]) ~= hold[2] or KEYS[3]:sub(-#hold[3]) ~= hold[3] then return redis.error_reply('ERR the hold belongs to another key or campaign') end
local transition, cost = ARGV[2], tonumber(ARGV[3])
local amount = tonumber(hold[4])
-- An error in mid-script keeps what was written before it, so whatever could raise one is settled before the money moves.
local used = math.floor(tonumber(ARGV[4]) or -1)
if not (used >= 0 and used < 9007199254740992) then used = -1 end
local now = now_milliseconds()

local function answer(outcome, paid, absorbed)
  local budget, spent, held = balance(KEYS[2])
  local available = int(budget - spent - held)
  if ARGV[6] ~= '' and (outcome == 'applied' or outcome == 'corrected') then
    redis.call('XADD', KEYS[9], 'MAXLEN', '~', ARGV[9], '*', 'id', ARGV[1], 'last', '1', 'available', available, 'payload', ARGV[6])
    redis.call('PEXPIRE', KEYS[9], ARGV[10])
  end
  return { outcome, state, int(paid), int(absorbed), available }
end

local function journal(kind, paid, absorbed)
  redis.call('XADD', KEYS[4], '*', 'kind', kind, 'request', ARGV[1], 'key', hold[2], 'campaign', hold[3],
    'amount', int(amount), 'paid', int(paid), 'absorbed', int(absorbed), 'at_ms', int(now), 'detail', ARGV[5])
end

if state == 'presumed' and transition == 'post' then
  local refund = amount - math.min(cost, amount)
  local absorbed = math.max(0, cost - amount)
  state = 'posted'
  for _, level in ipairs({ KEYS[2], KEYS[3], hold[11] }) do redis.call('HINCRBY', level, 'spent', int(-refund)) end
  redis.call('HSET', KEYS[1], 'state', state, 'paid', int(amount - refund), 'absorbed', int(absorbed))
  journal('correct', amount - refund, absorbed)
  return answer('corrected', amount - refund, absorbed)
end
if state == 'posted' or state == 'voided' or state == 'presumed' then
  return answer('repeated', tonumber(hold[5]) or 0, tonumber(hold[10]) or 0)
end
if transition == 'cancel' and state == 'dispatched' then return answer('running', 0, 0) end
if transition == 'post' and state == 'held' then return answer('refused', 0, 0) end
if transition == 'expire' and (tonumber(redis.call('ZSCORE', KEYS[5], ARGV[1])) or 0) > now then return answer('leased', 0, 0) end

local kind = 'void'
local paid, absorbed = 0, 0
if transition == 'post' then
  kind, state = 'post', 'posted'
  paid = math.min(cost, amount)
  absorbed = cost - paid
elseif (transition == 'expire' or transition == 'presume') and state == 'dispatched' then
  kind, state = 'presume', 'presumed'
  paid = amount
else
  state = 'voided'
end

for _, level in ipairs({ KEYS[2], KEYS[3], hold[11] }) do
  redis.call('HINCRBY', level, 'held', int(-amount))
  if paid > 0 then redis.call('HINCRBY', level, 'spent', int(paid)) end
end
redis.call('HINCRBY', KEYS[2], 'running', -1)
if ARGV[8] == '1' then redis.call('HINCRBY', KEYS[2], 'strikes', 1) end

if state == 'voided' and hold[8] == false then used = 0 end
if used >= 0 then
  window_correct(KEYS[6], tonumber(hold[6]), used - (tonumber(hold[7]) or 0))
  if hold[8] then window_correct(KEYS[7], tonumber(hold[8]), used - (tonumber(hold[9]) or 0)) end
end

redis.call('HSET', KEYS[1], 'state', state, 'paid', int(paid), 'absorbed', int(absorbed))
redis.call('PEXPIRE', KEYS[1], state == 'presumed' and ARGV[11] or ARGV[7])
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('DEL', KEYS[8])
journal(kind, paid, absorbed)
return answer('applied', paid, absorbed)
