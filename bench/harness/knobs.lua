-- SPDX-License-Identifier: MIT
--- What can be turned on a run: words NAME=value.

local processor = require "bench.harness.processor"
local programs = require "bench.harness.programs"

local knobs = {}

-- Name, kind, default, what it is.
local ROWS = {
  { "ROUNDS", "number", 30, "rounds that count" },
  { "WARMUP", "number", 3, "rounds before them" },
  { "OPERATIONS", "number", nil, "operations of a round; default: what the case says" },
  { "FIXTURE", "word", nil,
    "the session in spec/fixtures: large or small; default: large, of a codec both" },
  { "SESSION", "word", nil, "a session's file; of a codec besides the fixtures" },
  { "TYPE", "word", nil, "type of the records; default: what the case says" },
  { "PEERS", "list", nil, "programs that take part besides ours; default: all" },
  { "PROCESSORS", "word", nil,
    "of server and peers: one, two or free; default: what the case says" },
  { "SEED", "number", 1, "of the choice of records" },
  { "OUT", "word", "build/bench", "folder of results.json and report.html" },
}

local parsers = {}

function parsers.number(text)
  local number = tonumber(text)
  if number and number >= 0 and number % 1 == 0 and number < 2 ^ 31 then return number end
  return nil, "a whole number from 0 on"
end

function parsers.word(text)
  return text
end

function parsers.list(text)
  local set = {}
  for name in text:gmatch "[^, ]+" do
    if not programs.has(name) then
      return nil, "a list of " .. table.concat(programs.names(), ", ")
    end
    set[name] = true
  end
  return set
end

local function find(name)
  for _, row in ipairs(ROWS) do
    if row[1] == name then return row end
  end
end

--- The knobs as nobody turned them.
function knobs.defaults()
  local values = {}
  for _, row in ipairs(ROWS) do values[row[1]] = row[3] end
  return values
end

local FIXTURES = { large = true, small = true }

local function check(values)
  if values.ROUNDS < 1 then return nil, "ROUNDS: 0 is no run; accepted: 1 or more" end
  if values.OPERATIONS == 0 then
    return nil, "OPERATIONS: 0 is no round; accepted: 1 or more"
  end
  if values.FIXTURE and not FIXTURES[values.FIXTURE] then
    return nil, ("FIXTURE: %q is no fixture; accepted: large, small")
      :format(values.FIXTURE)
  end
  if values.PROCESSORS and not processor.has(values.PROCESSORS) then
    return nil, ("PROCESSORS: %q is no way to share them; accepted: one, two, free")
      :format(values.PROCESSORS)
  end
  return values
end

--- Sorts the words of a command line.
-- @param words list of NAME=value and names of cases
-- @return values by name, list of the other words; or nil and a sentence
function knobs.parse(words)
  local values, rest = knobs.defaults(), {}
  for _, word in ipairs(words) do
    local name, text = word:match "^(%u+)=(.*)$"
    if not name then
      rest[#rest + 1] = word
    else
      local row = find(name)
      if not row then return nil, name .. ": there is no such knob\n" .. knobs.help() end
      local value, accepted = parsers[row[2]](text)
      if value == nil then
        return nil, ("%s: %q is not accepted; accepted: %s"):format(name, text, accepted)
      end
      values[name] = value
    end
  end
  local checked, message = check(values)
  if not checked then return nil, message end
  return checked, rest
end

--- One line for each knob.
function knobs.help()
  local lines = {}
  for i, row in ipairs(ROWS) do
    local default = row[3] and (" (%s)"):format(row[3]) or ""
    lines[i] = ("  %-11s %s%s"):format(row[1], row[4], default)
  end
  return table.concat(lines, "\n")
end

return knobs
