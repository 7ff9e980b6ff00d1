--[[
  The calls whose turns are next, in their order. Those that nobody waits for any more go.

  KEYS: 1 waiting  2 fair
  ARGV: 1 prefix of holds  2 prefix of tickets  3 at most so many
  Output: tickets; none where nobody waits
]]
--@include common
--@include window
--@include lane
local tickets = {}
for _ = 1, 100 do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)) do
    local ticket = redis.call('HGET', ARGV[1] .. id, 'state') == 'held' and redis.call('GET', ARGV[2] .. id)
    if ticket then tickets[#tickets + 1] = ticket else lane_leave(KEYS[1], KEYS[2], id, true) end
  end
  if #tickets > 0 or redis.call('ZCARD', KEYS[1]) == 0 then break end
end
return tickets
