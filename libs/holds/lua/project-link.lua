#!lua
--[[
  Projects a claim link out of Postgres. An older version changes nothing.

  Output: the version that Redis had; 0: it had none
]]
local link = KEYS[1] -- its JSON
local version = tonumber(ARGV[1])
local state = ARGV[2] -- JSON with that version
local former = redis.call('GET', link)
local had = former and tonumber(cjson.decode(former).version) or 0
if had <= version then redis.call('SET', link, state) end
return had
