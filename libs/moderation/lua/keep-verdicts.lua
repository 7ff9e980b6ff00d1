--[[
  Keeps verdicts in one bucket, as many as it has room for. The bucket dies as a whole.

  KEYS: 1 bucket
  ARGV: 1 life of the bucket (ms)  2 most verdicts in it  3… hash, verdict, hash, verdict, …
  Output: how many were kept
]]
local room = tonumber(ARGV[2]) - redis.call('HLEN', KEYS[1])
local kept = 0
for at = 3, #ARGV, 2 do
  if kept >= room then break end
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  kept = kept + 1
end
if kept > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1], 'NX') end
return kept
