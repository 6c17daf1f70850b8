-- SPDX-License-Identifier: MIT
--- Tables of a case that is not about operations on a server: { title, columns = list of
-- words, rows = list of lists of words }. The first column is text, the others are
-- numbers; what was not measured is "-".

local plot = require "bench.harness.plot"

local GAP = 2

local tables = {}

--- A number as a cell.
-- @param value nil for what was not measured
-- @param format as for string.format; default: a whole number
function tables.cell(value, format)
  return value and (format or "%d"):format(value) or "-"
end

local function widths_of(one)
  local widths = {}
  for _, cells in ipairs { one.columns, unpack(one.rows) } do
    for i, cell in ipairs(cells) do
      widths[i] = math.max(widths[i] or 0, #cell)
    end
  end
  return widths
end

local function line_of(cells, widths)
  local parts = {}
  for i, cell in ipairs(cells) do
    local space = (" "):rep(widths[i] - #cell)
    parts[i] = i == 1 and cell .. space or space .. cell
  end
  return (table.concat(parts, (" "):rep(GAP)):gsub("%s+$", ""))
end

--- A table as lines for a terminal.
function tables.lines(one)
  local widths = widths_of(one)
  local lines = { one.title, line_of(one.columns, widths) }
  for _, cells in ipairs(one.rows) do lines[#lines + 1] = line_of(cells, widths) end
  return lines
end

local function html_row(tag, cells)
  local parts = {}
  for i, cell in ipairs(cells) do
    parts[i] = ("<%s>%s</%s>"):format(tag, plot.escape(cell), tag)
  end
  return "<tr>" .. table.concat(parts) .. "</tr>"
end

--- A table for a page.
function tables.html(one)
  local rows = { html_row("th", one.columns) }
  for _, cells in ipairs(one.rows) do rows[#rows + 1] = html_row("td", cells) end
  return ("<h3>%s</h3>\n<table class=\"numbers\">\n%s\n</table>"):format(
    plot.escape(one.title), table.concat(rows, "\n"))
end

return tables
