#!lua flags=allow-oom
--[[
  Appends events to the record. Not idempotent: accounting books an event once by its id, however often it comes.

  ARGV: of each event its JSON, and its encrypted content ('': none)
]]
local audit_stream = KEYS[1]
local audit_bytes = KEYS[2]
--@include common
--@include audit
local now = now_milliseconds()
for i = 1, #ARGV, 2 do record(audit_stream, audit_bytes, now, ARGV[i], ARGV[i + 1]) end
return 'recorded'
