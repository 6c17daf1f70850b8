-- SPDX-License-Identifier: MIT
-- The bare engine over cosockets, with nothing of the driver: all that an event loop of
-- somebody else's needs is in core/binding/engine.h.

local nginx = require "spec.support.nginx"
local redis_server = require "spec.support.redis_server"

-- One request that is its own event loop: it asks for what is in `key`, twice.
local LOCATION = [[
location = /get {
  content_by_lua_block {
    local core = require "authstate.core"
    local function now_ms() ngx.update_time() return ngx.now() * 1000 end
    local engine = assert(core.engine {
      pool_size = 1, batch_size = 16, batch_window_ms = 10, max_operations = 16,
      max_queued_bytes = 65536, max_value_bytes = 65536, max_age_ms = math.huge,
      connect_timeout_ms = 1000, health_timeout_ms = 1000, retries = true,
      quarantine_ms = 0, seed = 1, database = 0, scripts = {},
    })
    local socket, waiting = ngx.socket.tcp(), 2
    socket:settimeouts(1000, 1000, 1000)
    for _ = 1, 2 do
      assert(engine:submit(now_ms(), now_ms() + 1000, false,
        { { "GET", ngx.var.arg_key } }))
    end
    while waiting > 0 do
      engine:flush(now_ms())
      local action, connection = engine:next_action()
      if action == "connect" then
        local is_open, reason = socket:connect("unix:${path}")
        if is_open then engine:on_connected(connection, now_ms())
        else engine:on_closed(connection, reason, now_ms()) end
      elseif action == "close" then
        engine:on_closed(connection, "closed", now_ms())
      end
      local bytes = engine:next_write(0)
      if #bytes > 0 then
        engine:on_written(0, #bytes, now_ms())
        assert(socket:send(bytes))
      elseif not action and not engine:has_completions() then
        local received, reason = socket:receiveany(4096)
        if received then engine:on_bytes(0, received, now_ms())
        else engine:on_closed(0, reason, now_ms()) end
      end
      engine:on_time(now_ms())
      local slot, code, message = engine:next_completion()
      while slot do
        ngx.say(code and code .. ": " .. message or engine:take(slot)[1])
        waiting = waiting - 1
        slot, code, message = engine:next_completion()
      end
    end
    engine:close()
  }
}
]]

describe("the bare engine in nginx", function()
  local redis, server

  setup(function()
    redis = redis_server.start()
    server = nginx.start { server = LOCATION:gsub("${path}", redis.socket) }
  end)

  it("reads over a cosocket", function()
    redis:command("SET", "color", "blue")
    local status, body = server:get "/get?key=color"
    assert.same({ 200, "blue\nblue\n" }, { status, body }, server:log())
  end)

  it("says why a server is not reached", function()
    redis:kill()
    local status, body = server:get "/get?key=color"
    assert.same(200, status, server:log())
    assert.truthy(body:find("^unavailable: connection refused"), body)
  end)
end)
