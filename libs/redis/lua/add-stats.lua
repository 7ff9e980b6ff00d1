#!lua flags=allow-oom
--[[
  Says that a process lives, and adds what it counted to the stats of the running minute.

  Output: nothing
]]
local processes = KEYS[1]
local stats_prefix = KEYS[2] -- followed by a minute since 1970
local process = ARGV[1] -- `<service>:<id>`
local forget_after_ms = tonumber(ARGV[2]) -- a process that said nothing for so long
local stats_life_ms = ARGV[3]
local counts_at = 4 -- from here on: of each count its field, and what to add
--@include common
local now = now_milliseconds()
redis.call('ZADD', processes, now, process)
redis.call('ZREMRANGEBYSCORE', processes, '-inf', now - forget_after_ms)
if #ARGV < counts_at then return end
local stats = stats_prefix .. int(math.floor(now / 60000))
for i = counts_at, #ARGV, 2 do redis.call('HINCRBY', stats, ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', stats, stats_life_ms)
