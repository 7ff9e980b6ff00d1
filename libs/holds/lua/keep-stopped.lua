#!lua flags=allow-oom
--[[
  Keeps the blocked answer of a call for its repeats. At most so many answers of one key are kept: the newest. A Redis
  that is short of memory keeps none.

  Output: 1 kept · 0 not kept
]]
local answer = KEYS[1]
local of_key = KEYS[2] -- the names of the key's kept answers, the newest first
local sealed = ARGV[1]
local life_ms = ARGV[2]
local bound_of_key = tonumber(ARGV[3])
--@include memory

if not memory_has_room(#sealed) then return 0 end

redis.call('SET', answer, sealed, 'PX', life_ms)
redis.call('LREM', of_key, 0, answer)
redis.call('LPUSH', of_key, answer)
redis.call('PEXPIRE', of_key, life_ms)
while redis.call('LLEN', of_key) > bound_of_key do redis.call('DEL', redis.call('RPOP', of_key)) end
return 1
