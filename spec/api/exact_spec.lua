-- SPDX-License-Identifier: MIT

-- JSON goes through Redis and comes out the same, byte for byte.

local authstate = require "authstate"
local core = require "authstate.core"
local fixture = require "spec.support.fixture"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"

local WRITTEN = {
  ["JSON.stringify wrote"] = "exact.jsonl",
  ["JSON.stringify never writes (1.0, -0, \\/, a key twice)"] = "inexact.jsonl",
}

describe("JSON text comes out of Redis as it went in", function()
  local server, store, session

  setup(function()
    server = redis_server.start()
    store = assert(authstate.open { redis = server.url })
  end)

  teardown(function()
    store:close()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    session = store:session "s"
    session:load_creds()
  end)

  for name, file in pairs(WRITTEN) do
    it("that " .. name .. ", through set_json and get_json", function()
      local records, ids = {}, {}
      for i, line in ipairs(fixture.lines(file)) do
        ids[i] = tostring(i)
        records[ids[i]] = line
      end
      assert.is_true(#ids > 300)
      assert(session.keys:set_json { any = records })
      local found = assert(session.keys:get_json("any", ids))
      for _, id in ipairs(ids) do assert.equal(records[id], found[id]) end
    end)

    it("that " .. name .. ", each in a call of its own", function()
      for _, line in ipairs(fixture.lines(file)) do
        assert(session.keys:set_json { any = { x = line } })
        assert.equal(line, session.keys:get_json("any", { "x" }).x)
      end
    end)

    it("that " .. name .. ", through commit_json and load_json", function()
      local parts, records = {}, {}
      for i, line in ipairs(fixture.lines(file)) do
        -- A record that is null as a whole deletes, white space around it is not its own.
        local is_bare = line:match "^%s*(.-)%s*$" == line
        if line ~= "null" and is_bare then
          parts[#parts + 1] = ('"%d":%s'):format(i, line)
          records[tostring(i)] = line
        end
      end
      assert(session:commit_json('{"keys":{"any":{' .. table.concat(parts, ",") .. "}}}"))
      assert.same(records, assert(session:load_json()).keys.any)
    end)
  end

  it("that is the fullest session record there can be", function()
    local text = fixture.read "session-40-states.json.gz"
    assert(session.keys:set_json { session = { x = text } })
    assert.is_true(text == session.keys:get_json("session", { "x" }).x)
    assert.is_true(text == session:load_json().keys.session.x)
  end)

  for _, name in ipairs { "small", "large" } do
    it(("that is a real account (%s), by commit_json"):format(name), function()
      local account = sample.session(name)
      assert(session:commit_json(sample.text(name)))
      local loaded = assert(session:load_json())
      assert.equal(account.creds, loaded.creds)
      assert.equal(account.creds, (session:load_creds_json()))
      assert.same(account.keys, loaded.keys)
    end)

    it(("that is a real account (%s), by set_json and get_json"):format(name), function()
      local account = sample.session(name)
      assert(session.keys:set_json(account.keys))
      for kind, records in pairs(account.keys) do
        local ids = session.keys:list(kind)
        local found = assert(session.keys:get_json(kind, ids))
        assert.same(records, found)
      end
    end)

    it(("that is a real account (%s), read as Lua values"):format(name), function()
      local account = sample.session(name)
      assert(session:commit_json(sample.text(name)))
      local loaded = assert(session:load())
      local count = 0
      for kind, records in pairs(account.keys) do
        for id, text in pairs(records) do
          assert.same(core.from_json(text), loaded.keys[kind][id])
          count = count + 1
        end
      end
      assert.equal(account.records, count)
    end)
  end

  it("whatever fields and strings it has", function()
    for _, text in ipairs {
      '{"z":1,"a":2,"private":3,"b":{"public":1,"A":2}}', '"\\ud800"',
      '{"\\udc00x":"\\ud83d"}',
      '"\\u0000"', '{"":""}', '[[[[[[]]]]]]', '{"type":"Buffer","data":"AQID"}',
      '{"type":"Buffer","data":[1,2,255]}', '{"data":"AQID","type":"Buffer"}',
      '{"0":1,"1":255}', '{"type":"Buffer","data":"AQI"}', '{"type":"Buffer"}',
      '{"type":"Buffer","data":""}', '"' .. ("😀"):rep(10000) .. '"',
    } do
      assert(session.keys:set_json { any = { x = text } })
      assert.equal(text, session.keys:get_json("any", { "x" }).x)
    end
  end)
end)
