-- SPDX-License-Identifier: MIT

--- What makes several busted processes go through the same spec files together: each runs
-- the files that no other one has taken yet. `beside.sh` starts them.
--
-- The environment's SPEC_SHARE is a directory that they have in common. A file is taken
-- by making a directory of its number there, which only one of them can do. For
-- `beside.sh` each writes down its process id and the file it is at, beside its report.
-- @module spec.support.share

local lfs = require "lfs"

local share = {}

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text, "\n"))
  file:close()
end

-- What busted calls in the place of a file that is left out.
local NOTHING = { __call = function() end }

--- Leaves out the files that another process has taken, when there are others.
-- @tparam table busted
function share.watch(busted)
  local directory = os.getenv "SPEC_SHARE"
  if not directory or directory == "" then return end
  local report = os.getenv "SPEC_REPORT"
  write_file(report .. ".pid", io.open("/proc/self/stat"):read "*n")
  local number = 0
  busted.subscribe({ "file", "start" }, function(file)
    number = number + 1
    local is_ours, reason, code = lfs.mkdir(directory .. "/" .. number)
    if is_ours then
      write_file(report .. ".at", file.name)
    else
      assert(code == 17, reason)  -- EEXIST
      setmetatable(file.run, NOTHING)
    end
    return nil, true
  end)
end

return share
