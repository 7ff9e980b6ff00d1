--[[
  The calls whose turns are next, in their order. Removes calls that nobody waits for any more.

  Output: tickets; none where no call waits
]]
local waiting = KEYS[1]
local fair = KEYS[2]
local hold_prefix = ARGV[1]
local ticket_prefix = ARGV[2]
local most = tonumber(ARGV[3]) -- tickets
--@include common
--@include lane-line
local tickets = {}
for _ = 1, 100 do
  for _, id in ipairs(redis.call('ZRANGE', waiting, 0, most - 1)) do
    local ticket = redis.call('HGET', hold_prefix .. id, 'state') == 'held' and redis.call('GET', ticket_prefix .. id)
    if ticket then tickets[#tickets + 1] = ticket else lane_leave(waiting, fair, id, true) end
  end
  if #tickets > 0 or redis.call('ZCARD', waiting) == 0 then break end
end
return tickets
