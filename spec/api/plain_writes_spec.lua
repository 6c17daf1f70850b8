-- SPDX-License-Identifier: MIT

-- writes = "plain": one transaction without a script, for a sole writer.

local authstate = require "authstate"
local outcome = require "spec.api.outcome"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails = outcome.fails
local run, spawn = authstate.run, authstate.spawn

local LONG_MS = 60000

describe("plain writes", function()
  local server, store, session

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  local function open(options)
    options = options or {}
    options.writes = "plain"
    -- However slow the machine is, what is written in one turn leaves together.
    options.batch_window_ms = 1000
    options.redis = options.redis or
      { url = server.url, socket = { command_timeout_ms = LONG_MS } }
    return assert(authstate.open(options))
  end

  before_each(function()
    server:command("FLUSHALL")
    server:command("CONFIG", "RESETSTAT")
    store = open()
    session = store:session "s"
    assert(session.keys:set { t = { first = 1 } })
  end)

  after_each(function()
    store:close()
  end)

  -- How often the server has carried out a command.
  local function calls(name)
    local stats = server:command("INFO", "commandstats")
    return tonumber(stats:match("cmdstat_" .. name .. ":calls=(%d+)") or 0)
  end

  -- Runs a function beside MONITOR; the commands that were carried out, one line each.
  local function monitored(fn)
    local monitor = server:connect()
    assert.equal("OK", monitor:command("MONITOR"))
    fn()
    server:command("ECHO", "the end")
    local lines = {}
    repeat
      local line = monitor:receive()
      lines[#lines + 1] = line:match "%[.-%] (.*)"
    until line:find("the end", 1, true)
    monitor:close()
    lines[#lines] = nil
    return lines
  end

  it("are read back, and each makes the version one greater", function()
    local value = sample.value "session"
    assert.equal(2, session.keys:set { t = { a = value } })
    assert.equal(3, session.keys:set_json { t = { b = "[1, 2]" } })
    assert.equal(4, session:commit { keys = { t = { c = 3, d = 4 } } })
    assert.equal(5, session:commit_json '{"keys":{"t":{"e":5,"f":6}}}')
    assert.equal(1, calls "evalsha")
    local found = session.keys:get("t", { "a", "c", "d", "e", "f" })
    assert.same({ a = value, c = 3, d = 4, e = 5, f = 6 }, found)
    assert.equal("[1, 2]", session.keys:get_json("t", { "b" }).b)
    assert.equal(5, session:load().version)
    assert.equal(5, stored.version(server, "s"))
  end)

  it("delete, alone and among others", function()
    assert(session.keys:set { t = { a = 1, b = 2, c = 3 } })
    assert.equal(3, session.keys:set { t = { a = authstate.null } })
    assert.equal(4, session.keys:set { t = { b = authstate.null, d = 4 } })
    assert.same({ c = 3, d = 4, first = 1 }, session:load().keys.t)
    assert.equal(5, session.keys:set { t = {
      c = authstate.null, d = authstate.null, first = authstate.null,
      none = authstate.null,
    } })
    assert.equal(0, session.keys:count "t")
    assert.equal(6, session.keys:set { t = { again = 1 } })
    assert.same({ again = 1 }, session:load().keys.t)
    assert.equal(1, calls "evalsha")
  end)

  it("of one turn are one transaction, and each has its own version", function()
    local versions, before = {}, calls "exec"
    run(function()
      for task = 1, 100 do
        spawn(function()
          versions[task] = assert(session.keys:set { t = { ["n" .. task] = task } })
        end)
      end
    end)
    assert.equal(before + 1, calls "exec")
    for task = 1, 100 do assert.equal(task + 1, versions[task]) end
    assert.equal(101, session.keys:count "t")
    assert.equal(101, stored.version(server, "s"))
  end)

  it("of one turn to one field end with the last one, deletions too", function()
    local wanted
    run(function()
      local choose = random.new()
      for _ = 1, random.rounds(200) do
        local tasks = {}
        for task = 1, choose:integer(1, 6) do
          wanted = choose:chance(0.6) and task or nil
          local value = wanted or authstate.null
          tasks[task] = spawn(function()
            return session.keys:set { t = { a = value } }
          end)
        end
        for _, task in ipairs(tasks) do assert(select(2, task:wait())) end
        assert.equal(wanted, session.keys:get("t", { "a" }).a, choose.seed)
      end
    end)
  end)

  it("are MULTI, the changes, the version, EXISTS of all keys, EXEC", function()
    assert(session.keys:set { u = { a = 1 } })
    local lines = monitored(function()
      assert(session:commit { keys = { t = { a = authstate.null }, u = { b = 1 } } })
    end)
    local text = table.concat(lines, "\n")
    assert.equal('"MULTI"', lines[1], text)
    assert.equal('"EXEC"', lines[#lines], text)
    assert.equal(6, #lines, text)
    assert.match('"HDEL" "authstate:{s}:k:t" "a"', text, 1, true)
    assert.match('"HSET" "authstate:{s}:k:u" "b" ', text, 1, true)
    assert.equal('"HINCRBY" "authstate:{s}:meta" "ver" "1"', lines[4])
    assert.match('^"EXISTS" "authstate:{s}:k:[tu]" "authstate:{s}:k:[tu]" '
      .. '"authstate:{s}:meta"$', lines[5])
  end)

  describe("go through the script", function()
    local function counts(fn)
      local scripts, transactions = calls "evalsha", calls "exec"
      assert(fn())
      return calls "evalsha" - scripts, calls "exec" - transactions
    end

    it("for the first one of a session and of a type", function()
      assert.same({ 1, 0 }, { counts(function()
        return store:session "new".keys:set { t = { a = 1 } }
      end) })
      assert.same({ 1, 0 }, { counts(function()
        return session.keys:set { t = { a = 1 }, u = { a = 1 } }
      end) })
      assert.same({ 0, 1 }, { counts(function()
        return session.keys:set { t = { a = 1 }, u = { a = 1 } }
      end) })
      assert.same({ t = 2, u = 1 }, session.keys:types())
    end)

    it("for creds", function()
      assert.same({ 1, 0 }, { counts(function()
        return session:save_creds(sample.creds())
      end) })
      assert.same({ 1, 0 }, { counts(function()
        return session:commit { creds = sample.creds(), keys = { t = { a = 1 } } }
      end) })
      assert.same({ 0, 1 }, { counts(function()
        return session:commit { keys = { t = { a = 1 } } }
      end) })
    end)

    it("for the first one of a store that has only read", function()
      local other = open()
      local theirs = other:session "s"
      assert(theirs.keys:get("t", { "first" }))
      assert.same({ 1, 0 }, { counts(function()
        return theirs.keys:set { t = { a = 1 } }
      end) })
      assert.same({ 0, 1 }, { counts(function()
        return theirs.keys:set { t = { a = 1 } }
      end) })
      other:close()
    end)

    it("not for one that has loaded the whole session", function()
      local other = open()
      local theirs = other:session "s"
      assert(theirs:load())
      assert.same({ 0, 1 }, { counts(function()
        return theirs.keys:set { t = { a = 1 } }
      end) })
      other:close()
    end)

    it("after a delete, whose handle is fenced until it loads again", function()
      local old = store:session "s"
      assert(old.keys:get("t", { "first" }))
      assert(session:delete())
      fails("fenced", old.keys:set { t = { a = 1 } })
      fails("fenced", session.keys:set { t = { a = 1 } })
      assert.equal(0, server:command("EXISTS", "authstate:{s}:k:t"))
      assert.is_nil(session:load_creds())
      assert(session:commit { creds = sample.creds(), keys = { t = { b = 1 } } })
      assert(session.keys:set { t = { c = 1 } })
      fails("fenced", old.keys:set { t = { a = 1 } })
      fails("fenced", old.keys:get("t", { "b" }))
      assert.equal(2, session.keys:count "t")
    end)

    -- It was acknowledged, and stood in Redis beside the tombstone.
    it("after a delete, for a new handle", function()
      assert(session.keys:get("t", { "first" }))
      assert(session.keys:set { t = { a = 1 } })
      assert(session:delete())
      fails("fenced", store:session("s").keys:set { t = { b = 1 } })
      assert.equal(0, server:command("EXISTS", "authstate:{s}:k:t"))
    end)

    it("once a read has found that another process has deleted the session", function()
      for _, ids in ipairs { { "first" }, { "first", "a" }, "count" } do
        local handle, other = store:session "s", open()
        assert(handle:load_or_create(sample.creds))
        assert(handle.keys:set { t = { first = 1 } })
        assert(handle.keys:get("t", { "first" }))
        assert(handle.keys:set { t = { first = 2 } })
        assert(other:session("s"):delete())
        if ids == "count" then
          fails("fenced", handle.keys:count "t")
        else
          fails("fenced", handle.keys:get("t", ids))
        end
        fails("fenced", handle.keys:set { t = { first = 3 } })
        assert.equal(0, server:command("EXISTS", "authstate:{s}:k:t"))
        other:close()
      end
    end)
  end)

  -- They were written behind the tombstone: half a session was back.
  for name, changes in pairs {
    ["of one record"] = { t = { late = 1 } },
    ["of two records"] = { t = { a = 1, b = 1 } },
  } do
    it(name .. " are fenced when called behind a delete of the store", function()
      for _ = 1, 3 do assert.is_truthy(session.keys:set { t = { first = 2 } }) end
      local told = {}
      run(function()
        spawn(function() told.delete = { session:delete() } end)
        spawn(function() told.write = { session.keys:set(changes) } end)
      end)
      assert.is_table(told.delete[1])
      fails("fenced", unpack(told.write, 1, 4))
      assert.same({}, server:command("KEYS", "*:k:*"))
    end)
  end

  -- The commit was sent again behind the write, too late: it failed.
  it("wait for a commit before them whose script the server has forgotten", function()
    for round = 1, 20 do
      local told = {}
      server:command("SCRIPT", "FLUSH")
      run(function()
        spawn(function() told.commit = { session:save_creds { round = round } } end)
        for i = 1, 3 do
          spawn(function() told[i] = { session.keys:set { t = { first = i } } } end)
        end
      end)
      for name, each in pairs(told) do assert.is_number(each[1], name) end
      assert.is_true(told.commit[1] < told[1][1])
      assert.equal(3, session.keys:get("t", { "first" }).first)
    end
  end)

  it("refuse an expected version: nobody would look at it", function()
    outcome.says('expect: nothing is checked with writes = "plain"',
      function() session.keys:set({ t = { a = 1 } }, { expect = 1 }) end)
    outcome.says('expect: nothing is checked with writes = "plain"',
      function() session:commit { keys = { t = { a = 1 } }, expect = 1 } end)
    assert.equal(1, stored.version(server, "s"))
  end)

  it("refuse what is too large, and what is no value, before anything is sent", function()
    local small = open { max_value_bytes = 1024, max_commit_bytes = 2048 }
    local theirs = small:session "s"
    assert(theirs:load())
    local big = authstate.bytes(("x"):rep(1100))
    local half = authstate.bytes(("x"):rep(900))
    fails("too_large", theirs.keys:set { t = { a = big } })
    fails("too_large", theirs.keys:set { t = { a = half, b = half, c = half } })
    assert.equal(2, theirs.keys:set { t = { a = half } })
    fails("too_large", theirs.keys:set { t = { a = big } })
    outcome.says("t \"a\"", function() theirs.keys:set { t = { a = print } } end)
    outcome.says("t \"a\"", function() theirs.keys:set_json { t = { a = "{" } } end)
    outcome.says("the id 1 is a number", function() theirs.keys:set { t = { 5 } } end)
    outcome.says("creds", function() theirs.keys:set { creds = { a = 1 } } end)
    assert.equal(2, stored.version(server, "s"))
    small:close()
  end)

  it("of one turn fail alone when the key of theirs holds another type", function()
    assert(session.keys:set { u = { a = 1 } })
    server:command("DEL", "authstate:{s}:k:t")
    server:command("SET", "authstate:{s}:k:t", "a string")
    local told = {}
    run(function()
      for name, changes in pairs {
        t = { t = { a = 1 } }, u = { u = { b = 1 } },
        both = { t = { c = 1 }, u = { c = 1 } },
        gone = { t = { a = authstate.null } },
      } do
        spawn(function() told[name] = { session.keys:set(changes) } end)
      end
    end)
    for _, name in ipairs { "t", "both", "gone" } do
      local message = fails("wrong_type", unpack(told[name], 1, 4))
      assert.match("authstate:{s}:k:t", message, 1, true)
    end
    assert.is_number(told.u[1])
    assert.equal(1, session.keys:get("u", { "b" }).b)
  end)

  it("are `oom` when the memory is full, and nothing of them is applied", function()
    local before = stored.everything(server)
    server:command("CONFIG", "SET", "maxmemory", "1")
    finally(function() server:command("CONFIG", "SET", "maxmemory", "0") end)
    local told = {}
    run(function()
      for task = 1, 5 do
        spawn(function()
          told[task] = { session.keys:set { t = { ["n" .. task] = 1 } } }
        end)
      end
    end)
    for task = 1, 5 do
      local _, details = fails("oom", unpack(told[task], 1, 4))
      assert.equal("no", details.applied)
    end
    server:command("CONFIG", "SET", "maxmemory", "0")
    assert.same(before, stored.everything(server))
    assert.equal(2, session.keys:set { t = { a = 1 } })
  end)

  it("that were cancelled as they were collected say what became of them", function()
    local told = {}
    local function write(name)
      return spawn(function()
        told[name] = { session.keys:set { t = { [name] = 1 } } }
      end)
    end
    run(function()
      local early = write "early"
      spawn(function() early:cancel() end)
      write "late"
      authstate.sleep(0)
    end)
    assert.is_number(told.late[1])
    local _, details = fails("cancelled", unpack(told.early, 1, 4))
    local is_there = session.keys:get("t", { "early" }).early == 1
    assert.is_false(is_there and details.applied == "no",
      "applied, and its caller was told that it was not")
  end)

  it("of a lost connection are written at least once, whole, and the newest last",
    function()
      local choose = random.new()
      local between = proxy.start { server = server, count = "EXEC" }
      local through = open { redis = {
        url = between.url, socket = { command_timeout_ms = LONG_MS },
      } }
      local theirs = through:session "s"
      assert(theirs:load())
      for round = 1, random.rounds(30) do
        local how = choose:pick { "cut_request", "cut_reply" }
        between[how](between, {
          from = "MULTI", after_bytes = choose:integer(1, 300),
          settle_ms = choose:pick { 0, 2 },
        })
        run(function()
          for task = 1, 5 do
            spawn(function()
              local name = "n" .. task
              for step = 1, 3 do
                local value = round * 10 + step
                assert(theirs.keys:set { t = { [name] = value, [name .. "b"] = value } })
                local found = assert(theirs.keys:get("t", { name, name .. "b" }))
                assert.same({ [name] = value, [name .. "b"] = value }, found)
              end
            end)
          end
        end)
        between:pass()
      end
      assert.is_true(between:stats().cuts > 0)
      assert.is_true(stored.version(server, "s") >= 1 + 15 * 30)
      through:close()
      between:stop()
    end)

  it("survive CLIENT KILL amid them", function()
    local killer = server:connect()
    run(function()
      local is_over
      for task = 1, 20 do
        spawn(function()
          for step = 1, 20 do
            assert(session.keys:set { t = { ["n" .. task] = step } })
          end
          assert.equal(20, session.keys:get("t", { "n" .. task })["n" .. task])
          is_over = true
        end)
      end
      spawn(function()
        while not is_over do
          killer:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
          authstate.sleep(1)
        end
      end)
    end)
    killer:close()
    assert.equal(21, session.keys:count "t")
    assert.is_true(stored.version(server, "s") >= 401)
  end)

  it("go to hbinduni-hash, in one hash", function()
    local foreign = open { layout = "hbinduni-hash", prefix = "h:" }
    local theirs = foreign:session "s"
    assert(theirs:save_creds(sample.creds()))
    assert(theirs.keys:set { session = { a = sample.value "session" } })
    local before = calls "exec"
    local versions = {}
    run(function()
      for task = 1, 10 do
        spawn(function()
          local value = sample.value "session"
          versions[task] = assert(theirs.keys:set { session = { ["n" .. task] = value } })
        end)
      end
    end)
    assert.equal(before + 1, calls "exec")
    assert.equal(10, versions[10] - versions[1] + 1)
    assert.equal(11, theirs.keys:count "session")
    assert.same(sample.value "session", theirs.keys:get("session", { "n3" }).n3)
    assert.equal(12, server:command("HLEN", "s:auth"))
    foreign:close()
  end)
end)
