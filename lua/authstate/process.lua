-- SPDX-License-Identifier: MIT
--- Which process this is, cheaply enough to be asked before each call: a child that was
-- forked must not use the connections of its parent.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"

local process = {}

local page = core.process_mark()
local mark = page and core_ffi.process_mark(page)
local number = 0

--- A number that is another one in each child.
function process.number()
  if not mark then return core.process_id() end
  if mark[0] == 0 then
    number = number + 1
    mark[0] = number
  end
  return number
end

process.page = page -- lives as long as this module

return process
