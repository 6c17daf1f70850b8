-- SPDX-License-Identifier: MIT

-- A mistake of the caller is raised at the caller's line and says what is accepted.
-- Nothing is sent, so no server is needed here.

local authstate = require "authstate"
local outcome = require "spec.api.outcome"

local raises, says = outcome.raises, outcome.says

local store = authstate.open {
  redis = { url = "redis://127.0.0.1:1", socket = { connect_timeout_ms = 1 } },
}
local session = store:session "s"
local keys = session.keys

-- Values that are no JSON, and the path the message has to name.
local function no_json()
  local cycle = { a = { b = {} } }
  cycle.a.b.c = cycle
  local deep = {}
  for _ = 1, 300 do deep = { deep } end
  return {
    { { a = { b = 0 / 0 } }, "a.b" }, { { a = { 1, 2, math.huge } }, "a[3]" },
    { { list = { { x = -math.huge } } }, "list[1].x" }, { { f = print }, "f" },
    { { co = coroutine.create(print) }, "co" }, { { u = io.stdout }, "u" },
    { { n = 2LL ^ 60 }, "n" }, { cycle, "a.b.c" }, { deep, "[1][1]" },
    { { s = { [1] = "a", [3] = "c" } }, "s" }, { { s = { [2] = "b" } }, "s" },
    { { s = { "a", x = 1 } }, "s" }, { { [1.5] = 1 }, "key" }, { { [true] = 1 }, "key" },
    { { text = "\255" }, "text" }, { { ["\255"] = 1 }, "" },
    { authstate.array { 1, nil, 3 }, "" },
  }
end

describe("a caller's mistake", function()
  it("in what a method was called on or with is raised at its line", function()
    says("make: nil is no function", function() session:load_or_create() end)
    says("make: a table is no function", function() session:load_or_create {} end)
    says("creds: nil are no credentials; accepted: a table",
      function() session:save_creds() end)
    says("creds: \"x\" are no credentials", function() session:save_creds "x" end)
    says("creds: an array is no credentials", function() session:save_creds { "x" } end)
    says("creds: an array is no credentials",
      function() session:save_creds(authstate.array {}) end)
    says("creds: 5 are no credentials", function() session:commit { creds = 5 } end)
    says("changes: nil is no table", function() session:commit() end)
    says("changes: unknown field \"key\"; accepted: creds, keys, expect",
      function() session:commit { key = {} } end)
    says("keys: 5 is no table of changes", function() session:commit { keys = 5 } end)
    says("keys: \"x\" is no table of changes", function() keys:set "x" end)
    says("keys: nil is no table of changes", function() keys:set() end)
    says("keys: nil is no table of changes", function() keys:set_json() end)
    says('keys["session"]: "x" is no table of records',
      function() keys:set { session = "x" } end)
    says('keys["session"]: the id 1 is a number; accepted: a string',
      function() keys:set { session = { "x" } } end)
    says('keys["session"]: the id true is a boolean',
      function() keys:set_json { session = { [true] = "1" } } end)
    says("type: 1 is no key type", function() keys:set { { a = "b" } } end)
    says("type: nil is no key type", function() keys:get() end)
    says("type: 5 is no key type", function() keys:list(5) end)
    says("type: nil is no key type", function() keys:count() end)
    says("ids: nil is no list of ids", function() keys:get "session" end)
    says('ids: "1" is no list of ids; accepted: { "1", "2" }',
      function() keys:get("session", "1") end)
    says("ids[1]: 1 is no id; accepted: a string",
      function() keys:get("session", { 1 }) end)
    says("ids[2]: a table is no id", function() keys:get_json("session", { "1", {} }) end)
  end)

  it("to use creds as a type is told how to do it right", function()
    says("load_creds and save_creds", function() keys:get("creds", { "creds" }) end)
    says("load_creds and save_creds", function() keys:set { creds = { creds = "x" } } end)
    says("load_creds and save_creds", function() keys:list "creds" end)
    says("load_creds and save_creds",
      function() session:commit_json '{"keys":{"creds":{"a":1}}}' end)
  end)

  it("to give ids as names, not as a list, is refused", function()
    assert.match("ids", raises(function() keys:get("session", { a = true }) end))
  end)

  it("to give ids with gaps or names between them is refused, wherever Lua keeps them",
    function()
      local late, gap = { x = "3" }, { [1] = "1", [3] = "3" }
      late[1] = "1"
      for _, ids in ipairs {
        late, gap, { [2] = "2" }, { "1", nil, "3" }, { "1", y = "2" },
      } do
        assert.match("ids", raises(function() keys:get("session", ids) end))
      end
    end)

  it("in a value names the way to it", function()
    for _, case in ipairs(no_json()) do
      local value, path = case[1], case[2]
      local changes = { session = { ["id 1"] = value } }
      for _, message in ipairs {
        raises(function() keys:set(changes) end),
        raises(function() session:commit { keys = changes } end),
      } do
        assert.match('session "id 1": ', message, 1, true)
        assert.match(path, message, 1, true)
      end
    end
  end)

  it("in creds names the way to it", function()
    assert.match("^creds: .*a%.b",
      raises(function() session:save_creds { a = { b = 0 / 0 } } end))
    assert.match("^creds: .*a%.b",
      raises(function() session:commit { creds = { a = { b = print } } } end))
  end)

  it("to give nil in a list is refused, not cut short", function()
    assert.match("ids", raises(function() keys:get("session", { "1", nil, "3" }) end))
  end)

  it("in JSON text names the byte", function()
    for text, words in pairs {
      [""] = "byte 0", ["[]"] = "byte 0", ["{"] = "byte 1", ['{"creds":5}'] = "byte 9",
      ['{"cred":{}}'] = "byte 1", ['{"keys":{"a":5}}'] = "byte 13",
      ['{"keys":{"a":{"b":}}}'] = "byte 18", ["{} x"] = "byte 3",
      ['{"keys":{"a":{"b":1,"b":2}}}'] = "byte 20",
    } do
      says(words, function() session:commit_json(text) end)
    end
    for _, text in ipairs { "", "{", "1 2", "nul", "'a'", "NaN", "[1,]", "\"\n\"" } do
      says('session "x": ', function() keys:set_json { session = { x = text } } end)
    end
  end)

  it("to give something else than text as JSON is refused", function()
    says("text: nil is no JSON text", function() session:commit_json() end)
    says("text: a table is no JSON text", function() session:commit_json {} end)
    for _, value in ipairs { 5, true, {}, print, authstate.bytes "1" } do
      says('session "x": ', function() keys:set_json { session = { x = value } } end)
    end
  end)

  it("by make is raised too", function()
    local server = require("spec.support.redis_server").start()
    local live = authstate.open { redis = server.url }
    local handle = live:session "s"
    for _, made in ipairs { false, 5, "creds", print } do
      assert.match("creds: ",
        raises(function() handle:load_or_create(function() return made end) end))
    end
    says("creds: nil", function() handle:load_or_create(function() end) end)
    assert.match("^creds: .*x",
      raises(function() handle:load_or_create(function() return { x = 0 / 0 } end) end))
    assert.equal(0, server:command("DBSIZE"))
    live:close()
    server:stop()
  end)
end)
