#!lua
--[[
  Keeps what a key may ask about while it has no answer. The key's oldest makes room where it has too many.

  Output: kept · full (Redis' last memory is for running calls)
]]
local prefix = ARGV[1] -- of the key's: an id is to be added
local id = ARGV[2]
local sealed = ARGV[3]
local life_ms = tonumber(ARGV[4])
local most = tonumber(ARGV[5]) -- of the key
--@include common
--@include memory
local now = now_milliseconds()
if not memory_has_room(#sealed) then return 'full' end
local all = prefix .. 'all'
redis.call('ZREMRANGEBYSCORE', all, '-inf', int(now))
while redis.call('ZCARD', all) >= most do redis.call('DEL', prefix .. redis.call('ZPOPMIN', all)[1]) end
redis.call('ZADD', all, int(now + life_ms), id)
redis.call('PEXPIRE', all, int(life_ms))
redis.call('SET', prefix .. id, sealed, 'PX', int(life_ms))
return 'kept'
