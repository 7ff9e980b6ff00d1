#!lua flags=allow-oom
--[[
  Looks texts up among the cached verdicts. Reserves the moderation lane for the texts without one: first come, first
  served, in calls of a bounded size, until a call would have to wait.

  Output: { verdicts ('': none), which of them come from the older bucket (1 | 0), how many texts without a verdict
    each call with room has }
]]
local bucket = KEYS[1]
local bucket_before = KEYS[2] -- after it the keys of the lane's one upstream
local count = tonumber(ARGV[1]) -- of texts
local most_texts = tonumber(ARGV[2]) -- of a call
local most_tokens = tonumber(ARGV[3]) -- of a call; a larger text goes by itself
local most_calls = tonumber(ARGV[4]) -- to reserve room for
local hashes_at = 5 -- from here on: of each text its hash, '': do not look it up
local tokens_at = hashes_at + count -- from here on: of each text its tokens
local upstream_at = tokens_at + count -- from here on: the lane's one upstream
--@include common
--@include window
--@include window-steady
--@include lane-upstreams
--@include lane-room
local hashes, positions = {}, {}
local verdicts, aging = {}, {}
for i = 1, count do
  local hash = ARGV[hashes_at + i - 1]
  verdicts[i], aging[i] = '', 0
  if hash ~= '' then hashes[#hashes + 1], positions[#positions + 1] = hash, i end
end
if #hashes > 0 then
  local fresh, former = redis.call('HMGET', bucket, unpack(hashes)), nil
  for i, position in ipairs(positions) do
    if fresh[i] then
      verdicts[position] = fresh[i]
    else
      former = former or redis.call('HMGET', bucket_before, unpack(hashes))
      if former[i] then verdicts[position], aging[position] = former[i], 1 end
    end
  end
end

local groups = {}
if most_calls == 0 then return { verdicts, aging, groups } end
local now = now_milliseconds()
local size, tokens = 0, 0
local function reserve()
  if size == 0 then return true end
  if #groups == most_calls then return false end
  local upstream = lane_upstreams(KEYS, ARGV, upstream_at, now)[1]
  if lane_wait(upstream, now, 1, tokens) ~= 0 then return false end
  lane_take(upstream, now, 1, tokens)
  groups[#groups + 1] = size
  size, tokens = 0, 0
  return true
end
for i = 1, count do
  if verdicts[i] == '' then
    local its_tokens = tonumber(ARGV[tokens_at + i - 1])
    if size > 0 and (size >= most_texts or tokens + its_tokens > most_tokens) and not reserve() then
      return { verdicts, aging, groups }
    end
    size, tokens = size + 1, tokens + its_tokens
  end
end
reserve()
return { verdicts, aging, groups }
