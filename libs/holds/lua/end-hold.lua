#!lua flags=allow-oom
--[[
  Ends a hold, moves the money, journals it, and answers the visitor, all in one step. The only place that knows the
  terminal transitions. Idempotent: a repeat changes nothing and returns the first outcome.

    post     held? no · dispatched → posted · presumed → posted with a correcting refund
    void     held → voided · dispatched → voided (the caller knows that the upstream did no work) · presumed → voided, all of it refunded
    cancel   held → voided · dispatched: left to whoever runs it (`running`)
    presume  held → voided · dispatched → presumed (nobody saw the end: the bound is booked until a report corrects it)
    expire   like presume, if the lease has really run out

  The visitor pays at most the held amount; what is beyond it is the operator's (absorbed). A worker names its attempt: a
  hold that Redis lost, or came back with as `held`, was dispatched by that attempt.

  KEYS: 1 hold  2 key  3 campaign  4 journal  5 leases  6 key window  7 ticket  8 body  9 reply stream  10 epoch
        11 operator's levels, without the day  12 waiting for the lane  13 its fair order  14 audit stream  15 its bytes
  ARGV: 1 request id  2 transition  3 cost (nano)  4 tokens really used (-1: unknown)  5 detail (JSON)
        6 reply payload ('' for none)  7 retention of the ended hold (ms; a presumed one may be corrected for longer, ARGV 11)  8 strike (0 | 1)
        9 bound of the reply stream (entries)  10 life of the reply stream (ms)
        11 retention of a presumed hold (ms)  12 run id of Redis
        13 attempt of the worker that speaks (0: not a worker)  14 its held amount (nano)  15 its day
        16 key id  17 campaign id
        18 what an idempotent repeat is answered with: '' nothing · 'reply' the reply payload · else a payload of its own
        19 life of an idempotency record (ms)
        20 (with a strike, each 0 for none) strikes that make the key rest  21 for so long (ms)
        22 strikes that suspend it  23 window that they are counted in (ms)
        24 upstream that the worker sent it to, for a hold that does not know
        25… events for the record, whatever becomes of the hold: of each the event (JSON), and its sealed content ('' for none)
  Output: { outcome, state, paid, absorbed, key budget − spent − held }
    outcome: applied · repeated · corrected · running · missing · leased · refused · recovering
]]
--@include common
--@include window
--@include lane
--@include adopt
--@include audit
local FIELDS = { 'state', 'key', 'campaign', 'amount', 'paid', 'key_bucket', 'key_tokens', 'lane_bucket', 'lane_tokens', 'absorbed', 'day',
  'restored', 'idempotency', 'lane_token_ms', 'lane_window', 'lane_state', 'upstream' }
local phase = door(KEYS[10], ARGV[12])
if phase == 'closed' then return { 'recovering', '', '0', '0', '0' } end
local transition, cost, attempt = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[13])
local now = now_milliseconds()
for i = 25, #ARGV, 2 do record(KEYS[14], KEYS[15], now, ARGV[i], ARGV[i + 1]) end
local hold = redis.call('HMGET', KEYS[1], unpack(FIELDS))
if not hold[1] and attempt > 0 and (transition == 'post' or transition == 'presume') then
  adopt_hold(KEYS[1], KEYS[2], KEYS[3], KEYS[11], KEYS[4], ARGV[1], ARGV[16], ARGV[17], tonumber(ARGV[14]), ARGV[15], ARGV[13], now)
  journal_dispatch(KEYS[4], ARGV[1], ARGV[16], ARGV[17], redis.call('HGET', KEYS[1], 'amount'), ARGV[15], ARGV[13], now)
  hold = redis.call('HMGET', KEYS[1], unpack(FIELDS))
