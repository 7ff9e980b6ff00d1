#!lua flags=allow-oom
--[[
  Ends a hold, moves the money, journals it, and answers the visitor, all in one step. The only place that knows the
  terminal transitions. Idempotent: a repeat changes nothing and returns the first outcome.

    post     held: refused · dispatched → posted · presumed → posted with a correcting refund
    void     held → voided · dispatched → voided (the caller knows that the upstream did no work)
             · presumed → voided, all of it refunded
    cancel   held → voided · dispatched: left to whoever runs it (`running`)
    presume  held → voided · dispatched → presumed (nobody saw the end: the bound is booked until a report corrects it)
    expire   like presume, if the lease has really run out

  The visitor pays at most the held amount. The operator absorbs what the call cost beyond it, which counts against the
  budgets of campaign and operator. A worker names its
  attempt: a hold that Redis lost, or that is `held` and older than that attempt, was dispatched by it.

  Output: { outcome, state, paid, absorbed, key budget − spent − held }
    outcome: applied · repeated · corrected · running · missing · leased · refused · recovering
]]
local hold = KEYS[1]
local key = KEYS[2]
local campaign = KEYS[3]
local journal = KEYS[4]
local leases = KEYS[5]
local key_window = KEYS[6]
local ticket = KEYS[7]
local body = KEYS[8]
local reply_stream = KEYS[9]
local epoch = KEYS[10]
local operator_prefix = KEYS[11] -- of the operator's levels: the day is to be added
local waiting = KEYS[12] -- for the lane
local fair = KEYS[13] -- the lane's order
local audit_stream = KEYS[14]
local audit_bytes = KEYS[15]
local kept = KEYS[16] -- of all keys, by when they lapse
local kept_bytes = KEYS[17] -- of all keys
local kept_of_key = KEYS[18]
local key_bytes = KEYS[19] -- what the key sent within the hour
local visitor_prefix = KEYS[20] -- of what the visitors of several keys did: a claimant's id is to be added
local files = KEYS[21] -- of the request, in pieces
local files_line = KEYS[22] -- of all requests, by when their files lapse
local files_sizes = KEYS[23]
local request_id = ARGV[1]
local transition = ARGV[2]
local cost = tonumber(ARGV[3]) -- nano-dollars
local used_tokens = tonumber(ARGV[4]) -- really used; -1: unknown
local detail = ARGV[5] -- JSON
local reply = ARGV[6] -- the payload; '': none
local ended_retention_ms = ARGV[7]
local is_strike = ARGV[8] == '1'
local reply_stream_bound = ARGV[9] -- entries
local reply_stream_life_ms = ARGV[10]
local presumed_retention_ms = ARGV[11] -- longer, because a report may correct the hold
local run_id = ARGV[12] -- of Redis
local attempt = ARGV[13] -- of the worker that calls; '0': no worker calls
local worker_amount = tonumber(ARGV[14]) -- nano-dollars that its hold held
local worker_day = ARGV[15] -- of its hold
local key_id = ARGV[16]
local campaign_id = ARGV[17]
local kept_answer = ARGV[18] -- for an idempotent repeat, compressed and encrypted; '': none
local idempotency_life_ms = ARGV[19]
local cooldown_after = tonumber(ARGV[20]) or 0 -- strikes that make the key rest; 0: none do
local cooldown_ms = tonumber(ARGV[21])
local suspend_after = tonumber(ARGV[22]) or 0 -- strikes that suspend the key; 0: none do
local strike_window_ms = tonumber(ARGV[23]) or 0 -- in which strikes are counted; 0: for ever
local worker_upstream = ARGV[24] -- that the worker sent the call to, for a hold that has none
local shown_bytes = ARGV[25] -- of the kept answer, as a repeat gets it
local kept_bound = tonumber(ARGV[26]) -- bytes of all kept answers
local kept_bound_of_key = tonumber(ARGV[27])
local kept_prefix = ARGV[28] -- followed by a key's id
local voided_retention_ms = ARGV[29]
local drawn_images = tonumber(ARGV[30]) or -1 -- that another model really made; -1: unknown
local events_at = 31 -- from here on, for the record: of each event its JSON, and its encrypted content ('': none)
--@include common
--@include door
--@include balances
--@include adopt
--@include dispatch-lost
--@include journal-dispatch
--@include window
--@include window-correct
--@include bytes
--@include lane-line
--@include audit
--@include kept
--@include files
--@include visitor
local FIELDS = { 'state', 'key', 'campaign', 'day', 'amount', 'paid', 'absorbed', 'restored', 'idempotency', 'upstream',
  'attempt', 'key_bucket', 'key_tokens', 'lane_bucket', 'lane_tokens', 'lane_token_ms', 'lane_window', 'lane_state',
  'drawn' }
