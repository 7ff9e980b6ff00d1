#!lua flags=allow-oom
--[[
  Takes what the books keep out of the stats of one minute: how often each claim link was opened, and, once, how many
  requests were refused.

  Output: { refused, field of a link, how often, … }
]]
local stats = KEYS[1]
local is_over = ARGV[1] == '1' -- the minute has ended, so that its refusals are all there
local fields = redis.call('HGETALL', stats)
if #fields == 0 then return { 0 } end
local refused = 0
local taken = {}
for i = 1, #fields, 2 do
  if fields[i]:sub(1, 8) == 'refused:' then refused = refused + tonumber(fields[i + 1]) end
  if fields[i]:sub(1, 7) == 'opened:' then
    taken[#taken + 1] = fields[i]
    taken[#taken + 1] = fields[i + 1]
    redis.call('HDEL', stats, fields[i])
  end
end
if not is_over or refused == 0 or redis.call('HSETNX', stats, 'folded', '1') == 0 then refused = 0 end
return { refused, unpack(taken) }
