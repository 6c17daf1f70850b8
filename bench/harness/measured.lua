-- SPDX-License-Identifier: MIT
--- A case that measured by itself (case.lua) as it stands in a results document, as lines
-- for a terminal and as a part of a page.

local goals = require "bench.harness.goals"
local plot = require "bench.harness.plot"
local tables = require "bench.harness.tables"

local measured = {}

--- Whether a case of a document is one.
function measured.is_one(case)
  return case.tables ~= nil
end

--- The lines of a case.
-- @return list of strings
function measured.lines(case)
  local lines = { ("%s: %s"):format(case.name, case.sentence) }
  for _, one in ipairs(case.tables) do
    lines[#lines + 1] = ""
    for _, line in ipairs(tables.lines(one)) do lines[#lines + 1] = line end
  end
  lines[#lines + 1] = ""
  for _, goal in ipairs(case.goals) do lines[#lines + 1] = goals.line(goal) end
  for _, sentence in ipairs(case.sentences) do lines[#lines + 1] = sentence end
  return lines
end

--- A case as a part of a page.
function measured.html(case)
  local parts = { ("<h2>%s: %s</h2>"):format(plot.escape(case.name),
    plot.escape(case.sentence)) }
  for _, one in ipairs(case.tables) do parts[#parts + 1] = tables.html(one) end
  for _, goal in ipairs(case.goals) do
    parts[#parts + 1] = "<p>" .. plot.escape(goals.line(goal)) .. "</p>"
  end
  for _, sentence in ipairs(case.sentences) do
    parts[#parts + 1] = "<p>" .. plot.escape(sentence) .. "</p>"
  end
  return table.concat(parts, "\n")
end

return measured
