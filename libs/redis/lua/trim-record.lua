--[[
  Forgets booked events of the record, and their bytes.

  KEYS: 1 audit stream  2 its bytes
  ARGV: 1 keep from this id on  2 bytes of what was booked
]]
redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[1])
-- Counted anew where nothing is left, so that what a lost answer counted twice is not counted for ever.
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) else redis.call('DECRBY', KEYS[2], ARGV[2]) end
return 'trimmed'
