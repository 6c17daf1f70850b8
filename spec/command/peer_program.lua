-- SPDX-License-Identifier: MIT

-- A program that greets as a Redis of some version does, or is no Redis. Arguments: path
-- of its unix socket; the version, or "=" and what it says to whoever connects, or "!"
-- and what it answers to each command.

require "socket"
local unix = require "socket.unix"

local path, says = arg[1], arg[2]

local function bulk(text)
  return ("$%d\r\n%s\r\n"):format(#text, text)
end

-- Arguments are read and, but for the command's name, not looked at.
local function read_command(client)
  local head = client:receive "*l"
  local count = head and tonumber(head:match "^%*(%d+)")
  if not count then return nil end
  local name
  for i = 1, count do
    local size = tonumber((client:receive "*l"):match "^%$(%d+)")
    local word = client:receive(size + 2):sub(1, size)
    if i == 1 then name = word:upper() end
  end
  return name
end

local REPLIES = {
  CLIENT = ":7\r\n",
  INFO = bulk(("# Server\r\nredis_version:%s\r\nrun_id:%s\r\n")
    :format(says, ("a"):rep(40))),
}

local function serve(client)
  if says == "=" then return client:close() end
  if says:sub(1, 1) == "=" then
    client:send((says:sub(2):gsub("\\r\\n", "\r\n")))
    return client:receive "*a"
  end
  while true do
    local name = read_command(client)
    if not name then return client:close() end
    client:send(says:sub(1, 1) == "!" and says:sub(2) .. "\r\n" or REPLIES[name]
      or "+OK\r\n")
  end
end

local server = assert(unix.stream())
assert(server:bind(path))
assert(server:listen())
while true do serve(assert(server:accept())) end
