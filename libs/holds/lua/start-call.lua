#!lua flags=allow-oom
--[[
  Reserves the lane's capacity, records the dispatch and journals it, in one step: held → dispatched, before the socket
  opens. A caller whose answer was lost asks again with its nonce, before it sends anything, and gets `started` again.

  Output: { code, … }
    started    attempt, now, requests and tokens in the upstream's window, the upstream's name, its failures in a row
    wait       ms until an upstream has room, and why it has none: '' its limits · failing · account (it refuses that)
               · images (only the model has no room that draws for the call's own)
    late       the same, where the call's deadline does not allow it. With room in the lane nothing is late: who no
               longer waits has voided the hold
    too_large  - larger than each upstream's whole limit
    ended      state - the hold is dispatched already or ended: nothing may be sent
    unsent     attempt - this caller lost the answer to its own dispatch, and the hold is presumed since: nobody sent it
    invalid    - the key was revoked or has expired while the call waited, or its campaign was closed
    suspended  - the key was suspended while the call waited
    recovering - the door is not open
]]
local epoch = KEYS[1]
local hold = KEYS[2]
local leases = KEYS[3]
local journal = KEYS[4]
local key = KEYS[5]
local campaign = KEYS[6]
local waiting = KEYS[7]
local fair = KEYS[8]
local shares = KEYS[9] -- of this minute; after it the keys of the upstreams
local request_id = ARGV[1]
local tokens = tonumber(ARGV[2]) -- to reserve
local lease_ms = tonumber(ARGV[3])
local caller_nonce = ARGV[4]
local run_id = ARGV[5] -- of Redis
local probe_ms = tonumber(ARGV[6]) -- for so long only this call tries a failing upstream
local overtakes = ARGV[7] == '1' -- the calls before it in the line get no place in the caller's process
local behind = ARGV[8] -- the caller starts this call right before; '': none
local visitor_prefix = ARGV[9] -- followed by a claimant's id
local images = tonumber(ARGV[10]) -- to reserve
local seconds = tonumber(ARGV[11]) -- of sound to reserve
local drawing = ARGV[12] ~= '' and cjson.decode(ARGV[12]) or nil -- see `lane_drawing`
local upstreams_at = 13 -- from here on
--@include common
--@include door
--@include journal-dispatch
--@include window
--@include window-steady
--@include lane-upstreams
--@include lane-room
--@include lane-line
--@include visitor
--@include begin-call

if door(epoch, run_id) ~= 'open' then return { 'recovering' } end
local now = now_milliseconds()

-- Calls start in the line's order: a small one does not overtake a large one that waits for room.
local function stands_behind()
  if overtakes then return behind ~= '' and redis.call('ZSCORE', waiting, behind) end
  local first = redis.call('ZRANGE', waiting, 0, 0)[1]
  return first and first ~= request_id
end

local lane = { leases = leases, journal = journal, waiting = waiting, fair = fair, shares = shares,
  upstreams = lane_upstreams(KEYS, ARGV, upstreams_at, now), lease_ms = lease_ms, probe_ms = probe_ms,
  visitor_prefix = visitor_prefix }
return begin_call(lane, { id = request_id, hold = hold, key = key, campaign = campaign, tokens = tokens,
  images = images, seconds = seconds, drawing = drawing, nonce = caller_nonce,
  fields = redis.call('HMGET', hold, unpack(BEGIN_FIELDS)), stands_behind = stands_behind,
  tag = tonumber(redis.call('ZSCORE', waiting, request_id)) }, now)
