-- SPDX-License-Identifier: MIT
--- `make bench`: luajit bench/run.lua [CASE...] [NAME=value...]
--
-- Runs cases of bench/cases one after the other, prints a table for each, and writes
-- results.json and report.html. Ends with 0, with 1 when a peer failed or did not do the
-- same work, with 2 when it was called wrongly.

local case = require "bench.harness.case"
local figures = require "bench.harness.figures"
local html = require "bench.harness.html"
local knobs = require "bench.harness.knobs"
local machine = require "bench.harness.machine"
local measured = require "bench.harness.measured"
local random = require "spec.support.random"
local results = require "bench.harness.results"
local rounds = require "bench.harness.rounds"
local session_file = require "authstate.session_file"
local sessions = require "bench.harness.sessions"
local core = require "authstate.core"

local FAILED, CALLED_WRONGLY = 1, 2
local STDERR = 2

local function give_up(status, message)
  io.stderr:write("bench: ", message, "\n")
  os.exit(status, true)
end

local function expect(status, value, message)
  if not value then give_up(status, message) end
  return value, message
end

local function show_progress(name, total)
  if not core.is_terminal(STDERR) then return nil end
  return function(round)
    io.stderr:write(("\r%s: round %d of %d "):format(name, math.max(round, 0), total))
    if round == total then io.stderr:write("\r\27[K") end
  end
end

local function load_case(name, values)
  local loaded = expect(CALLED_WRONGLY, case.load(name))
  if values.PEERS then loaded = case.with_programs(loaded, values.PEERS) end
  if not values.OPERATIONS then return loaded end
  return setmetatable({ operations = values.OPERATIONS }, { __index = loaded })
end

local function run_case(loaded, fixture, values)
  local is_fine, ran, message = pcall(rounds.run, loaded, fixture, values,
    random.new(values.SEED), show_progress(loaded.name, values.ROUNDS))
  if not is_fine then
    if type(ran) == "table" then give_up(CALLED_WRONGLY, ran.message) end
    error(ran, 0)
  end
  return expect(FAILED, ran, message)
end

-- What the cases of a run are about, each read when a case first needs it.
local function new_sources(values)
  local sources = {}
  function sources.fixture()
    local path = values.SESSION or sessions.fixture_path(values.FIXTURE or "large")
    sources.read = sources.read or expect(FAILED, session_file.read(path))
    return sources.read
  end
  function sources.sessions()
    sources.list = sources.list or expect(FAILED, sessions.list(values))
    return sources.list
  end
  return sources
end

-- Measures a case, adds it to the document, and gives its lines.
local function add_case(document, loaded, sources, values)
  if not loaded.measure then
    results.add(document, run_case(loaded, sources.fixture(), values))
    return figures.lines(document.cases[#document.cases], values)
  end
  results.add_measured(document, loaded, expect(FAILED, loaded.measure {
    sessions = sources.sessions(), knobs = values,
    on_round = show_progress(loaded.name, values.ROUNDS) or function() end,
  }))
  return measured.lines(document.cases[#document.cases])
end

local function write_reports(document, folder)
  expect(FAILED, os.execute("mkdir -p '" .. folder:gsub("'", "'\\''") .. "'") == 0,
    folder .. ": cannot be made")
  local text = expect(FAILED, results.to_json(document))
  expect(FAILED, results.write(folder .. "/results.json", text))
  expect(FAILED, results.write(folder .. "/report.html", html.page(document)))
  print(("%s/results.json, %s/report.html"):format(folder, folder))
end

local values, names = knobs.parse(arg)
expect(CALLED_WRONGLY, values, names)
local cases = {}
for i, name in ipairs(case.expand(names)) do cases[i] = load_case(name, values) end
local sources = new_sources(values)
local document = results.new(machine.describe(), values)
for _, loaded in ipairs(cases) do
  print(table.concat(add_case(document, loaded, sources, values), "\n"))
  print()
end
document.ended = os.date "!%Y-%m-%dT%H:%M:%SZ"
document.machine.load_at_end = machine.load()
write_reports(document, values.OUT)
