-- SPDX-License-Identifier: MIT

--- The private server of a data directory, asked on a connection apart from the code
-- under test.
-- @module spec.embedded.private_server

local clock = require "spec.support.clock"
local resp_client = require "spec.support.resp_client"
local servers = require "spec.embedded.servers"

local private_server = {}

--- Where it listens: in the directory, or where the file `socket` in it says.
function private_server.socket_path(directory)
  local file = io.open(directory .. "/socket")
  if not file then return directory .. "/redis.sock" end
  local path = file:read "*l"
  file:close()
  return path
end

local function connect(directory)
  return resp_client.connect { socket = private_server.socket_path(directory) }
end

--- Sends it one command.
-- @param directory the data directory
-- @param ... the command
-- @return the reply as `spec.support.resp_client` gives it
function private_server.ask(directory, ...)
  local client = assert(connect(directory))
  local reply, message = client:command(...)
  client:close()
  return reply, message
end

--- What CONFIG GET says of a parameter.
function private_server.config(directory, name)
  return private_server.ask(directory, "CONFIG", "GET", name)[2]
end

--- One field of INFO.
function private_server.info(directory, name)
  return private_server.ask(directory, "INFO", "everything"):match(name .. ":([^\r\n]*)")
end

--- Its process id.
function private_server.pid(directory)
  return tonumber(private_server.info(directory, "process_id"))
end

--- Kills it without a word and waits until it is gone.
-- @return the process id that it had
function private_server.kill(directory)
  local pid = private_server.pid(directory)
  servers.end_process(pid)
  return pid
end

--- Makes it rewrite its log, so slowly that a forked child of it does so until it is
-- killed or `release_rewrite` is called.
-- @param delay_us for each key that is stored
-- @return the child's process id
function private_server.rewrite_slowly(directory, delay_us)
  assert(private_server.ask(directory, "CONFIG", "SET", "rdb-key-save-delay",
    tostring(delay_us)))
  assert(private_server.ask(directory, "BGREWRITEAOF"))
  local pid = private_server.pid(directory)
  return assert(clock.wait_for(function()
    for _, child in ipairs(servers.using(directory)) do
      if child ~= pid then return child end
    end
  end))
end

return private_server
