#!lua
--[[
  Takes a hold at every level at once, all or nothing, and journals it. Idempotent by request id.

  The first hold of a key whose time begins with its first call starts that time, in Redis and in the journal.

  amount = fixed + per unit × cap. A unit is one more token of every output. The script lowers the cap to what the free
  budget covers, but not below the least cap. A patient caller gets `busy` instead where the end of running calls would
  free more. A call whose price does not depend on its output has no cap: cap, least cap, per unit and outputs are 0. It
  holds its fixed part.

  Output: { code, … }
    ok            cap, amount, now, key budget − spent − held, requests and tokens in the key's window,
                  repeated (0 | 1), day
    conflict      - same id, other arguments
    recovering    - the door is not open
    paused        - the operator shut the door. Running calls go on
    overloaded    - the journal or the record is at its bound
    invalid       - the key is gone, revoked, expired or not begun, or its campaign closed
    suspended
    stale         - the caller remembers the key, and should read it: it changed, or may not call now
    busy          level - patient callers only
    insufficient  level (key | campaign | operator), free, held, need, period ('' | day | total)
    concurrency   limit
    requests      limit, wait (ms)
    tokens        limit, wait (ms), need (tokens); wait −1: larger than the whole limit
    bytes         the same of bytes. Bytes count whatever becomes of the call
    record        - too much of this key waits for the record
    files         - Redis has no more all the files of the request
    ready         - the script would take the hold now; only where it was asked not to
    reused        - the idempotency key came with another body before
    in_progress   - its first call is not over
    answered      request id, key budget − spent − held, requests and tokens in the key's window - its first answer is
                  kept, and this repeat counts against the key's limits
    unanswered    - its first call ended without an answer that could be kept
    stopped       answer, sealed; then as with `answered` - of the same call, which was blocked lately. The repeat counts
                  against the key's limits
]]
local epoch = KEYS[1]
local key = KEYS[2]
local campaign = KEYS[3]
local hold = KEYS[4]
local journal = KEYS[5]
local leases = KEYS[6]
local key_window = KEYS[7]
local operator_prefix = KEYS[8] -- of the operator's levels: the day is to be added
local audit_stream = KEYS[9]
local audit_bytes = KEYS[10]
local body = KEYS[11]
local idempotency = KEYS[12] -- the record of the idempotency key, where the call came with one
local key_bytes = KEYS[13] -- what the key sent within the hour
local stopped_call = KEYS[14] -- the blocked answer to the same call
local visitor_prefix = KEYS[15] -- of what the visitors of several keys did: a claimant's id is to be added
local door_switch = KEYS[16] -- the operator's: `shut` lets no new call in
local files = KEYS[17] -- of the request, in pieces
local files_line = KEYS[18] -- of all requests, by when their files lapse
local request_id = ARGV[1]
local key_id = ARGV[2]
local campaign_id = ARGV[3]
local fixed = tonumber(ARGV[4]) -- nano-dollars
local per_unit = tonumber(ARGV[5]) -- nano-dollars
local cap = tonumber(ARGV[6]) -- tokens of each output
local least_cap = tonumber(ARGV[7])
local input_tokens = tonumber(ARGV[8])
local outputs = tonumber(ARGV[9])
local lease_ms = tonumber(ARGV[10])
local longest_wait_ms = tonumber(ARGV[11])
local journal_bound = tonumber(ARGV[12]) -- entries
local detail = ARGV[13] -- JSON
local lane = ARGV[14]
local reply_to = ARGV[15] -- the process whose reply stream takes the answer
local fingerprint = ARGV[16] -- of what makes a repeat the same call
local operator_day_budget = tonumber(ARGV[17]) -- nano-dollars; −1: none
local operator_total_budget = tonumber(ARGV[18]) -- nano-dollars; −1: none
local run_id = ARGV[19] -- of Redis
local is_patient = ARGV[20] == '1'
local body_fingerprint = ARGV[21] -- '' without an idempotency key
local idempotency_life_ms = ARGV[22]
local hold_prefix = ARGV[23]
local event = ARGV[24] -- for the record, '': none; its content is the body
local audit_bound = tonumber(ARGV[25]) -- bytes
local content = ARGV[26] -- the body, encrypted; '': the caller only asks whether it could have the hold, or has no body
local body_life_ms = ARGV[27]
local is_question = ARGV[28] == '1' -- answer `ready`, and take nothing
local sent_bytes = tonumber(ARGV[29]) -- of the request; 0: an earlier question counted them
local default_bytes_per_hour = tonumber(ARGV[30]) -- of a key without a limit of its own; 0: none
local audit_bound_of_key = tonumber(ARGV[31]) -- bytes
local key_concurrent = tonumber(ARGV[32]) or 0 -- of a key without a limit of its own; 0: none
local known_key = ARGV[33] or '' -- the version of the key that the caller remembers; '': it has just read the key
local known_campaign = ARGV[34] or '' -- the same of the key's campaign
local file_pieces = tonumber(ARGV[35]) or 0 -- that the request has
--@include common
--@include door
--@include balances
--@include window
--@include bytes
--@include audit
if door(epoch, run_id) ~= 'open' then return { 'recovering' } end

