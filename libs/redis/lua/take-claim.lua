#!lua
--[[
  Lets a claim in: all of its bounds at once, all or nothing. Keeps its sealed virtual key, so that a repeat under the
  same Idempotency-Key finds the same one. A repeat counts against no window.

  Output:
    { 'recovering' }              - the door is not open
    { 'paused' }                  - the operator shut it
    { 'repeats', wait (ms) }      - too many repeats of one claim
    { 'guesses', wait (ms) }      - too many wrong codes of this address
    { 'used' }                    - somebody used this proof of work for another claim
    { 'address' }                 - this address has its claims of the day
    { 'campaign', wait (ms) }     - the campaign takes no more claims within this hour
    { 'ok', sealed virtual key, repeated (0 | 1) }
]]
local epoch = KEYS[1]
local door_switch = KEYS[2]
local claim = KEYS[3]
local proof = KEYS[4] -- the solved challenge
local address_count = KEYS[5] -- claims of one link by one address
local campaign_window = KEYS[6]
local guesses = KEYS[7] -- wrong codes of one address
local run_id = ARGV[1] -- of Redis
local sealed_token = ARGV[2]
local claim_life_ms = ARGV[3]
local proof_name = ARGV[4] -- whose proof it is; '': the link asks for none
local proof_life_ms = ARGV[5]
local address_most = tonumber(ARGV[6]) -- 0: no bound
local day_left_ms = ARGV[7]
local campaign_most = tonumber(ARGV[8])
local guesses_most = tonumber(ARGV[9]) -- 0: the link asks for no code
local repeats_most = tonumber(ARGV[10])
--@include common
--@include door
--@include window
--@include claim-window
if door(epoch, run_id) ~= 'open' then return { 'recovering' } end
if redis.call('GET', door_switch) == 'shut' then return { 'paused' } end
if guesses_most > 0 and (tonumber(redis.call('GET', guesses)) or 0) >= guesses_most then
  return { 'guesses', int(redis.call('PTTL', guesses)) }
end
local token, counts, asked = unpack(redis.call('HMGET', claim, 'token', 'counts', 'asked'))
if (tonumber(asked) or 0) > repeats_most then return { 'repeats', int(redis.call('PTTL', claim)) } end
if token and counts == '1' then
  redis.call('HINCRBY', claim, 'asked', 1)
  return { 'ok', token, '1' }
end
local used_by = proof_name ~= '' and redis.call('GET', proof)
if used_by and used_by ~= proof_name then return { 'used' } end
if address_most > 0 and (tonumber(redis.call('GET', address_count)) or 0) >= address_most then return { 'address' } end
local now = now_milliseconds()
local window = window_advance(campaign_window, now, CLAIM_BUCKET_MS)
local wait = window_wait(campaign_window, window, now, campaign_most, 0, 1, 0)
if wait > 0 then return { 'campaign', int(wait) } end

window_add(campaign_window, window, 1, 0)
if address_most > 0 then
  redis.call('INCR', address_count)
  redis.call('PEXPIRE', address_count, day_left_ms)
end
if proof_name ~= '' then redis.call('SET', proof, proof_name, 'PX', proof_life_ms) end
redis.call('HSET', claim, 'token', token or sealed_token, 'counts', '1', 'bucket', int(window.current))
redis.call('HINCRBY', claim, 'asked', 1)
redis.call('PEXPIRE', claim, claim_life_ms)
return { 'ok', token or sealed_token, '0' }
