#!lua flags=allow-oom
--[[
  Projects the definition of a key or a campaign out of Postgres. It keeps the balances that calls move (spent, held).
  It refuses a lower budget that no longer covers them. An older version changes nothing. In a full Redis a key can still
  be revoked or changed, and no further one fits in.

  Output: { code, spent + held }   code: projected · stale · below
]]
local account = KEYS[1] -- a key's or a campaign's hash
local token = KEYS[2] -- of a key only: leads to its id
local rotated_token = KEYS[3] -- after a rotation only: the one before
local version = ARGV[1]
local new_budget = ARGV[2] -- nano-dollars
local id = ARGV[3]
local kept_bytes = ARGV[4] -- the key that counts all kept answers
local of_key = ARGV[5] -- the key that counts those of this virtual key; '' of a campaign
local idempotency_prefix = ARGV[6] -- followed by a name
local shelf_prefix = ARGV[7] -- of what keys may name later
local visitor_prefix = ARGV[8] -- followed by a claimant's id
local definition_at = 9 -- from here on: field, value pairs of the definition
--@include common
--@include balances
--@include kept
--@include memory
--@include shelf
--@include visitor
if redis.call('EXISTS', account) == 0 and memory_is_full() then
  return redis.error_reply('OOM no room for a further account')
end
local budget, spent, held = balance(account)
local need = int(spent + held)
if (tonumber(redis.call('HGET', account, 'version')) or 0) > tonumber(version) then return { 'stale', need } end
if tonumber(new_budget) < budget and tonumber(new_budget) < spent + held then return { 'below', need } end
local pardoned = redis.call('HGET', account, 'strikes_since') or '0'
redis.call('HSET', account, 'version', version, 'budget', new_budget, 'id', id, unpack(ARGV, definition_at))
-- A person reinstated the key since it was projected last.
if (redis.call('HGET', account, 'strikes_since') or '0') ~= pardoned then
  redis.call('HDEL', account, 'strike_times', 'cooldown_until')
  local visitor = visitor_hash(account, visitor_prefix)
  if visitor ~= account then redis.call('DEL', visitor) end
end
-- The key's time has begun with a call that Postgres has not heard of yet.
local first_used_ms, ttl_from_use_ms, expires_ms = unpack(redis.call('HMGET', account, 'first_used_ms',
  'ttl_from_use_ms', 'expires_ms'))
if first_used_ms and (tonumber(ttl_from_use_ms) or 0) > 0 and expires_ms == '0' then
  redis.call('HSET', account, 'expires_ms', int(tonumber(first_used_ms) + tonumber(ttl_from_use_ms)))
end
redis.call('HSETNX', account, 'spent', '0')
redis.call('HSETNX', account, 'held', '0')
if token then
  -- The token that Redis knew for this key. It is not `rotated_token` where the projection of a rotation was lost.
  local former = redis.call('HGET', account, 'token')
  if former then redis.call('DEL', former) end
  if rotated_token then redis.call('DEL', rotated_token) end
  redis.call('SET', token, id)
  redis.call('HSET', account, 'token', token)
  -- Whoever holds the new secret must not read what somebody asked under the former one.
  local status, expires_ms = unpack(redis.call('HMGET', account, 'status', 'expires_ms'))
  local expires = tonumber(expires_ms) or 0
  local is_over = status == 'revoked' or (expires > 0 and expires <= now_milliseconds())
  if is_over or (former and former ~= token) then kept_forget(of_key, kept_bytes, idempotency_prefix) end
  -- A rotation keeps it: the visitor is the same.
  if is_over then shelf_forget(shelf_prefix, id) end
end
return { 'projected', need }
