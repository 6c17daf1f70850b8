-- SPDX-License-Identifier: MIT
--- Cases small enough for specs: few records of the small session, few rounds, whose
-- second peer is whatever the spec wants to see measured.

local knobs = require "bench.harness.knobs"
local random = require "spec.support.random"
local rounds = require "bench.harness.rounds"
local session_file = require "authstate.session_file"
local work = require "bench.harness.work"

local LUAJIT = os.getenv "LUAJIT" or "luajit"
local SIZE = 5

local tiny_case = {
  OPERATIONS = 4,
  SIZE = SIZE,
}

local function case_of(name, method, list_operations)
  return {
    name = name, sentence = "a few records", operations = tiny_case.OPERATIONS,
    work = list_operations,
    peers = {
      { name = "ours", program = "authstate", method = method, storage = "typed" },
    },
  }
end

--- A case of reads of pre-keys by `get`.
function tiny_case.reads()
  return case_of("tiny_reads", "get", function(fixture, generator, _, count)
    return work.reads(fixture, generator, count, "pre-key", SIZE)
  end)
end

--- A case of writes of pre-keys by `set`.
function tiny_case.writes()
  return case_of("tiny_writes", "set", function(fixture, generator, _, count)
    return work.writes(fixture, generator, count, "pre-key", SIZE)
  end)
end

--- A case of writes of one record of any type by `set`.
function tiny_case.single_writes()
  return case_of("tiny_single_writes", "set", function(fixture, generator, _, count)
    return work.single_writes(fixture, generator, count)
  end)
end

--- A case of a whole session.
function tiny_case.loads()
  return case_of("tiny_loads", "load", function(fixture, _, _, count)
    return work.loads(fixture, count)
  end)
end

--- Adds a peer to a case.
function tiny_case.add(case, peer)
  peer.method = peer.method or case.peers[1] and case.peers[1].method or "get"
  peer.storage = peer.storage or "typed"
  table.insert(case.peers, peer)
  return case
end

--- Adds a peer with a fault, see faulty_peer.lua.
function tiny_case.add_faulty(case, fault, call, file)
  local program = { LUAJIT, "spec/bench/faulty_peer.lua", fault, tostring(call), file }
  return tiny_case.add(case, { name = "the other", program = program })
end

--- The small session.
function tiny_case.fixture()
  return assert(session_file.read "spec/fixtures/small.json.gz")
end

--- Runs a case as the harness does.
-- @param rounds_wanted { ROUNDS =, WARMUP = }
function tiny_case.run(case, rounds_wanted)
  local values = knobs.defaults()
  for name, value in pairs(rounds_wanted) do values[name] = value end
  return rounds.run(case, tiny_case.fixture(), values, random.new())
end

return tiny_case
