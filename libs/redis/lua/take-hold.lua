--[[
  Takes a hold at every level at once, all or nothing, and journals it. Idempotent by request id.

  amount = fixed + per token × cap. Where only the default cap stands in the way, it is clamped down to what the free
  balance carries, not below the least cap; a caller who asked for a cap passes it as the least too.

  KEYS: 1 epoch  2 key  3 campaign  4 hold  5 journal  6 leases  7 key window  8 operator's days, without the day
  ARGV: 1 request id  2 key id  3 campaign id  4 fixed (nano)  5 per token (nano, all choices)  6 cap (tokens)
        7 least cap (tokens)  8 input tokens  9 choices  10 lease (ms)  11 longest wait (ms)  12 journal bound (entries)
        13 detail (JSON)  14 lane  15 reply stream's process id  16 fingerprint of the arguments
        17 operator's budget a day (nano; −1: none)
  Output: { code, … }
    ok            cap, amount, now, key budget − spent − held, requests and tokens in the key's window, repeated (0 | 1)
    conflict      - same id, other arguments
    recovering    - no projection
    overloaded    - the journal is at its bound
    invalid       - the key is gone, revoked, expired, or its campaign closed
    suspended
    insufficient  level (key | campaign | operator), free, held, need
    concurrency   limit
    requests      limit, wait (ms)
    tokens        limit, wait (ms), need (tokens); wait −1: larger than the whole limit
]]
--@include common
--@include window
if redis.call('EXISTS', KEYS[1]) == 0 then return { 'recovering' } end

local now = now_milliseconds()
local known = redis.call('HMGET', KEYS[4], 'fingerprint', 'cap', 'amount')
if known[1] then
  if known[1] ~= ARGV[16] then return { 'conflict' } end
  local budget, spent, held = balance(KEYS[2])
  return { 'ok', known[2], known[3], int(now), int(budget - spent - held), '0', '0', '1' }
end

local key = redis.call('HMGET', KEYS[2], 'status', 'expires_ms', 'campaign', 'running', 'concurrent', 'rpm', 'tpm')
local expires = tonumber(key[2]) or 0
if not key[1] or key[1] == 'revoked' or key[3] ~= ARGV[3] or (expires > 0 and expires <= now) then return { 'invalid' } end
if redis.call('HGET', KEYS[3], 'status') ~= 'active' then return { 'invalid' } end
if key[1] == 'suspended' then return { 'suspended' } end
if redis.call('XLEN', KEYS[5]) >= tonumber(ARGV[12]) then return { 'overloaded' } end

local fixed, per_token = tonumber(ARGV[4]), tonumber(ARGV[5])
local cap, least = tonumber(ARGV[6]), tonumber(ARGV[7])
local input_tokens, choices = tonumber(ARGV[8]), tonumber(ARGV[9])
local rpm, tpm = tonumber(key[6]) or 0, tonumber(key[7]) or 0

if tpm > 0 and input_tokens + cap * choices > tpm then
  cap = math.max(least, math.floor((tpm - input_tokens) / choices))
end

local day = KEYS[8] .. int(math.floor(now / 86400000))
local levels = { { 'key', KEYS[2] }, { 'campaign', KEYS[3] } }
if tonumber(ARGV[17]) >= 0 then
  levels[3] = { 'operator', day }
end
local key_free
for _, level in ipairs(levels) do
  local budget, spent, held = balance(level[2])
  if level[1] == 'operator' then budget = tonumber(ARGV[17]) end
  local free = budget - spent - held
  if level[1] == 'key' then key_free = free end
  if fixed + per_token * cap > free then
    local carried = per_token > 0 and math.floor((free - fixed) / per_token) or -1
    if free < fixed or carried < least then
      return { 'insufficient', level[1], int(free), int(held), int(fixed + per_token * least) }
    end
    cap = carried
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

window_add(KEYS[7], window, 1, tokens)
redis.call('HINCRBY', KEYS[2], 'held', int(amount))
redis.call('HINCRBY', KEYS[2], 'running', 1)
redis.call('HINCRBY', KEYS[3], 'held', int(amount))
redis.call('HINCRBY', day, 'held', int(amount))
redis.call('PEXPIRE', day, 172800000)
redis.call('HSET', KEYS[4], 'state', 'held', 'key', ARGV[2], 'campaign', ARGV[3], 'amount', int(amount), 'cap', int(cap),
  'attempt', 0, 'day', day, 'lane', ARGV[14], 'reply_to', ARGV[15], 'fingerprint', ARGV[16], 'deadline_ms', int(now + tonumber(ARGV[11])),
  'key_bucket', int(window.current), 'key_tokens', int(tokens))
redis.call('ZADD', KEYS[6], int(now + tonumber(ARGV[10])), ARGV[1])
redis.call('XADD', KEYS[5], '*', 'kind', 'hold', 'request', ARGV[1], 'key', ARGV[2], 'campaign', ARGV[3],
  'amount', int(amount), 'paid', '0', 'absorbed', '0', 'at_ms', int(now), 'detail', ARGV[13])
return { 'ok', int(cap), int(amount), int(now), int(key_free - amount), int(window.requests + 1), int(window.tokens + tokens), '0' }
