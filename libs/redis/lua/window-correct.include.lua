-- Corrects a reservation in `bucket` to the call's usage, while the bucket still counts. `of`: 't' tokens, the default, or
-- 'n' requests.
local function window_correct(key, bucket, change, of)
  if change == 0 or not bucket then return end
  of = of or 't'
  local head, sum, its = unpack(redis.call('HMGET', key, 'h', of, of .. bucket))
  if not head or bucket < tonumber(head) then return end
  redis.call('HSET', key, of, int((tonumber(sum) or 0) + change), of .. bucket, int((tonumber(its) or 0) + change))
end

-- Takes back the images that a call reserved in the lane of the model that draws for it. `drawn`: of its hold, '<images>
-- <bucket> <window>'. Returns how many, and the window; 0 where no limit counts them.
local function window_undraw(drawn)
  local images, bucket, units = (drawn or ''):match('^(%d+) (%d+) (.+)$')
  if not images then return 0 end
  window_correct(units, tonumber(bucket), -tonumber(images), 'n')
  return tonumber(images), units
end
