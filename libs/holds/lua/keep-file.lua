#!lua
--[[
  Keeps one more piece of the files of a request, which come one after the other. Idempotent by the piece's number.

  Output: ok · key (its pieces have their share) · all (there is no room) · gone (earlier pieces lapsed)
]]
local files = KEYS[1]
local line = KEYS[2]
local sizes = KEYS[3]
local request_id = ARGV[1]
local key_id = ARGV[2]
local piece = tonumber(ARGV[3]) -- counts from 0
local content = ARGV[4] -- encrypted
local life_ms = tonumber(ARGV[5])
local most_of_key = tonumber(ARGV[6]) -- bytes
local most = tonumber(ARGV[7])
--@include common
--@include files
local now = now_milliseconds()
files_lapse(line, sizes, now)
local pieces = redis.call('HLEN', files)
if pieces > piece then return 'ok' end
if pieces < piece then return 'gone' end
local bytes = #content
local of_key, all = unpack(redis.call('HMGET', sizes, 'key:' .. key_id, 'all'))
if (tonumber(of_key) or 0) + bytes > most_of_key then return 'key' end
if (tonumber(all) or 0) + bytes > most then return 'all' end
redis.call('HSET', files, piece, content)
redis.call('PEXPIRE', files, life_ms)
redis.call('ZADD', line, int(now + life_ms), request_id)
local before = (redis.call('HGET', sizes, 'of:' .. request_id) or ''):match('^%d+') or 0
redis.call('HSET', sizes, 'of:' .. request_id, int(tonumber(before) + bytes) .. ' ' .. key_id)
redis.call('HINCRBY', sizes, 'key:' .. key_id, bytes)
redis.call('HINCRBY', sizes, 'all', bytes)
return 'ok'
