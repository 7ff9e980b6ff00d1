--[[
  Takes a hold at every level at once, all or nothing, and journals it. Idempotent by request id.

  amount = fixed + per token × cap. The cap is clamped to what the free balance carries, not below the least cap. A patient
  caller is told `busy` instead where running holds stand in the way of more: when they end, the call may have it.

  KEYS: 1 epoch  2 key  3 campaign  4 hold  5 journal  6 leases  7 key window  8 operator's levels, without the day
        9 audit stream  10 its bytes  11 body  12 (with an idempotency key only) its record
  ARGV: 1 request id  2 key id  3 campaign id  4 fixed (nano)  5 per token (nano, all choices)  6 cap (tokens)
        7 least cap (tokens)  8 input tokens  9 choices  10 lease (ms)  11 longest wait (ms)  12 journal bound (entries)
        13 detail (JSON)  14 lane  15 reply stream's process id  16 fingerprint of the arguments
        17 operator's budget a day (nano; −1: none)  18 operator's budget in total (nano; −1: none)
        19 run id of Redis  20 patient (0 | 1)  21 fingerprint of the body ('' without an idempotency key)
        22 life of an idempotency record (ms)  23 prefix of holds
        24 event for the record ('' for none); its content is the body, which must be there  25 bound of the record's bytes
  Output: { code, … }
    ok            cap, amount, now, key budget − spent − held, requests and tokens in the key's window, repeated (0 | 1), day
    conflict      - same id, other arguments
    recovering    - the door is not open
    overloaded    - the journal or the record is at its bound, or the body found no room
    invalid       - the key is gone, revoked, expired, or its campaign closed
    suspended
    busy          level - patient callers only
    insufficient  level (key | campaign | operator), free, held, need, period ('' | day | total)
    concurrency   limit
    requests      limit, wait (ms)
    tokens        limit, wait (ms), need (tokens); wait −1: larger than the whole limit
    reused        - the idempotency key came with another body before
    in_progress   - its first call is not over
    answered      request id - its first answer is kept
    unanswered    - its first call ended without an answer that could be kept
]]
--@include common
--@include window
--@include audit
if door(KEYS[1], ARGV[19]) ~= 'open' then return { 'recovering' } end

local now = now_milliseconds()
local known = redis.call('HMGET', KEYS[4], 'fingerprint', 'cap', 'amount', 'day')
if known[1] then
  if known[1] ~= ARGV[16] then return { 'conflict' } end
  local budget, spent, held = balance(KEYS[2])
  return { 'ok', known[2], known[3], int(now), int(budget - spent - held), '0', '0', '1', known[4] }
end

local key = redis.call('HMGET', KEYS[2], 'status', 'expires_ms', 'campaign', 'running', 'concurrent', 'rpm', 'tpm')
local expires = tonumber(key[2]) or 0
if not key[1] or key[1] == 'revoked' or key[3] ~= ARGV[3] or (expires > 0 and expires <= now) then return { 'invalid' } end
if redis.call('HGET', KEYS[3], 'status') ~= 'active' then return { 'invalid' } end
if key[1] == 'suspended' then return { 'suspended' } end

if KEYS[12] then
  local former = redis.call('HMGET', KEYS[12], 'request', 'fingerprint', 'state')
  if former[1] then
    if former[2] ~= ARGV[21] then return { 'reused' } end
    if former[3] == 'answered' then return { 'answered', former[1] } end
    if former[3] == 'unanswered' then return { 'unanswered' } end
    local first = redis.call('HGET', ARGV[23] .. former[1], 'state')
    if first == 'held' or first == 'dispatched' then return { 'in_progress' } end
    -- It came back out of the ledger, without the name it was called under.
    if first == 'posted' or first == 'presumed' then return { 'unanswered' } end
    -- A first call that Redis lost will never end; one that cost nothing may be made again.
  end
end
if redis.call('XLEN', KEYS[5]) >= tonumber(ARGV[12]) or (tonumber(redis.call('GET', KEYS[10])) or 0) >= tonumber(ARGV[25]) then
  return { 'overloaded' }
end

