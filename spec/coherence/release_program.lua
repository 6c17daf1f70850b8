-- SPDX-License-Identifier: MIT

-- Somebody who writes a record while a spec is blocked in a call, and then ends the call:
--
--    luajit release_program.lua SOCKET CONTROL KEY FIELD VALUE
--
-- CONTROL is that of a proxy that holds the answer. It has handed on what the server
-- tells of the write before it lets the answer go.

local clock = require "spec.support.clock"
local resp_client = require "spec.support.resp_client"
local unix = require "socket.unix"

local socket, control_path, key, field, value = unpack(arg)

local WAIT_MS = 50

clock.sleep(WAIT_MS)
local client = assert(resp_client.connect { socket = socket })
assert(client:command("HSET", key, field, value))
assert(client:command "PING")
local control = unix.stream()
assert(control:connect(control_path))
-- What could be read before the first order was answered is written before the next.
for _, order in ipairs { "stats", "stats", "pass" } do
  assert(control:send(order .. "\n"))
  assert(assert(control:receive "*l"):find "^ok")
end
