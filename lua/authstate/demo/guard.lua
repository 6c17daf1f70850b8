-- SPDX-License-Identifier: MIT
--- Cleans up after a demo that was killed. A small shell waits for the end of its input:
-- when that comes without the word that all is well, it sees that the private server is
-- shut down, and removes the data directory when it was made for the demo.

local core = require "authstate.core"
local shell = require "authstate.demo.shell"
local store = require "authstate.store"

local Guard = { __name = "authstate.demo.guard" }
Guard.__index = Guard

local guard = {}

local SCRIPT = [[
trap '' HUP INT TERM
read -r word && exit
"$1" -e 'require("authstate.demo.guard").shut_down(arg[1])' /dev/null "$2"
[ -z "$3" ] || rm -rf -- "$2"
]]

local TRIES = 50
local PAUSE_MS = 100

local function is_server_there(directory)
  local fd = core.lock_open(directory .. "/server.lock", false)
  if not fd then return false end
  local is_free = core.lock_try(fd, "exclusive")
  core.lock_close(fd)
  return not is_free
end

--- Shuts a private server down, as its last user; waits for a writer that has not noticed
-- yet that nobody listens to it.
function guard.shut_down(directory)
  for _ = 1, TRIES do
    if not is_server_there(directory) then return end
    local opened = store.open { data_dir = directory, enable_cache = false }
    if opened then opened:close() end
    core.sleep_ms(PAUSE_MS)
  end
end

--- Starts it.
-- @param directory the data directory
-- @param is_temporary whether it is to be removed
function guard.start(directory, is_temporary)
  return setmetatable({
    pipe = shell.write_to { "sh", "-c", SCRIPT, "sh", shell.interpreter(), directory,
      is_temporary and "yes" or "" },
  }, Guard)
end

--- All is well.
function Guard:dismiss()
  self.pipe:write "done\n"
  self.pipe:close()
end

return guard
