--[[
  The call whose turn is next. Those that nobody waits for any more go, at most a hundred at a time.

  KEYS: 1 waiting  2 fair
  ARGV: 1 prefix of holds  2 prefix of tickets
  Output: ticket, or '' where nobody waits
]]
--@include common
--@include window
--@include lane
for _ = 1, 100 do
  local id = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not id then return '' end
  local ticket = redis.call('HGET', ARGV[1] .. id, 'state') == 'held' and redis.call('GET', ARGV[2] .. id)
  if ticket then return ticket end
  lane_leave(KEYS[1], KEYS[2], id, true)
end
return ''
