--[[
  Projects the definition of a key or a campaign out of Postgres. Balances that calls move (spent, held) are kept; a
  lower budget is refused when it no longer covers them. An older version changes nothing.

  KEYS: 1 key or campaign hash  2 (keys only) token → key id  3 (after a rotation) the former token
  ARGV: 1 version  2 budget (nano)  3 id  4… field, value pairs of the definition
  Output: { code, spent + held }   code: projected · stale · below
]]
--@include common
local budget, spent, held = balance(KEYS[1])
local need = int(spent + held)
if (tonumber(redis.call('HGET', KEYS[1], 'version')) or 0) > tonumber(ARGV[1]) then return { 'stale', need } end
if tonumber(ARGV[2]) < budget and tonumber(ARGV[2]) < spent + held then return { 'below', need } end
local pardoned = redis.call('HGET', KEYS[1], 'strikes_since') or '0'
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'budget', ARGV[2], 'id', ARGV[3], unpack(ARGV, 4))
-- A person reinstated the key since it was projected last.
if (redis.call('HGET', KEYS[1], 'strikes_since') or '0') ~= pardoned then redis.call('HDEL', KEYS[1], 'strike_times', 'cooldown_until') end
redis.call('HSETNX', KEYS[1], 'spent', '0')
redis.call('HSETNX', KEYS[1], 'held', '0')
if KEYS[2] then
  -- The token that this key had here, which is not the one before where the projection of a rotation was lost.
  local former = redis.call('HGET', KEYS[1], 'token')
  if former then redis.call('DEL', former) end
  if KEYS[3] then redis.call('DEL', KEYS[3]) end
  redis.call('SET', KEYS[2], ARGV[3])
  redis.call('HSET', KEYS[1], 'token', KEYS[2])
end
return { 'projected', need }
