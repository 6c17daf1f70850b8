-- SPDX-License-Identifier: MIT
-- Inside nginx: the functions that a program gives, and what is not there yet.

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

describe("the near cache inside nginx", function()
  it("is not there yet: a warning says so, and every read asks Redis", function()
    local redis = redis_server.start()
    local server = nginx.start {
      http = ([[
        init_by_lua_block {
          local authstate, warnings = require "authstate", {}
          store = assert(authstate.open {
            redis = "%s", enable_cache = true,
            log = function(level, message) warnings[#warnings + 1] = message end,
          })
          warning = table.concat(warnings)
          other = assert(authstate.open { redis = "%s" })
          session = store:session "s"
        }
      ]]):format(redis.url, redis.url),
      server = [[
        location = /count { content_by_lua_block {
          for number = 1, 100 do
            assert(other:session "s".keys:set { session = { x = { number = number } } })
            local found = assert(session.keys:get("session", { "x" }))
            assert(found.x.number == number)
          end
          ngx.print(warning)
        } }
      ]],
    }
    local status, body = server:get "/count"
    assert.same(200, status, server:log())
    assert.truthy(body:find("the cache is off", 1, true), body)
    server:kill()
  end)
end)
