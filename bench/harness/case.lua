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
--     processors    how the server and the peers share them, see processor.lua; nil:
--                   "free"
--     sessions      how many sessions there are to read, all alike (else one), named
--                   SOURCE.1, SOURCE.2, ...: the peers spread their operations over them
--     axis          what `at` of the peers counts, when that is what the case is about
--     conclude      function(peers, spread): list of sentences that the figures say; both
--                   as in results.lua
--     peers         list; the first one is ours, whose times all others are divided by:
--         name      what the table says
--         program   a name of programs.lua
--         method    what the program is told to do
--         storage   where its records lie, see storages.lua
--         form      of what it reads: "stored" when it gives out the stored bytes as they
--                   are, else "json"
--         is_floor  it does not make values, so nothing that does can be as fast
--         options   { [name] = value }: what else the program is told
--         goal      how many times our time it is meant to take, at least
--         cpu_goal_us   the client CPU that one operation is meant to take, at most
--         at        its place on the axis
--
-- or, when it is not about operations on a server,
--
--     name, sentence
--     measure       function(context): context has `sessions` (sessions.lua), `knobs` and
--                   `on_round`, function(round); gives
--                   { tables = list (tables.lua), goals = list (goals.lua),
--                     sentences = list, versions = { [program] = version },
--                     figures = what else results.json has of it }; or nil and a sentence
--                   when a peer failed or did not do the same work

local programs = require "bench.harness.programs"
local storages = require "bench.harness.storages"

local FOLDER = "bench/cases/"

-- What a run without a name goes through, in this order.
local NAMES = { "read_one", "read_100", "write_100", "session_load" }

-- Names that stand for several cases.
local LISTS = {
  engine = {
    "engine_one", "engine_read", "engine_read_100", "engine_pre_key", "engine_write",
    "engine_lone", "engine_pool", "engine_metrics",
  },
  cache = { "cache_read", "cache_policy" },
  nginx = { "openresty", "openresty_restart" },
  codec = { "codec_size", "codec_memory", "codec_decode", "codec_encode" },
  profile = { "profiles" },
}

local case = {}

-- Every word that may be said, in order.
local function list_words()
  local words = { unpack(NAMES) }
  for _, name in ipairs { "engine", "codec", "cache", "nginx", "profile" } do
    words[#words + 1] = name
    for _, each in ipairs(LISTS[name]) do words[#words + 1] = each end
  end
  return words
end

--- The names of the cases that are meant: a list's name stands for its cases, no name for
-- the cases that run by themselves.
function case.expand(words)
  if #words == 0 then return NAMES end
  local names = {}
  for _, word in ipairs(words) do
    for _, name in ipairs(LISTS[word] or { word }) do names[#names + 1] = name end
  end
  return names
end

local function check(loaded, name)
  assert(loaded.name == name, "a case has the name of its file")
  assert(type(loaded.sentence) == "string")
  if loaded.measure then return loaded end
  assert(type(loaded.work) == "function")
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
  local words = list_words()
  for _, known in ipairs(words) do
    if known == name then return check(dofile(FOLDER .. name .. ".lua"), name) end
  end
  return nil, ("CASE: there is no %q; there are: %s"):format(name,
    table.concat(words, ", "))
end

--- The case with those of its peers only whose program is named. Ours stays, and so does
-- what a case that draws a conclusion compares it with. A case that measures by itself
-- looks at the knob.
-- @param wanted { [program] = true }
function case.with_programs(loaded, wanted)
  if loaded.measure then return loaded end
  local peers = {}
  local ours = loaded.peers[1].program
  for i, entry in ipairs(loaded.peers) do
    local is_compared = loaded.conclude and entry.program == ours
    if i == 1 or is_compared or wanted[entry.program] then peers[#peers + 1] = entry end
  end
  return setmetatable({ peers = peers }, { __index = loaded })
end

return case
