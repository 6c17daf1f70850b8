-- SPDX-License-Identifier: MIT

-- Tasks of one driver: while one waits for its reply, the others go on.

local authstate = require "authstate"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"

describe("tasks that share a store", function()
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

  local function together(tasks)
    store.driver:together(tasks)
  end

  it("each get their own answers, and their writes in order", function()
    local tasks, wrong = {}, 0
    for number = 1, 50 do
      tasks[number] = function()
        local session = store:session("s" .. number)
        for step = 1, 20 do
          local text = ("%d"):format(number * 1000 + step)
          local version = assert(session.keys:set_json { t = { a = text } })
          local found = assert(session.keys:get_json("t", { "a" }))
          if version ~= step or found.a ~= text then wrong = wrong + 1 end
        end
      end
    end
    together(tasks)
    assert.equal(0, wrong)
    assert.equal(50, #store:sessions())
  end)

  it("wait together: while nothing is answered, all have begun", function()
    local between = proxy.start { server = server }
    local slow = assert(authstate.open { redis = between.url })
    assert(slow:ping())
    between:hold()
    local begun, codes, tasks = 0, {}, {}
    for number = 1, 30 do
      tasks[number] = function()
        begun = begun + 1
        local _, _, code = slow:ping { timeout_ms = 200 }
        codes[number] = begun == 30 and code
      end
    end
    slow.driver:together(tasks)
    for number = 1, 30 do assert.equal("timeout", codes[number]) end
    slow:close()
  end)

  it("are done when there is nothing to wait for", function()
    local done = false
    together {}
    together { function() done = true end }
    assert.is_true(done)
  end)

  it("go on when one of them raises, which is told in the end", function()
    local done = 0
    local function well()
      for _ = 1, 5 do assert(store:ping()) end
      done = done + 1
    end
    local is_fine, message = pcall(together, {
      well, function() assert(store:ping()) error "no luck" end,
      function() error "none either" end, well,
    })
    assert.is_false(is_fine)
    assert.matches("none either", message, 1, true)
    assert.equal(2, done)
    assert(store:ping())
  end)

  it("may call from coroutines of their own, and lose no answer meanwhile", function()
    local answers, tasks = 0, {}
    local function ask()
      for _ = 1, 10 do
        assert(store:ping())
        answers = answers + 1
      end
    end
    for number = 1, 10 do
      tasks[number] = number % 2 == 0 and ask or function()
        ask()
        coroutine.wrap(ask)()
      end
    end
    together(tasks)
    assert.equal(150, answers)
  end)
end)
