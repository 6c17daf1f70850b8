-- SPDX-License-Identifier: MIT
--- A case: one small file in bench/cases that returns
--
--     name          the file's name
--     sentence      what is measured
--     operations    how many operations a round has (the knob OPERATIONS changes it)
--     work          function(fixture, random, knobs, count): the operations, see
--                   work.lua; a multiple of `count`, which is `operations`
--     server        settings of its redis-server as in redis.conf, or nil: nothing is
--                   persisted, on a unix socket
--     peers         list; the first one is ours, whose times all others are divided by:
--         name      what the table says
--         program   a name of programs.lua
--         method    what the program is told to do
--         storage   where its records lie, see storages.lua
--         form      of what it reads: "stored" when it gives out the stored bytes as they
--                   are, else "json"
--         is_floor  it does not make values, so nothing that does can be as fast
--         goal      how many times our time it is meant to take

local programs = require "bench.harness.programs"
local storages = require "bench.harness.storages"

local FOLDER = "bench/cases/"

-- In the order of a run without a name.
local NAMES = { "read_one", "read_100", "write_100", "session_load" }

local case = {}

--- The names of all cases.
function case.names()
  return NAMES
end

local function check(loaded, name)
  assert(loaded.name == name, "a case has the name of its file")
  assert(type(loaded.sentence) == "string" and type(loaded.work) == "function")
  assert(loaded.operations >= 1 and #loaded.peers >= 1)
  for _, entry in ipairs(loaded.peers) do
    assert(type(entry.program) == "table" or programs.has(entry.program), entry.name)
    assert(entry.name and entry.method and storages[entry.storage], entry.name)
  end
  return loaded
end

--- Loads a case.
-- @return the case; or nil and a sentence
function case.load(name)
  for _, known in ipairs(NAMES) do
    if known == name then return check(dofile(FOLDER .. name .. ".lua"), name) end
  end
  return nil, ("CASE: there is no %q; there are: %s"):format(name,
    table.concat(NAMES, ", "))
end

--- The case with those of its peers only whose program is named; ours always stays.
-- @param wanted { [program] = true }
function case.with_programs(loaded, wanted)
  local peers = {}
  for i, entry in ipairs(loaded.peers) do
    if i == 1 or wanted[entry.program] then peers[#peers + 1] = entry end
  end
  return setmetatable({ peers = peers }, { __index = loaded })
end

return case
