-- SPDX-License-Identifier: MIT
--- What a run gave, as one plain table: the document results.json, from which the table
-- and the report are made too.
--
--     { started, ended, machine, versions = { [program] = version }, knobs,
--       cases = list of { name, sentence, operations, records, spread = { wall, cpu },
--         processors, axis, sentences,
--         peers = list of { name, program, method, storage, options, is_twin, is_floor,
--           goal, cpu_goal_us, at,
--           wall, cpu = { operation_us, ratio = { q1, median, q3 }, ratios, verdict },
--           rounds = list of { wall_s, cpu_s, operations, records, digests } } } }
--
-- A case that measures by itself is { name, sentence, tables, goals, sentences, figures }
-- there, see case.lua.

local authstate = require "authstate"

local results = {}

local function part_of(measured)
  return {
    operation_us = measured.operation_us, ratio = measured.ratio,
    verdict = measured.verdict, ratios = authstate.array(measured.ratios),
  }
end

local function rounds_of(measured)
  local list = authstate.array {}
  for i, round in ipairs(measured.rounds) do
    list[i] = {
      wall_s = round.wall_s, cpu_s = round.cpu_s, operations = round.operations,
      records = round.records, digests = authstate.array(round.digests),
    }
  end
  return list
end

local function peer_of(measured)
  local entry = measured.entry
  local program = entry.program
  return {
    name = entry.name, method = entry.method, storage = entry.storage,
    program = type(program) == "table" and table.concat(program, " ") or program,
    is_twin = entry.is_twin, is_floor = entry.is_floor,
    options = entry.options, at = not entry.is_twin and entry.at or nil,
    goal = not entry.is_twin and entry.goal or nil,
    cpu_goal_us = not entry.is_twin and entry.cpu_goal_us or nil,
    wall = part_of(measured.wall), cpu = part_of(measured.cpu),
    rounds = rounds_of(measured),
  }
end

--- Adds what rounds.run gave to a document.
function results.add(document, ran)
  local peers = authstate.array {}
  for i, measured in ipairs(ran.peers) do
    peers[i] = peer_of(measured)
    for name, version in pairs(measured.versions) do document.versions[name] = version end
  end
  document.versions.redis = ran.redis_version
  local sentences = ran.case.conclude and ran.case.conclude(peers, ran.spread) or {}
  table.insert(document.cases, {
    name = ran.case.name, sentence = ran.case.sentence, operations = ran.case.operations,
    records = peers[1].rounds[1].records, spread = ran.spread, peers = peers,
    processors = ran.processors, axis = ran.case.axis,
    sentences = authstate.array(sentences),
  })
end

local function arrays_of(tables)
  for _, one in ipairs(tables) do
    authstate.array(one.columns)
    for _, cells in ipairs(authstate.array(one.rows)) do authstate.array(cells) end
  end
  return authstate.array(tables)
end

--- Adds what a case measured by itself to a document.
-- @param case see case.lua
-- @param measured what its `measure` gave
function results.add_measured(document, case, measured)
  for name, version in pairs(measured.versions) do document.versions[name] = version end
  table.insert(document.cases, {
    name = case.name, sentence = case.sentence,
    tables = arrays_of(measured.tables),
    goals = authstate.array(measured.goals),
    sentences = authstate.array(measured.sentences), figures = measured.figures,
  })
end

--- A document without cases.
function results.new(machine, knobs)
  local plain = {}
  for name, value in pairs(knobs) do
    if type(value) == "table" then
      local names = {}
      for each in pairs(value) do names[#names + 1] = each end
      table.sort(names)
      value = table.concat(names, ",")
    end
    plain[name] = value
  end
  return {
    started = os.date "!%Y-%m-%dT%H:%M:%SZ", machine = machine, knobs = plain,
    versions = {}, cases = authstate.array {},
  }
end

--- Writes a text to a file. True; or nil and a sentence that names the file.
function results.write(path, text)
  local file, reason = io.open(path, "wb")
  if not file then return nil, reason end
  local is_written
  is_written, reason = file:write(text)
  if not file:close() or not is_written then return nil, path .. ": " .. reason end
  return true
end

--- The JSON text of a document.
function results.to_json(document)
  return authstate.to_json(document)
end

return results
