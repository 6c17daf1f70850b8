-- SPDX-License-Identifier: MIT

local canonical = require "bench.harness.canonical"
local core = require "authstate.core"
local random = require "spec.support.random"
local tiny_case = require "spec.bench.tiny_case"
local work = require "bench.harness.work"

local RECORDS = {
  '{"b":1,"a":{"type":"Buffer","data":"AQI="},"list":[null,true,"x"]}',
  '{"list":[null,true,"x"],"a":{"type":"Buffer","data":[1,2]},"b":1.0}',
}

describe("the digest of a record in a benchmark", function()
  it("does not depend on the order of fields or how bytes are written", function()
    local first = assert(canonical.digest(RECORDS[1], "json"))
    assert.equal(first, canonical.digest(RECORDS[2], "json"))
  end)

  it("does not depend on whether it is stored as text or packed", function()
    for _, records in pairs(tiny_case.fixture().keys) do
      local _, text = next(records)
      local stored = assert(core.json_encode(text))
      assert.equal(canonical.digest(text, "json"), canonical.digest(stored, "stored"))
    end
  end)

  it("is another one for another value", function()
    local seen = {}
    for _, text in ipairs {
      "1", '"1"', "true", "false", "null", "[1]", '{"1":1}', "[]", "{}", "[[1],2]",
      "[[1,2]]",
      '{"a":"b"}', '["a","b"]', '{"type":"Buffer","data":"YQ=="}', '"a"', "1.5", "-1",
    } do
      local digest = assert(canonical.digest(text, "json"))
      assert.is_nil(seen[digest], text)
      seen[digest] = true
    end
  end)

  it("is refused for bytes that are no record", function()
    assert.is_nil((canonical.digest('{"a":', "json")))
    assert.is_nil((canonical.digest("\255\255", "stored")))
  end)
end)

describe("what a benchmark asks for", function()
  local fixture = tiny_case.fixture()

  it("is the same for the same seed", function()
    local first = work.reads(fixture, random.new(5), 3, "pre-key", 10)
    assert.same(first, work.reads(fixture, random.new(5), 3, "pre-key", 10))
    assert.not_same(first, work.reads(fixture, random.new(6), 3, "pre-key", 10))
  end)

  it("reads different records by one operation", function()
    for _, operation in ipairs(work.reads(fixture, random.new(), 5, "pre-key", 20)) do
      local seen = {}
      for _, record in ipairs(operation.records) do
        assert.is_nil(seen[record.id])
        seen[record.id] = true
      end
    end
  end)

  it("writes each id once a round, and in the next round something else", function()
    local count, size = 4, 20
    local operations = work.writes(fixture, random.new(), count, "pre-key", size)
    assert.equal(2 * count, #operations)
    local sources = {}
    for i = 1, count do
      for j, record in ipairs(operations[i].records) do
        assert.is_nil(sources[record.id])
        sources[record.id] = record.source
        local later = operations[count + i].records[j]
        assert.equal(record.id, later.id)
        assert.not_equal(record.source, later.source)
      end
    end
  end)

  it("writes single records of all types that have different ones, and others later",
    function()
      local count = 2000
      local operations = work.single_writes(fixture, random.new(), count)
      assert.equal(2 * count, #operations)
      local seen, kinds = {}, {}
      for i = 1, count do
        local record, later = operations[i].records[1], operations[count + i].records[1]
        assert.same({ record.kind, record.id }, { later.kind, later.id })
        assert.is_nil(seen[record.kind .. " " .. record.id])
        seen[record.kind .. " " .. record.id] = true
        kinds[record.kind] = true
        local texts = fixture.keys[record.kind]
        assert.not_equal(texts[record.source], texts[later.source])
      end
      for _, kind in ipairs { "pre-key", "sender-key", "session" } do
        assert.is_true(kinds[kind])
      end
    end)

  it("writes single records of one type only when told so", function()
    local operations = work.single_writes(fixture, random.new(), 50, "session")
    for _, operation in ipairs(operations) do
      assert.equal("session", operation.records[1].kind)
    end
  end)

  it("is refused when all records to be written are alike", function()
    local alike = { keys = { session = { a = "1", b = "1" }, creds = {} } }
    for _, kind in ipairs { "session", false } do
      local is_fine, complaint =
        pcall(work.single_writes, alike, random.new(), 1, kind or nil)
      assert.is_false(is_fine)
      assert.matches("^TYPE: the records .* are all alike", complaint.message)
    end
  end)

  it("loads creds and every record", function()
    local operation = work.loads(fixture, 1)[1]
    assert.equal(fixture.records + 1, #operation.records)
  end)

  it("is refused when the session has too few records of the type", function()
    local is_fine, complaint = pcall(work.reads, fixture, random.new(), 1, "pre-kee", 1)
    assert.is_false(is_fine)
    assert.equal('TYPE: the fixture has 0 records of type "pre-kee"; needed are 1',
      complaint.message)
  end)
end)
