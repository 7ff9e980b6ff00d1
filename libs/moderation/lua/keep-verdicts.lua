--[[
  Keeps verdicts in one bucket, up to its bound. Redis deletes the bucket as a whole.

  Output: how many were kept
]]
local bucket = KEYS[1]
local life_ms = ARGV[1] -- of the bucket
local most = tonumber(ARGV[2]) -- verdicts in it
local verdicts_at = 3 -- from here on: hash, verdict, hash, verdict, …
local free = most - redis.call('HLEN', bucket)
local kept = 0
for i = verdicts_at, #ARGV, 2 do
  if kept >= free then break end
  redis.call('HSET', bucket, ARGV[i], ARGV[i + 1])
  kept = kept + 1
end
if kept > 0 then redis.call('PEXPIRE', bucket, life_ms, 'NX') end
return kept
