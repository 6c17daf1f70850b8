-- SPDX-License-Identifier: MIT

local cjson = require "cjson"

local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local LUAJIT = os.getenv "LUAJIT" or "luajit"

local function bench(...)
  local command = { LUAJIT, "bench/run.lua", ... }
  return process.run(command)
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

describe("make bench", function()
  local folder, code, printed, complaint

  setup(function()
    folder = temporary.directory() .. "/reports"
    code, printed, complaint = bench("read_one", "session_load", "FIXTURE=small",
      "PEERS=authstate", "ROUNDS=3", "WARMUP=1", "OPERATIONS=5", "OUT=" .. folder)
  end)

  it("ends well and says nothing else", function()
    assert.equal(0, code, complaint)
    assert.equal("", complaint)
  end)

  it("prints for each case times, ratios with quartiles, and the spread", function()
    assert.matches("read_one: one record", printed, 1, true)
    assert.matches("session_load: a whole session", printed, 1, true)
    local ratio = "[%d.]+ %[[%d.]+ %.%. [%d.]+%]"
    local times = " +[%d.]+ [um]s +[%d.]+ [um]s +"
    assert.matches("\nauthstate get" .. times .. "1 +1 +ours\n", printed)
    local others = times .. ratio .. " +" .. ratio
    assert.matches("\nauthstate get, again" .. others .. " +the same program", printed)
    assert.matches("\nauthstate get_json" .. others, printed)
    assert.matches("\nspread: a ratio between [%d.]+ and [%d.]+ ", printed)
  end)

  it("writes every round, the machine and all versions to results.json", function()
    local document = cjson.decode(read_file(folder .. "/results.json"))
    assert.matches("^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", document.started)
    assert.is_true(document.machine.cores >= 1)
    for _, name in ipairs { "authstate", "LuaJIT", "redis" } do
      assert.is_string(document.versions[name])
    end
    assert.equal("small", document.knobs.FIXTURE)
    assert.equal("authstate", document.knobs.PEERS)
    assert.equal(2, #document.cases)
    for _, case in ipairs(document.cases) do
      assert.is_true(case.spread.wall >= 1)
      assert.equal(3, #case.peers)
      for _, peer in ipairs(case.peers) do
        assert.equal(3, #peer.rounds)
        assert.equal(3, #peer.wall.ratios)
        assert.is_true(peer.wall.ratio.q1 <= peer.wall.ratio.median)
        assert.is_true(peer.wall.ratio.median <= peer.wall.ratio.q3)
        assert.matches("^%x+$", peer.rounds[1].digests[1])
      end
    end
  end)

  it("writes a report that needs nothing besides itself", function()
    local page = read_file(folder .. "/report.html")
    local lower = page:lower()
    for _, foreign in ipairs {
      "<script", "<link", "<img", "<iframe", "<object", "src=", "href=", "@import",
      "url(", "http:", "https:", "//",
    } do
      assert.is_nil(lower:find(foreign, 1, true), foreign)
    end
    local _, plots = page:gsub("<svg ", "")
    assert.equal(2 * 3, plots)
    local _, opened = page:gsub("<[%a]", "")
    local _, closed = page:gsub("</%a", "")
    local _, single = page:gsub("/>", "")
    local _, void = page:gsub("<meta ", "")
    local _, breaks = page:gsub("<br>", "")
    assert.equal(opened, closed + single + void + breaks)
    assert.matches("session_load: a whole session", page, 1, true)
    assert.matches("authstate get_json: [%d.]+ %[", page)
  end)
end)

describe("make bench of a case that is about more than ratios", function()
  local folder, printed

  setup(function()
    folder = temporary.directory() .. "/reports"
    local code, complaint
    code, printed, complaint = bench("engine_lone", "engine_pool", "engine_read",
      "FIXTURE=small", "PEERS=authstate", "ROUNDS=2", "WARMUP=0", "OPERATIONS=20",
      "OUT=" .. folder)
    assert.equal(0, code, complaint)
  end)

  it("says below the table what follows from it", function()
    assert.matches("\nA batch window of 10 ms costs a lone caller %-?[%d.]+ us a read, "
      .. "difference of medians %(within a round %-?[%d.]+ %[.- %.%. .-%]%); "
      .. "goal at most 20 us: [a-z ]+%.\n", printed)
    local is_said = printed:find("\nPool sizes 1 to 20 make no difference", 1, true) or
      printed:find "\npool_size = %d+ is the fastest; %d+, the slowest, takes [%d.]+ "
    assert.truthy(is_said)
  end)

  it("says where the server and the peers ran", function()
    local _, shared = printed:gsub("; server and peers on one processor; ", "")
    assert.equal(1, shared)
    local _, apart = printed:gsub("; the server on a processor of its own; ", "")
    assert.equal(2, apart)
  end)

  it("says beside our CPU time whether it reached its goal", function()
    assert.matches("\nauthstate get_raw .* ours; CPU goal 0%.9 us: [a-z ]+\n", printed)
  end)

  it("has the sentences and a plot over the axis in its report", function()
    local page = read_file(folder .. "/report.html")
    assert.matches("<p>A batch window of 10 ms costs", page, 1, true)
    local _, plots = page:gsub("<svg ", "")
    assert.equal(3 * 3 + 1, plots)
    local axis = page:match '(<svg [^>]*aria%-label="engine_pool, by pool_size".-</svg>)'
    for _, size in ipairs { 1, 2, 5, 10, 20 } do
      assert.matches('class="tick">' .. size .. "</text>", axis, 1, true)
    end
    local _, points = axis:gsub("<circle ", "")
    assert.equal(2 * 5, points)
    for corners in axis:gmatch 'points="([^"]*)"' do
      assert.equal(5, select(2, corners:gsub("[%d.]+,[%d.]+", "")))
    end
  end)

  it("has sentences, options and places on the axis in results.json", function()
    local cases = cjson.decode(read_file(folder .. "/results.json")).cases
    assert.matches("^A batch window", cases[1].sentences[1])
    assert.equal("pool_size", cases[2].axis)
    assert.equal("two", cases[2].processors)
    assert.same({ tasks = 1000, pool_size = 20 }, cases[2].peers[6].options)
    assert.equal(20, cases[2].peers[6].at)
    assert.is_nil(cases[2].peers[2].at)
  end)
end)

describe("make bench with a wrong word", function()
  local calls = {
    { words = { "read_on" }, says = 'CASE: there is no "read_on"; there are: read_one' },
    { words = { "ROUNDS=0" }, says = "ROUNDS: 0 is no run; accepted: 1 or more" },
    { words = { "ROUNDS=x" }, says = 'ROUNDS: "x" is not accepted; accepted: a whole ' },
    { words = { "PEERS=python" }, says = 'PEERS: "python" is not accepted; accepted: ' },
    { words = { "FIXTURE=huge" }, says = 'FIXTURE: "huge" is no fixture; accepted: ' },
    { words = { "PROCESSORS=three" },
      says = 'PROCESSORS: "three" is no way to share them; accepted: one, two, free' },
    { words = { "RUNDS=3" }, says = "RUNDS: there is no such knob\n  ROUNDS " },
    { words = { "read_100", "TYPE=pre-kee" },
      says = 'TYPE: the fixture has 0 records of type "pre-kee"; needed are 100' },
  }
  for _, call in ipairs(calls) do
    it("says so: " .. table.concat(call.words, " "), function()
      local code, printed, complaint = bench(unpack(call.words))
      assert.equal(2, code)
      assert.equal("", printed)
      assert.equal("bench: " .. call.says, complaint:sub(1, 7 + #call.says))
    end)
  end
end)
