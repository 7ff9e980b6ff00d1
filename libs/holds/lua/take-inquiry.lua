#!lua
--[[
  Lets in what a visitor asks of the moderation endpoint. It costs no money and has no hold. In one step the script counts
  it against the key's limits, records it, and keeps its body for the moderation service. Not idempotent.

  Output: { code, … }
    ok            key budget − spent − held, requests and tokens in the key's window
    recovering · paused · overloaded · invalid · suspended · record, and
    requests · tokens · bytes as in `take-hold`
]]
local epoch = KEYS[1]
local key = KEYS[2]
local key_window = KEYS[3]
local key_bytes = KEYS[4]
local audit_stream = KEYS[5]
local audit_bytes = KEYS[6]
local body = KEYS[7]
local door_switch = KEYS[8]
local run_id = ARGV[1] -- of Redis
local key_id = ARGV[2]
local tokens = tonumber(ARGV[3])
local sent_bytes = tonumber(ARGV[4]) -- 0: an earlier step counted them
local default_bytes_per_hour = tonumber(ARGV[5]) -- of a key without a limit of its own; 0: none
local audit_bound = tonumber(ARGV[6]) -- bytes
local audit_bound_of_key = tonumber(ARGV[7]) -- bytes
local event = ARGV[8] -- for the record; its content is the body
local content = ARGV[9] -- the body, encrypted
local body_life_ms = ARGV[10]
--@include common
--@include door
--@include balances
--@include window
--@include bytes
--@include audit
if door(epoch, run_id) ~= 'open' then return { 'recovering' } end
if redis.call('GET', door_switch) == 'shut' then return { 'paused' } end

local now = now_milliseconds()
local status, rpm, tpm, bytes_per_hour = unpack(redis.call('HMGET', key, 'status', 'rpm', 'tpm', 'bytes_per_hour'))
if not status or status == 'revoked' then return { 'invalid' } end
if status == 'suspended' then return { 'suspended' } end
local too_many_bytes = count_bytes(key_bytes, bytes_per_hour, default_bytes_per_hour, sent_bytes, now)
if too_many_bytes then return too_many_bytes end
local unrecorded = tonumber(redis.call('GET', audit_bytes)) or 0
if unrecorded >= audit_bound then return { 'overloaded' } end
if math.min(unrecorded, audit_bytes_of(audit_bytes, key_id)) >= audit_bound_of_key then return { 'record' } end

rpm, tpm = tonumber(rpm) or 0, tonumber(tpm) or 0
if tpm > 0 and tokens > tpm then return { 'tokens', int(tpm), '-1', int(tokens) } end
local window = window_advance(key_window, now, MINUTE_BUCKET_MS, KEY_BUCKETS)
local wait = window_wait(key_window, window, now, rpm, 0, 1, 0)
if wait > 0 then return { 'requests', int(rpm), int(wait) } end
wait = window_wait(key_window, window, now, 0, tpm, 0, tokens)
if wait > 0 then return { 'tokens', int(tpm), int(wait), int(tokens) } end
-- It leaves as much in the record as a call, and no money bounds it.
count_free_call(key_bytes, now)
window_add(key_window, window, 1, tokens)
redis.call('SET', body, content, 'PX', body_life_ms)
record(audit_stream, audit_bytes, now, event, content, key_id)
local budget, spent, held = balance(key)
return { 'ok', int(budget - spent - held), int(window.requests + 1), int(window.tokens + tokens) }
