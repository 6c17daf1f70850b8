-- SPDX-License-Identifier: MIT

--- A small blocking Redis client for looking into a server independently of the code
-- under test. It hides nothing: replies are what Redis sent, as in Redis' own scripts.
--
--    status, bulk string    string, of any bytes
--    integer                number
--    null                   false
--    array                  list, nested as sent
--    error                  { err = "WRONGTYPE ..." }
--
-- @module spec.support.resp_client

local socket = require "socket"
local unix = require "socket.unix"

local TIMEOUT_S = 60

local Client = { __name = "resp_client" }
Client.__index = Client

local resp_client = {}

--- The bytes of one command.
-- @tparam table arguments list of strings and numbers
-- @treturn string
function resp_client.encode(arguments)
  local parts = { ("*%d\r\n"):format(#arguments) }
  for _, argument in ipairs(arguments) do
    argument = tostring(argument)
    parts[#parts + 1] = ("$%d\r\n"):format(#argument)
    parts[#parts + 1] = argument
    parts[#parts + 1] = "\r\n"
  end
  return table.concat(parts)
end

local read_reply

local readers = {
  ["+"] = function(_, rest) return rest end,
  ["-"] = function(_, rest) return { err = rest } end,
  [":"] = function(_, rest) return tonumber(rest) end,

  ["$"] = function(stream, rest)
    local size = tonumber(rest)
    if size < 0 then
      return false
    end
    return assert(stream:receive(size + 2)):sub(1, size)
  end,

  ["*"] = function(stream, rest)
    local count = tonumber(rest)
    if count < 0 then
      return false
    end
    local list = {}
    for i = 1, count do
      list[i] = read_reply(stream)
    end
    return list
  end,
}

function read_reply(stream)
  local line = assert(stream:receive("*l"))
  local reader = readers[line:sub(1, 1)] or error("not a reply: " .. line)
  return reader(stream, line:sub(2))
end

--- Connects to a server.
-- @tparam table address `socket` (path of a unix socket) or `port` (on 127.0.0.1);
-- besides `password`
-- @treturn ?Client
-- @treturn ?string message when no connection was possible
function resp_client.connect(address)
  local stream, connected, message
  if address.socket then
    stream = unix.stream()
    connected, message = stream:connect(address.socket)
  else
    stream = socket.tcp()
    connected, message = stream:connect("127.0.0.1", address.port)
  end
  if not connected then
    stream:close()
    return nil, message
  end
  stream:settimeout(TIMEOUT_S)
  if not address.socket then
    stream:setoption("tcp-nodelay", true)
  end
  local self = setmetatable({ stream = stream }, Client)
  if address.password then
    assert(self:command("AUTH", address.password))
  end
  return self
end

--- Sends commands without reading replies.
-- @tparam table commands list of lists of arguments
function Client:send(commands)
  local parts = {}
  for i, arguments in ipairs(commands) do
    parts[i] = resp_client.encode(arguments)
  end
  assert(self.stream:send(table.concat(parts)))
end

--- Reads one reply, for example a message after SUBSCRIBE. Raises when none comes within
-- ten seconds or the connection breaks.
function Client:receive()
  return read_reply(self.stream)
end

--- Sends one command and returns its reply; raises when the connection is broken.
-- @return the reply, or nil and the server's words after an error reply
function Client:command(...)
  self:send { { ... } }
  local reply = self:receive()
  if type(reply) == "table" and reply.err then
    return nil, reply.err
  end
  return reply
end

--- Sends commands together and returns the list of their replies, errors as
-- `{ err = message }`; raises when the connection is broken.
-- @tparam table commands list of lists of arguments
-- @treturn table
function Client:pipeline(commands)
  self:send(commands)
  local replies = {}
  for i = 1, #commands do
    replies[i] = self:receive()
  end
  return replies
end

--- Whether the other side has not closed the connection. Only between commands.
-- @treturn boolean
function Client:is_open()
  self.stream:settimeout(0)
  local _, message = self.stream:receive(1)
  self.stream:settimeout(TIMEOUT_S)
  return message == "timeout"
end

--- Closes the connection.
function Client:close()
  self.stream:close()
end

return resp_client
