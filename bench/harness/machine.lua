-- SPDX-License-Identifier: MIT
--- What the figures were measured on.

local machine = {}

local function first_match(path, pattern)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text:match(pattern)
end

local function count_processors()
  local file = io.open("/proc/cpuinfo", "rb")
  if not file then return nil end
  local _, count = file:read "*a":gsub("processor%s*:", "")
  file:close()
  return count
end

--- @return { processor, cores, memory_mib, kernel, load }; nil for what /proc does not
--   tell
function machine.describe()
  local memory_kib = first_match("/proc/meminfo", "MemTotal:%s*(%d+)")
  return {
    processor = first_match("/proc/cpuinfo", "model name%s*:%s*([^\n]+)"),
    cores = count_processors(),
    memory_mib = memory_kib and math.floor(tonumber(memory_kib) / 1024),
    kernel = first_match("/proc/sys/kernel/osrelease", "[^\n]+"),
    load = machine.load(),
  }
end

--- How many processes wanted to run in the last minute.
function machine.load()
  return tonumber(first_match("/proc/loadavg", "^(%S+)"))
end

return machine
