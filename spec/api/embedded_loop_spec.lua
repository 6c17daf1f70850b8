-- SPDX-License-Identifier: MIT

-- A program with a loop of its own: it waits for store:fd() until store:deadline_ms(),
-- and calls store:step().

local authstate = require "authstate"
local core = require "authstate.core"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local socket = require "socket"

local spawn, sleep = authstate.spawn, authstate.sleep

local LONG_MS = 60000

describe("a loop of the program's own", function()
  local server, store, between, held

  setup(function()
    server = redis_server.start()
    between = proxy.start { server = server }
  end)

  teardown(function()
    between:stop()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    between:pass()
    store = assert(authstate.open { redis = server.url })
    held = assert(authstate.open {
      redis = { url = between.url, socket = { command_timeout_ms = LONG_MS } },
    })
  end)

  after_each(function()
    store:close()
    held:close()
  end)

  -- Waits as a loop does: for the descriptor, until the deadline, at most `most_ms`.
  -- Whether it became readable.
  local function wait(most_ms)
    local fd = assert(store:fd())
    local watched = { getfd = function() return fd end }
    local wait_ms = math.min(store:deadline_ms(), most_ms or LONG_MS)
    return #socket.select({ watched }, nil, math.ceil(wait_ms) / 1000) > 0
  end

  -- The loop. How often it has turned.
  local function turn_until(is_over)
    local turns = 0
    local until_ms = core.now_ms() + LONG_MS
    while not is_over() do
      wait()
      assert.is_true(store:step())
      turns = turns + 1
      assert(core.now_ms() < until_ms, "the loop turns for ever")
    end
    return turns
  end

  it("does the work of tasks that were spawned", function()
    local choose = random.new()
    local ended = 0
    for task = 1, 100 do
      spawn(function()
        local each = choose:chance(0.5) and store or held
        local session = each:session("s" .. task % 10)
        for number = 1, 5 do
          local id = ("%d.%d"):format(task, number)
          assert(session.keys:set { t = { [id] = number } })
          assert.equal(number, assert(session.keys:get("t", { id }))[id])
          if choose:chance(0.3) then assert(sleep(choose:integer(0, 3))) end
        end
        ended = ended + 1
      end)
    end
    turn_until(function() return ended == 100 end)
    for number = 0, 9 do
      assert.equal(50, store:session("s" .. number).keys:count "t")
    end
  end)

  it("has one descriptor for all stores, which stays the same", function()
    local fd = assert(store:fd())
    assert.is_number(fd)
    assert.equal(fd, held:fd())
    assert(store:ping())
    assert(held:ping())
    assert.equal(fd, store:fd())
  end)

  it("is told when it must step: at once after spawn, never without tasks", function()
    assert.equal(math.huge, store:deadline_ms())
    local task = spawn(sleep, LONG_MS)
    assert.equal(0, store:deadline_ms())
    store:step()
    local deadline_ms = store:deadline_ms()
    assert.is_true(deadline_ms > 0 and deadline_ms <= LONG_MS, tostring(deadline_ms))
    task:cancel()
    turn_until(function() return task:wait(0) end)
    assert.equal(math.huge, store:deadline_ms())
    local ping = spawn(function() return held:ping { timeout_ms = 500 } end)
    store:step()
    assert.is_true(store:deadline_ms() <= 500)
    turn_until(function() return ping:wait(0) end)
  end)

  it("fires timers", function()
    local fired = 0
    for _, ms in ipairs { 30, 10, 20, 0 } do
      spawn(function()
        local began_ms = core.now_ms()
        assert(sleep(ms))
        assert.is_true(core.now_ms() - began_ms >= ms)
        fired = fired + 1
      end)
    end
    turn_until(function() return fired == 4 end)
  end)

  it("does not turn while nothing happens", function()
    assert(held:ping())
    between:hold()
    local answered, slept
    local pings = {}
    for task = 1, 20 do
      pings[task] = spawn(function() return held:ping() end)
    end
    spawn(function()
      for _ = 1, 3 do assert(sleep(20)) end
      slept = true
    end)
    local turns = turn_until(function() return slept end)
    -- One to begin, one for each sleep, and a few for what the kernel may round.
    assert.is_true(turns <= 10, turns)
    assert.is_false(wait(30))
    spawn(function()
      for _, ping in ipairs(pings) do
        local is_fine, is_answered = ping:wait()
        assert.is_true(is_fine and is_answered)
      end
      answered = true
    end)
    store:step()
    between:pass()
    turns = turn_until(function() return answered end)
    assert.is_true(turns <= 10 + 20, turns)
    assert.is_false(wait(0))
  end)

  it("ends calls at their deadline", function()
    assert(held:ping())
    between:hold()
    local code
    spawn(function() code = select(3, held:ping { timeout_ms = 20 }) end)
    local turns = turn_until(function() return code end)
    assert.equal("timeout", code)
    assert.is_true(turns <= 10, turns)
  end)

  it("is told the error of a task that nobody waits for, once, by step", function()
    local function unlucky()
      assert(store:ping())
      error "no luck"
    end
    local ended
    spawn(unlucky)
    spawn(function()
      assert.is_false((spawn(unlucky):wait()))
      ended = true
    end)
    local errors = {}
    local until_ms = core.now_ms() + LONG_MS
    repeat
      wait()
      local is_fine, message = pcall(store.step, store)
      if not is_fine then errors[#errors + 1] = message end
    until ended or core.now_ms() > until_ms
    store:step()
    assert.equal(1, #errors)
    assert.match("embedded_loop_spec.lua:%d+: no luck\nstack traceback:", errors[1])
    assert(store:ping())
  end)

  -- All but the first were lost.
  it("is told the errors of several in turn", function()
    for _, word in ipairs { "one", "two", "three" } do spawn(error, word, 0) end
    local words = {}
    for turn = 1, 3 do
      assert.equal(0, store:deadline_ms())
      local is_fine, message = pcall(store.step, store)
      words[turn] = not is_fine and message:match "^%w+"
    end
    assert.same({ "one", "two", "three" }, words)
    assert(store:step())
  end)

  it("may run others in between, and call outside of tasks", function()
    local ended
    local task = spawn(function()
      for number = 1, 10 do
        assert(store:session "s".keys:set { t = { a = number } })
      end
      ended = true
    end)
    store:step()
    assert.equal(5, authstate.run(function()
      assert(store:session "s".keys:set { u = { a = 1 } })
      return 5
    end))
    assert(store:ping())
    turn_until(function() return ended end)
    assert.same({ true }, { task:wait() })
    assert.equal(11, store:session "s":load().version)
  end)
end)
