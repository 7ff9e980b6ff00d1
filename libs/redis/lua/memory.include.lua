-- What can be made again, or missed, leaves Redis' last memory to running calls.
local SPARE_MEMORY_SHARE = 0.8

local function memory_has_room(bytes)
  local memory = redis.call('INFO', 'memory')
  local most = tonumber(memory:match('maxmemory:(%d+)'))
  return most == 0 or tonumber(memory:match('used_memory:(%d+)')) + bytes <= SPARE_MEMORY_SHARE * most
end

-- Redis takes nothing that could need more memory, but for scripts that may run in a full Redis.
local function memory_is_full()
  local memory = redis.call('INFO', 'memory')
  local most = tonumber(memory:match('maxmemory:(%d+)'))
  return most > 0 and tonumber(memory:match('used_memory:(%d+)')) > most
end
