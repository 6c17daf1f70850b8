-- SPDX-License-Identifier: MIT
-- Inside nginx: the functions that a program gives, and the near cache.

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

describe("the near cache inside nginx", function()
  it("serves what was read, also where nothing can wait, until somebody changes it",
    function()
      local redis = redis_server.start()
      local server = nginx.start {
        http = ([[
          init_by_lua_block {
            local authstate = require "authstate"
            store = assert(authstate.open { redis = "%s", enable_cache = true })
            other = assert(authstate.open { redis = "%s" })
            session = store:session "s"
          }
          init_worker_by_lua_block { assert(store:on_worker_start()) }
        ]]):format(redis.url, redis.url),
        server = [[
          location = /read { content_by_lua_block {
            local found = assert(session.keys:get("session", { "x" }))
            ngx.print(found.x and found.x.number, " ", store:stats().cache.hits)
          } }
          location = /write { content_by_lua_block {
            assert(other:session "s".keys:set {
              session = { x = { number = tonumber(ngx.var.arg_number) } } })
          } }
          location = /filter {
            header_filter_by_lua_block {
              ngx.header.number = session.keys:get("session", { "x" }).x.number
            }
            content_by_lua_block { ngx.print "done" }
          }
        ]],
      }
      assert.same(200, (server:get "/write?number=1"), server:log())
      local function read()
        local status, body = server:get "/read"
        assert.same(200, status, server:log())
        return body:match "^(%d+) (%d+)$"
      end
      assert.truthy(clock.wait_for(function()
        local number, hits = read()
        assert.same("1", number)
        return tonumber(hits) > 0
      end), "nothing is served from the cache")
      local _, _, headers = server:get "/filter"
      assert.same("1", headers.number, server:log())
      assert.same(200, (server:get "/write?number=2"))
      assert.truthy(clock.wait_for(function() return read() == "2" end))
      assert.same("2", (read()))
      server:kill()
    end)
end)
