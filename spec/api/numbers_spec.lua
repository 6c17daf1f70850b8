-- SPDX-License-Identifier: MIT

-- Lua programs and Node programs must mean the same numbers.

local authstate = require "authstate"
local fixture = require "spec.support.fixture"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"

local numbers = dofile "spec/fixtures/numbers.lua"

describe("numbers", function()
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

  it("stay what they are when a Lua program changes another one", function()
    local texts = {}
    for _, line in ipairs(fixture.lines "exact.jsonl") do
      if line:find "^-?%d" then texts[#texts + 1] = line end
    end
    assert.is_true(#texts > 50)
    local list = "[" .. table.concat(texts, ",") .. "]"
    session.keys:set_json { any = { x = '{"counter":1,"list":' .. list .. "}" } }
    for counter = 2, 4 do
      local value = session.keys:get("any", { "x" }).x
      value.counter = counter
      assert(session.keys:set { any = { x = value } })
      local text = session.keys:get_json("any", { "x" }).x
      assert.is_truthy(text:find('"counter":' .. counter, 1, true))
      assert.is_truthy(text:find('"list":' .. list, 1, true))
    end
  end)

  it("written by Lua are the text JavaScript prints, for thousands of doubles", function()
    local expected = numbers.parse(fixture.read "numbers.txt.gz")
    local values, texts = {}, {}
    for index, double in numbers.each(expected) do
      if index > #expected.texts then break end
      values[index], texts[index] = double, expected.texts[index]
    end
    assert.is_true(#values > 1000)
    assert(session.keys:set { any = { x = authstate.array(values) } })
    assert.equal("[" .. table.concat(texts, ",") .. "]",
      session.keys:get_json("any", { "x" }).x)
    local found = session.keys:get("any", { "x" }).x
    for index, double in ipairs(values) do assert.equal(double, found[index]) end
  end)

  it("of real creds survive that one of them is counted up", function()
    session:commit_json(sample.text "small")
    local before = authstate.from_json(sample.creds_text())
    local creds = session:load_creds()
    creds.nextPreKeyId = creds.nextPreKeyId + 1
    session:save_creds(creds)
    local after = session:load_creds()
    assert.equal(before.nextPreKeyId + 1, after.nextPreKeyId)
    after.nextPreKeyId = before.nextPreKeyId
    assert.same(before, after)
  end)

  it("of every real session record survive a visit to Lua", function()
    local records = sample.session("small").keys.session
    session.keys:set_json { session = records }
    for id in pairs(records) do
      local before = session.keys:get("session", { id })[id]
      session.keys:set { session = { [id] = before } }
      assert.same(before, session.keys:get("session", { id })[id])
    end
  end)

  it("that JavaScript prints in its own way are printed that way", function()
    for number, text in pairs {
      [1e21] = "1e+21", [1e-7] = "1e-7", [0.1 + 0.2] = "0.30000000000000004",
      [2 ^ 53] = "9007199254740992", [1.5] = "1.5", [100] = "100", [-1] = "-1",
    } do
      session.keys:set { any = { x = number } }
      assert.equal(text, session.keys:get_json("any", { "x" }).x)
    end
    session.keys:set { any = { x = -0 } }
    assert.equal("0", session.keys:get_json("any", { "x" }).x)
  end)
end)
