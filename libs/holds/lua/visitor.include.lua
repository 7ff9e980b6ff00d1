-- The hash with the strikes of a key's visitor, and with what followed: of its claimant, else of the key itself.
local function visitor_hash(key, visitor_prefix)
  local claimant = redis.call('HGET', key, 'visitor')
  if claimant and claimant ~= '' then return visitor_prefix .. claimant end
  return key
end

-- Whether a strike on another key of its claimant suspended this one, too. Accounting suspends it in the books soon.
local function is_suspended_with_visitor(key, visitor_prefix)
  local visitor = visitor_hash(key, visitor_prefix)
  return visitor ~= key and redis.call('HGET', visitor, 'status') == 'suspended'
end
