-- Counts the claims of a campaign within an hour. Include `window` first.
-- 243 buckets of this length are an hour: no wait is longer than that.
local CLAIM_BUCKET_MS = 14800
