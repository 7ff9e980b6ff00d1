--[[
  Looks texts up among the verdicts that are remembered, and reserves room in the moderation lane for those that nobody knows: first
  come, first served, in calls of a bounded size, until one has to wait.

  KEYS: 1 bucket  2 the bucket before  3… of the lane's one upstream
  ARGV: 1 texts  2 most texts of a call  3 most tokens of a call (a larger text goes by itself)  4 most calls to reserve room for
        5… of each text its hash ('' is not looked up), then of each its tokens  … of the lane's one upstream
  Output: { verdicts ('' unknown), which of them come from the bucket before (1 | 0), how many unknown texts each call with room has }
]]
--@include common
--@include window
--@include lane
local count = tonumber(ARGV[1])
local hashes, places = {}, {}
local verdicts, aging = {}, {}
for i = 1, count do
  verdicts[i], aging[i] = '', 0
  if ARGV[4 + i] ~= '' then hashes[#hashes + 1], places[#places + 1] = ARGV[4 + i], i end
end
if #hashes > 0 then
  local fresh, former = redis.call('HMGET', KEYS[1], unpack(hashes)), nil
  for i, place in ipairs(places) do
    if fresh[i] then
      verdicts[place] = fresh[i]
    else
      former = former or redis.call('HMGET', KEYS[2], unpack(hashes))
      if former[i] then verdicts[place], aging[place] = former[i], 1 end
    end
  end
end

local groups = {}
local most_calls = tonumber(ARGV[4])
if most_calls == 0 then return { verdicts, aging, groups } end
local now = now_milliseconds()
local size, tokens = 0, 0
local function reserve()
  if size == 0 then return true end
  if #groups == most_calls then return false end
  local upstream = lane_upstreams(5 + 2 * count, now)[1]
  if lane_wait(upstream, now, 1, tokens) ~= 0 then return false end
  lane_take(upstream, now, 1, tokens)
  groups[#groups + 1] = size
  size, tokens = 0, 0
  return true
end
for i = 1, count do
  if verdicts[i] == '' then
    local its = tonumber(ARGV[4 + count + i])
    if size > 0 and (size >= tonumber(ARGV[2]) or tokens + its > tonumber(ARGV[3])) and not reserve() then return { verdicts, aging, groups } end
    size, tokens = size + 1, tokens + its
  end
end
reserve()
return { verdicts, aging, groups }
