#!lua
--[[
  Keeps verdicts in one bucket, up to its bound and up to the bound of each key. Redis deletes the bucket as a whole.

  Output: how many were kept
]]
local bucket = KEYS[1]
local shares = KEYS[2] -- how many verdicts of the bucket each key brought
local life_ms = ARGV[1] -- of the bucket
local most = tonumber(ARGV[2]) -- verdicts in it
local most_of_key = tonumber(ARGV[3])
local verdicts_at = 4 -- from here on: hash, verdict, key id, hash, verdict, key id, …
local free = most - redis.call('HLEN', bucket)
local kept = 0
for i = verdicts_at, #ARGV, 3 do
  local hash, verdict, key_id = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if kept >= free then break end
  if (tonumber(redis.call('HGET', shares, key_id)) or 0) < most_of_key
    and redis.call('HSETNX', bucket, hash, verdict) == 1 then
    redis.call('HINCRBY', shares, key_id, 1)
    kept = kept + 1
  end
end
if kept > 0 then
  redis.call('PEXPIRE', bucket, life_ms, 'NX')
  redis.call('PEXPIRE', shares, life_ms, 'NX')
end
return kept
