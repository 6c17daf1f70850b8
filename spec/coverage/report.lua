-- SPDX-License-Identifier: MIT

-- What a tracefile of lcov says about line coverage, in one line:
-- luajit spec/coverage/report.lua TRACEFILE MINIMUM. Exits 1 when less than MINIMUM per
-- cent of the lines ran, and names the files that miss most.

local SHOWN_FILES = 10

local path, minimum = arg[1], tonumber(arg[2])
assert(path and minimum, "usage: report.lua TRACEFILE MINIMUM")

local files, total, run = {}, 0, 0
local current

-- SF:<file>, LF:<lines>, LH:<lines that ran>; see geninfo(1).
for line in io.lines(path) do
  local kind, value = line:match "^(%u+):(.*)$"
  if kind == "SF" then
    current = { name = value:match "core/.*" or value, missed = 0 }
    files[#files + 1] = current
  elseif kind == "LF" then
    total, current.missed = total + value, current.missed + value
  elseif kind == "LH" then
    run, current.missed = run + value, current.missed - value
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
  io.stderr:write(("%6d  %s\n"):format(files[i].missed, files[i].name))
end
os.exit(1)
