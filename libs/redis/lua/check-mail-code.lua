#!lua flags=allow-oom
--[[
  Checks the digits of a mail. They serve one claim: a repeat under the same name passes again.

  Output:
    { 'gone' }                 - no mail is on its way to this address, or it is too old
    { 'guesses', wait (ms) }   - too many wrong codes of this network
    { 'spent' }                - too many wrong codes for this mail
    { 'used' }                 - the digits served another claim
    { 'wrong', tries left }
    { 'ok' }
]]
local code = KEYS[1]
local guesses = KEYS[2] -- wrong codes of one network
local hash = ARGV[1]
local name = ARGV[2] -- of the claim
local tries_most = tonumber(ARGV[3])
local guesses_most = tonumber(ARGV[4])
local guesses_life_ms = ARGV[5]
local claim_life_ms = ARGV[6]
--@include common
if (tonumber(redis.call('GET', guesses)) or 0) >= guesses_most then
  return { 'guesses', int(redis.call('PTTL', guesses)) }
end
local right, tries, used_by = unpack(redis.call('HMGET', code, 'hash', 'tries', 'used_by'))
if not right then return { 'gone' } end
if tonumber(tries) >= tries_most then return { 'spent' } end
if right ~= hash then
  if redis.call('INCR', guesses) == 1 then redis.call('PEXPIRE', guesses, guesses_life_ms) end
  return { 'wrong', int(tries_most - redis.call('HINCRBY', code, 'tries', 1)) }
end
if used_by and used_by ~= name then return { 'used' } end
if not used_by then
  redis.call('HSET', code, 'used_by', name)
  redis.call('PEXPIRE', code, claim_life_ms)
end
return { 'ok' }
