#!lua flags=allow-oom
--[[
  Appends one event to the record. Not idempotent: accounting books an event once by its id, however often it comes.

  KEYS: 1 audit stream  2 its bytes
  ARGV: 1 event (JSON)  2 sealed content ('' for none)
]]
--@include common
--@include audit
record(KEYS[1], KEYS[2], now_milliseconds(), ARGV[1], ARGV[2])
return 'recorded'