local phase = door(epoch, run_id)
if phase == 'closed' then return { 'recovering', '', '0', '0', '0' } end
local now = now_milliseconds()
-- The record gets the verdicts, whatever becomes of the hold.
for i = events_at, #ARGV, 2 do record(audit_stream, audit_bytes, now, ARGV[i], ARGV[i + 1], key_id) end
local from_worker = attempt ~= '0'
local fields = redis.call('HMGET', hold, unpack(FIELDS))
if not fields[1] and from_worker and (transition == 'post' or transition == 'presume') then
  adopt_hold(hold, key, campaign, operator_prefix, journal, request_id, key_id, campaign_id, worker_amount, worker_day,
    attempt, now)
  local adopted_amount = redis.call('HGET', hold, 'amount')
  journal_dispatch(journal, request_id, key_id, campaign_id, adopted_amount, worker_day, attempt, now)
  fields = redis.call('HMGET', hold, unpack(FIELDS))
end
local state, held_key_id, held_campaign_id, day, held_amount, former_paid, former_absorbed, restored, idempotency,
  upstream, former_attempt, key_bucket, key_tokens, lane_bucket, lane_tokens, lane_token_ms, lane_window, lane_state,
  drawn = unpack(fields)
if not state then return { 'missing', '', '0', '0', '0' } end
-- The caller names the accounts, and the hold has them: money must not move elsewhere.
if key:sub(-#held_key_id) ~= held_key_id or campaign:sub(-#held_campaign_id) ~= held_campaign_id then
  return redis.error_reply('ERR the hold belongs to another key or campaign')
end
local amount = tonumber(held_amount)
if from_worker and is_dispatch_lost(state, restored, former_attempt, attempt) then
  journal_dispatch(journal, request_id, held_key_id, held_campaign_id, int(amount), day, attempt, now)
  state = 'dispatched'
end
-- An error in mid-script keeps what was written before it. So whatever could raise one comes before money moves.
local used = math.floor(used_tokens or -1)
if not (used >= 0 and used < 9007199254740992) then used = -1 end
local levels = levels_of(key, campaign, operator_prefix, day)

local strikes = 0
local key_free -- nano-dollars, where this call has just written its key's balance

local function answer(outcome, paid, absorbed)
  if not key_free then
    local budget, spent, held = balance(key)
    key_free = budget - spent - held
  end
  local available = int(key_free)
  if reply ~= '' and (outcome == 'applied' or outcome == 'corrected') then
    redis.call('XADD', reply_stream, 'MAXLEN', '~', reply_stream_bound, '*', 'id', request_id, 'last', '1',
      'available', available, 'strikes', strikes, 'payload', reply)
    redis.call('PEXPIRE', reply_stream, reply_stream_life_ms)
  end
  return { outcome, state, int(paid), int(absorbed), available }
end

local function journal_end(kind, paid, absorbed)
  redis.call('XADD', journal, '*', 'kind', kind, 'request', request_id, 'key', held_key_id,
    'campaign', held_campaign_id, 'amount', int(amount), 'paid', int(paid), 'absorbed', int(absorbed), 'day', day,
    'at_ms', int(now), 'upstream', upstream or worker_upstream, 'detail', detail)
end

-- The newest first; what is older than the window is forgotten. All keys of a claimant share them and what follows.
local function strike()
  local visitor = visitor_hash(key, visitor_prefix)
  local times = { int(now) }
  for time in (redis.call('HGET', visitor, 'strike_times') or ''):gmatch('%d+') do
    local counts = strike_window_ms == 0 or tonumber(time) > now - strike_window_ms
    if #times < 100 and counts then times[#times + 1] = time end
  end
  strikes = #times
  redis.call('HSET', visitor, 'strike_times', table.concat(times, ' '))
  local step, rest_until = 'warn', '0'
  if suspend_after > 0 and strikes >= suspend_after then
    step = 'suspend'
    -- A revoked key stays revoked.
    if redis.call('HGET', key, 'status') == 'active' then redis.call('HSET', key, 'status', 'suspended') end
    redis.call('HSET', visitor, 'status', 'suspended')
  elseif cooldown_after > 0 and strikes >= cooldown_after then
    step = 'cooldown'
    rest_until = int(now + cooldown_ms)
    redis.call('HSET', visitor, 'cooldown_until', rest_until)
  end
  redis.call('XADD', journal, '*', 'kind', 'strike', 'request', request_id, 'key', held_key_id,
    'campaign', held_campaign_id, 'amount', '0', 'paid', '0', 'absorbed', '0', 'day', day, 'at_ms', int(now),
    'strikes', strikes, 'step', step, 'until_ms', rest_until, 'detail', detail)
end

-- A full Redis runs this script, too. So no answer may take its last memory, which running calls need.
local KEPT_MEMORY_SHARE = 0.8

local function has_room(bytes)
  local status, expires_ms = unpack(redis.call('HMGET', key, 'status', 'expires_ms'))
  local expires = tonumber(expires_ms) or 0
  if status == 'revoked' or (expires > 0 and expires <= now) then return false end
  if (tonumber(redis.call('HGET', kept_of_key, 'bytes')) or 0) + bytes > kept_bound_of_key then return false end
  if (tonumber(redis.call('GET', kept_bytes)) or 0) + bytes > kept_bound then return false end
  local memory = redis.call('INFO', 'memory')
  local most = tonumber(memory:match('maxmemory:(%d+)'))
  return most == 0 or tonumber(memory:match('used_memory:(%d+)')) + bytes <= KEPT_MEMORY_SHARE * most
end

-- A call that cost nothing may be sent again under the same idempotency key, unless its answer is kept. Not at once
-- after a strike: an SDK that repeats itself must not get another one.
local function leave_unanswered()
  if state == 'voided' and not is_strike then
    redis.call('DEL', idempotency)
    return
  end
  redis.call('HSET', idempotency, 'state', 'unanswered')
  if state == 'voided' then redis.call('PEXPIRE', idempotency, ended_retention_ms) end
end

local function keep_answer()
  if not idempotency or redis.call('HGET', idempotency, 'request') ~= request_id then return end
  if kept_answer ~= '' then
    local name = idempotency:match('[^:]+$')
    local bytes = #kept_answer + KEPT_EXTRA_BYTES
    kept_lapse(kept, kept_prefix, kept_bytes, now)
    kept_leave(kept_of_key, kept_bytes, name)
    if not has_room(bytes) then return leave_unanswered() end
    redis.call('HSET', idempotency, 'state', 'answered', 'packed', kept_answer, 'bytes', shown_bytes)
    redis.call('PEXPIRE', idempotency, idempotency_life_ms)
    redis.call('HSET', kept_of_key, name, bytes)
    redis.call('HINCRBY', kept_of_key, 'bytes', bytes)
    redis.call('INCRBY', kept_bytes, bytes)
    redis.call('ZADD', kept, int(now + tonumber(idempotency_life_ms)), held_key_id .. ' ' .. name)
  else
    leave_unanswered()
  end
end

-- For an upstream that corrects what it counted: the window, and the even rate with it.
local function correct_lane(change)
  window_correct(lane_window, tonumber(lane_bucket), change)
  local until_ms = tonumber(redis.call('HGET', lane_state, 'tokens_until_ms'))
  if until_ms and change < 0 then
    until_ms = until_ms + change * tonumber(lane_token_ms)
    redis.call('HSET', lane_state, 'tokens_until_ms', string.format('%.3f', until_ms))
  end
end

if state == 'presumed' and (transition == 'post' or transition == 'void') then
  local paid = transition == 'post' and math.min(cost, amount) or 0
  local absorbed = transition == 'post' and cost - paid or 0
  state = transition == 'post' and 'posted' or 'voided'
  for _, level in ipairs(levels) do redis.call('HINCRBY', level, 'spent', int(paid - amount)) end
  absorb(levels, absorbed)
  keep_day(operator_prefix, day)
  redis.call('HSET', hold, 'state', state, 'paid', int(paid), 'absorbed', int(absorbed))
  journal_end('correct', paid, absorbed)
  keep_answer()
  return answer('corrected', paid, absorbed)
end
if state == 'posted' or state == 'voided' or state == 'presumed' then
  return answer('repeated', tonumber(former_paid) or 0, tonumber(former_absorbed) or 0)
end
if transition == 'cancel' and state == 'dispatched' then return answer('running', 0, 0) end
if transition == 'post' and state == 'held' then return answer('refused', 0, 0) end
-- While the door settles, some living workers have not claimed their calls yet.
if transition == 'expire'
  and (phase == 'settling' or (tonumber(redis.call('ZSCORE', leases, request_id)) or 0) > now) then
  return answer('leased', 0, 0)
end

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

local budget, key_spent, key_held, running = unpack(redis.call('HMGET', key, 'budget', 'spent', 'held', 'running'))
key_spent, key_held = (tonumber(key_spent) or 0) + paid, (tonumber(key_held) or 0) - amount
key_free = (tonumber(budget) or 0) - key_spent - key_held
redis.call('HSET', key, 'spent', int(key_spent), 'held', int(key_held), 'running', int((tonumber(running) or 0) - 1))
for i = 2, #levels do
  redis.call('HINCRBY', levels[i], 'held', int(-amount))
  if paid > 0 then redis.call('HINCRBY', levels[i], 'spent', int(paid)) end
end
absorb(levels, absorbed)
if is_strike then strike() end

if state == 'voided' and not lane_bucket then used = 0 end
if used >= 0 then
  window_correct(key_window, tonumber(key_bucket), used - (tonumber(key_tokens) or 0))
  -- Most upstreams count before the call and give nothing back (OpenAI, "Rate limits").
  if lane_bucket and lane_token_ms then correct_lane(used - (tonumber(lane_tokens) or 0)) end
end

-- The model of images counts each when it makes it. That was before now, so from now on they count for a whole minute.
local reserved, units = window_undraw(drawn)
if reserved > 0 and state ~= 'voided' and drawn_images ~= 0 then
  window_add(units, window_advance(units, now), drawn_images < 0 and reserved or drawn_images, 0)
end

redis.call('HSET', hold, 'state', state, 'paid', int(paid), 'absorbed', int(absorbed))
local retention_ms = { posted = ended_retention_ms, voided = voided_retention_ms, presumed = presumed_retention_ms }
redis.call('PEXPIRE', hold, retention_ms[state])
if state == 'voided' then count_free_call(key_bytes, now) end
redis.call('ZREM', leases, request_id)
lane_leave(waiting, fair, request_id, true)
redis.call('DEL', body, ticket)
if redis.call('UNLINK', files) == 1 then files_forget(files_line, files_sizes, request_id) end
journal_end(kind, paid, absorbed)
keep_answer()
return answer('applied', paid, absorbed)
