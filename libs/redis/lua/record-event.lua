#!lua flags=allow-oom
--[[
  Appends events to the record. Not idempotent: accounting books an event once by its id, however often it comes.

  KEYS: 1 audit stream  2 its bytes
  ARGV: of each event: the event (JSON), and its sealed content ('' for none)
]]
--@include common
--@include audit
local now = now_milliseconds()
for i = 1, #ARGV, 2 do record(KEYS[1], KEYS[2], now, ARGV[i], ARGV[i + 1]) end
return 'recorded'
