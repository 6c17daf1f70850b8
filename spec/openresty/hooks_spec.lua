-- SPDX-License-Identifier: MIT
-- Inside nginx: the functions that a program gives.

local socket = require "socket"

local clock = require "spec.support.clock"
local nginx = require "spec.support.nginx"
local redis_server = require "spec.support.redis_server"

describe("functions of the program inside nginx", function()
  it("are told of calls and failures, may wait, and may call the store", function()
    local redis = redis_server.start()
    local server = nginx.start {
      http = ([[
        init_by_lua_block {
          told, logged = {}, {}
          local authstate = require "authstate"
          store = assert(authstate.open {
            redis = "%s",
            on_operation = function(operation)
              told[#told + 1] = operation.name
              if operation.name == "get" then
                ngx.sleep(0.001)
                store:ping()
              end
            end,
            log = function(level, message)
              logged[#logged + 1] = level
              ngx.sleep(0.001)
            end,
          })
        }
      ]]):format(redis.url),
      server = [[
        location = /use { content_by_lua_block {
          local session = store:session "s"
          assert(session.keys:set { session = { x = { number = 1 } } })
          for _ = 1, 3 do assert(session.keys:get("session", { "x" })) end
          ngx.print(table.concat(told, " "))
        } }
        location = /fail { content_by_lua_block {
          local found, _, code = store:session "s".keys:get("session", { "x" })
          ngx.print(code, " ", logged[#logged])
        } }
      ]],
    }
    -- From one request to the next, too: a coroutine belongs to a request.
    for _ = 1, 2 do
      local status, body = server:get "/use"
      assert.same(200, status, server:log())
      assert.truthy(body:find "set get get get$", body)
    end
    redis:kill()
    local status, body = server:get "/fail"
    assert.same({ 200, "unavailable warn" }, { status, body }, server:log())
    server:kill()
  end)
end)

describe("the error log of nginx", function()
  it("has what debug tells, and what goes wrong in a function of the program", function()
    local redis = redis_server.start()
    local server = nginx.start {
      http = ([[
        init_by_lua_block {
          local authstate = require "authstate"
          told = assert(authstate.open { redis = "%s", debug = true })
          wrong = assert(authstate.open {
            redis = "%s", log_level = "debug", debug = true,
            log = function() error "of mine" end,
          })
        }
      ]]):format(redis.url, redis.url),
      server = [[ location = /use { content_by_lua_block {
        ngx.print(tostring(told:ping()), tostring(wrong:ping()))
      } } ]],
    }
    local status, body = server:get "/use"
    assert.same({ 200, "truetrue" }, { status, body }, server:log())
    local log = server:log()
    assert.truthy(log:find "%[notice%] [^\n]*authstate: ping took [^\n]*GET /use", log)
    local words = "%[error%] [^\n]*authstate: the function log raised: [^\n]*of mine"
    assert.truthy(log:find(words), log)
    server:kill()
  end)
end)

describe("a function that waits", function()
  local redis, server

  local function run(code)
    local status, body = server:request("/run", { method = "POST", body = code })
    assert.same(200, status, server:log())
    return body
  end

  setup(function()
    redis = redis_server.start()
    server = nginx.start {
      http = ([[
        init_by_lua_block {
          told, logged, gate = 0, 0, false
          local function wait() if gate then gate:wait(20) end end
          store = assert(require("authstate").open {
            redis = { url = "%s", socket = { connect_timeout_ms = 200 } },
            on_operation = function() told = told + 1 wait() end,
            log = function() logged = logged + 1 wait() end,
          })
        }
      ]]):format(redis.url),
      server = [[
        location = /run { content_by_lua_block {
          ngx.req.read_body()
          ngx.print(tostring(assert(loadstring(ngx.req.get_body_data()))()))
        } }
        location = /ping { lua_check_client_abort on; content_by_lua_block {
          ngx.print(tostring(store:ping { timeout_ms = 500 }))
        } }
      ]],
    }
  end)

  teardown(function() server:kill() end)

  -- nginx uses their coroutines again; those were thought to be amid the function.
  it("is told of later calls, when requests have vanished in it", function()
    run [[ gate = require("ngx.semaphore").new() return gate ]]
    local clients = {}
    for i = 1, 30 do
      clients[i] = assert(socket.connect("127.0.0.1", server.port))
      assert(clients[i]:send "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    end
    local function count(wanted)
      return clock.wait_for(function() return run "return gate:count()" == wanted end)
    end
    assert.truthy(count "-30")
    for i = 1, 30 do clients[i]:close() end
    assert.truthy(count "0")
    run "gate = false return gate"
    run "told = 0 return told"
    for _ = 1, 40 do server:get "/ping" end
    assert.same("40", run "return told")
  end)

  it("is told of many failures at once", function()
    redis:kill()
    assert.same("30 30", run [[
      gate, logged = require("ngx.semaphore").new(), 0
      local threads = {}
      for i = 1, 30 do
        threads[i] = ngx.thread.spawn(function() store:ping { timeout_ms = 500 } end)
      end
      local deadline = ngx.now() + 10
      while logged < 30 and ngx.now() < deadline do ngx.sleep(0.001) end
      local before = logged
      gate:post(60)
      gate = false
      for i = 1, 30 do ngx.thread.wait(threads[i]) end
      return before .. " " .. logged
    ]], server:log())
    redis:restart()
  end)
end)
