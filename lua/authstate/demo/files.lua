-- SPDX-License-Identifier: MIT
--- Where the demo's own files are: as installed, and in a clone.

local files = {}

-- From the folder of the modules.
local PLACES = { "/demo/", "/../../spec/fixtures/" }

--- The path of one.
-- @param name such as "small.json.gz"
function files.path(name)
  local modules = assert(package.searchpath("authstate.version", package.path))
    :gsub("/version%.lua$", "")
  for _, place in ipairs(PLACES) do
    local path = modules .. place .. name
    local file = io.open(path, "rb")
    if file then
      file:close()
      return path
    end
  end
  return modules .. PLACES[1] .. name -- so that the complaint names it
end

return files
