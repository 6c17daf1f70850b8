-- SPDX-License-Identifier: MIT

-- Somebody who writes records and knows nothing of authstate:
--
--    luajit writer_program.lua SOCKET LAYOUT END_MS FIRST_TAG SEED
--
-- until END_MS of the monotonic clock. After each write it asks once more: with the
-- answer the write is fenced (judge.lua). It prints a line for each write:
--
--    w TAG CALLED_MS ENDED_MS|- FENCED_MS|-

local clock = require "spec.support.clock"
local monotonic = require "spec.coherence.monotonic"
local random = require "spec.support.random"
local records = require "spec.coherence.records"
local resp_client = require "spec.support.resp_client"

local socket, layout, end_ms = arg[1], arg[2], tonumber(arg[3])
local tag, dice = tonumber(arg[4]), random.new(tonumber(arg[5]))

local PAUSE_MS = 4

local list = records.all(layout)
local now_ms = monotonic.now_ms
local client

-- A command's reply; nil when there is no server.
local function ask(...)
  client = client or resp_client.connect { socket = socket }
  if not client then return nil end
  client.stream:settimeout(0.5)
  local is_whole, reply = pcall(client.command, client, ...)
  if is_whole and reply ~= nil then return reply end
  client:close()
  client = nil
  return nil
end

local function say_time(ms)
  return ms and ("%.3f"):format(ms) or "-"
end

local function write(record)
  local text = '"' .. records.value(tag) .. '"'
  local called_ms, ended_ms, fenced_ms = now_ms(), nil, nil
  if ask("HSET", record.key, record.field, text) then
    ended_ms = now_ms()
    if ask "PING" then fenced_ms = now_ms() end
  end
  io.write(("w %d %s %s %s\n"):format(tag, say_time(called_ms), say_time(ended_ms),
    say_time(fenced_ms)))
  tag = tag + 1
end

while now_ms() < end_ms do
  for _ = 1, dice:integer(1, 3) do
    local record = list[dice:integer(1, #list)]
    if dice:integer(1, 20) == 1 then
      ask("HDEL", record.key, record.field)
    else
      write(record)
    end
  end
  clock.sleep(dice:integer(1, PAUSE_MS))
end
