-- Corrects a reservation in `bucket` to the call's usage, while the bucket still counts.
local function window_correct(key, bucket, change)
  if change == 0 or not bucket then return end
  local head, tokens, bucket_tokens = unpack(redis.call('HMGET', key, 'h', 't', 't' .. bucket))
  if not head or bucket < tonumber(head) then return end
  redis.call('HSET', key, 't', int((tonumber(tokens) or 0) + change),
    't' .. bucket, int((tonumber(bucket_tokens) or 0) + change))
end
