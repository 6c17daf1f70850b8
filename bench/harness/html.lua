-- SPDX-License-Identifier: MIT
--- A results document as one HTML page that needs nothing besides itself.

local figures = require "bench.harness.figures"
local measured = require "bench.harness.measured"
local plot = require "bench.harness.plot"

local html = {}

local escape = plot.escape

local STYLE = [[
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5b6b7b; --line: #d8dee5;
  --paper: #fff; --wall: #2b6cb0; --cpu: #90b8e0; --band: #f6d58a66; --goal: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --ink: #dde5ee; --soft: #93a3b3;
  --line: #33404d; --paper: #151b22; --wall: #63a4e8; --cpu: #35597f; --band: #b8860b55;
  --goal: #ff7a6b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 3rem; }
h3 { font-size: .95rem; color: var(--soft); margin: 1.5rem 0 .3rem; }
.facts { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
.numbers th:not(:first-child), .numbers td:not(:first-child) { text-align: right; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: var(--ink); }
.name { text-anchor: end; } .tick { text-anchor: middle; fill: var(--soft); }
.value { fill: var(--soft); paint-order: stroke; stroke: var(--paper);
  stroke-width: 4; } .grid { stroke: var(--line); }
.spread { fill: var(--band); }
.round { fill: var(--cpu); opacity: .7; }
.median { stroke: var(--wall); stroke-width: 3; }
.course { fill: none; stroke-width: 2; } .course.wall { stroke: var(--wall); }
.course.cpu { stroke: var(--cpu); } .range { stroke-width: 2; opacity: .6; }
.range.wall { stroke: var(--wall); } .range.cpu { stroke: var(--cpu); }
.quartiles { fill: var(--wall); opacity: .35; } .wall { fill: var(--wall); }
.cpu { fill: var(--cpu); } .goal { stroke: var(--goal); stroke-width: 2;
  stroke-dasharray: 3 2; }
]]

local function cells(tag, words)
  local parts = {}
  for i, word in ipairs(words) do
    parts[i] = ("<%s>%s</%s>"):format(tag, escape(word), tag)
  end
  return "<tr>" .. table.concat(parts) .. "</tr>"
end

local function table_of(case)
  local rows = { cells("th", {
    "", "wall time of one operation", "client CPU", "wall time, of ours",
    "client CPU, of ours", "",
  }) }
  for i, peer in ipairs(case.peers) do
    local is_ours = i == 1
    rows[#rows + 1] = cells("td", {
      peer.name, figures.time(peer.wall.operation_us.median),
      figures.time(peer.cpu.operation_us.median),
      is_ours and "1" or figures.quartiles(peer.wall.ratio),
      is_ours and "1" or figures.quartiles(peer.cpu.ratio),
      figures.remark(peer, is_ours),
    })
  end
  return "<table>\n" .. table.concat(rows, "\n") .. "\n</table>"
end

local function sentences_of(case)
  local parts = {}
  for i, sentence in ipairs(case.sentences) do
    parts[i] = "<p>" .. escape(sentence) .. "</p>"
  end
  return table.concat(parts, "\n")
end

local function axis_of(case)
  if not case.axis then return "" end
  return ("<h3>One operation by %s: wall time (dark) and client CPU (light). Lines: "
    .. "quartiles</h3>\n%s"):format(escape(case.axis), plot.axis(case))
end

local function section_of(case)
  return table.concat({
    ("<h2>%s: %s</h2>"):format(escape(case.name), escape(case.sentence)),
    ('<p class="facts">%d operations and %d records a round, %d rounds; %s</p>'):format(
      case.operations, case.records, #case.peers[1].rounds, figures.processors(case)),
    table_of(case), sentences_of(case), axis_of(case),
    "<h3>Wall time of each round, of ours. Box: quartiles; band: the same program "
      .. "against itself; dashed: goal</h3>", plot.ratios(case, "wall"),
    "<h3>Client CPU of each round, of ours</h3>", plot.ratios(case, "cpu"),
    "<h3>One operation: wall time (dark) and client CPU (light)</h3>", plot.times(case),
  }, "\n")
end

local function pairs_of(map)
  local words = {}
  for name, value in pairs(map) do words[#words + 1] = ("%s %s"):format(name, value) end
  table.sort(words)
  return table.concat(words, ", ")
end

--- The page.
-- @param document see results.lua
-- @return text
function html.page(document)
  local parts = {
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
    "<title>authstate: benchmarks</title>", "<style>" .. STYLE .. "</style></head><body>",
    "<h1>authstate: benchmarks</h1>",
    ('<p class="facts">%s<br>%s<br>%s<br>%s</p>'):format(escape(document.started),
      escape(pairs_of(document.machine)), escape(pairs_of(document.versions)),
      escape(pairs_of(document.knobs))),
    "<p>A ratio is what a peer took of our time in the same round, so more than 1 is "
      .. "slower than ours. Times are medians.</p>",
  }
  for _, case in ipairs(document.cases) do
    local make = measured.is_one(case) and measured.html or section_of
    parts[#parts + 1] = make(case)
  end
  parts[#parts + 1] = "</body></html>\n"
  return table.concat(parts, "\n")
end

return html
