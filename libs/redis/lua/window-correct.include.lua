-- Corrects a reservation in `bucket` to the call's usage, while the bucket still counts.
local function window_correct(key, bucket, change)
  local head = tonumber(redis.call('HGET', key, 'h'))
  if change ~= 0 and head and bucket and bucket >= head then
    redis.call('HINCRBY', key, 't', change)
    redis.call('HINCRBY', key, 't' .. bucket, change)
  end
end
