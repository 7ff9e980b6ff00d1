#!lua
--[[
  Lets one request for a mail in: all of its bounds at once. Every request counts for its network and in all, so that
  nobody learns from an answer what others did with an address.

  Output:
    { 'network', wait (ms) } - this network asked for too many
    { 'total', wait (ms) }   - too many mails go out within this hour
    { 'silent' }             - no mail goes to this address: it may not claim, or has its mails of the day
    { 'ok' }                 - a mail may go out, and the code in it works
]]
local network = KEYS[1]
local total = KEYS[2]
local address = KEYS[3]
local code = KEYS[4]
local network_most = tonumber(ARGV[1]) -- within an hour
local total_most = tonumber(ARGV[2]) -- within an hour
local address_most = tonumber(ARGV[3]) -- within a day; 0: none
local hour_ms = ARGV[4]
local day_ms = ARGV[5]
local code_hash = ARGV[6]
local code_life_ms = ARGV[7]
--@include common
--@include window
--@include claim-window
if (tonumber(redis.call('GET', network)) or 0) >= network_most then
  return { 'network', int(redis.call('PTTL', network)) }
end
local now = now_milliseconds()
local window = window_advance(total, now, CLAIM_BUCKET_MS)
local wait = window_wait(total, window, now, total_most, 0, 1, 0)
if wait > 0 then return { 'total', int(wait) } end
window_add(total, window, 1, 0)
if redis.call('INCR', network) == 1 then redis.call('PEXPIRE', network, hour_ms) end
if (tonumber(redis.call('GET', address)) or 0) >= address_most then return { 'silent' } end
if redis.call('INCR', address) == 1 then redis.call('PEXPIRE', address, day_ms) end
redis.call('DEL', code)
redis.call('HSET', code, 'hash', code_hash, 'tries', 0)
redis.call('PEXPIRE', code, code_life_ms)
return { 'ok' }
