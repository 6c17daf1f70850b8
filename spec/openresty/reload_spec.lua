-- SPDX-License-Identifier: MIT
-- What clients see while nginx is told to reload, and while Redis dies and comes back.

local clock = require "spec.support.clock"
local http_load = require "spec.support.http_load"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"

local CLIENTS = 32
local DEADLINE_MS = 1000
-- An old worker is gone within 2 s when the machine has time; else it stays for ever.
local LEAVES_MS = 20000

local HTTP = [[
init_by_lua_block {
  authstate = require "authstate"
  store = assert(authstate.open {
    redis = { url = "%s", socket = { command_timeout_ms = %d } },
  })
}
init_worker_by_lua_block { assert(store:on_worker_start()) }
]]

-- Answers 200 and what was found, or 503 and the code.
local SERVER = [[
location = /write {
  content_by_lua_block {
    local session = store:session("s" .. ngx.var.arg_client)
    local version, message, code = session.keys:set {
      session = { x = { number = tonumber(ngx.var.arg_number) } },
    }
    local body = version and "written" or code
    if not version then ngx.status = 503 end
    ngx.header.content_length = #body
    ngx.print(body)
  }
}
location = /read {
  content_by_lua_block {
    local session = store:session("s" .. ngx.var.arg_client)
    local found, message, code = session.keys:get("session", { "x" })
    local body = found and tostring(found.x.number) or code
    if not found then ngx.status = 503 end
    ngx.header.content_length = #body
    ngx.print(body)
  }
}
location = /slow {
  content_by_lua_block {
    local session = store:session "slow"
    assert(session.keys:set { session = { x = { number = 1 } } })
    ngx.sleep(1)
    local version = assert(session.keys:set { session = { x = { number = 2 } } })
    ngx.header.content_length = 1
    ngx.print(version)
  }
}
location = /ping_anew {
  content_by_lua_block {
    local anew = assert(authstate.open { redis = store.node })
    local is_there, message, code = anew:ping { timeout_ms = 1500 }
    local body = code or "PONG"
    ngx.header.content_length = #body
    ngx.print(body)
    anew:close()
  }
}
location = /still {
  content_by_lua_block {
    ngx.header.content_length = 10
    ngx.print "still here"
  }
}
]]

local function start(redis, options)
  options = options or {}
  options.http = HTTP:format(redis.url, DEADLINE_MS)
  options.server = SERVER
  return nginx.start(options)
end

