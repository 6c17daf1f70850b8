-- SPDX-License-Identifier: MIT
-- Lua states of nginx: made before a fork, one for each worker, or one for each request.

local clock = require "spec.support.clock"
local nginx = require "spec.support.nginx"
local redis_server = require "spec.support.redis_server"

local function clients_of(redis)
  local count = 0
  for _ in redis:command("CLIENT", "LIST", "TYPE", "normal"):gmatch "id=" do
    count = count + 1
  end
  return count - 1 -- the spec's own
end

describe("a store made in init_by_lua", function()
  it("has nothing of its own before a worker uses it, and then what no other has",
    function()
      local redis = redis_server.start()
      local server = nginx.start {
        workers = 2,
        http = ([[
          init_by_lua_block {
            store = assert(require("authstate").open { redis = "%s" })
            at_start = tostring(store.own_token) .. tostring(store.driver.engine)
              .. tostring(store.process)
          }
        ]]):format(redis.url),
        server = [[
          location = /token { content_by_lua_block {
            local before = store.own_token
            assert(store:session("s" .. ngx.worker.id()).keys:set {
              session = { x = { number = 1 } } })
            local used = store.driver.engine:statistics().streams
            ngx.print(ngx.worker.id(), " ", at_start, " ", store:token(), " ", used)
          } }
        ]],
      }
      assert.same(0, clients_of(redis), "a connection before any use")
      local tokens = {}
      assert.truthy(clock.wait_for(function()
        local status, body = server:get "/token"
        assert.same(200, status, server:log())
        local id, at_start, token, streams = body:match "^(%d) (%w+) (%x+) (%d+)$"
        assert.same("nilnilnil", at_start)
        assert.same("1", streams)
        tokens[id] = token
        return tokens["0"] and tokens["1"]
      end), "only one worker answers")
      assert.not_same(tokens["0"], tokens["1"])
      assert.same(2, clients_of(redis))
      server:kill()
    end)

  it("connects ahead of the first request when the worker starts, if it is told to",
    function()
      local redis = redis_server.start()
      local server = nginx.start {
        workers = 2,
        http = ([[
          init_by_lua_block {
            store = assert(require("authstate").open { redis = "%s" })
          }
          init_worker_by_lua_block { assert(store:on_worker_start()) }
        ]]):format(redis.url),
      }
      assert.truthy(clock.wait_for(function() return clients_of(redis) == 2 end),
        server:log())
      server:kill()
    end)
end)

describe("lua_code_cache off", function()
  it("works, warns once, and leaves no connection behind", function()
    local redis = redis_server.start()
    local server = nginx.start {
      http = "lua_code_cache off;",
      server = ([[
        location = /count { content_by_lua_block {
          local store = assert(require("authstate").open { redis = "%s" })
          local session = store:session "s"
          local found = assert(session.keys:get("session", { "x" }))
          local number = found.x and found.x.number or 0
          assert(session.keys:set { session = { x = { number = number + 1 } } })
          ngx.print(number)
        } }
      ]]):format(redis.url),
    }
    for number = 0, 19 do
      local status, body = server:get "/count"
      assert.same({ 200, tostring(number) }, { status, body }, server:log())
    end
    assert.truthy(clock.wait_for(function() return clients_of(redis) == 0 end),
      "connections: " .. clients_of(redis))
    local _, warnings = server:log():gsub("lua_code_cache is off: each request", "")
    assert.same(1, warnings, server:log())
    assert.same(0, server:quit())
  end)
end)

describe("several stores in a worker", function()
  it("are no lua_code_cache off: nothing is said of it", function()
    local redis = redis_server.start()
    local server = nginx.start {
      http = ([[
        init_by_lua_block {
          local authstate = require "authstate"
          one = assert(authstate.open { redis = "%s" })
          two = assert(authstate.open { redis = "%s" })
          assert(one:stats() and two:stats())
        }
      ]]):format(redis.url, redis.url),
      server = [[
        location = /ping { content_by_lua_block {
          ngx.print(tostring(one:ping()), tostring(two:ping()), tostring(one:close()))
        } }
      ]],
    }
    local status, body = server:get "/ping"
    assert.same({ 200, "truetruetrue" }, { status, body }, server:log())
    assert.falsy(server:log():find("[warn]", 1, true), server:log())
    server:kill()
  end)
end)

describe("a store that is opened for a request and not closed", function()
  for name, enable_cache in pairs { ["a near cache"] = true, ["none"] = false } do
    it("lets its connections go when it is collected, with " .. name, function()
      local redis = redis_server.start()
      local server = nginx.start {
        server = ([[
          location = /ping { content_by_lua_block {
            local store = assert(require("authstate").open {
              redis = "%s", enable_cache = %s,
            })
            assert(store:session("s").keys:get("session", { "x" }))
            ngx.print(tostring(store:ping()))
          } }
          location = /collect { content_by_lua_block {
            collectgarbage() collectgarbage()
          } }
        ]]):format(redis.url, tostring(enable_cache)),
      }
      for _ = 1, 10 do
        local status, body = server:get "/ping"
        assert.same({ 200, "true" }, { status, body }, server:log())
      end
      assert.same(10, clients_of(redis))
      assert.truthy(clock.wait_for(function()
        server:get "/collect"
        local watchers = redis:command("CLIENT", "LIST", "TYPE", "pubsub")
        return clients_of(redis) == 0 and watchers == ""
      end), "connections: " .. clients_of(redis))
      server:kill()
    end)
  end
end)

describe("a Lua state that lasts", function()
  it("keeps its connection, also without init_worker_by_lua", function()
    local redis = redis_server.start()
    local server = nginx.start {
      http = ([[
        init_by_lua_block {
          store = assert(require("authstate").open { redis = "%s" })
        }
      ]]):format(redis.url),
      server = [[
        location = /ping { content_by_lua_block {
          assert(store:ping())
          ngx.print(store:stats().pool.reconnects)
        } }
      ]],
    }
    local _, reconnects = server:get "/ping"
    -- Longer than a connection lingers that may be one request's own.
    clock.sleep(700)
    local status, body = server:get "/ping"
    assert.same({ 200, reconnects }, { status, body }, server:log())
    assert.same(1, clients_of(redis))
    server:kill()
  end)
end)
