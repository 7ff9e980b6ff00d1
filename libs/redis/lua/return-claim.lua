#!lua flags=allow-oom
--[[
  Takes a claim out of the windows again, because accounting refused it. A wrong code counts as a guess.

  Output: wrong codes of this address within the hour
]]
local claim = KEYS[1]
local address_count = KEYS[2]
local campaign_window = KEYS[3]
local guesses = KEYS[4]
local is_guess = ARGV[1] == '1'
local guesses_life_ms = ARGV[2]
local counts, bucket = unpack(redis.call('HMGET', claim, 'counts', 'bucket'))
if counts == '1' then
  redis.call('HSET', claim, 'counts', '0')
  if (tonumber(redis.call('GET', address_count)) or 0) > 0 then redis.call('DECR', address_count) end
  local head = tonumber(redis.call('HGET', campaign_window, 'h'))
  if head and tonumber(bucket) >= head then
    redis.call('HINCRBY', campaign_window, 'n', -1)
    redis.call('HINCRBY', campaign_window, 'n' .. bucket, -1)
  end
end
if is_guess then
  local count = redis.call('INCR', guesses)
  if count == 1 then redis.call('PEXPIRE', guesses, guesses_life_ms) end
  return count
end
return tonumber(redis.call('GET', guesses)) or 0