end
local state = hold[1]
if not state then return { 'missing', '', '0', '0', '0' } end
-- The caller names the accounts, the hold knows them: money must not move elsewhere.
if KEYS[2]:sub(-#hold[2]) ~= hold[2] or KEYS[3]:sub(-#hold[3]) ~= hold[3] then return redis.error_reply('ERR the hold belongs to another key or campaign') end
local amount = tonumber(hold[4])
if state == 'held' and hold[12] and attempt > 0 then
  journal_dispatch(KEYS[4], ARGV[1], hold[2], hold[3], int(amount), hold[11], ARGV[13], now)
  state = 'dispatched'
end
-- An error in mid-script keeps what was written before it, so whatever could raise one is settled before the money moves.
local used = math.floor(tonumber(ARGV[4]) or -1)
if not (used >= 0 and used < 9007199254740992) then used = -1 end
local levels = levels_of(KEYS[2], KEYS[3], KEYS[11], hold[11])

local strikes = 0

local function answer(outcome, paid, absorbed)
  local budget, spent, held = balance(KEYS[2])
  local available = int(budget - spent - held)
  if ARGV[6] ~= '' and (outcome == 'applied' or outcome == 'corrected') then
    redis.call('XADD', KEYS[9], 'MAXLEN', '~', ARGV[9], '*', 'id', ARGV[1], 'last', '1', 'available', available, 'strikes', strikes, 'payload', ARGV[6])
    redis.call('PEXPIRE', KEYS[9], ARGV[10])
  end
  return { outcome, state, int(paid), int(absorbed), available }
end

local function journal(kind, paid, absorbed)
  redis.call('XADD', KEYS[4], '*', 'kind', kind, 'request', ARGV[1], 'key', hold[2], 'campaign', hold[3],
    'amount', int(amount), 'paid', int(paid), 'absorbed', int(absorbed), 'day', hold[11], 'at_ms', int(now), 'upstream', hold[17] or ARGV[24], 'detail', ARGV[5])
end

-- The newest first; what is older than the window is forgotten.
local function strike()
  local window, times = tonumber(ARGV[23]) or 0, { int(now) }
  for time in (redis.call('HGET', KEYS[2], 'strike_times') or ''):gmatch('%d+') do
    if #times < 100 and (window == 0 or tonumber(time) > now - window) then times[#times + 1] = time end
  end
  strikes = #times
  redis.call('HSET', KEYS[2], 'strike_times', table.concat(times, ' '))
  local cooldown_after, suspend_after, step, rest_until = tonumber(ARGV[20]) or 0, tonumber(ARGV[22]) or 0, 'warn', '0'
  if suspend_after > 0 and strikes >= suspend_after then
    step = 'suspend'
    redis.call('HSET', KEYS[2], 'status', 'suspended')
  elseif cooldown_after > 0 and strikes >= cooldown_after then
    step = 'cooldown'
    rest_until = int(now + tonumber(ARGV[21]))
    redis.call('HSET', KEYS[2], 'cooldown_until', rest_until)
  end
  redis.call('XADD', KEYS[4], '*', 'kind', 'strike', 'request', ARGV[1], 'key', hold[2], 'campaign', hold[3], 'amount', '0', 'paid', '0',
    'absorbed', '0', 'day', hold[11], 'at_ms', int(now), 'strikes', strikes, 'step', step, 'until_ms', rest_until,
    'detail', ARGV[5])
end

-- A call that cost nothing may be sent again under the same idempotency key, unless its answer is worth keeping.
local function keep_answer()
  local record = hold[13]
  if not record or redis.call('HGET', record, 'request') ~= ARGV[1] then return end
  if ARGV[18] ~= '' then
    redis.call('HSET', record, 'state', 'answered', 'answer', ARGV[18] == 'reply' and ARGV[6] or ARGV[18])
    redis.call('PEXPIRE', record, ARGV[19])
  elseif state == 'voided' then
    redis.call('DEL', record)
  else
    redis.call('HSET', record, 'state', 'unanswered')
  end
end

if state == 'presumed' and (transition == 'post' or transition == 'void') then
  local paid = transition == 'post' and math.min(cost, amount) or 0
  local absorbed = transition == 'post' and cost - paid or 0
  state = transition == 'post' and 'posted' or 'voided'
  for _, level in ipairs(levels) do redis.call('HINCRBY', level, 'spent', int(paid - amount)) end
  keep_day(KEYS[11], hold[11])
  redis.call('HSET', KEYS[1], 'state', state, 'paid', int(paid), 'absorbed', int(absorbed))
  journal('correct', paid, absorbed)
  keep_answer()
  return answer('corrected', paid, absorbed)
end
if state == 'posted' or state == 'voided' or state == 'presumed' then
  return answer('repeated', tonumber(hold[5]) or 0, tonumber(hold[10]) or 0)
end
if transition == 'cancel' and state == 'dispatched' then return answer('running', 0, 0) end
if transition == 'post' and state == 'held' then return answer('refused', 0, 0) end
-- While the door settles, those who are alive have not all been heard yet.
if transition == 'expire' and (phase == 'settling' or (tonumber(redis.call('ZSCORE', KEYS[5], ARGV[1])) or 0) > now) then return answer('leased', 0, 0) end

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

for _, level in ipairs(levels) do
  redis.call('HINCRBY', level, 'held', int(-amount))
  if paid > 0 then redis.call('HINCRBY', level, 'spent', int(paid)) end
end
redis.call('HINCRBY', KEYS[2], 'running', -1)
if ARGV[8] == '1' then strike() end

if state == 'voided' and hold[8] == false then used = 0 end
if used >= 0 then
  window_correct(KEYS[6], tonumber(hold[6]), used - (tonumber(hold[7]) or 0))
  -- Most upstreams count before the call and give nothing back (OpenAI, "Rate limits").
  if hold[8] and hold[14] then lane_correct(hold[15], hold[16], tonumber(hold[8]), used - (tonumber(hold[9]) or 0), tonumber(hold[14])) end
end

redis.call('HSET', KEYS[1], 'state', state, 'paid', int(paid), 'absorbed', int(absorbed))
redis.call('PEXPIRE', KEYS[1], state == 'presumed' and ARGV[11] or ARGV[7])
redis.call('ZREM', KEYS[5], ARGV[1])
lane_leave(KEYS[12], KEYS[13], ARGV[1], true)
redis.call('DEL', KEYS[8], KEYS[7])
journal(kind, paid, absorbed)
keep_answer()
return answer('applied', paid, absorbed)
