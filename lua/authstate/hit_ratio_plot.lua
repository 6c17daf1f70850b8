-- SPDX-License-Identifier: MIT
--- A plot of hit ratios as an SVG file: a line for each policy over the capacity.

local hit_ratio_plot = {}

local WIDTH, HEIGHT = 720, 420
local LEFT, RIGHT, TOP, BOTTOM = 60, 560, 30, 370
local COLORS = {
  "#1b6ca8", "#c0392b", "#27864b", "#8e44ad", "#d98e04", "#00838f", "#6d4c41",
  "#c2185b", "#455a64",
}

local STYLE = [[
<style>
text { font: 12px sans-serif; fill: #222 }
.grid { stroke: #ddd }
.line { fill: none; stroke-width: 2 }
.optimum { stroke-dasharray: 6 4 }
</style>]]

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function escape(text)
  return (text:gsub('[&<>"]', ESCAPES):gsub("%c", "?"))
end

local function text(x, y, anchor, words)
  return ('<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>'):format(x, y, anchor,
    escape(words))
end

local function grid_line(x1, y1, x2, y2)
  return ('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="grid"/>'):format(x1, y1,
    x2, y2)
end

-- From a capacity to its x, on a logarithmic scale.
local function new_scale(capacities)
  local first, last = math.log(capacities[1]), math.log(capacities[#capacities])
  local span = math.max(last - first, 1e-9)
  return function(capacity)
    return LEFT + (math.log(capacity) - first) / span * (RIGHT - LEFT)
  end
end

local function y_of(ratio)
  return BOTTOM - ratio * (BOTTOM - TOP)
end

local function add_grid(parts, capacities, x_of)
  for tenths = 0, 10, 2 do
    local y = y_of(tenths / 10)
    parts[#parts + 1] = grid_line(LEFT, y, RIGHT, y)
    parts[#parts + 1] = text(LEFT - 8, y + 4, "end", ("%.1f"):format(tenths / 10))
  end
  for _, capacity in ipairs(capacities) do
    parts[#parts + 1] = grid_line(x_of(capacity), TOP, x_of(capacity), BOTTOM)
    parts[#parts + 1] = text(x_of(capacity), BOTTOM + 18, "middle",
      ("%.0f"):format(capacity))
  end
end

local function add_line(parts, place, line, x_of)
  local color, points = COLORS[(place - 1) % #COLORS + 1], {}
  for i, point in ipairs(line) do
    points[i] = ("%.1f,%.1f"):format(x_of(point[1]), y_of(point[2]))
  end
  local class = line.is_optimum and "line optimum" or "line"
  parts[#parts + 1] = ('<polyline points="%s" class="%s" stroke="%s"/>'):format(
    table.concat(points, " "), class, color)
  local y = TOP + place * 20
  parts[#parts + 1] = ('<line x1="%d" y1="%d" x2="%d" y2="%d" class="%s" stroke="%s"/>')
    :format(RIGHT + 14, y - 4, RIGHT + 40, y - 4, class, color)
  parts[#parts + 1] = text(RIGHT + 46, y, "start", line.name)
end

--- @param title
-- @param unit what capacities count: "entries" or "bytes"
-- @param capacities list, ascending
-- @param lines list of { name, is_optimum, { capacity, ratio }, ... }
-- @return the text of the file
function hit_ratio_plot.svg(title, unit, capacities, lines)
  local x_of = new_scale(capacities)
  local parts = {
    ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d">'):format(WIDTH,
      HEIGHT),
    STYLE, text(LEFT, TOP - 12, "start", "hit ratio: " .. title),
    text((LEFT + RIGHT) / 2, HEIGHT - 10, "middle", "capacity, " .. unit),
  }
  add_grid(parts, capacities, x_of)
  for place, line in ipairs(lines) do add_line(parts, place, line, x_of) end
  parts[#parts + 1] = "</svg>\n"
  return table.concat(parts, "\n")
end

return hit_ratio_plot