local now = now_milliseconds()
local first_fingerprint, first_cap, first_amount, first_day = unpack(redis.call('HMGET', hold,
  'fingerprint', 'cap', 'amount', 'day'))
if first_fingerprint then
  if first_fingerprint ~= fingerprint then return { 'conflict' } end
  local budget, spent, held = balance(key)
  return { 'ok', first_cap, first_amount, int(now), int(budget - spent - held), '0', '0', '1', first_day }
end

if redis.call('GET', door_switch) == 'shut' then return { 'paused' } end

local status, expires_ms, campaign_of_key, running, concurrent, rpm, tpm, bytes_per_hour, starts_ms, ttl_from_use_ms,
  claimant, cooldown_until, key_version, key_budget, key_spent, key_held, key_absorbed =
  unpack(redis.call('HMGET', key, 'status', 'expires_ms', 'campaign', 'running', 'concurrent', 'rpm', 'tpm',
    'bytes_per_hour', 'starts_ms', 'ttl_from_use_ms', 'visitor', 'cooldown_until', 'version', 'budget', 'spent', 'held',
    'absorbed'))
local campaign_status, campaign_version, campaign_budget, campaign_spent, campaign_held, campaign_absorbed =
  unpack(redis.call('HMGET', campaign, 'status', 'version', 'budget', 'spent', 'held', 'absorbed'))
local expires = tonumber(expires_ms) or 0

-- Why the key may not call now; nil: it may.
local function refusal()
  if (tonumber(starts_ms) or 0) > now then return 'invalid' end
  if not status or status == 'revoked' or campaign_of_key ~= campaign_id or (expires > 0 and expires <= now) then
    return 'invalid'
  end
  if campaign_status ~= 'active' then return 'invalid' end
  local visitor_status, visitor_cooldown_until
  -- What a strike on another key of the claimant led to. Accounting brings it into the books soon.
  if claimant and claimant ~= '' then
    visitor_status, visitor_cooldown_until =
      unpack(redis.call('HMGET', visitor_prefix .. claimant, 'status', 'cooldown_until'))
  end
  if status == 'suspended' or visitor_status == 'suspended' then return 'suspended' end
  -- Whoever has just read the key knows whether it rests.
  if known_key == '' then return nil end
  if (tonumber(visitor_cooldown_until or cooldown_until) or 0) > now then return 'stale' end
  if key_version ~= known_key or campaign_version ~= known_campaign then return 'stale' end
end
local refused = refusal()
-- Whoever reads the key learns the reason.
if refused and known_key ~= '' then return { 'stale' } end
if refused then return { refused } end

rpm, tpm, concurrent = tonumber(rpm) or 0, tonumber(tpm) or 0, tonumber(concurrent) or 0
if concurrent == 0 then concurrent = key_concurrent end
local too_many_bytes = count_bytes(key_bytes, bytes_per_hour, default_bytes_per_hour, sent_bytes, now)
if too_many_bytes then return too_many_bytes end

-- A kept answer costs no money, so that only these limits bound how often it goes out.
local function repeat_answer(code, answer, shown_bytes)
  local window = window_advance(key_window, now, MINUTE_BUCKET_MS, KEY_BUCKETS)
  local wait = window_wait(key_window, window, now, rpm, 0, 1, 0)
  if wait > 0 then return { 'requests', int(rpm), int(wait) } end
  local too_many = count_bytes(key_bytes, bytes_per_hour, default_bytes_per_hour, shown_bytes, now)
  if too_many then return too_many end
  window_add(key_window, window, 1, 0)
  local free = (tonumber(key_budget) or 0) - (tonumber(key_spent) or 0) - (tonumber(key_held) or 0)
  return { code, answer, int(free), int(window.requests + 1), int(window.tokens) }
end

if body_fingerprint ~= '' then
  local first_id, first_body, first_state, shown_bytes = unpack(redis.call('HMGET', idempotency,
    'request', 'fingerprint', 'state', 'bytes'))
  if first_id then
    if first_body ~= body_fingerprint then return { 'reused' } end
    if first_state == 'answered' then
      -- The version before kept the answer as it is, in `answer`.
      return repeat_answer('answered', first_id, tonumber(shown_bytes) or redis.call('HSTRLEN', idempotency, 'answer'))
    end
    if first_state == 'unanswered' then return { 'unanswered' } end
    local first = redis.call('HGET', hold_prefix .. first_id, 'state')
    if first == 'held' or first == 'dispatched' then return { 'in_progress' } end
    -- Accounting restored it from the ledger, which has no idempotency keys.
    if first == 'posted' or first == 'presumed' then return { 'unanswered' } end
    -- A first call that Redis lost never ends, and one that cost nothing may be sent again.
  end
end
local unrecorded = tonumber(redis.call('GET', audit_bytes)) or 0
if redis.call('XLEN', journal) >= journal_bound or unrecorded >= audit_bound then return { 'overloaded' } end
-- An accounting of the version before counts down the whole, and no key's part of it.
if math.min(unrecorded, audit_bytes_of(audit_bytes, key_id)) >= audit_bound_of_key then return { 'record' } end

