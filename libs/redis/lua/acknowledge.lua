#!lua flags=allow-oom
--[[
  Acknowledges booked entries of a stream, and removes what every consumer has acknowledged, in one step: said again after a lost answer,
  to a Redis that came back older, it removes nothing that is pending there. What is pending and no longer in the stream can be booked by nobody.

  KEYS: 1 stream  2 (where they are counted) its bytes
  ARGV: 1 group  2 bytes of the entries  3 the id after the newest of them  4… their ids, the newest last
  Output: how many were pending
]]
local acknowledged = redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 4))
-- Said before, or not known here to have been delivered: then they are delivered once more.
if acknowledged == 0 then return 0 end
-- Entries are handed out in order: what is older than these and not pending is booked.
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', ARGV[#ARGV], 1)
redis.call('XTRIM', KEYS[1], 'MINID', '=', pending[1] and pending[1][1] or ARGV[3])
if KEYS[2] then
  -- Counted anew where nothing is left, so that what was counted twice is not counted for ever.
  if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) else redis.call('DECRBY', KEYS[2], ARGV[2]) end
end
return acknowledged
