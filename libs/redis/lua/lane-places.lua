--[[
  Where calls stand that wait for a lane.

  KEYS: 1 waiting  2 fair  3 lane window  4 lane state
  ARGV: 1 lane rpm (0: unlimited)  2 lane tpm (0: unlimited)  3 burst (ms)  4… request ids
  Output: for each id its place (1: next) and the ms until its turn as far as anybody knows; 0 and 0 where it does not wait
]]
--@include common
--@include window
--@include lane
local now = now_milliseconds()
local rpm, tpm = lane_limits(KEYS[4], tonumber(ARGV[1]), tonumber(ARGV[2]), now)
local places = {}
for i = 4, #ARGV do
  local tag = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]))
  if tag then
    local before, eta = lane_ahead(KEYS[1], KEYS[2], KEYS[3], KEYS[4], tag, rpm, tpm, tonumber(ARGV[3]), now)
    places[#places + 1] = before + 1
    places[#places + 1] = eta
  else
    places[#places + 1] = 0
    places[#places + 1] = 0
  end
end
return places
