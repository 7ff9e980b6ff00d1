-- Whether Redis lost that this attempt was dispatched. Then the hold is older than the attempt, or accounting restored it
-- from the ledger. A call that was put back has the attempt's number.
local function is_dispatch_lost(state, restored, former_attempt, attempt)
  return state == 'held' and (restored or (tonumber(former_attempt) or 0) < tonumber(attempt))
end
