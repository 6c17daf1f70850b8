-- SPDX-License-Identifier: MIT
--- What has come for a store that nginx has not read yet.
--
-- Redis tells on one connection what others have changed, and a cached value must not be
-- served when that can be read there. But only the request that made a cosocket can read
-- it, when nginx comes to it: other requests of the same turn may be before it, and one
-- of them may keep the worker for long. So before anything is served, the system itself
-- is asked, by the descriptor of the cosocket.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"

local library = core_ffi.library

local Lookout = { __name = "authstate.lookout" }
Lookout.__index = Lookout

local lookouts = {}

local QUIET = -1 -- AS_LOOKOUT_QUIET

local NO_DESCRIPTOR = "its descriptor cannot be found"

-- The descriptor of a connected cosocket, which ngx_lua tells nobody: a mark that has no
-- meaning for it is set and taken off again, and the one is sought that goes with that.
-- @return number; or nil and the reason
local function find_descriptor(socket)
  local is_set, reason = socket:setoption("reuseaddr", true)
  if not is_set then return nil, reason end
  local marked, failure = core.marked_sockets()
  is_set, reason = socket:setoption("reuseaddr", false)
  if not marked or not is_set then return nil, failure or reason end
  for _, fd in ipairs(marked) do
    if not core.is_marked(fd) then return fd end
  end
  return nil, NO_DESCRIPTOR
end

--- @return lookout; or nil and the reason
function lookouts.new()
  local set, reason = core.lookout()
  if not set then return nil, reason end
  return setmetatable({
    set = set, pointer = core_ffi.lookout(set:address()),
    connections = {},           -- by descriptor
    blind = {}, is_blind = false, -- numbers of those that it cannot look at
  }, Lookout)
end

--- Takes in a connection whose socket is connected, in the place of the one of the same
-- number.
-- @param connection see connection.lua
-- @param event "bytes" when all that comes is of interest, "end": the end only
-- @return true; or nil and the reason: it is blind now
function Lookout:add(connection, event)
  local is_whole, fd, reason = pcall(find_descriptor, connection.socket)
  if not is_whole then fd, reason = nil, fd end
  local is_added = false
  if fd then is_added, reason = self.set:add(fd, event) end
  self.blind[connection.number] = not is_added or nil
  self.is_blind = next(self.blind) ~= nil
  if not is_added then return nil, tostring(reason) end
  connection.descriptor = fd
  self.connections[fd] = connection
  return true
end

--- No longer looks at a connection, which may be closed.
function Lookout:remove(connection)
  local fd = connection.descriptor
  if not fd or self.connections[fd] ~= connection then return end
  self.connections[fd] = nil
  self.set:remove(fd)
end

--- Where something has come.
-- @return a connection; nil: nowhere; false: that is not known
function Lookout:look()
  local fd = library.authstate_lookout_next(self.pointer)
  if fd == QUIET then return nil end
  return self.connections[fd] or false
end

--- What has come to a connection, without waiting.
-- @return bytes, "" for none; or nil and the reason: the stream has ended
function Lookout:receive(connection)
  return self.set:receive(connection.descriptor)
end

--- Ends it.
function Lookout:close()
  self.set:close()
end

return lookouts
