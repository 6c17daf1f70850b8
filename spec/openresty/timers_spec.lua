-- SPDX-License-Identifier: MIT
-- nginx drops timers for which it has no room, and tells nobody: calls that need one must
-- end all the same, and the next ones must find another.

local cjson = require "cjson"

local nginx = require "spec.support.nginx"
local redis_server = require "spec.support.redis_server"

-- Timers of the program's own, as many as `free` leaves no room for.
local SERVER = [[
location = /run {
  content_by_lua_block {
    local gate = require("ngx.semaphore").new()
    local ended, busy = require("ngx.semaphore").new(), 4 - ngx.var.arg_free
    for _ = 1, busy do
      ngx.timer.at(0, function() gate:wait(60) ended:post() end)
    end
    ngx.sleep(0.01)
    local results = {}
    local function note(call)
      local is_fine, message, code, details = call()
      results[#results + 1] = is_fine and "fine" or code .. " " .. details.applied
        .. (message:find("lua_max_running_timers", 1, true) and " says why" or message)
    end
    local session = store:session "s"
    local function ping() return store:ping { timeout_ms = 700 } end
    local function commit()
      return session:commit({ creds = { a = 1 } }, { timeout_ms = 700 })
    end
    note(ping) note(commit) note(ping)
    gate:post(busy)
    for _ = 1, busy do ended:wait(60) end
    note(ping) note(commit)
    ngx.print(require("cjson").encode(results))
  }
}
]]

-- Sockets of the program's own, as many as there is room for.
local FULL = [[
location = /full {
  content_by_lua_block {
    local results, sockets = {}, {}
    repeat
      local one = ngx.socket.tcp()
      sockets[#sockets + 1] = one
      local is_fine, is_connected = pcall(one.connect, one, "unix:%s")
    until not is_fine or not is_connected
    local function note(call)
      local is_fine, message, code = call()
      results[#results + 1] = is_fine and "fine" or code .. (message:find(
        "worker_connections", 1, true) and " says why" or message)
    end
    local function ping() return store:ping { timeout_ms = 700 } end
    note(ping)
    for _, one in ipairs(sockets) do one:close() end
    note(ping)
    ngx.print(require("cjson").encode(results))
  }
}
]]

describe("where nginx has no room for a timer", function()
  local redis, server

  before_each(function()
    redis = redis_server.start()
    server = nginx.start {
      level = "emerg", connections = 40,
      http = ([[
        lua_max_running_timers 4;
        init_by_lua_block {
          store = assert(require("authstate").open { redis = "%s" })
        }
      ]]):format(redis.url),
      server = SERVER .. FULL:format(redis.socket),
    }
  end)

  after_each(function() server:kill() end)

  -- Without the pump, its own timer, no deadline was seen: requests hung for an hour, and
  -- every later one of the worker, too.
  for free, what in pairs { [0] = "anything", "a connection" } do
    it(("calls end in time, and later ones find it: for %s"):format(what), function()
      local status, body = server:get("/run?free=" .. free)
      assert.same(200, status, server:log())
      assert.same({
        "unavailable no says why", "unavailable no says why", "unavailable no says why",
        "fine", "fine",
      }, cjson.decode(body))
    end)
  end

  it("a call ends in time when clients have taken all connections", function()
    local status, body = server:get "/full"
    assert.same(200, status, server:log())
    assert.same({ "unavailable says why", "fine" }, cjson.decode(body))
    assert.same(0, server:quit())
  end)

  it("a write says so that needs a crew", function()
    local status, body = server:get "/run?free=2"
    assert.same(200, status, server:log())
    assert.same({ "fine", "unavailable no says why", "fine", "fine", "fine" },
      cjson.decode(body))
  end)
end)
