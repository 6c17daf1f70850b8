-- SPDX-License-Identifier: MIT

-- What a new connection says before its first operation.

local peer = require "spec.engine.peer"

local GREETINGS = {
  { "no options", {}, { "CLIENT ID", "INFO server" } },
  { "a password", { password = "p" }, { "AUTH p", "CLIENT ID", "INFO server" } },
  { "an empty password", { password = "" }, { "AUTH ", "CLIENT ID", "INFO server" } },
  { "a user", { user = "u", password = "p" },
    { "AUTH u p", "CLIENT ID", "INFO server" } },
  { "a database", { database = 4294967295 },
    { "SELECT 4294967295", "CLIENT ID", "INFO server" } },
  { "scripts", { scripts = { "return 1", "" } },
    { "CLIENT ID", "INFO server", "SCRIPT LOAD return 1", "SCRIPT LOAD " } },
  { "everything", { user = "u", password = "p", database = 3, scripts = { "return 1" } },
    { "AUTH u p", "SELECT 3", "CLIENT ID", "INFO server", "SCRIPT LOAD return 1" } },
}

local ALL = { user = "u", password = "p", database = 3, scripts = { "s" } }

-- configuration, command, reply, code, what the message must hold
local FAILURES = {
  { ALL, "AUTH", "-WRONGPASS invalid username-password pair\r\n", "auth", "^WRONGPASS" },
  { ALL, "AUTH", "-ERR AUTH <password> called without any password\r\n", "auth",
    "called without" },
  { {}, "CLIENT ID", "-NOAUTH Authentication required.\r\n", "auth", "^NOAUTH" },
  { {}, "CLIENT ID", "-DENIED Redis is running in protected mode\r\n", "auth",
    "protected mode" },
  { {}, "CLIENT ID", "-ERR max number of clients reached\r\n", "unavailable",
    "max number of clients" },
  { ALL, "SELECT", "-ERR DB index is out of range\r\n", "server", "DB index" },
  { ALL, "SELECT", "-NOPERM no permissions to run select\r\n", "denied", "^NOPERM" },
  { ALL, "SCRIPT LOAD", "-NOPERM no permissions to run script|load\r\n", "denied",
    "script|load" },
  { {}, "CLIENT ID", "-LOADING Redis is loading the dataset in memory\r\n", "loading",
    "^LOADING" },
  { {}, "INFO server", "-LOADING Redis is loading the dataset in memory\r\n", "loading",
    "^LOADING" },
  { {}, "INFO server", peer.info(peer.run_id "a", "6.2.14"), "unsupported",
    "Redis 6%.2%.14; 7%.0 or newer" },
  { {}, "INFO server", "$0\r\n\r\n", "unsupported", "which version of Redis" },
  { {}, "INFO server", peer.info(peer.run_id "a", ("6"):rep(60)), "ok" },
}

local TOLERATED = {
  { "CLIENT ID forbidden", { ["CLIENT ID"] = "-NOPERM this user\r\n" } },
  { "INFO forbidden", { ["INFO server"] = "-NOPERM this user\r\n" } },
  { "both forbidden", {
    ["CLIENT ID"] = "-NOPERM this user\r\n", ["INFO server"] = "-NOPERM this user\r\n",
  } },
  { "CLIENT ID unknown", { ["CLIENT ID"] = "-ERR unknown command 'CLIENT'\r\n" } },
  { "INFO null", { ["INFO server"] = "$-1\r\n" } },
  { "a newer server", { ["INFO server"] = peer.info(peer.run_id "b", "10.1") } },
}

