-- SPDX-License-Identifier: MIT

-- What a tracefile of lcov says about line coverage, in one line:
-- luajit spec/coverage/report.lua TRACEFILE MINIMUM. Exits 1 when less than MINIMUM per
-- cent of the lines ran, and names the files that miss most.

local SHOWN_FILES = 10

local path, minimum = arg[1], tonumber(arg[2])
assert(path and minimum, "usage: report.lua TRACEFILE MINIMUM")

local files, by_name = {}, {}
local current

local function file_named(name)
  local file = by_name[name] or { name = name, runs = {} }
  if not by_name[name] then files[#files + 1] = file end
  by_name[name] = file
  return file
end

-- SF:<file>, DA:<line>,<runs>; see geninfo(1). A header comes once for every file that
-- includes it.
for line in io.lines(path) do
  local name = line:match "^SF:(.*)$"
  local number, runs = line:match "^DA:(%d+),(%d+)"
  if name then current = file_named(name:match "core/.*" or name) end
  if number then current.runs[number] = (current.runs[number] or 0) + runs end
end

local total, run = 0, 0
for _, file in ipairs(files) do
  file.missed = 0
  for _, runs in pairs(file.runs) do
    total, run = total + 1, run + (runs > 0 and 1 or 0)
    file.missed = file.missed + (runs > 0 and 0 or 1)
  end
end

assert(total > 0, path .. " has no lines")
local percent = 100 * run / total
print(("coverage: %.1f %% of the lines of core/ (%d of %d)"):format(percent, run, total))
if percent >= minimum then os.exit(0) end

table.sort(files, function(a, b) return a.missed > b.missed end)
io.stderr:write(("less than the %g %% that are expected; lines that did not run:\n")
  :format(minimum))
for i = 1, math.min(SHOWN_FILES, #files) do
  local file = files[i]
  if file.missed > 0 then
    io.stderr:write(("%6d  %s\n"):format(file.missed, file.name))
  end
end
os.exit(1)
