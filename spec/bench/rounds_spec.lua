-- SPDX-License-Identifier: MIT

local order = require "bench.harness.order"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"
local tiny_case = require "spec.bench.tiny_case"

local FEW = { ROUNDS = 2, WARMUP = 1 }
local CHECKED = tiny_case.OPERATIONS -- calls before the first round

local function compile_floor()
  local binary = temporary.directory() .. "/hiredis"
  local code, _, err = process.run {
    os.getenv "CC" or "cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
    "-o", binary, "bench/peers/hiredis.c", "-lhiredis", env = { LD_PRELOAD = false },
  }
  assert(code == 0, err)
  return { binary }
end

describe("a benchmark's rounds", function()
  it("measure ours twice and every peer as often", function()
    local case = tiny_case.add_faulty(tiny_case.reads(), "none", 0)
    local ran = assert(tiny_case.run(case, FEW))
    assert.equal(3, #ran.peers)
    assert.equal("ours, again", ran.peers[2].entry.name)
    for _, measured in ipairs(ran.peers) do
      assert.equal(FEW.ROUNDS, #measured.rounds)
      for i, round in ipairs(measured.rounds) do
        assert.is_true(round.wall_s > 0 and round.cpu_s >= 0)
        assert.equal(tiny_case.OPERATIONS, round.operations)
        assert.equal(tiny_case.OPERATIONS * tiny_case.SIZE, round.records)
        assert.same(ran.peers[1].rounds[i].digests, round.digests)
      end
    end
    assert.is_true(ran.spread.wall >= 1 and ran.spread.cpu >= 1)
  end)

  it("are interleaved", function()
    local note = temporary.file ""
    local case = tiny_case.reads()
    case.peers = {}
    for number = 1, 3 do tiny_case.add_faulty(case, "note", number, note) end
    assert(tiny_case.run(case, { ROUNDS = 4, WARMUP = 0 }))
    local written = io.open(note):read "*a":gsub("\n", "")
    local peers = { "1", "1", "2", "3" } -- the first one has a twin
    local expected = table.concat(peers) -- each is checked before
    for round = 1, 4 do
      for _, i in ipairs(order.of_round(4, round)) do expected = expected .. peers[i] end
    end
    assert.equal(expected, written)
  end)

  local floor_program
  setup(function() floor_program = compile_floor() end)

  -- Four operations are two batches of 3, and one of 100.
  local floors = {
    { case = "reads", method = "hget", form = "stored" },
    { case = "reads", method = "command", form = "stored" },
    { case = "reads", method = "hmget", form = "stored" },
    { case = "reads", method = "hget_batch", form = "stored", options = { batch = 3 } },
    { case = "reads", method = "hget_batch", form = "stored",
      options = { batch = 100, is_formatted = true } },
    { case = "writes", method = "hset_pipeline" },
    { case = "writes", method = "hset_batch", options = { batch = 3 } },
    { case = "writes", method = "hset_batch",
      options = { batch = 3, is_formatted = true } },
    { case = "writes", method = "multi_batch", options = { batch = 3 } },
    { case = "writes", method = "multi_batch",
      options = { batch = 100, is_formatted = true } },
    { case = "single_writes", method = "multi_batch", options = { batch = 3 } },
    { case = "loads", method = "hgetall", form = "stored" },
  }
  for i, floor in ipairs(floors) do
    it(("compare %s with the floor, %s (%d)"):format(floor.case, floor.method, i),
      function()
      local case = tiny_case.add(tiny_case[floor.case](), {
        name = "floor", program = floor_program, method = floor.method,
        form = floor.form, options = floor.options,
      })
      local ran = assert(tiny_case.run(case, FEW))
      assert.same(ran.peers[1].rounds[2].digests, ran.peers[3].rounds[2].digests)
    end)
  end

  for _, method in ipairs { "get_json", "set_json", "load_json" } do
    it("compare ours with its own " .. method, function()
      local case = tiny_case[({ g = "reads", s = "writes", l = "loads" })
        [method:sub(1, 1)]]()
      tiny_case.add(case, { name = "text", program = "authstate", method = method })
      assert(tiny_case.run(case, FEW))
    end)
  end
end)

describe("a benchmark of several operations at a time", function()
  local kinds = {
    { case = "reads", method = "get", options = { tasks = 3 } },
    { case = "reads", method = "get_raw", form = "stored", options = { tasks = 100 } },
    { case = "reads", method = "get_raw", form = "stored",
      options = { tasks = 2, enable_batching = false, pool_size = 2 } },
    { case = "reads", method = "get_raw", form = "stored",
      options = { tasks = 1, enable_batching = true, batch_window_ms = 10 } },
    { case = "writes", method = "set_raw", options = { tasks = 3 } },
    { case = "single_writes", method = "set_raw",
      options = { tasks = 3, writes = "plain" } },
  }
  for i, kind in ipairs(kinds) do
    it(("does the same work as one after the other, %s (%d)"):format(kind.method, i),
      function()
        local case = tiny_case.add(tiny_case[kind.case](), {
          name = "coroutines", program = "authstate", method = kind.method,
          form = kind.form, options = kind.options,
        })
        local ran = assert(tiny_case.run(case, FEW))
        assert.same(ran.peers[1].rounds[2].digests, ran.peers[3].rounds[2].digests)
      end)
  end

  it("is refused when one of them leaves out a record", function()
    local case = tiny_case.add_faulty(tiny_case.reads(), "skip_read", 2)
    case.peers[2].options = { tasks = 3 }
    local ran, message = tiny_case.run(case, FEW)
    assert.is_nil(ran)
    assert.matches('did not do the same work: operation %d: pre%-key "%d+" is missing$',
      message)
  end)

  it("ends with the words of the one that fails", function()
    local case = tiny_case.add_faulty(tiny_case.reads(), "raise", 2)
    case.peers[2].options = { tasks = 3 }
    local ran, message = tiny_case.run(case, FEW)
    assert.is_nil(ran)
    assert.matches("^tiny_reads: the other: .*out of ink", message)
  end)
end)

describe("the processors of a benchmark", function()
  -- Where the server and a peer may run, when the case or the knob says so.
  local function note_processors(of_case, of_knob)
    local note = temporary.file ""
    local case = tiny_case.add_faulty(tiny_case.reads(), "note_processors", 0, note)
    case.processors = of_case
    local ran = assert(tiny_case.run(case,
      { ROUNDS = 1, WARMUP = 0, PROCESSORS = of_knob }))
    assert.equal(of_knob or of_case or "free", ran.processors)
    return io.lines(note)():match "^server (%S+), peer (%S+)$"
  end

  it("are one for the server and all peers", function()
    local server, peer = note_processors "one"
    assert.matches("^%d+$", server)
    assert.equal(server, peer)
  end)

  it("are others for the server than for the peers, where there is more than one",
    function()
      local all = note_processors()
      local server, peer = note_processors "two"
      assert.matches("^%d+$", server)
      assert.equal(all:match "^%d+$" == nil, server ~= peer)
    end)

  it("are all for both, and as the knob says rather than the case", function()
    local server, peer = note_processors("one", "free")
    assert.equal(peer, server)
    assert.equal(note_processors(), server)
  end)
end)

describe("a benchmark of several sessions", function()
  it("reads all of them, also when they are asked for the same", function()
    local note = temporary.file ""
    local case = tiny_case.reads()
    case.sessions = 3
    local list_operations = case.work
    case.work = function(...)
      local operations = list_operations(...)
      for i = 2, #operations do operations[i] = operations[1] end
      return operations
    end
    tiny_case.add_faulty(case, "note_sessions", 0, note)
    assert(tiny_case.run(case, { ROUNDS = 1, WARMUP = 0 }))
    local read = {}
    for name in io.lines(note) do read[#read + 1] = name:match "%.(%d)$" end
    -- Four operations, once before the round and once in it.
    assert.same({ "1", "2", "3", "1", "1", "2", "3", "1" }, read)
  end)
end)

describe("the order of a benchmark's rounds", function()
  for count = 2, 8 do
    it(("lets each of %d peers be first, and follow each other, as often"):format(count),
      function()
        local firsts, neighbours, times = {}, {}, 2 * count
        for round = 1 - times, 0 do
          local list = order.of_round(count, round)
          firsts[list[1]] = (firsts[list[1]] or 0) + 1
          for i = 2, count do
            local pair = list[i - 1] .. " " .. list[i]
            neighbours[pair] = (neighbours[pair] or 0) + 1
          end
        end
        for a = 1, count do
          assert.equal(2, firsts[a])
          for b = 1, count do
            assert.equal(a ~= b and 2 or nil, neighbours[a .. " " .. b])
          end
        end
      end)
  end
end)

describe("a peer that does less than the others", function()
  local function refusal(case)
    local ran, message = tiny_case.run(case, { ROUNDS = 4, WARMUP = 1 })
    assert.is_nil(ran)
    return message
  end

  it("is refused when it leaves out a record of the first check", function()
    local message = refusal(tiny_case.add_faulty(tiny_case.reads(), "skip_read", 2))
    assert.matches('^tiny_reads: the other did not do the same work: operation 2: '
      .. 'pre%-key "%d+" is missing$', message)
  end)

  it("is refused when it leaves out a record in a later round", function()
    for late = CHECKED + 1, CHECKED + 4 do
      local message = refusal(tiny_case.add_faulty(tiny_case.reads(), "skip_read", late))
      assert.matches("^tiny_reads: round 0: the other did not do the same work", message)
    end
  end)

  it("is refused when it gives out one record for another", function()
    local message = refusal(tiny_case.add_faulty(tiny_case.reads(), "exchange", 3))
    assert.matches('operation 3: pre%-key "%d+" is another value$', message)
  end)

  it("is refused when it does not write a record", function()
    local message = refusal(tiny_case.add_faulty(tiny_case.writes(), "skip_write", 2))
    assert.matches('operation 2: pre%-key "[%d.]+" is missing$', message)
  end)

  it("is refused when it leaves an old value in place of a new one", function()
    -- Both halves of the work are checked before: what is left out was there already.
    local late = 2 * CHECKED + 3
    local message = refusal(tiny_case.add_faulty(tiny_case.writes(), "skip_write", late))
    assert.matches('^tiny_writes: round 0: .* "[%d.]+" is another value$', message)
  end)

  it("is refused when it answers for fewer operations", function()
    local case = tiny_case.add_faulty(tiny_case.reads(), "fewer_operations", 0)
    assert.matches("did not do the same work: 3 operations of 4$", refusal(case))
  end)
end)

describe("a peer that fails", function()
  it("ends the run with its words", function()
    local case = tiny_case.add_faulty(tiny_case.reads(), "die", CHECKED + 1)
    local ran, message = tiny_case.run(case, FEW)
    assert.is_nil(ran)
    assert.matches("^tiny_reads: round 0: the other: the peer ended: out of pa", message)
  end)

  it("ends the run when it is told what it does not know", function()
    local case = tiny_case.reads()
    tiny_case.add(case, { name = "the other", program = "authstate", method = "fetch" })
    local ran, message = tiny_case.run(case, FEW)
    assert.is_nil(ran)
    assert.matches("^tiny_reads: the other: .*no method fetch", message)
  end)

  it("ends the run when it is not there", function()
    local case = tiny_case.reads()
    tiny_case.add(case, { name = "the other", program = { "no/such/program" } })
    local ran, message = tiny_case.run(case, FEW)
    assert.is_nil(ran)
    assert.matches("^tiny_reads: the other: the peer ended: .*no/such/program", message)
  end)
end)