describe("a reload", function()
  local redis, server

  before_each(function()
    redis = redis_server.start()
    server = start(redis)
  end)

  after_each(function() server:kill() end)

  it("lets an old worker go after it has used Redis", function()
    assert.same(200, (server:get "/write?client=1&number=1"), server:log())
    local old = server:workers()[1]
    server:reload()
    assert.truthy(clock.wait_for(function()
      local workers = server:workers()
      return #workers == 1 and workers[1] ~= old
    end, LEAVES_MS), server:log())
    assert.same(200, (server:get "/read?client=1"), server:log())
  end)

  -- Nothing woke the one who was to close the connections.
  it("lets an old worker go that had nothing to do for long", function()
    assert.same(200, (server:get "/write?client=1&number=1"), server:log())
    local old = server:workers()[1]
    clock.sleep(1500)
    server:reload()
    assert.truthy(clock.wait_for(function()
      local workers = server:workers()
      return #workers == 1 and workers[1] ~= old
    end, LEAVES_MS), server:log())
  end)

  it("lets an old worker go that has never used Redis", function()
    local old = server:workers()[1]
    server:reload()
    assert.truthy(clock.wait_for(function()
      local workers = server:workers()
      return #workers == 1 and workers[1] ~= old
    end, LEAVES_MS), server:log())
  end)

  it("is not needed after a worker was killed: its successor goes on", function()
    assert.same(200, (server:get "/write?client=1&number=1"), server:log())
    local killed = server:workers()[1]
    process.run { "kill", "-KILL", tostring(killed) }
    assert.truthy(clock.wait_for(function()
      local workers = server:workers()
      return #workers == 1 and workers[1] ~= killed
    end), server:log())
    assert.same(200, (server:get "/write?client=1&number=2"), server:log())
    local _, body = server:get "/read?client=1"
    assert.same("2", body)
  end)

  it("lets a request of an old worker go on, also after a while without Redis", function()
    local status, body
    local old = server:workers()[1]
    local is_reloaded = false
    http_load.run {
      port = server.port, clients = 1,
      request = function() return "GET", "/slow" end,
      answer = function(_, ...) status, body = ... end,
      goes_on = function()
        if not is_reloaded and redis:command("EXISTS", "authstate:{slow}:meta") == 1 then
          is_reloaded = true
          server:reload()
        end
        return false
      end,
    }
    assert.same({ 200, "2" }, { status, body }, server:log())
    assert.truthy(is_reloaded)
    assert.truthy(clock.wait_for(function()
      local workers = server:workers()
      return #workers == 1 and workers[1] ~= old
    end, LEAVES_MS), server:log())
  end)

  it("loses no write that was acknowledged: 50 of them under load", function()
    local sent, acknowledged, refused, reloads, reloaded_ms = {}, {}, {}, 0, 0
    http_load.run {
      port = server.port, clients = CLIENTS,
      request = function(client)
        sent[client] = (sent[client] or 0) + 1
        return "GET", ("/write?client=%d&number=%d"):format(client, sent[client])
      end,
      answer = function(client, status, body)
        if status == 200 then
          acknowledged[client] = sent[client]
        else
          refused[body] = (refused[body] or 0) + 1
        end
      end,
      goes_on = function()
        local now_ms = clock.now_ms()
        if reloads < 50 and now_ms - reloaded_ms > 100 then
          reloads, reloaded_ms = reloads + 1, now_ms
          server:reload()
        end
        return reloads < 50 or now_ms - reloaded_ms < 500
      end,
    }
    assert.same({}, refused, server:log())
    local total = 0
    for client = 1, CLIENTS do
      total = total + acknowledged[client]
      local status, body = server:get("/read?client=" .. client)
      assert.same({ 200, tostring(acknowledged[client]) }, { status, body })
    end
    assert.truthy(total > 100, "writes: " .. total)
    assert.truthy(clock.wait_for(function() return #server:workers() == 1 end, LEAVES_MS),
      "workers: " .. #server:workers())
    for line in server:log():gmatch "[^\n]+" do
      local is_amiss = line:find "%[warn%]" or line:find "%[alert%]" or
        line:find "%[crit%]" or line:find "%[emerg%]" or line:find("[lua]", 1, true)
      assert.falsy(is_amiss, line)
    end
  end)

  it("and the end of nginx come soon, though Redis is silent", function()
    assert.same(200, (server:get "/write?client=1&number=1"))
    redis:pause()
    assert.same(503, (server:get "/write?client=1&number=2"))
    -- Without a status it is still there after 20 s.
    assert.same(0, server:quit())
    redis:resume()
  end)
end)

-- What clients have sent and were told. Even ones write, odd ones read.
local function new_tally(server)
  local tally = { sent = {}, acknowledged = {}, codes = {}, longest_ms = 0, answered = 0 }
  for client = 1, CLIENTS do
    tally.sent[client], tally.acknowledged[client] = 1, 1
    assert.same(200, (server:get(("/write?client=%d&number=1"):format(client))))
  end
  return tally
end

local function ask(tally, client)
  if client % 2 == 1 then return "GET", "/read?client=" .. client end
  tally.sent[client] = tally.sent[client] + 1
  return "GET", ("/write?client=%d&number=%d"):format(client, tally.sent[client])
end

local function note(tally, client, status, body, elapsed_ms)
  tally.longest_ms = math.max(tally.longest_ms, elapsed_ms)
  if status ~= 200 then
    tally.codes[body] = (tally.codes[body] or 0) + 1
    return
  end
  tally.answered = tally.answered + 1
  if client % 2 == 0 then
    tally.acknowledged[client] = tally.sent[client]
  else
    assert.same("1", body)
  end
end

describe("a Redis that", function()
  local redis, server

  before_each(function()
    redis = redis_server.start { config = { appendonly = "yes", appendfsync = "always" } }
    server = start(redis)
  end)

  after_each(function() server:kill() end)

  it("is killed and restarted gives documented errors only, loses no write", function()
    local tally = new_tally(server)
    local began_ms, step, answered_before = clock.now_ms(), 1, nil
    http_load.run {
      port = server.port, clients = CLIENTS,
      request = function(client) return ask(tally, client) end,
      answer = function(...) note(tally, ...) end,
      goes_on = function()
        local elapsed_ms = clock.now_ms() - began_ms
        if step == 1 and elapsed_ms > 300 then
          redis:kill()
          step = 2
        elseif step == 2 and elapsed_ms > 1000 and next(tally.codes) then
          redis:restart()
          step, answered_before = 3, tally.answered
        end
        return step < 3 or tally.answered - answered_before < 1000
      end,
    }
    for code in pairs(tally.codes) do
      assert.truthy(({ unavailable = 1, timeout = 1, loading = 1 })[code], code)
    end
    assert.truthy(tally.longest_ms < DEADLINE_MS + 1000, "ms: " .. tally.longest_ms)
    for client = 2, CLIENTS, 2 do
      local _, body = server:get("/read?client=" .. client)
      local number = tonumber(body)
      assert.truthy(number and number >= tally.acknowledged[client] and
        number <= tally.sent[client], body)
      assert.truthy(tally.acknowledged[client] > 1, "no write")
    end
  end)

  -- One that refuses a connection for now was only looked at again when another request
  -- came, or a second later: half of the first second was lost.
  it("says that it will serve later is asked again and again", function()
    local killer, script = redis:connect(), redis:connect()
    redis:command("CONFIG", "SET", "busy-reply-threshold", "1")
    script:send { { "EVAL", "while true do end", 0 } }
    assert.truthy(clock.wait_for(function()
      local _, message = killer:command "PING"
      return message and message:find "^BUSY"
    end))
    local status, body = server:get "/ping_anew"
    killer:command("SCRIPT", "KILL")
    assert.same({ 200, "server" }, { status, body }, server:log())
    local stats
    assert.truthy(clock.wait_for(function()
      stats = killer:command("INFO", "stats")
      return stats
    end))
    local connections = tonumber(stats:match "total_connections_received:(%d+)")
    assert.truthy(connections >= 20, "connections: " .. connections)
    killer:close()
    script:close()
  end)

  it("is silent blocks no request that does not need it", function()
    redis:pause()
    local answers = { still = 0, read = 0 }
    local began_ms = clock.now_ms()
    http_load.run {
      port = server.port, clients = CLIENTS,
      request = function(client)
        if client % 2 == 0 then return "GET", "/still" end
        return "GET", "/read?client=" .. client
      end,
      answer = function(_, status, body, elapsed_ms)
        if status == 200 then
          answers.still = answers.still + 1
          assert.same("still here", body)
          assert.truthy(elapsed_ms < DEADLINE_MS, "ms: " .. elapsed_ms)
        else
          answers.read = answers.read + 1
          assert.truthy(body == "timeout" or body == "unavailable", body)
        end
      end,
      goes_on = function() return clock.now_ms() - began_ms < 500 end,
    }
    redis:resume()
    assert.same(CLIENTS / 2, answers.read)
    assert.truthy(answers.still > 200, "answers: " .. answers.still)
  end)
end)