-- The record gets an entry of each repeat.
local stopped = redis.call('GET', stopped_call)
if stopped then return repeat_answer('stopped', stopped, #stopped + FREE_CALL_BYTES) end

if cap > least_cap and tpm > 0 and input_tokens + cap * outputs > tpm then
  cap = math.max(least_cap, math.floor((tpm - input_tokens) / outputs))
end

-- The longest cap, up to the given one, that a sum carries; −1 when it does not even carry the fixed part.
local function carried(sum, most)
  if fixed + per_unit * most <= sum then return most end
  if sum < fixed or per_unit == 0 then return -1 end
  return math.floor((sum - fixed) / per_unit)
end

local day = int(math.floor(now / 86400000))
local levels = levels_of(key, campaign, operator_prefix, day)
local names = { 'key', 'campaign', 'operator', 'operator' }
local periods = { '', '', 'day', 'total' }
local budgets = { false, false, operator_day_budget, operator_total_budget }
local balances = {
  { key_budget, key_spent, key_held, key_absorbed },
  { campaign_budget, campaign_spent, campaign_held, campaign_absorbed },
}
local key_free
for i, level in ipairs(levels) do
  local budget, spent, held, absorbed
  if balances[i] then budget, spent, held, absorbed = amounts(unpack(balances[i], 1, 4))
  else budget, spent, held, absorbed = balance(level) end
  budget = budgets[i] or budget
  if budget >= 0 then
    local free = budget - spent - held
    if i == 1 then key_free = free else free = free - absorbed end
    local most = carried(free, cap)
    if most < cap then
      local later = carried(free + held, cap)
      if is_patient and later > most and later >= least_cap then return { 'busy', names[i] } end
      if most < least_cap then
        return { 'insufficient', names[i], int(math.max(0, free)), int(held), int(fixed + per_unit * least_cap), periods[i] }
      end
      cap = most
    end
  end
end
local amount = fixed + per_unit * cap

if concurrent > 0 and (tonumber(running) or 0) >= concurrent then return { 'concurrency', int(concurrent) } end

local tokens = input_tokens + cap * outputs
if tpm > 0 and tokens > tpm then return { 'tokens', int(tpm), '-1', int(tokens) } end
local window = window_advance(key_window, now, MINUTE_BUCKET_MS, KEY_BUCKETS)
local wait = window_wait(key_window, window, now, rpm, 0, 1, 0)
if wait > 0 then return { 'requests', int(rpm), int(wait) } end
wait = window_wait(key_window, window, now, 0, tpm, 0, tokens)
if wait > 0 then return { 'tokens', int(tpm), int(wait), int(tokens) } end

if file_pieces > 0 and redis.call('HLEN', files) < file_pieces then return { 'files' } end

if is_question then return { 'ready' } end

window_add(key_window, window, 1, tokens)
for i = 2, #levels do redis.call('HINCRBY', levels[i], 'held', int(amount)) end
redis.call('HSET', key, 'held', int((tonumber(key_held) or 0) + amount), 'running', int((tonumber(running) or 0) + 1))
keep_day(operator_prefix, day)
redis.call('HSET', hold, 'state', 'held', 'key', key_id, 'campaign', campaign_id, 'amount', int(amount),
  'cap', int(cap), 'attempt', 0, 'day', day, 'lane', lane, 'reply_to', reply_to, 'fingerprint', fingerprint,
  'deadline_ms', int(now + longest_wait_ms), 'key_bucket', int(window.current), 'key_tokens', int(tokens))
if body_fingerprint ~= '' then
  redis.call('DEL', idempotency)
  redis.call('HSET', idempotency, 'request', request_id, 'fingerprint', body_fingerprint, 'state', 'running')
  redis.call('PEXPIRE', idempotency, idempotency_life_ms)
  redis.call('HSET', hold, 'idempotency', idempotency)
end
redis.call('ZADD', leases, int(now + lease_ms), request_id)
local first_use = {}
ttl_from_use_ms = tonumber(ttl_from_use_ms) or 0
if ttl_from_use_ms > 0 and expires == 0 then
  first_use = { 'first_use', '1' }
  redis.call('HSET', key, 'first_used_ms', int(now), 'expires_ms', int(now + ttl_from_use_ms))
end
redis.call('XADD', journal, '*', 'kind', 'hold', 'request', request_id, 'key', key_id, 'campaign', campaign_id,
  'amount', int(amount), 'paid', '0', 'absorbed', '0', 'day', day, 'at_ms', int(now), 'detail', detail,
  unpack(first_use))
if content ~= '' then redis.call('SET', body, content, 'PX', body_life_ms) end
if file_pieces > 0 then
  redis.call('PEXPIRE', files, body_life_ms)
  redis.call('ZADD', files_line, int(now + tonumber(body_life_ms)), request_id)
end
if event ~= '' then record(audit_stream, audit_bytes, now, event, content, key_id) end
return { 'ok', int(cap), int(amount), int(now), int(key_free - amount), int(window.requests + 1),
  int(window.tokens + tokens), '0', day }
