-- SPDX-License-Identifier: MIT

-- `delete` removes a whole session in one step, and it stays deleted.

local authstate = require "authstate"
local cjson = require "cjson"
local fixture = require "spec.support.fixture"
local redis_server = require "spec.support.redis_server"
local tool = require "spec.command.tool"
local watcher = require "spec.command.watcher"

describe("delete", function()
  local server

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
  end)

  local function run(command, ...)
    return tool.succeed { command, "--redis", server.url, ... }
  end

  local function import(session, name)
    run("import", fixture.path((name or "small") .. ".json.gz"), "--session", session)
  end

  local function keys_of(session)
    local keys = server:command("KEYS", "authstate:{" .. session .. "}*")
    table.sort(keys)
    return keys
  end

  for name, records in pairs { small = 479, large = 2935 } do
    it("leaves nothing of the " .. name .. " session but a tombstone", function()
      import("s", name)
      local said = "^deleted session s: %d records, %%d+%%.%%d [KM]iB of Redis memory\n"
        .. "tombstone of generation %%d+: late writers are kept out until "
        .. "%%d%%d%%d%%d%%-%%d%%d%%-%%d%%dT%%d%%d:%%d%%d:%%d%%dZ\n$"
      assert.match(said:format(records), run("delete", "--session", "s"))
      assert.same({ "authstate:{s}:meta" }, keys_of "s")
      assert.is_true(server:command("PTTL", "authstate:{s}:meta") > 29 * 24 * 3600 * 1000)
      assert.equal("", run "sessions")
      tool.check_failure(tool.run { "export", "--session", "s", "--redis", server.url },
        1,
        { "there is no session s" })
    end)
  end

  it("tells programs what it deleted", function()
    import "s"
    local before_us = server:command("TIME")[1] * 1e6
    local receipt = cjson.decode(run("delete", "--session", "s", "--json"))
    assert.equal("s", receipt.session)
    assert.equal(479, receipt.records)
    assert.is_true(receipt.bytes > 100000)
    assert.is_true(receipt.generation >= before_us)
  end)

  it("does nothing the second time, and says so", function()
    import "s"
    run("delete", "--session", "s")
    local before = server:command("DUMP", "authstate:{s}:meta")
    tool.check_failure(tool.run { "delete", "--session", "s", "--redis", server.url }, 1,
      { "there is no session s" })
    assert.equal(before, server:command("DUMP", "authstate:{s}:meta"))
  end)

  it("leaves sessions whose names are alike", function()
    local names = { "s", "s2", "S", "s*", "s}:k:t", "{s}", " s" }
    for _, name in ipairs(names) do import(name) end
    run("delete", "--session", "s*")
    table.remove(names, 4)
    run("delete", "--session", "s}:k:t")
    table.remove(names, 4)
    table.sort(names)
    assert.equal(table.concat(names, "\n") .. "\n", run "sessions")
    for _, name in ipairs(names) do assert.is_true(#keys_of(name) > 5) end
  end)

  it("deletes types that nobody has heard of", function()
    local store = assert(authstate.open { redis = server.url })
    local changes = {}
    for i = 1, 50 do changes["type " .. i .. "}%"] = { a = "1" } end
    assert(store:session("s").keys:set_json(changes))
    store:close()
    assert.match("^deleted session s: 50 records", run("delete", "--session", "s"))
    assert.same({ "authstate:{s}:meta" }, keys_of "s")
  end)

  it("keeps out who writes late", function()
    import "s"
    local store = assert(authstate.open { redis = server.url })
    local late = store:session "s"
    assert(late:load_creds())
    run("delete", "--session", "s")
    local version, _, code = late.keys:set_json { ["pre-key"] = { ["1"] = "{}" } }
    assert.is_nil(version)
    assert.equal("fenced", code)
    store:close()
    assert.same({ "authstate:{s}:meta" }, keys_of "s")
  end)

  it("shows a reader the whole session or none", function()
    import("s", "large")
    local whole = watcher.name(run("export", "--session", "s"))
    local seen = watcher.start(server.url, "s")
    run("delete", "--session", "s")
    seen:await(2)
    assert.same({ whole, "nothing" }, (seen:finish()))
  end)
end)
