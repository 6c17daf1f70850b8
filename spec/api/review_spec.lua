-- SPDX-License-Identifier: MIT

-- What a program may do with tasks that is unusual, and what runs for months.

local authstate = require "authstate"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"

local run, spawn, sleep = authstate.run, authstate.spawn, authstate.sleep

describe("a program", function()
  local server, store

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url })
  end)

  after_each(function()
    store:close()
  end)

  describe("that calls from a function that C calls", function()
    -- The call raised "attempt to yield across C-call boundary" with its read under way;
    -- who caught that got the value of "a" when he asked for "b" next.
    it("gets the answer, and the next call its own", function()
      local session = store:session "s"
      assert(session.keys:set { t = { a = "A", b = "B", c = "C" } })
      assert(session.keys:get("t", { "a" })) -- the next ones go the quick way
      local function replace(id)
        assert(session.keys:set { t = { d = id } })
        return assert(session.keys:get("t", { id }))[id]
      end
      run(function()
        assert.equal("A-C", (("a-c"):gsub("%w", replace)))
        assert.same({ b = "B" }, session.keys:get("t", { "b" }))
        assert.is_true(sleep(0))
        assert.same({ d = "c" }, session.keys:get("t", { "d" }))
      end)
    end)

    -- The task ended while its read was under way, and `run` returned before the others
    -- had ended.
    it("lets the others go on, and waits for them", function()
      local between = proxy.start { server = server }
      local held = assert(authstate.open { redis = between.url })
      assert(held:ping())
      between:hold()
      local order = {}
      run(function()
        spawn(function()
          local list = { "b", "a" }
          table.sort(list, function(a, b)
            assert(held:ping())
            return a < b
          end)
          order[#order + 1] = table.concat(list)
          spawn(function()
            assert(sleep(1))
            order[#order + 1] = "last"
          end)
        end)
        spawn(function()
          assert(store:ping())
          order[#order + 1] = "other"
          between:pass()
        end)
      end)
      assert.same({ "other", "ab", "last" }, order)
      held:close()
      between:stop()
    end)
  end)

  describe("that runs for months", function()
    -- What is kept of each when all have ended.
    local function kept_bytes(count, work)
      work(count) -- what is kept once
      collectgarbage()
      collectgarbage()
      local before = collectgarbage "count"
      work(count)
      collectgarbage()
      collectgarbage()
      return (collectgarbage "count" - before) * 1024 / count
    end

    -- Each kept its traceback until the end of `run`.
    it("keeps nothing of tasks whose error was told", function()
      run(function()
        assert.is_true(kept_bytes(1000, function(count)
          for _ = 1, count do spawn(error, "no luck", 0):wait() end
          local tasks = {}
          for i = 1, count do tasks[i] = spawn(error, "no luck", 0) end
          assert(sleep(0))
          for i = count, 1, -1 do assert.is_false(tasks[i]:wait()) end
        end) < 100)
      end)
    end)

    it("keeps nothing of those that waited for a task and gave up", function()
      local kept
      run(function()
        local endless = spawn(sleep, 1e9)
        kept = kept_bytes(4000, function(count)
          for _ = 1, count do endless:wait(0) end
        end)
        endless:cancel()
      end)
      assert.is_true(kept < 4, kept)
    end)

    it("is told the first error that nobody has seen", function()
      local is_fine, message = pcall(run, function()
        local tasks = {}
        for i = 1, 6 do tasks[i] = spawn(error, "error " .. i, 0) end
        assert(sleep(0))
        for _, i in ipairs { 2, 1, 4 } do assert.is_false(tasks[i]:wait()) end
      end)
      assert.is_false(is_fine)
      assert.match("^error 3", message)
    end)
  end)

  -- `load` and `types` raised "too many results to unpack".
  it("that has nine thousand types in a session reads them all", function()
    local session, changes = store:session "s", {}
    for number = 1, 9000 do changes["t" .. number] = { a = number } end
    assert(session.keys:set(changes))
    local loaded = assert(session:load())
    assert.equal(9000, loaded.keys.t9000.a)
    local types = assert(session.keys:types())
    for number = 1, 9000 do assert.equal(1, types["t" .. number]) end
    assert.equal(9000, session:delete().records)
  end)

  describe("whose function log", function()
    local told, tell, complaints
    local stderr = io.stderr

    -- A call that fails, in a task: the server has no memory.
    local function fail(session)
      return run(function()
        server:command("CONFIG", "SET", "maxmemory", "1")
        local task = spawn(function()
          return session.keys:set { t = { a = 2 } }
        end)
        local results = { task:wait() }
        server:command("CONFIG", "SET", "maxmemory", "0")
        return results
      end)
    end

    before_each(function()
      store:close()
      told, complaints = {}, {}
      rawset(io, "stderr", {
        write = function(_, ...) complaints[#complaints + 1] = table.concat { ... } end,
      })
      store = assert(authstate.open {
        redis = server.url,
        log = function(...)
          told[#told + 1] = { ... }
          tell(...)
        end,
      })
    end)

    after_each(function()
      rawset(io, "stderr", stderr)
    end)

    -- The task ended amid its write, and no later one of its session was sent, ever.
    it("yields does not harm the call that it is told of", function()
      local session = store:session "s"
      assert(session.keys:set { t = { a = 1 } })
      tell = function(level) coroutine.yield(level) end
      local is_ended, value, _, code = unpack(fail(session))
      assert.same({ true, nil, "oom" }, { is_ended, value, code })
      assert.equal(1, #told)
      assert.same({ "authstate: error: the function log called coroutine.yield, and was "
        .. "not finished\n" }, complaints)
      assert.equal(2, session.keys:set { t = { a = 3 } })
    end)

    -- Each failure told of the next one, until the stack was full.
    it("calls the store, which fails, is told so a few times", function()
      local session = store:session "s"
      assert(session.keys:set { t = { a = 1 } })
      tell = function()
        store:session("other" .. #told).keys:set { t = { a = 1 } }
      end
      local is_ended, value, _, code = unpack(fail(session))
      assert.same({ true, nil, "oom" }, { is_ended, value, code })
      assert.equal(8, #told)
      assert.equal(1, #complaints)
      assert.match("^authstate: error: the function log is called too deep: OOM ",
        complaints[1])
      assert.equal(2, session.keys:set { t = { a = 3 } })
    end)
  end)
end)
