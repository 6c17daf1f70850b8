-- SPDX-License-Identifier: MIT
--- Plots of a case as SVG elements, to stand inside an HTML page. Colours and fonts come
-- from the page's style sheet.

local figures = require "bench.harness.figures"

local plot = {}

local LEFT, RIGHT, TOP, ROW, WIDTH = 190, 60, 26, 30, 900

--- A text as it may stand in HTML.
function plot.escape(text)
  return (tostring(text):gsub("[&<>\"]",
    { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

local function svg(height, label, parts)
  return ('<svg viewBox="0 0 %d %d" role="img" aria-label="%s">\n%s\n</svg>'):format(
    WIDTH, height, plot.escape(label), table.concat(parts, "\n"))
end

local function text(x, y, class, words)
  return ('<text x="%.1f" y="%.1f" class="%s">%s</text>'):format(x, y, class,
    plot.escape(words))
end

local function line(x1, y1, x2, y2, class)
  return ('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>'):format(x1, y1, x2,
    y2, class)
end

local function rectangle(x, y, width, height, class, title)
  return ('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s">%s</rect>')
    :format(x, y, math.max(width, 1), height, class,
      title and "<title>" .. plot.escape(title) .. "</title>" or "")
end

local function dot(x, y, class)
  return ('<circle cx="%.1f" cy="%.1f" r="2" class="%s"/>'):format(x, y, class)
end

-- A logarithmic scale: function from a value to its x, and the round values on it.
local function logarithmic(low, high)
  local first, last = math.log(low), math.log(high)
  local function place(value)
    return LEFT + (math.log(value) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
  end
  local ticks = {}
  for exponent = math.floor(first / math.log(10)), math.ceil(last / math.log(10)) do
    for _, digit in ipairs { 1, 2, 5 } do
      local value = digit * 10 ^ exponent
      if value >= low and value <= high then ticks[#ticks + 1] = value end
    end
  end
  return place, ticks
end

local function range_of(case, metric)
  local low, high = 1, 1
  for _, peer in ipairs(case.peers) do
    for _, ratio in ipairs(peer[metric].ratios) do
      -- A clock too coarse for a round gives 0.
      if ratio > 0 and ratio < math.huge then
        low, high = math.min(low, ratio), math.max(high, ratio)
      end
    end
    if peer.goal then high = math.max(high, peer.goal) end
  end
  return low / 1.15, high * 1.15
end

-- One peer: a dot for each round, its quartiles as a box, its median and its goal.
local function add_ratios(parts, place, y, peer, metric)
  parts[#parts + 1] = text(LEFT - 8, y + 4, "name", peer.name)
  for round, ratio in ipairs(peer[metric].ratios) do
    local jitter = (round * 7 % 11 - 5) * 0.9
    if ratio > 0 and ratio < math.huge then
      parts[#parts + 1] = dot(place(ratio), y + jitter, "round")
    end
  end
  local ratio = peer[metric].ratio
  if ratio.q1 > 0 and ratio.q3 < math.huge then
    local from, to, middle = place(ratio.q1), place(ratio.q3), place(ratio.median)
    parts[#parts + 1] = rectangle(from, y - 8, to - from, 16, "quartiles",
      peer.name .. ": " .. figures.quartiles(ratio))
    parts[#parts + 1] = line(middle, y - 8, middle, y + 8, "median")
    parts[#parts + 1] = text(to + 6, y + 4, "value", figures.ratio(ratio.median))
  end
  if peer.goal and metric == "wall" then
    parts[#parts + 1] = line(place(peer.goal), y - 12, place(peer.goal), y + 12, "goal")
  end
end

--- Ratios to ours of all rounds, each peer a row, on a logarithmic scale. The band is the
-- spread of the same program against itself.
-- @param metric "wall" or "cpu"
function plot.ratios(case, metric)
  local place, ticks = logarithmic(range_of(case, metric))
  local bottom = TOP + (#case.peers - 1) * ROW
  local spread = case.spread[metric]
  local from, to = place(math.max(1 / spread, ticks[1] / 2)), place(spread)
  local parts = { rectangle(from, TOP - 8, to - from, bottom - TOP + 16, "spread") }
  for _, tick in ipairs(ticks) do
    parts[#parts + 1] = line(place(tick), TOP - 8, place(tick), bottom + 8, "grid")
    parts[#parts + 1] = text(place(tick), TOP - 12, "tick", ("%g"):format(tick))
  end
  for i = 2, #case.peers do
    add_ratios(parts, place, TOP + (i - 1.5) * ROW, case.peers[i], metric)
  end
  return svg(bottom + 16, case.name .. ", ratios", parts)
end

local function longest_time(case)
  local longest = 0
  for _, peer in ipairs(case.peers) do
    longest = math.max(longest, peer.wall.operation_us.q3, peer.cpu.operation_us.q3)
  end
  return longest
end

local function add_bar(parts, y, scale, times, class, label)
  local title = ("%s: %s [%s .. %s]"):format(label, figures.time(times.median),
    figures.time(times.q1), figures.time(times.q3))
  parts[#parts + 1] = rectangle(LEFT, y, times.median * scale, 9, class, title)
  parts[#parts + 1] = text(LEFT + times.median * scale + 6, y + 8, "value",
    figures.time(times.median))
end

--- Medians of the time of one operation: wall time, and the CPU time of the client in it.
function plot.times(case)
  local scale = (WIDTH - LEFT - RIGHT - 20) / math.max(longest_time(case), 1e-9)
  local parts = {}
  for i, peer in ipairs(case.peers) do
    local y = 6 + (i - 1) * ROW
    parts[#parts + 1] = text(LEFT - 8, y + 13, "name", peer.name)
    add_bar(parts, y, scale, peer.wall.operation_us, "wall", "wall time")
    add_bar(parts, y + 10, scale, peer.cpu.operation_us, "cpu", "client CPU")
  end
  return svg(#case.peers * ROW + 6, case.name .. ", times", parts)
end

-- The peers of a case that stand on its axis, and how high their times go.
local function list_points(case)
  local points, highest = {}, 0
  for _, peer in ipairs(case.peers) do
    if peer.at then
      points[#points + 1] = peer
      highest = math.max(highest, peer.wall.operation_us.q3, peer.cpu.operation_us.q3)
    end
  end
  table.sort(points, function(a, b) return a.at < b.at end)
  return points, math.max(highest, 1e-9)
end

-- One metric over the axis: a line through the medians, at each of them the quartiles.
local function add_course(parts, points, x_of, y_of, metric)
  local corners = {}
  for i, peer in ipairs(points) do
    local times, x = peer[metric].operation_us, x_of(i)
    corners[i] = ("%.1f,%.1f"):format(x, y_of(times.median))
    parts[#parts + 1] = line(x, y_of(times.q1), x, y_of(times.q3), "range " .. metric)
    parts[#parts + 1] = dot(x, y_of(times.median), metric)
    local beside = metric == "wall" and -6 or 16
    parts[#parts + 1] = text(x + 8, y_of(times.median) + beside, "value",
      figures.time(times.median))
  end
  parts[#parts + 1] = ('<polyline points="%s" class="course %s"/>'):format(
    table.concat(corners, " "), metric)
end

--- The time of one operation over the axis of a case, from 0 on: wall time, and the CPU
-- time of the client in it.
function plot.axis(case)
  local height = 240
  local points, highest = list_points(case)
  local function x_of(i)
    return LEFT + (i - 0.5) * (WIDTH - LEFT - RIGHT) / #points
  end
  local function y_of(us)
    return height - (height - TOP) * us / highest
  end
  local parts = { line(LEFT, y_of(0), WIDTH - RIGHT, y_of(0), "grid") }
  for i, peer in ipairs(points) do
    parts[#parts + 1] = text(x_of(i), height + 18, "tick", ("%g"):format(peer.at))
  end
  parts[#parts + 1] = text(LEFT - 8, height + 18, "name", case.axis)
  add_course(parts, points, x_of, y_of, "wall")
  add_course(parts, points, x_of, y_of, "cpu")
  return svg(height + 28, case.name .. ", by " .. case.axis, parts)
end

return plot