describe("a greeting", function()
  for _, case in ipairs(GREETINGS) do
    local name, config, commands = unpack(case)
    it("with " .. name .. " says what is needed, in order, before all else", function()
      local result = peer.each_cut(function(p)
        p:start(config)
        p:submit { { "ECHO", "first" } }
        p:pump()
        return { commands = p.commands, replies = p:ended().replies }
      end)
      assert.same({ "first" }, result.replies)
      assert.equal("ECHO first", table.remove(result.commands))
      assert.same(commands, result.commands)
    end)
  end

  for _, case in ipairs(FAILURES) do
    local config, command, reply, code, pattern = unpack(case)
    it(("ends as %s when the answer to %s is %s"):format(code, command, reply:sub(1, 40)),
      function()
        local result = peer.each_cut(function(p)
          p:start(config)
          p.answers[command] = reply
          p:submit { { "ECHO", "first" } }
          p:pump()
          local ended = p:ended()
          p.answers = {}
          p:submit { { "ECHO", "second" } }
          -- One that was refused is not asked again at once.
          if ended.code then p:pass(p.engine:deadline_ms() - p.now_ms) end
          p:pump()
          return { ended = ended, later = p:codes() }
        end)
        assert.equal(code, result.ended.code or "ok")
        if pattern then
          assert.match(pattern, result.ended.message)
          assert.equal(0, result.ended.attempts)
        end
        assert.same({ "ok" }, result.later)
      end)
  end

  for _, case in ipairs(TOLERATED) do
    local name, answers = unpack(case)
    it("goes on with " .. name, function()
      local result = peer.each_cut(function(p)
        p:start { scripts = { "return 1" } }
        p.answers = answers
        p:submit { { "ECHO", "first" } }
        p:pump()
        return p:ended().replies
      end)
      assert.same({ "first" }, result)
    end)
  end

  it("that is cut off anywhere leaves the operation unsent, with the reason", function()
    local function run(length)
      local p = peer.new()
      p:start(ALL)
      p:submit { { "ECHO", "first" } }
      assert.equal("connect", p:action())
      p:connected()
      p:write()
      local replies = "+OK\r\n+OK\r\n:1\r\n" .. peer.info(p.run_id) .. peer.bulk "sha"
      p:feed(replies:sub(1, length))
      assert.equal("", p.engine:next_write(0))
      p:closed("cut off")
      assert.same({ code = "unavailable", message = "cut off", attempts = 0, slot = 0,
        elapsed_ms = 0 }, p:ended())
      p.engine:close()
      return #replies
    end
    local length = 0
    repeat length = length + 1 until length >= run(length - 1)
  end)

  it("and the connect together have connect_timeout_ms", function()
    for _, is_connected in ipairs { false, true } do
      local p = peer.new()
      p:start { connect_timeout_ms = 500 }
      p:submit { { "ECHO", "first" } }
      assert.equal(1500, p.engine:deadline_ms())
      p:pass(400)
      if is_connected then
        assert.equal("connect", p:action())
        p:connected()
        p:write()
        p:feed(":1\r\n")
      end
      p:pass(99)
      assert.same({}, p:ends())
      p:pass(1)
      assert.equal("close", p:action())
      p:closed("closed")
      local ended = p:ended()
      assert.equal("unavailable", ended.code)
      assert.equal("no connection within connect_timeout_ms = 500", ended.message)
    end
  end)

  it("is part of no statistics but the count of streams", function()
    local p = peer.new()
    p:start {}
    assert.equal(0, p.engine:statistics().streams)
    p:submit { { "PING" } }
    p:pump()
    assert.equal(1, p.engine:statistics().streams)
    assert.equal(1, p.engine:statistics().queued_operations)
    p:ends()
    assert.equal(0, p.engine:statistics().queued_operations)
  end)
end)

describe("the configuration of an engine", function()
  local core = require "authstate.core"

  it("is checked", function()
    for name, wrong in pairs {
      pool_size = 0, max_operations = -1, max_queued_bytes = 0 / 0, database = 2 ^ 32,
      connect_timeout_ms = "500", user = 5, password = "a\0b", max_value_bytes = 2 ^ 60,
      batch_size = 0, batch_window_ms = -1, max_age_ms = 0 / 0,
    } do
      assert.error_matches(function()
        core.engine(peer.config { [name] = wrong })
      end, name)
    end
    assert.error_matches(function() core.engine(peer.config { scripts = { 1 } }) end,
      "a script must be a string")
    assert.error_matches(function()
      core.engine(peer.config { scripts = { "", "", "", "", "", "", "", "", "" } })
    end, "at most 8 scripts")
  end)

  -- The engine borrowed the strings of the caller's table: changing it freed them.
  it("may change afterwards", function()
    local p = peer.new()
    local config = peer.config { scripts = { ("return %d"):format(17) } }
    config.password = ("secret %d"):format(18)
    p.engine = assert(core.engine(config))
    config.password, config.scripts[1], config.scripts = nil, nil, nil
    collectgarbage()
    collectgarbage()
    for i = 1001, 2000 do p[("secret %d"):format(i)] = ("return %d"):format(i) end
    p:submit { { "PING" } }
    p:pump()
    assert.same({ "AUTH secret 18", "CLIENT ID", "INFO server", "SCRIPT LOAD return 17",
      "PING" }, p.commands)
  end)
end)
