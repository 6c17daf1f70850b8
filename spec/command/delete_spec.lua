-- SPDX-License-Identifier: MIT

-- `delete` removes a whole session in one step, and it stays deleted.

local authstate = require "authstate"
local cjson = require "cjson"
local fixture = require "spec.support.fixture"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"
local watcher = require "spec.command.watcher"

describe("delete", function()
  local server

  setup(function()
    server = redis_server.start { config = { ["enable-debug-command"] = "yes" } }
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

  it("tells until when late writers are kept out: as long as the tombstone stands",
  function()
    import "s"
    local receipt = cjson.decode(run("delete", "--session", "s", "--json"))
    local end_ms = server:command("PEXPIRETIME", "authstate:{s}:meta")
    assert.equal(end_ms, receipt.kept_out_until_ms)
    assert.equal(os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(end_ms / 1000)),
      receipt.kept_out_until)
    assert.equal(server:command("HGET", "authstate:{s}:meta", "gen"),
      ("%.0f"):format(receipt.generation))
  end)

  it("gives its receipt also where Redis does not tell the end of the tombstone",
  function()
    import "s"
    server:command("ACL", "SETUSER", "limited", "on", ">word", "~*", "+@all",
      "-pexpiretime")
    local url = "unix://limited:word@" .. server.socket
    local said = tool.succeed { "delete", "--session", "s", "--redis", url }
    assert.match("late writers are kept out until a time that Redis did not tell\n$",
      said)
    assert.equal(1, server:command("EXISTS", "authstate:{s}:meta"))
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

  describe("at a terminal", function()
    local test = tool.has_terminal() and it or pending
    local QUESTION = "Delete it? Only y or yes goes on: "

    local function shown(answer)
      return '"' .. answer:gsub("\n", "\\n") .. '"'
    end

    local function delete(answer, line, ...)
      return tool.run_at_terminal(line or '"$@"',
        { "delete", "--session", "s", "--redis", server.url, stdin = answer, ... })
    end

    local function digest()
      return server:command("DEBUG", "DIGEST")
    end

    test("shows what there is, and asks", function()
      import "s"
      local at_ms = server:command("HGET", "authstate:{s}:meta", "at")
      local said = delete("no\n").out
      assert.match("session s\n  creds +1\n  app%-state%-sync%-key +%d+\n", said)
      assert.match("\n  pre%-key +47\n", said)
      assert.equal(os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(at_ms / 1000)),
        said:match "\n  last write +(%S+)\n")
      assert.match("\n  memory in Redis +%d+%.%d KiB\n", said)
      assert.truthy(said:find(QUESTION, 1, true))
    end)

    for _, answer in ipairs { "y\n", "yes\n", " yes \n" } do
      test("deletes after " .. shown(answer), function()
        import "s"
        local outcome = delete(answer)
        assert.equal(0, outcome.status, outcome.out)
        assert.match("deleted session s: 479 records, [^\n]+\ntombstone [^\n]+\n$",
          outcome.out)
        assert.same({ "authstate:{s}:meta" }, keys_of "s")
      end)
    end

    for _, answer in ipairs { "", "\n", "n\n", "no\n", "Y\n", "YES\n", "yy\n",
      "yes please\n", "n\ny\n" } do
      test("deletes nothing after " .. shown(answer), function()
        import "s"
        local before = digest()
        local outcome = delete(answer)
        assert.equal(1, outcome.status)
        assert.match("authstate delete: nothing was deleted\n$", outcome.out)
        assert.equal(before, digest())
      end)
    end

    test("says that there is no session before it asks", function()
      local outcome = delete ""
      assert.equal(1, outcome.status)
      assert.match("authstate delete: there is no session s\n$", outcome.out)
      assert.falsy(outcome.out:find(QUESTION, 1, true))
    end)

    for _, option in ipairs { "--yes", "--json" } do
      test("does not ask with " .. option, function()
        import "s"
        local outcome = delete("", nil, option)
        assert.equal(0, outcome.status, outcome.out)
        assert.falsy(outcome.out:find(QUESTION, 1, true))
        assert.same({ "authstate:{s}:meta" }, keys_of "s")
      end)
    end

    for _, redirection in ipairs { "</dev/null", "2>/dev/null" } do
      test("does not ask a script: " .. redirection, function()
        import "s"
        local outcome = delete("", '"$@" ' .. redirection)
        assert.equal(0, outcome.status, outcome.out)
        assert.falsy(outcome.out:find(QUESTION, 1, true))
        assert.same({ "authstate:{s}:meta" }, keys_of "s")
      end)
    end

    test("asks there also when the receipt goes elsewhere", function()
      import "s"
      local path = temporary.directory() .. "/receipt"
      local outcome = delete("yes\n", '"$@" >' .. path)
      assert.equal(0, outcome.status, outcome.out)
      assert.truthy(outcome.out:find(QUESTION, 1, true))
      local receipt = assert(io.open(path)):read "*a"
      assert.match("^deleted session s: 479 records", receipt)
      assert.falsy(receipt:find("pre-key", 1, true))
    end)

    test("deletes a session that cannot be read", function()
      import "s"
      server:command("HSET", "authstate:{s}:creds", "creds", "garbage")
      server:command("HSET", "authstate:{s}:k:pre-key", "74", "garbage")
      assert.equal(0, delete("yes\n").status)
      assert.same({ "authstate:{s}:meta" }, keys_of "s")
    end)

    test("does not delete what was made anew while it asked", function()
      import "s"
      local asked = tool.start_at_terminal { "delete", "--session", "s", "--redis",
        server.url }
      asked:await(QUESTION)
      run("delete", "--session", "s")
      import "s"
      local before = digest()
      asked:type "yes\n"
      local outcome = asked:finish()
      assert.equal(1, outcome.status)
      assert.match("authstate delete: another generation of the session is stored",
        outcome.out)
      assert.equal(before, digest())
    end)

    test("deletes nothing when it is interrupted at the question", function()
      import "s"
      local before = digest()
      local asked = tool.start_at_terminal { "delete", "--session", "s", "--redis",
        server.url }
      asked:await(QUESTION)
      asked:type "\3"
      local outcome = asked:finish()
      assert.equal(1, outcome.status)
      assert.match("authstate delete: interrupted\n$", outcome.out)
      assert.equal(before, digest())
    end)
  end)
end)