local fixed, per_token = tonumber(ARGV[4]), tonumber(ARGV[5])
local cap, least = tonumber(ARGV[6]), tonumber(ARGV[7])
local input_tokens, choices = tonumber(ARGV[8]), tonumber(ARGV[9])
local rpm, tpm = tonumber(key[6]) or 0, tonumber(key[7]) or 0

if tpm > 0 and input_tokens + cap * choices > tpm then
  cap = math.max(least, math.floor((tpm - input_tokens) / choices))
end

-- The longest cap, up to the given one, that a sum carries; −1 when it does not even carry the fixed part.
local function carried(sum, most)
  if fixed + per_token * most <= sum then return most end
  if sum < fixed or per_token == 0 then return -1 end
  return math.floor((sum - fixed) / per_token)
end

local day = int(math.floor(now / 86400000))
local levels = levels_of(KEYS[2], KEYS[3], KEYS[8], day)
local names = { 'key', 'campaign', 'operator', 'operator' }
local periods = { '', '', 'day', 'total' }
local budgets = { false, false, tonumber(ARGV[17]), tonumber(ARGV[18]) }
local key_free
for i, hash in ipairs(levels) do
  local budget, spent, held = balance(hash)
  budget = budgets[i] or budget
  if budget >= 0 then
    local free = budget - spent - held
    if i == 1 then key_free = free end
    local most = carried(free, cap)
    if most < cap then
      local later = carried(free + held, cap)
      if ARGV[20] == '1' and later > most and later >= least then return { 'busy', names[i] } end
      if most < least then
        return { 'insufficient', names[i], int(free), int(held), int(fixed + per_token * least), periods[i] }
      end
      cap = most
    end
  end
end
local amount = fixed + per_token * cap

local concurrent = tonumber(key[5]) or 0
if concurrent > 0 and (tonumber(key[4]) or 0) >= concurrent then return { 'concurrency', int(concurrent) } end

local tokens = input_tokens + cap * choices
if tpm > 0 and tokens > tpm then return { 'tokens', int(tpm), '-1', int(tokens) } end
local window = window_advance(KEYS[7], now)
local wait = window_wait(KEYS[7], window, now, rpm, 0, 1, 0)
if wait > 0 then return { 'requests', int(rpm), int(wait) } end
wait = window_wait(KEYS[7], window, now, 0, tpm, 0, tokens)
if wait > 0 then return { 'tokens', int(tpm), int(wait), int(tokens) } end

local asked = ARGV[24] ~= '' and redis.call('GET', KEYS[11])
if ARGV[24] ~= '' and not asked then return { 'overloaded' } end

window_add(KEYS[7], window, 1, tokens)
for _, hash in ipairs(levels) do redis.call('HINCRBY', hash, 'held', int(amount)) end
redis.call('HINCRBY', KEYS[2], 'running', 1)
keep_day(KEYS[8], day)
redis.call('HSET', KEYS[4], 'state', 'held', 'key', ARGV[2], 'campaign', ARGV[3], 'amount', int(amount), 'cap', int(cap),
  'attempt', 0, 'day', day, 'lane', ARGV[14], 'reply_to', ARGV[15], 'fingerprint', ARGV[16], 'deadline_ms', int(now + tonumber(ARGV[11])),
  'key_bucket', int(window.current), 'key_tokens', int(tokens))
if KEYS[12] then
  redis.call('DEL', KEYS[12])
  redis.call('HSET', KEYS[12], 'request', ARGV[1], 'fingerprint', ARGV[21], 'state', 'running')
  redis.call('PEXPIRE', KEYS[12], ARGV[22])
  redis.call('HSET', KEYS[4], 'idempotency', KEYS[12])
end
redis.call('ZADD', KEYS[6], int(now + tonumber(ARGV[10])), ARGV[1])
redis.call('XADD', KEYS[5], '*', 'kind', 'hold', 'request', ARGV[1], 'key', ARGV[2], 'campaign', ARGV[3],
  'amount', int(amount), 'paid', '0', 'absorbed', '0', 'day', day, 'at_ms', int(now), 'detail', ARGV[13])
if asked then record(KEYS[9], KEYS[10], now, ARGV[24], asked) end
return { 'ok', int(cap), int(amount), int(now), int(key_free - amount), int(window.requests + 1), int(window.tokens + tokens), '0', day }
