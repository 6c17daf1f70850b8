-- SPDX-License-Identifier: MIT

-- Tasks: while one waits, the others go on; how they begin, end, wait and are cancelled.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local outcome = require "spec.api.outcome"
local program = require "spec.embedded.program"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"

local fails = outcome.fails
local run, spawn, sleep = authstate.run, authstate.spawn, authstate.sleep

-- Longer than anything here takes, shorter than anybody waits for a hanging spec.
local LONG_MS = 60000

local CANCELLED = "the task was cancelled"

describe("tasks", function()
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

  -- A store whose server answers only after `between:pass()`.
  local function held_store(options)
    local between = proxy.start { server = server }
    options = options or {}
    options.redis = { url = between.url, socket = { command_timeout_ms = LONG_MS } }
    local held = assert(authstate.open(options))
    return held, between
  end

  -- Whether so many connections are left, besides that of the spec.
  local function has_connections(wanted)
    return clock.wait_for(function()
      local _, found = server:command("CLIENT", "LIST"):gsub("\n", "")
      return found == wanted + 1
    end) or false
  end

  local function count(table_of)
    local number = 0
    for _ in pairs(table_of) do number = number + 1 end
    return number
  end

  describe("in run", function()
    it("give it the results of its function, nils too", function()
      assert.same({ n = 0 }, { n = select("#", run(function() end)) })
      local function all(...) return ... end
      local results = { run(all, nil, 1, nil, "b", nil) }
      assert.equal(5, select("#", run(all, nil, 1, nil, "b", nil)))
      assert.same({ nil, 1, nil, "b" }, results)
      assert.equal(store, store:run(all, store))
    end)

    it("have all ended when it returns", function()
      local ended = 0
      local function work(levels)
        assert(store:ping())
        if levels > 0 then spawn(work, levels - 1) end
        assert(sleep(1))
        ended = ended + 1
      end
      assert.equal("first", run(function()
        for _ = 1, 5 do spawn(work, 4) end
        return "first"
      end))
      assert.equal(25, ended)
    end)

    it("begin in the order of spawn, when the one that runs waits", function()
      local order = {}
      local function note(word) order[#order + 1] = word end
      run(function()
        for number = 1, 3 do
          spawn(function()
            note("task " .. number)
            spawn(note, "child " .. number)
          end)
        end
        note "main"
        assert(sleep(0))
        note "main again"
      end)
      assert.same({ "main", "task 1", "task 2", "task 3", "child 1", "child 2", "child 3",
        "main again" }, order)
    end)

    it("share stores of two servers", function()
      local other = redis_server.start()
      local second = assert(authstate.open { redis = other.url })
      local wrong = 0
      local function work(each, name)
        local session = each:session "s"
        for number = 1, 50 do
          local text = ('"%s %d"'):format(name, number)
          assert(session.keys:set_json { [name] = { a = text } })
          if session.keys:get_json(name, { "a" }).a ~= text then wrong = wrong + 1 end
        end
      end
      run(function()
        for task = 1, 4 do
          spawn(work, store, "one" .. task)
          spawn(work, second, "two" .. task)
        end
      end)
      assert.equal(0, wrong)
      assert.equal("200", server:command("HGET", "authstate:{s}:meta", "ver"))
      assert.equal("200", other:command("HGET", "authstate:{s}:meta", "ver"))
      second:close()
      other:stop()
    end)

    it("may not run others: that is told at the line", function()
      run(function()
        outcome.says("run: is called in a task; use spawn", function() run(print) end)
        coroutine.wrap(function()
          outcome.says("use spawn", function() store:run(print) end)
        end)()
      end)
    end)

    it("are functions, else that is told at the line", function()
      outcome.says("run: 5 is no function", function() run(5) end)
      outcome.says("spawn: nil is no function", function() spawn() end)
    end)

    it("can be ten thousand", function()
      local sum = 0
      run(function()
        local session = store:session "s"
        assert(session.keys:set { t = { a = 1 } })
        for _ = 1, 10000 do
          spawn(function()
            local found = assert(session.keys:get("t", { "a" }))
            sum = sum + found.a
          end)
        end
      end)
      assert.equal(10000, sum)
    end)

    it("can each spawn the next, as deep as they like", function()
      local deepest = 0
      local function work(level)
        deepest = level
        if level < 20000 then spawn(work, level + 1) end
      end
      run(work, 1)
      assert.equal(20000, deepest)
    end)

    it("can wait for each other, as deep as they like", function()
      local function work(level)
        if level == 0 then return 0 end
        local _, below = spawn(work, level - 1):wait()
        return below + 1
      end
      assert.equal(2000, run(work, 2000))
    end)

    it("wait together: while nothing is answered, all have begun", function()
      local held, between = held_store()
      assert(held:ping())
      between:hold()
      local begun, answered = 0, 0
      run(function()
        for _ = 1, 30 do
          spawn(function()
            begun = begun + 1
            assert(held:ping())
            assert.equal(30, begun)
            answered = answered + 1
          end)
        end
        assert(sleep(0))
        assert.equal(30, begun)
        assert.equal(0, answered)
        between:pass()
      end)
      assert.equal(30, answered)
      held:close()
    end)
  end)

  describe("that raise", function()
    it("leave the others alone, and are told by run with their traceback", function()
      local done = 0
      local function unlucky() error "no luck" end
      local is_fine, message = pcall(run, function()
        spawn(function() assert(store:ping()) unlucky() end)
        for _ = 1, 3 do
          spawn(function()
            for _ = 1, 5 do assert(store:ping()) end
            done = done + 1
          end)
        end
      end)
      assert.is_false(is_fine)
      assert.match("tasks_spec.lua:%d+: no luck\nstack traceback:", message)
      assert.match("in function 'unlucky'", message, 1, true)
      assert.equal(3, done)
      assert(store:ping())
    end)

    it("with a table are told with that table, whatever it says of itself", function()
      local thrown = setmetatable({}, { __tostring = function() error "never" end })
      local is_fine, caught = pcall(run, function() error(thrown) end)
      assert.is_false(is_fine)
      assert.equal(thrown, caught)
      is_fine, caught = pcall(run, function()
        spawn(error, thrown)
        assert(sleep(1))
      end)
      assert.is_false(is_fine)
      assert.is_true(rawequal(thrown, caught))
      assert.equal(1, run(function() return 1 end))
    end)

    it("are told to those that wait, and then not by run", function()
      local seen = {}
      assert.equal("fine", run(function()
        local task = spawn(error, "no luck", 0)
        for number = 1, 2 do
          spawn(function() seen[number] = { task:wait() } end)
        end
        sleep(1)
        seen[3] = { task:wait() }
        return "fine"
      end))
      assert.same({ { false, "no luck" }, { false, "no luck" }, { false, "no luck" } },
        seen)
    end)

    it("are told by run when who waited gave up before", function()
      local is_fine, message = pcall(run, function()
        local go
        local task = spawn(function()
          repeat sleep(1) until go
          error "too late"
        end)
        assert.equal("timeout", select(3, task:wait(1)))
        go = true
      end)
      assert.is_false(is_fine)
      assert.match("too late", message, 1, true)
    end)

    it("are told when they yield to nobody", function()
      local is_fine, message = pcall(run, function() coroutine.yield(1) end)
      assert.is_false(is_fine)
      assert.match("a task has called coroutine.yield", message, 1, true)
      assert.equal(2, run(function() return 2 end))
    end)

    it("are told by run after its function's own error, which goes first", function()
      local is_fine, message = pcall(run, function()
        spawn(error, "second", 0)
        assert(sleep(1))
        error("first", 0)
      end)
      assert.is_false(is_fine)
      assert.match("^first\n", message)
      assert.equal(2, run(function() return 2 end))
    end)
  end)

  describe("that wait for others", function()
    it("get all that these return, at once or again", function()
      run(function()
        local task = spawn(function(...) assert(store:ping()) return ... end, 1, nil, nil)
        assert.equal(4, select("#", task:wait()))
        assert.same({ true, 1 }, { task:wait() })
        assert.same({ true, 1 }, { task:wait(0) })
      end)
    end)

    it("get them outside of tasks, too", function()
      local task
      run(function() task = spawn(function() return "a" end) end)
      assert.same({ true, "a" }, { task:wait() })
      task = spawn(function() assert(store:ping()) assert(sleep(1)) return "b" end)
      assert.same({ true, "b" }, { task:wait() })
      task = spawn(error, "no luck", 0)
      assert.same({ false, "no luck" }, { task:wait(LONG_MS) })
      assert(store:step())
    end)

    it("go on when the time is over, and may wait again", function()
      run(function()
        local go
        local task = spawn(function()
          repeat sleep(1) until go
          return "done"
        end)
        local value, message, code = task:wait(5)
        assert.is_nil(value)
        assert.equal("the task has not ended within 5 ms", message)
        assert.equal("timeout", code)
        assert.same({ nil, "the task has not ended within 0 ms", "timeout" },
          { task:wait(0) })
        go = true
        assert.same({ true, "done" }, { task:wait(LONG_MS) })
      end)
    end)

    it("give up outside of tasks, too", function()
      local task = spawn(sleep, LONG_MS)
      assert.equal("timeout", select(3, task:wait(1)))
      task:cancel()
      assert.equal("cancelled", select(4, task:wait()))
    end)

    -- The one that ended woke the waiter a second time, and its next call, whatever it
    -- was, returned at once.
    it("are woken once when the time is over as the other one ends", function()
      run(function()
        local task = spawn(function() sleep(10) return "done" end)
        local waiter = spawn(function()
          task:wait(10)
          local before_ms = core.now_ms()
          assert(sleep(20))
          return core.now_ms() - before_ms
        end)
        assert(sleep(0))
        local until_ms = core.now_ms() + 30
        repeat until core.now_ms() > until_ms
        local is_fine, slept_ms = waiter:wait()
        assert.is_true(is_fine)
        assert.is_true(slept_ms >= 20, tostring(slept_ms))
      end)
    end)

    it("may not wait for themselves", function()
      run(function()
        local task
        task = spawn(function()
          outcome.says("wait: a task cannot wait for itself", function() task:wait() end)
          coroutine.wrap(function()
            outcome.says("cannot wait for itself", function() task:wait(1) end)
          end)()
        end)
        assert.same({ true }, { task:wait() })
      end)
    end)

    it("refuse what is no time", function()
      run(function()
        local task = spawn(sleep, 1)
        for _, bad in ipairs { "1", -1, 0 / 0, {} } do
          outcome.says("timeout_ms: ", function() task:wait(bad) end)
          outcome.says("is no time; accepted: a number", function() sleep(bad) end)
        end
        outcome.says("sleep: nil is no time", function() sleep() end)
      end)
    end)
  end)

  describe("that sleep", function()
    it("are woken in the order of their times", function()
      local choose = random.new()
      local sleepers, order = {}, {}
      run(function()
        for number = 1, 200 do
          spawn(function()
            local ms = choose:integer(0, 50)
            local began_ms = core.now_ms()
            -- The one before has begun to sleep by now.
            local before = sleepers[number - 1]
            if before then before.latest_ms = before.latest_ms + began_ms end
            sleepers[number] = { earliest_ms = began_ms + ms, latest_ms = ms }
            assert(sleep(ms))
            assert.is_true(core.now_ms() >= began_ms + ms)
            order[#order + 1] = sleepers[number]
          end)
        end
        assert(sleep(0))
        sleepers[200].latest_ms = sleepers[200].latest_ms + core.now_ms()
      end)
      assert.equal(200, #order)
      for later = 2, 200 do
        for sooner = 1, later - 1 do
          assert.is_false(order[later].latest_ms < order[sooner].earliest_ms, choose.seed)
        end
      end
    end)

    it("for no time let the others go on", function()
      local order = {}
      run(function()
        for number = 1, 2 do
          spawn(function()
            for turn = 1, 3 do
              order[#order + 1] = number * 10 + turn
              assert(sleep(0))
            end
          end)
        end
      end)
      assert.same({ 11, 21, 12, 22, 13, 23 }, order)
    end)

    it("do so outside of tasks while those go on", function()
      local steps = 0
      local task = spawn(function()
        for _ = 1, 3 do assert(sleep(1)) steps = steps + 1 end
      end)
      local before_ms = core.now_ms()
      repeat assert(sleep(1)) until steps == 3 or core.now_ms() > before_ms + LONG_MS
      assert.same({ true }, { task:wait() })
    end)
  end)

  describe("that are cancelled", function()
    -- What every later call that would wait does.
    local function raises_now()
      for _, call in ipairs {
        function() return store:ping() end,
        function() return store:session("s").keys:get("t", { "a" }) end,
        function() return store:session("s").keys:set { t = { a = 1 } } end,
        function() return sleep(0) end,
        function() return spawn(function() end):wait() end,
      } do
        local is_fine, message = pcall(call)
        assert.is_false(is_fine)
        assert.equal(CANCELLED, message)
      end
    end

    it("before they begin never do", function()
      local begun = false
      run(function()
        local task = spawn(function() begun = true end)
        task:cancel()
        task:cancel()
        assert.same({ false, CANCELLED }, { task:wait() })
      end)
      assert.is_false(begun)
    end)

    it("get `cancelled` where they sleep or wait, then raise", function()
      local told = {}
      run(function()
        local endless = spawn(sleep, LONG_MS)
        for name, wait in pairs {
          sleep = function() return sleep(LONG_MS) end,
          wait = function() return endless:wait() end,
          waits = function() return endless:wait(LONG_MS) end,
        } do
          local task = spawn(function()
            told[name] = { wait() }
            raises_now()
            error "ends so"
          end)
          assert(sleep(0))
          task:cancel()
          task:cancel()
          local is_fine, message = task:wait()
          assert.is_false(is_fine)
          assert.match("ends so", message, 1, true)
        end
        endless:cancel()
      end)
      for name, value in pairs(told) do
        fails("cancelled", unpack(value, 1, 4))
        assert.equal(CANCELLED, value[2], name)
      end
      assert.equal(3, count(told))
    end)

    local function are_told_where_they_wait(is_cached)
      local held, between = held_store { enable_cache = is_cached }
      local session = held:session "s"
      assert(session.keys:set { t = { a = 1 } })
      assert(session.keys:get("t", { "a" })) -- the next one goes the quick way
      between:hold()
      local id = is_cached and "unknown" or "a"
      local calls = {
        get = function() return session.keys:get("t", { id }) end,
        get_two = function() return session.keys:get("t", { "a", "b" }) end,
        load = function() return session:load() end,
        commit = function() return session:commit { keys = { t = { a = 2 } } } end,
        behind = function() return session.keys:set { t = { a = 3 } } end,
        ping = function() return held:ping() end,
      }
      local told, tasks = {}, {}
      run(function()
        for _, name in ipairs { "get", "get_two", "load", "commit", "behind", "ping" } do
          tasks[name] = spawn(function()
            told[name] = { calls[name]() }
            raises_now()
          end)
        end
        assert(sleep(0))
        for _, task in pairs(tasks) do task:cancel() end
        assert(sleep(0))
        for name in pairs(calls) do
          local _, details = fails("cancelled", unpack(told[name], 1, 4))
          assert.equal(name ~= "behind", details.sent, name)
          -- A read changes nothing, whether it was sent or not.
          assert.equal(name == "commit" and "maybe" or "no", details.applied, name)
        end
        between:pass()
        for _, task in pairs(tasks) do assert.is_true((task:wait())) end
      end)
      assert.equal(0, held:stats().queued.operations)
      -- What was sent may have taken effect, what waited behind it has not.
      assert.equal("2", server:command("HGET", "authstate:{s}:meta", "ver"))
      assert(session.keys:set { t = { a = 4 } })
      assert.same({ a = 4 }, session.keys:get("t", { "a" }))
      held:close()
    end

    it("get `cancelled` where they wait for Redis, and free their place", function()
      are_told_where_they_wait(false)
      server:command("FLUSHALL")
      are_told_where_they_wait(true)
    end)

    it("while they run are told by the next call that would wait", function()
      run(function()
        local task
        task = spawn(function()
          task:cancel()
          fails("cancelled", store:session("s").keys:set { t = { a = 1 } })
          raises_now()
          return "ended"
        end)
        assert.same({ true, "ended" }, { task:wait() })
      end)
      assert.equal(0, #server:command("KEYS", "*"))
    end)

    it("after they ended keep what they returned", function()
      run(function()
        local task = spawn(function() return 7 end)
        assert(task:wait())
        task:cancel()
        assert.same({ true, 7 }, { task:wait() })
      end)
    end)

    it("are not told of by run: an end that was asked for is no error", function()
      run(function()
        local task = spawn(function()
          for _ = 1, 100 do sleep(LONG_MS) end
        end)
        assert(sleep(0))
        task:cancel()
      end)
    end)

    -- It kept the turn, for which everybody behind it waited in vain.
    it("as their turn comes give it to the next one", function()
      local held, between = held_store()
      local session = held:session "s"
      local function write(id)
        return session.keys:set({ t = { [id] = 1 } }, { timeout_ms = 10000 })
      end
      assert(write "first")
      for _ = 1, 10 do
        between:hold { direction = "reply" }
        run(function()
          local cancelled, writer, next_one
          -- Its reply comes together with that of the write behind it, and before it.
          spawn(function()
            assert(held:ping())
            assert.is_false(writer.is_done or false)
            cancelled:cancel()
          end)
          writer = spawn(write, "a")
          cancelled = spawn(write, "b")
          next_one = spawn(write, "c")
          assert(sleep(0))
          assert(store:ping()) -- what was sent is answered, as far as the proxy
          between:pass()
          assert.is_number(select(2, writer:wait()))
          assert.equal("cancelled", select(4, cancelled:wait()))
          local _, version, message = next_one:wait()
          assert.is_number(version, message)
        end)
      end
      assert.is_nil(session.keys:get("t", { "b" }).b)
      held:close()
    end)

    it("at any time, the others are not harmed", function()
      local session, choose = store:session "s", random.new()
      assert(session.keys:set { t = { a = 0 } })
      run(function()
        for _ = 1, random.rounds(100) do
          local writers = {}
          for number = 1, 6 do
            writers[number] = spawn(function()
              return session.keys:set { t = { ["n" .. number] = 1 } }
            end)
          end
          for _ = 1, 3 do
            local victim = writers[choose:integer(1, 5)]
            spawn(function()
              for _ = 1, choose:integer(0, 3) do assert(store:ping()) end
              victim:cancel()
            end)
          end
          -- Not sent when it is not known what became of one before it.
          local is_fine, version, message, code = writers[6]:wait()
          assert.is_true(is_fine)
          assert.is_true(version ~= nil or code == "unavailable", message)
          assert(session.keys:set { t = { last = 1 } })
        end
      end)
    end)

    -- It never gave the loop back: every call raised at once, for ever.
    it("and catch that for ever let the others go on", function()
      local is_told, calls = false, 0
      run(function()
        local task = spawn(function()
          repeat
            pcall(sleep, 1)
            calls = calls + 1
          until is_told
        end)
        assert(sleep(0))
        task:cancel()
        for _ = 1, 20 do assert(store:ping()) end
        assert(sleep(5))
        is_told = true
      end)
      assert.is_true(calls > 1)
    end)
  end)

  describe("with coroutines of their own", function()
    it("call from them, and lose no answer meanwhile", function()
      local answers = 0
      local function ask()
        for _ = 1, 10 do
          assert(store:ping())
          answers = answers + 1
        end
      end
      run(function()
        for number = 1, 10 do
          spawn(function()
            ask()
            if number % 2 == 1 then coroutine.wrap(ask)() end
          end)
        end
      end)
      assert.equal(150, answers)
    end)

    -- A write above another one in the stack waited for its turn in vain, until its
    -- deadline was over.
    it("write and read one session from iterators", function()
      local session = store:session "s"
      local function records(task)
        return coroutine.wrap(function()
          for number = 1, 5 do
            local id = ("%d.%d"):format(task, number)
            assert(session:commit { keys = { t = { [id] = number } } })
            coroutine.yield(id, assert(session.keys:get("t", { id }))[id])
          end
        end)
      end
      local seen = 0
      run(function()
        for task = 1, 40 do
          spawn(function()
            for id, number in records(task) do
              assert.equal(number, tonumber(id:match "%d+$"))
              seen = seen + 1
              if number == 3 then assert(session.keys:set { t = { [id] = 0 } }) end
            end
          end)
        end
      end)
      assert.equal(200, seen)
      assert.equal(240, session:load().version)
      assert.equal(200, session.keys:count "t")
    end)

    -- They waited for ever: each for the other one to return.
    it("may not wait for a task that waits below them in the stack", function()
      local held, between = held_store()
      assert(held:ping())
      between:hold()
      run(function()
        local below = spawn(function()
          coroutine.wrap(function() assert(held:ping()) end)()
          return "ended"
        end)
        spawn(function()
          coroutine.wrap(function()
            outcome.says("wait: the task waits in a coroutine of its own",
              function() below:wait(LONG_MS) end)
          end)()
          between:pass()
          assert.same({ true, "ended" }, { below:wait() })
        end)
      end)
      held:close()
    end)

    it("are told there that their task was cancelled", function()
      local session = store:session "s"
      assert(session.keys:set { t = { a = 1 } })
      assert(session.keys:get("t", { "a" }))
      for _, call in ipairs {
        function() return store:ping() end,
        function() return session.keys:get("t", { "a" }) end,
        function() return session.keys:set { t = { a = 2 } } end,
        function() return session:load() end,
        function() return sleep(0) end,
        function() return spawn(function() end):wait() end,
      } do
        run(function()
          local task
          task = spawn(function()
            task:cancel()
            return coroutine.wrap(function()
              local told = { call() }
              assert.is_false(pcall(call))
              return unpack(told, 1, 4)
            end)()
          end)
          local is_fine, value, message, code = task:wait()
          assert.is_true(is_fine, value)
          assert.same({ nil, CANCELLED, "cancelled" }, { value, message, code })
        end)
      end
      assert.equal(1, session:load().version)
    end)

    it("let the others go on", function()
      local held, between = held_store()
      assert(held:ping())
      between:hold()
      local order = {}
      run(function()
        spawn(function()
          coroutine.wrap(function() assert(held:ping()) end)()
          order[#order + 1] = "answered"
        end)
        spawn(function()
          assert(store:ping())
          order[#order + 1] = "other"
          between:pass()
        end)
      end)
      assert.same({ "other", "answered" }, order)
      held:close()
    end)
  end)

  describe("outside of run", function()
    it("go on while others call, and those write with them", function()
      local session, ended = store:session "s", 0
      for task = 1, 10 do
        spawn(function()
          for number = 1, 5 do
            assert(session.keys:set { t = { [task .. "." .. number] = 1 } })
          end
          ended = ended + 1
        end)
      end
      local tries = 0
      repeat
        tries = tries + 1
        assert(session.keys:set { u = { [("%d"):format(tries)] = 1 } })
        assert(store:ping())
      until ended == 10 or tries > 1000
      assert.equal(10, ended)
      assert.equal(50, session.keys:count "t")
      assert.equal(tries, session.keys:count "u")
      assert(store:step())
    end)
  end)

  describe("and the collector", function()
    it("lose nothing that still waits", function()
      local done = 0
      run(function()
        for number = 1, 50 do
          spawn(function()
            local own = assert(authstate.open { redis = server.url })
            local session = own:session("s" .. number)
            for step = 1, 5 do
              assert(session.keys:set { t = { a = step } })
              assert.equal(step, session.keys:get("t", { "a" }).a)
              collectgarbage "step"
            end
            done = done + 1
          end)
        end
        repeat
          collectgarbage()
          assert(sleep(1))
        until done == 50
      end)
      assert.equal(50, done)
      collectgarbage()
      collectgarbage()
      assert(store:ping())
      assert.is_true(has_connections(2)) -- with the one that is told what changes
    end)
  end)

  describe("whose store is closed by another one", function()
    it("get the answers to what they have asked before", function()
      local held, between = held_store()
      local session = held:session "s"
      assert(session.keys:set { t = { a = 1 } })
      assert(session:load()) -- knows all types, so that the next one is one step
      between:hold()
      local told = {}
      run(function()
        for name, call in pairs {
          get = function() return session.keys:get("t", { "a" }) end,
          set = function() return session.keys:set { t = { a = 2 } } end,
          load = function() return session:load() end,
        } do
          spawn(function() told[name] = { call() } end)
        end
        assert(sleep(0))
        local closing = spawn(function() return held:close() end)
        local late = spawn(function() return held:ping() end)
        local is_fine, value, message, code, details = late:wait()
        assert.is_true(is_fine)
        fails("closed", value, message, code, details)
        between:pass()
        assert.same({ true, true }, { closing:wait() })
      end)
      assert.is_table(told.get[1], told.get[2])
      assert.equal(2, told.set[1])
      assert.is_table(told.load[1])
    end)

    -- The second one said that it was closed while writes were under way.
    it("and who closes it once more is told when the answers are there", function()
      local held, between = held_store()
      local session = held:session "s"
      assert(session.keys:set { t = { a = 1 } })
      between:delay(50, { direction = "both" })
      local order = {}
      run(function()
        spawn(function()
          assert(session.keys:set { t = { a = 2 } })
          order[#order + 1] = "write"
        end)
        for _, name in ipairs { "first", "second" } do
          spawn(function()
            assert(sleep(1))
            assert.is_true(held:close())
            order[#order + 1] = name
          end)
        end
      end)
      between:pass()
      assert.same({ "write", "first", "second" }, order)
      assert.is_true(held:close())
    end)

    it("and who closes it is cancelled, get `closed`, and what was sent is unsure",
      function()
        local held, between = held_store()
        local session = held:session "s"
        assert(session.keys:set { t = { a = 1 } })
        between:hold()
        local told = {}
        run(function()
          for number = 1, 3 do
            spawn(function() told[number] = { session.keys:set { t = { a = 2 } } } end)
          end
          assert(sleep(0))
          local closing = spawn(function() return held:close() end)
          assert(sleep(0))
          closing:cancel()
        end)
        local _, details = fails("closed", unpack(told[1], 1, 4))
        assert.equal("maybe", details.applied)
        for number = 2, 3 do
          _, details = fails("closed", unpack(told[number], 1, 4))
          assert.equal("no", details.applied)
        end
        between:pass()
      end)

    it("by a task that was cancelled is closed all the same", function()
      local own = assert(authstate.open { redis = server.url })
      assert(own:ping())
      run(function()
        local task
        task = spawn(function()
          task:cancel()
          fails("cancelled", own:ping())
          assert.is_true(own:close())
        end)
        assert.same({ true }, { task:wait() })
      end)
      fails("closed", own:ping())
      assert.is_true(has_connections(0))
    end)
  end)

  describe("and a fork", function()
    local HEAD = [[
      local ffi = require "ffi"
      ffi.cdef "int fork(void); int waitpid(int, int *, int); void _exit(int);"
      local store = open { redis = arg[1] }
      local function wait_for(child)
        local status = ffi.new "int[1]"
        ffi.C.waitpid(child, status, 0)
        return status[0]
      end
      local function check(name)
        local session = store:session(name)
        for number = 1, 20 do
          assert(session.keys:set { t = { a = number } })
          assert(session.keys:get("t", { "a" }).a == number)
        end
      end
    ]]

    local function runs(text)
      local status, words, err = program.run {
        server.url, text = HEAD .. text, timeout_ms = 30000,
      }
      assert.equal("", err)
      assert.equal(0, status)
      return words
    end

    it("in one of them: the child has that one alone", function()
      assert.same({ "parent", "0", "30" }, runs [[
        local ended, child = 0
        authstate.run(function()
          for number = 1, 30 do
            authstate.spawn(function()
              check("s" .. number)
              if number == 15 then
                child = ffi.C.fork()
                if child == 0 then
                  ended = 0
                  local task = authstate.spawn(check, "child")
                  authstate.sleep(1)
                  check("own")
                  task:wait()
                  ffi.C._exit(ended == 0 and 0 or 1)
                end
              end
              authstate.sleep(2)
              ended = ended + 1
            end)
          end
        end)
        report("parent", wait_for(child), ended)
      ]])
      for _, id in ipairs { "s1", "s30", "child", "own" } do
        local key = ("authstate:{%s}:meta"):format(id)
        assert.equal("20", server:command("HGET", key, "ver"))
      end
    end)

    it("in one of them, whose child lets run return", function()
      assert.same({ "parent", "1792", "3" }, runs [[
        local ended, child = 0
        local results = select("#", authstate.run(function()
          for number = 1, 3 do
            authstate.spawn(function()
              check("s" .. number)
              if number == 2 then child = ffi.C.fork() end
              authstate.sleep(1)
              ended = ended + 1
            end)
          end
          authstate.sleep(100)
          return 1
        end))
        if child == 0 then
          check "child"
          ffi.C._exit(results == 0 and 7 or 8)
        end
        report("parent", wait_for(child), ended)
      ]])
    end)

    it("between two runs: each process has its own", function()
      assert.same({ "parent", "0" }, runs [[
        authstate.run(check, "before")
        local child = ffi.C.fork()
        local name = child == 0 and "child" or "parent"
        authstate.run(function()
          for number = 1, 20 do authstate.spawn(check, name .. number) end
        end)
        if child == 0 then ffi.C._exit(0) end
        report("parent", wait_for(child))
      ]])
    end)

    it("with tasks that wait outside of run: the child has none", function()
      assert.same({ "parent", "0", "1" }, runs [[
        local ended = 0
        local task = authstate.spawn(function()
          authstate.sleep(20)
          ended = ended + 1
        end)
        store:step()
        local child = ffi.C.fork()
        if child == 0 then
          authstate.sleep(40)
          store:step()
          check "child"
          ffi.C._exit(ended)
        end
        task:wait()
        report("parent", wait_for(child), ended)
      ]])
    end)
  end)
end)
