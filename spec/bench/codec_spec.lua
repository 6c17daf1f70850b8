-- SPDX-License-Identifier: MIT

local cjson = require "cjson"

local canonical = require "bench.harness.canonical"
local codec_rounds = require "bench.harness.codec_rounds"
local core = require "authstate.core"
local process = require "spec.support.process"
local session_file = require "authstate.session_file"
local sessions = require "bench.harness.sessions"
local temporary = require "spec.support.temporary"

local LUAJIT = os.getenv "LUAJIT" or "luajit"

local function bench(...)
  return process.run { LUAJIT, "bench/run.lua", ... }
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- A session that no fixture has, in a file.
local function write_session()
  return temporary.file(assert(session_file.compose {
    creds = '{"registrationId":300,"me":{"id":"x"},"list":[]}',
    keys = {
      ["pre-key"] = { ["1"] = '{"public":{"type":"Buffer","data":"AQIDBAUGBwg="}}' },
      ["device-list"] = { ["5511"] = '["0"]', ["5512"] = "[]" },
    },
  }))
end

describe("make bench CASE=codec", function()
  local document, printed, path

  setup(function()
    path = write_session()
    local folder = temporary.directory() .. "/reports"
    local code, complaint
    code, printed, complaint = bench("codec", "FIXTURE=small", "SESSION=" .. path,
      "PEERS=cjson", "ROUNDS=2", "WARMUP=0", "OPERATIONS=16", "OUT=" .. folder)
    assert.equal(0, code, complaint)
    document = cjson.decode(read_file(folder .. "/results.json"))
    document.page = read_file(folder .. "/report.html")
  end)

  it("goes through size, memory, decoding and encoding", function()
    local names = {}
    for i, case in ipairs(document.cases) do names[i] = case.name end
    assert.same({ "codec_size", "codec_memory", "codec_decode", "codec_encode" }, names)
  end)

  it("does so with the fixture and the file that is named", function()
    for _, case in ipairs(document.cases) do
      assert.equal(2, #case.figures)
      assert.equal("small", case.figures[1].session)
      assert.equal(path, case.figures[2].session)
    end
  end)

  it("counts the records, their text, the floor and what is stored, by type", function()
    local types = document.cases[1].figures[2].types
    local by_name = {}
    for _, counts in ipairs(types) do by_name[counts.name] = counts end
    assert.equal(4, by_name.total.records)
    assert.equal(3, by_name.creds.floor)
    assert.equal(8, by_name["pre-key"].floor)
    assert.equal(#'["0"]' + #"[]", by_name["device-list"].json)
    assert.equal(#core.json_encode '["0"]' + #core.json_encode "[]",
      by_name["device-list"].stored)
    for _, name in ipairs { "json", "floor", "stored", "gzip", "lz4", "zstd" } do
      local sum = 0
      for _, counts in ipairs(types) do sum = sum + counts[name] end
      assert.equal(2 * by_name.total[name], sum, name)
    end
    assert.matches("\ntotal +479 +337214 +67772 +%d+ +", printed)
  end)

  it("counts what is stored with other options, or says why not", function()
    local total = document.cases[1].figures[1].types[12]
    assert.equal("total", total.name)
    assert.is_true(total.stored_from_values > total.floor)
    assert.matches("\ndefault options, from values +" .. total.stored_from_values
      .. " ", printed)
    for name, title in pairs {
      high_compression = "profile high-compression", stored_lz4 = "compression lz4",
      stored_zstd = "compression zstd", stored_gzip = "compression gzip",
      encrypted = "encryption",
    } do
      local line = "\n" .. title:gsub("%p", "%%%0") .. " +%d+ +[%d.]+ +[%d.]+\n"
      local why = "\n" .. title:gsub("%p", "%%%0") .. ": not measured: %a"
      assert.is_true(printed:find(total[name] and line or why) ~= nil, title)
    end
  end)

  it("compares the memory of a server", function()
    local bytes = document.cases[2].figures[1].dataset_bytes
    assert.is_true(bytes.typed > 67772 and bytes.hash > 337214)
    assert.matches("\nbase64 JSON, one hash +%d+ +1.000 ", printed)
  end)

  it("compares times with those of ours, by type and in total", function()
    for i = 3, 4 do
      local peers = document.cases[i].figures[1].peers
      assert.equal(4, #peers)
      assert.equal("encrypted", peers[3].name)
      assert.equal("cjson", peers[4].name)
      for _, name in ipairs { "total", "creds", "session", "sender-key" } do
        assert.is_true(peers[4].ratio[name].q1 > 0)
        assert.is_true(peers[3].ratio[name].q1 > 0)
        assert.is_true(peers[1].rounds[2][name] > 0)
        assert.equal(1, peers[1].ratio[name].median)
      end
    end
    local ratios = (" +[%d.]+ %[[%d.]+ %.%. [%d.]+%]"):rep(3)
    assert.matches("\nsession +[%d.]+ us" .. ratios .. "\n", printed)
    assert.matches("\nsmall: in total a ratio between [%d.]+ and [%d.]+ tells", printed)
  end)

  it("says of every goal whether it is reached", function()
    local reached = ": [%d.]+: [not ]*reached"
    for _, goal in ipairs {
      "stored of the floor, goal at most 1.18", "stored of JSON, goal at most 0.30",
      "memory in typed, of base64 JSON in one hash, goal at most 0.33",
      "encrypted takes of ours, in total, goal at most 1.60",
      "encrypted takes of ours, in total, goal at most 1.40",
      "cjson takes of ours, in total, goal at least 3.00",
      "cjson takes of ours, each type, goal at least 1.20",
      "cjson takes of ours, in total, goal at least 1.50",
      "cjson takes of ours, each type, goal at least 0.90",
    } do
      assert.matches("\nsmall: " .. goal:gsub("%p", "%%%0") .. reached, printed)
      assert.matches(">small: " .. goal, document.page, 1, true)
    end
    assert.matches("\nsmall: high%-compression of the floor, goal at most 1.10: ",
      printed)
    for _, case in ipairs(document.cases) do
      for _, goal in ipairs(case.goals) do
        if goal.value then assert.is_boolean(goal.is_reached) end
      end
    end
  end)
end)

describe("the sessions of a codec's benchmark", function()
  it("are both fixtures when none is named", function()
    local list = assert(sessions.list {})
    assert.equal("small large", list[1].name .. " " .. list[2].name)
    assert.equal(1504141, list[2].json_bytes)
  end)

  it("may be of one type only", function()
    local list = assert(sessions.list { FIXTURE = "small", TYPE = "tctoken" })
    assert.equal(1, #list)
    assert.equal(2079, list[1].json_bytes)
    local none, message = sessions.list { TYPE = "tctokens" }
    assert.is_nil(none)
    assert.matches('no records of type "tctokens"$', message)
  end)

  it("must be there", function()
    local none, message = sessions.list { SESSION = "no/such/file" }
    assert.is_nil(none)
    assert.matches("no/such/file", message)
  end)
end)

describe("a codec that does less than the others", function()
  local session = sessions.read(sessions.fixture_path "small", "small", "tctoken")
  local records = #session.types[1].records

  local function run(method, fault, call)
    local bytes = {}
    for i, record in ipairs(session.types[1].records) do
      bytes[i] = core.json_encode(record.text)
    end
    local entries = {}
    for i, program in ipairs { "authstate_codec",
      { LUAJIT, "spec/bench/faulty_codec.lua", fault, tostring(call) } } do
      entries[i] = { name = i == 1 and "ours" or "the other", program = program,
        method = method, form = method == "encode" and "stored" or "json",
        stored = { bytes } }
    end
    return codec_rounds.run(entries, session, { ROUNDS = 1, WARMUP = 0, OPERATIONS = 1 },
      function() end)
  end

  it("is refused when it makes another value in the first check", function()
    local measured, message = run("decode", "empty", records)
    assert.is_nil(measured)
    assert.matches('^small: the other did not do the same work: tctoken ".-" is another '
      .. "value$", message)
  end)

  it("is refused when it does so in a round", function()
    local measured, message = run("decode", "empty", 3 * records + 1)
    assert.is_nil(measured)
    assert.matches("^small: round 1: the other did not do the same work", message)
  end)

  it("is refused when it gives nothing while the clock runs", function()
    local measured, message = run("decode", "nothing", 4 * records + 2)
    assert.is_nil(measured)
    assert.matches("round 1: the other did not do the same work: %d+ records of %d+$",
      message)
  end)

  it("is refused when what it writes cannot be read", function()
    local measured, message = run("encode", "not_ours", 1)
    assert.is_nil(measured)
    assert.matches("the other did not do the same work: .* cannot be read: ", message)
  end)

  it("is measured when it does not", function()
    local measured = assert(run("decode", "none", 0))
    assert.equal(1, measured[1].ratio.total.median)
    assert.is_true(measured[2].ratio.tctoken.median > 0)
    assert.is_true(measured[2].record_us.total.median > 0)
  end)
end)

describe("a record that lua-cjson has made", function()
  local function digest(text)
    return assert(canonical.digest(text, "cjson"))
  end

  it("is the same where lua-cjson cannot tell the difference", function()
    assert.equal(digest '{"a":[]}', digest '{"a":{}}')
    assert.equal(digest "0.1234567890123456", digest "0.12345678901235")
    assert.equal(digest '{"type":"Buffer","data":[1,2]}',
      digest '{"data":"AQI=","type":"Buffer"}')
  end)

  it("is another one where it can", function()
    assert.not_equal(digest '{"a":[1]}', digest '{"a":{"1":1}}')
    assert.not_equal(digest "1700000000001", digest "1700000000002")
    assert.not_equal(digest "[1,2]", digest "[2,1]")
    assert.not_equal(canonical.digest("[]", "json"), canonical.digest("{}", "json"))
  end)
end)
