-- SPDX-License-Identifier: MIT
--- The scripts that run inside Redis: their sources, and the commands that call them.

local core = require "authstate.core"

local server_scripts = {}

local function read_source(name)
  local module = "authstate.server." .. name
  local path, searched = package.searchpath(module, package.path)
  if not path then error("authstate is not installed whole: " .. module .. searched) end
  local file = assert(io.open(path, "rb"))
  local source = file:read("*a")
  file:close()
  return source
end

-- The shebang makes Redis refuse a script before its first command, rather than at the
-- first write in its middle, when memory is full, the disk is broken or the server is a
-- replica. A delete is let through on full memory: it frees some.
local function compose()
  local prelude = read_source "prelude"
  return {
    commit = "#!lua\n" .. prelude .. read_source "commit",
    delete = "#!lua flags=allow-oom\n" .. prelude .. read_source "delete",
    unindex = "#!lua flags=allow-oom\n" .. prelude .. read_source "unindex",
    replace = "#!lua\n" .. prelude .. read_source "replace",
  }
end

local sources = compose()
local digests = {}
for name, source in pairs(sources) do digests[name] = core.sha1_hex(source) end

--- List of all sources, to be loaded on each connection.
function server_scripts.sources()
  return { sources.commit, sources.delete, sources.unindex, sources.replace }
end

--- The command that calls a script.
-- @param name "commit", "delete", "unindex" or "replace"
-- @param keys list of keys; all that the script touches
-- @param arguments list of strings; appended
-- @return list of strings
function server_scripts.command(name, keys, arguments)
  local command = { "EVALSHA", digests[name], tostring(#keys) }
  for i = 1, #keys do command[#command + 1] = keys[i] end
  local count = #command
  for i = 1, #arguments do command[count + i] = arguments[i] end
  return command
end

return server_scripts
