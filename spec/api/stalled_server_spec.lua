-- SPDX-License-Identifier: MIT

-- A server that stands still, or is slow: callers give up, nothing is closed, and nothing
-- is sent twice.

local authstate = require "authstate"
local core = require "authstate.core"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local stored = require "spec.api.stored"

local run, spawn, sleep = authstate.run, authstate.spawn, authstate.sleep

local SESSIONS = 20
local MODES = { "checked", "plain" }

describe("a server that does not answer for a while", function()
  local server, stores
  local versions -- by session, before

  before_each(function()
    server, stores = redis_server.start(), {}
  end)

  after_each(function()
    server:resume()
    for _, store in pairs(stores) do store:close() end
    server:kill()
  end)

  local function stat(name)
    return tonumber(server:command("INFO", "stats"):match(name .. ":(%d+)"))
  end

  -- How often the server has carried out a command.
  local function calls(name)
    local stats = server:command("INFO", "commandstats")
    return tonumber(stats:match("cmdstat_" .. name .. ":calls=(%d+)") or 0)
  end

  -- Opens a store of each kind and its sessions, loaded; counters begin here.
  local function open(url)
    local sessions = {}
    for _, writes in ipairs(MODES) do
      local store = assert(authstate.open { redis = url or server.url, writes = writes })
      stores[writes], sessions[writes] = store, {}
      for i = 1, SESSIONS do
        local session = store:session(writes .. i)
        assert(session.keys:set { t = { first = 0 } })
        assert(session:load())
        sessions[writes][i] = session
      end
    end
    versions = {}
    for writes, list in pairs(sessions) do
      for i in ipairs(list) do
        versions[writes .. i] = stored.version(server, writes .. i)
      end
    end
    server:command("CONFIG", "RESETSTAT")
    return sessions
  end

  -- Checks that each write that was sent took effect once, and the others never: `told`
  -- is a list of { session = id, name = of the record, answer, details }.
  local function check_writes(told)
    local by_session = {}
    for _, each in ipairs(told) do
      by_session[each.session] = by_session[each.session] or {}
      table.insert(by_session[each.session], each)
    end
    for id, list in pairs(by_session) do
      local found = stored.hash(server, "authstate:{" .. id .. "}:k:t")
      local effects = 0
      for _, each in ipairs(list) do
        local is_there = found[each.name] ~= nil
        if each.answer then assert.is_true(is_there, each.name) end
        if not each.answer and each.details.applied == "no" then
          assert.is_false(is_there, each.name)
        end
        if is_there then effects = effects + 1 end
      end
      assert.equal(effects, stored.version(server, id) - versions[id], id)
    end
  end

  it("gets each command once, on one connection: stopped for 3 s, a call every 5 ms",
    function()
      local sessions = open()
      local choose = random.new()
      local connections = stat "total_connections_received"
      local writes_told, answered, made, counted, latest_ms = {}, 0, 0, 0, 0
      local codes = {}
      -- How late this machine is with what is due, at worst.
      local late_ms, due_ms = 0, math.huge
      server:pause()
      local until_ms = core.now_ms() + 3000
      run(function()
        spawn(function()
          assert(sleep(3000))
          server:resume()
        end)
        while core.now_ms() < until_ms do
          made = made + 1
          late_ms = math.max(late_ms, core.now_ms() - due_ms)
          local name, mode = "n" .. made, choose:pick(MODES)
          local number = choose:integer(1, SESSIONS)
          local session, is_read = sessions[mode][number], choose:chance(0.5)
          spawn(function()
            local began_ms = core.now_ms()
            local options = { timeout_ms = 500 }
            local answer, _, code, details
            if is_read then
              answer, _, code, details = session.keys:count("t", options)
              if answer or details.sent then counted = counted + 1 end
            else
              answer, _, code, details = session.keys:set({ t = { [name] = 1 } }, options)
              table.insert(writes_told, {
                session = mode .. number, name = name, answer = answer, details = details,
              })
            end
            answered = answered + 1
            code = code or "ok"
            codes[code] = (codes[code] or 0) + 1
            latest_ms = math.max(latest_ms, core.now_ms() - began_ms)
          end)
          due_ms = core.now_ms() + 5
          assert(sleep(5))
        end
      end)
      assert.equal(made, answered)
      assert.is_true(codes.timeout > made / 4, codes.timeout)
      -- Those behind a write of unknown outcome, and those at the end.
      for code in pairs(codes) do
        assert.is_truthy(({ ok = 1, timeout = 1, unavailable = 1 })[code], code)
      end
      -- Far from waiting for the server, if the machine lets it.
      assert.is_true(latest_ms < 1500 + 2 * late_ms, latest_ms)
      for _, store in pairs(stores) do
        assert(store:ping())
        assert.equal(0, store:stats().queued.operations)
        assert.equal(0, store:stats().pool.reconnects)
      end
      assert.equal(connections, stat "total_connections_received")
      assert.equal(counted, calls "hlen")
      local scripts, changes = 0, 0
      for _, each in ipairs(writes_told) do
        if each.answer or each.details.applied == "maybe" then
          if each.session:find "checked" then scripts = scripts + 1 end
          changes = changes + 1
        end
      end
      assert.equal(scripts, calls "evalsha")
      check_writes(writes_told)
      assert.is_true(changes > 0)
      -- All go on, and know what became of the last one.
      for _, list in pairs(sessions) do
        for _, session in ipairs(list) do
          assert(session.keys:set { t = { last = 1 } })
          local _, applied = session:last_commit()
          assert.is_true(applied == "yes" or applied == nil)
        end
      end
    end)

  it("for less than the deadlines makes nothing but a pause", function()
    local sessions = open()
    server:pause()
    local answered = 0
    run(function()
      for i = 1, SESSIONS do
        for _, mode in ipairs(MODES) do
          for n = 1, 3 do
            spawn(function()
              local session = sessions[mode][i]
              assert(session.keys:set { t = { ["n" .. n] = n } })
              assert.equal(n, assert(session.keys:get("t", { "n" .. n }))["n" .. n])
              answered = answered + 1
            end)
          end
        end
      end
      assert(sleep(100))
      server:resume()
    end)
    assert.equal(SESSIONS * #MODES * 3, answered)
    for id, version in pairs(versions) do
      assert.equal(version + 3, stored.version(server, id))
    end
    for _, store in pairs(stores) do assert.equal(0, store:stats().pool.reconnects) end
  end)

  it("keeps its connection when a caller is cancelled every millisecond", function()
    local between = proxy.start { server = server }
    local sessions = open(between.url)
    local choose, made, told = random.new(), 0, {}
    local connections = stat "total_connections_received"
    between:delay(4, { direction = "both" })
    local until_ms = core.now_ms() + 1000
    run(function()
      while core.now_ms() < until_ms do
        made = made + 1
        local name, mode = "n" .. made, choose:pick(MODES)
        local number = choose:integer(1, SESSIONS)
        local task = spawn(function()
          local answer, _, _, details =
            sessions[mode][number].keys:set { t = { [name] = 1 } }
          table.insert(told, {
            session = mode .. number, name = name, answer = answer, details = details,
          })
        end)
        spawn(function()
          sleep(choose:integer(1, 12))
          task:cancel()
        end)
        assert(sleep(1))
      end
    end)
    between:pass()
    assert.equal(made, #told)
    for _, store in pairs(stores) do
      assert(store:ping())
      assert.equal(0, store:stats().queued.operations)
      assert.equal(0, store:stats().pool.reconnects)
    end
    assert.equal(connections, stat "total_connections_received")
    local cancelled, scripts = 0, 0
    for _, each in ipairs(told) do
      if not each.answer then cancelled = cancelled + 1 end
      local is_sent = each.answer or each.details.applied == "maybe"
      if is_sent and each.session:find "checked" then scripts = scripts + 1 end
    end
    assert.is_true(cancelled > made / 10, cancelled)
    assert.equal(scripts, calls "evalsha")
    check_writes(told)
    between:stop()
  end)
end)
