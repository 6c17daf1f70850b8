-- SPDX-License-Identifier: MIT

-- What a store bounds while many tasks use it: what waits, how long, and how large.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local outcome = require "spec.api.outcome"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"

local fails = outcome.fails
local run, spawn, sleep = authstate.run, authstate.spawn, authstate.sleep

local LONG_MS = 60000
local MIB = 1024 * 1024

describe("a store with many tasks", function()
  local server, store

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  local function open(options, url)
    options = options or {}
    options.redis =
      { url = url or server.url, socket = { command_timeout_ms = LONG_MS } }
    store = assert(authstate.open(options))
    assert(store:ping())
    return store
  end

  before_each(function()
    server:command("FLUSHALL")
    server:command("CONFIG", "RESETSTAT")
  end)

  after_each(function()
    server:resume()
    store:close()
  end)

  -- How often the server has carried out a command.
  local function calls(name)
    local stats = server:command("INFO", "commandstats")
    return tonumber(stats:match("cmdstat_" .. name .. ":calls=(%d+)") or 0)
  end

  local function connections()
    local _, count = server:command("CLIENT", "LIST"):gsub("\n", "")
    return count - 1 -- that of the spec
  end

  -- Whether there is one for all sessions, and one that is told what others change.
  local function has_both_connections()
    return clock.wait_for(function()
      return store:ping() and connections() == 2
    end)
  end

  describe("whose queue is full", function()
    -- Makes `count` calls while nothing is answered; those that waited, and the others.
    local function fill(options, count, call)
      local between = proxy.start { server = server }
      open(options, between.url)
      local session = store:session "s"
      assert(session.keys:set { t = { a = 1 } })
      assert(session.keys:get("t", { "a" }))
      between:hold()
      local told = {}
      run(function()
        for number = 1, count do
          spawn(function() told[number] = { call(session, number) } end)
        end
        assert(sleep(0))
        assert(sleep(0))
        told.early, told.queued = 0, store:stats().queued
        for number = 1, count do
          if told[number] then told.early = told.early + 1 end
        end
        between:pass()
      end)
      assert.same({ operations = 0, bytes = 0 }, store:stats().queued)
      assert(session.keys:get("t", { "a" }))
      between:stop()
      return told
    end

    -- Who was refused, was so at once, with these words; who was not, has an answer.
    local function check(told, count, words, is_refused)
      local refused = 0
      for number = 1, count do
        local answer = told[number]
        if answer[1] == nil then
          refused = refused + 1
          local message, details = fails("overloaded", unpack(answer, 1, 4))
          assert.match(words, message)
          assert.is_false(details.sent)
          assert.equal("no", details.applied)
          assert.is_true(details.retry)
          assert.is_true(is_refused(number), number)
        end
      end
      assert.equal(told.early, refused)
      return refused
    end

    it("of operations refuses the next ones at once, and says the numbers", function()
      local function get(session, number)
        return session.keys:get("t", { number % 2 == 0 and "a" or "b", "c" })
      end
      local told = fill({ queue_max_operations = 10 }, 25, get)
      assert.equal(15, check(told, 25, "^the queue is full: 10 operations and %d+ bytes "
        .. "wait; queue_max_operations is 10, queue_max_bytes %d+$", function(number)
          return number > 10
        end))
      assert.equal(10, told.queued.operations)
      for number = 1, 10 do
        assert.same({ a = number % 2 == 0 and 1 or nil }, told[number][1])
      end
    end)

    it("of operations that go the quick way, too", function()
      local function get(session) return session.keys:get("t", { "a" }) end
      local told = fill({ queue_max_operations = 10, enable_cache = false }, 25, get)
      assert.equal(15, check(told, 25, "10 operations and", function(number)
        return number > 10
      end))
    end)

    it("of bytes refuses what does not fit, and takes what does", function()
      local value = ('"%s"'):format(("x"):rep(3000))
      local function set(_, number)
        local session = store:session("other" .. number)
        return session.keys:get_json("t", { value .. number })
      end
      local told = fill({ queue_max_bytes = 10000 }, 8, set)
      local refused = check(told, 8, "^the queue is full: [123] operations and %d%d%d%d+ "
        .. "bytes wait; queue_max_operations is 100000, queue_max_bytes 10000$",
        function(number) return number > 1 end)
      assert.is_true(refused >= 4 and refused <= 7, refused)
      assert.is_true(told.queued.bytes > 0 and told.queued.bytes <= 10000)
    end)

    it("refuses plain writes, too, whole", function()
      local function set(session, number)
        return session.keys:set { t = { ["n" .. number] = 1, ["m" .. number] = 1 } }
      end
      local told = fill({ queue_max_operations = 5, writes = "plain" }, 12, set)
      local refused = check(told, 12, "5 operations and", function(number)
        return number > 5
      end)
      assert.equal(7, refused)
      assert.equal(11, tonumber(server:command("HLEN", "authstate:{s}:k:t")))
    end)
  end)

  -- Nothing bounded them: each writer of a session waits here, not in the queue.
  describe("whose calls wait behind a write of their session", function()
    -- How many of `count` writes of one session were accepted, and what was queued.
    local function write(options, count, value)
      local between = proxy.start { server = server }
      open(options, between.url)
      local session, codes, queued = store:session "s", {}, nil
      assert(session.keys:set { t = { a = 1 } })
      between:hold()
      run(function()
        for number = 1, count do
          spawn(function()
            local version, message, code, details =
              session.keys:set { t = { ["n" .. number] = value } }
            codes[number] = code or version
            if version then return end
            fails("overloaded", version, message, code, details)
            assert.match("^the queue is full: %d+ calls with %d+ bytes wait behind "
              .. "writes of their sessions; queue_max_operations is %d+, queue_max_bytes "
              .. "%d+$", message)
            assert.same({ false, "no", true, "s" },
              { details.sent, details.applied, details.retry, details.session })
          end)
        end
        assert(sleep(0))
        assert(sleep(0))
        queued = store:stats().queued
        between:pass()
      end)
      assert.same({ operations = 0, bytes = 0 }, store:stats().queued)
      local stored = session.keys:count "t"
      between:stop()
      local accepted = 0
      for number = 1, count do
        if codes[number] ~= "overloaded" then
          accepted = accepted + 1
          assert.equal(number + 1, codes[number])
        end
      end
      assert.equal(accepted + 1, stored)
      return accepted, queued
    end

    it("refuses those that are too many", function()
      local accepted, queued = write({ queue_max_operations = 5 }, 12, 1)
      assert.same({ 6, 6 }, { accepted, queued.operations })
    end)

    it("refuses those that are too large", function()
      local accepted, queued = write({ queue_max_bytes = 10000 }, 12, ("-"):rep(2400))
      assert.equal(5, accepted)
      assert.is_true(queued.bytes > 4 * 2400 and queued.bytes < 14000, queued.bytes)
    end)
  end)

  it("moves values of 10 MiB both ways at once over one connection", function()
    open { max_value_bytes = 16 * MIB, queue_max_bytes = 512 * MIB }
    local choose = random.new()
    local block = choose:bytes(1024)
    local values = {}
    for number = 1, 4 do
      values[number] = authstate.bytes((block .. number):rep(10 * 1024))
      assert(store:session("s" .. number).keys:set { t = { a = values[number] } })
    end
    local ended = 0
    run(function()
      for task = 1, 20 do
        spawn(function()
          local number = task % 4 + 1
          local session = store:session("s" .. number)
          if choose:chance(0.5) then assert(sleep(choose:integer(0, 20))) end
          if task % 2 == 0 then
            assert(session.keys:set { t = { a = values[number] } })
          end
          local found = assert(session.keys:get("t", { "a" })).a
          assert.is_true(found == values[number])
          ended = ended + 1
        end)
      end
    end)
    assert.equal(20, ended)
    assert.is_true(has_both_connections())
  end)

  describe("whose server does not answer", function()
    -- Waiting is bounded from below: who waits gets no answer before its time.
    local function ends_in_time(call, timeout_ms, code)
      local started_ms = core.now_ms()
      local _, details = fails(code, call { timeout_ms = timeout_ms })
      assert.is_true(core.now_ms() - started_ms >= timeout_ms)
      assert.is_true(details.elapsed_ms == nil or details.elapsed_ms >= timeout_ms)
      return details
    end

    local function check_deadlines(session, timeout)
      local ended = 0
      run(function()
        for task, call in ipairs {
          function(options) return session.keys:set({ t = { a = 2 } }, options) end,
          function(options) return session.keys:get("t", { "a" }, options) end,
          function(options) return session:load(options) end,
          function(options) return store:ping(options) end,
        } do
          spawn(function()
            -- The write ends well after the call that waits behind it.
            local timeout_ms = task == 1 and timeout + 300 or timeout + task
            assert.is_true(ends_in_time(call, timeout_ms, "timeout").sent)
            ended = ended + 1
          end)
        end
        -- Behind the write, which has not ended.
        spawn(function()
          local details = ends_in_time(function(options)
            return session.keys:set({ t = { a = 3 } }, options)
          end, timeout - 10, "unavailable")
          assert.same({ false, "no" }, { details.sent, details.applied })
          ended = ended + 1
        end)
      end)
      assert.equal(5, ended)
    end

    local function open_session()
      open()
      local session = store:session "s"
      assert(session.keys:set { t = { a = 1 } })
      return session
    end

    it("ends calls at their deadline, which runs from the call: it is stopped", function()
      local session = open_session()
      server:pause()
      check_deadlines(session, 30)
      server:resume()
      assert(store:ping())
      assert.equal(2, tonumber(server:command("HGET", "authstate:{s}:meta", "ver")))
      assert.equal(0, store:stats().queued.operations)
      assert.equal(0, store:stats().pool.reconnects)
      assert.is_true(has_both_connections())
    end)

    it("ends calls at their deadline: CLIENT PAUSE", function()
      local session = open_session()
      server:command("CLIENT", "PAUSE", LONG_MS, "WRITE")
      check_deadlines(session, 30)
      server:command("CLIENT", "UNPAUSE")
      assert(store:ping())
      assert.equal(2, tonumber(server:command("HGET", "authstate:{s}:meta", "ver")))
      assert.equal(0, store:stats().pool.reconnects)
      assert.is_true(has_both_connections())
    end)

    it("closes nothing and sends each command once, whoever gives up", function()
      open()
      local choose, made, sent = random.new(), 0, 0
      server:pause()
      local until_ms = core.now_ms() + 3000
      run(function()
        while core.now_ms() < until_ms do
          made = made + 1
          local session = store:session("s" .. made)
          local timeout_ms = choose:pick { 1, 2, LONG_MS }
          local task = spawn(function()
            local count, message, code, details =
              session.keys:count("t", { timeout_ms = timeout_ms })
            assert.is_nil(count)
            assert.is_truthy(code == "cancelled" or timeout_ms ~= LONG_MS, message)
            if details.sent then sent = sent + 1 end
          end)
          assert(sleep(1))
          task:cancel()
        end
      end)
      -- What was not sent, since the socket was full, is sent no more.
      assert.is_true(sent > 0 and sent <= made)
      assert.equal(sent, store:stats().queued.operations)
      server:resume()
      assert(store:ping())
      assert.equal(0, store:stats().queued.operations)
      assert.equal(sent, calls "hlen")
      assert.is_true(has_both_connections())
      assert.equal(0, store:stats().pool.reconnects)
    end)
  end)
end)
