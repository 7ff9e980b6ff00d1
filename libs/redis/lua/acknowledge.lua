#!lua flags=allow-oom
--[[
  Acknowledges booked entries of a stream, and removes what every consumer has acknowledged, in one step. A caller
  whose answer was lost repeats it. In a Redis that lost data meanwhile, the script then removes no pending entry:
  nobody could book an entry that is pending and no longer in the stream.

  Output: how many were pending
]]
local stream = KEYS[1]
local stream_bytes = KEYS[2] -- where they are counted
local key_bytes = KEYS[3] -- where those of each key are counted
local group = ARGV[1]
local bytes = ARGV[2] -- of the entries
local next_id = ARGV[3] -- the one after the newest of them
local shares = tonumber(ARGV[4]) -- how many keys they belong to
local shares_at = 5 -- from here on: of each such key its id and its bytes
local ids_at = shares_at + 2 * shares -- from here on, the newest last
local newest = ARGV[#ARGV]
local acknowledged = redis.call('XACK', stream, group, unpack(ARGV, ids_at))
-- A repeat, or Redis lost that it delivered the entries. Then it delivers them once more.
if acknowledged == 0 then return 0 end
-- Redis delivers entries in order: what is older than these and not pending is booked.
local pending = redis.call('XPENDING', stream, group, '-', newest, 1)
redis.call('XTRIM', stream, 'MINID', '=', pending[1] and pending[1][1] or next_id)
if stream_bytes then
  -- Count anew where nothing is left, so that a double count does not stay for ever.
  if redis.call('XLEN', stream) == 0 then
    redis.call('DEL', stream_bytes, key_bytes)
  else
    redis.call('DECRBY', stream_bytes, bytes)
    for i = shares_at, ids_at - 1, 2 do
      if redis.call('HINCRBY', key_bytes, ARGV[i], -tonumber(ARGV[i + 1])) <= 0 then
        redis.call('HDEL', key_bytes, ARGV[i])
      end
    end
  end
end
return acknowledged
