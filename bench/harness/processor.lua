-- SPDX-License-Identifier: MIT
--- Programs kept on one processor. Two that wait for each other are on one of them or on
-- two as the scheduler likes, for as long as a whole turn, and waking another processor
-- can take several times as long as what is measured.

local processor = {}

-- The first one that this process may run on.
local function find_first()
  local file = io.open("/proc/self/status", "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text:match "Cpus_allowed_list:%s*(%d+)" or "0"
end

--- The words of a command that keeps to the processor.
-- @param words the command
function processor.keep(words)
  return { "taskset", "-c", find_first(), unpack(words) }
end

--- Brings a process that runs there, all its threads.
-- @param pid its number
function processor.bring(pid)
  local command = ("taskset -a -p -c %s %d >/dev/null"):format(find_first(), pid)
  assert(os.execute(command) == 0, "taskset failed")
end

return processor
