-- The door for a caller who talks to this run of Redis: open · settling · closed. A restarted Redis has a new run id.
-- For that run the door is closed until accounting has checked what Redis came back with.
local function door(epoch, run_id)
  local value = redis.call('GET', epoch)
  if not value then return 'closed' end
  local phase, checked = value:match('^(%a+) (%S+)')
  return checked == run_id and phase or 'closed'
end
