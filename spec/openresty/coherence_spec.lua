-- SPDX-License-Identifier: MIT
-- The near cache of several workers of nginx under load: no request gets a value that is
-- older than what its worker could have read of on its sockets when the request began.
--
-- Values are numbers that grow. When a write is acknowledged, and another command behind
-- it answered, Redis has put the message for every worker on its socket (a unix socket:
-- what one has sent, the other can read). Then the number becomes the floor, in memory
-- that the workers share, and each request looks at the floor before it reads.
-- NGINX_COHERENCE says how many seconds each load takes.

local cjson = require "cjson"

local clock = require "spec.support.clock"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"

local SECONDS = tonumber(os.getenv "NGINX_COHERENCE" or 2)
local CLIENTS, WORKERS = 32, 3

local HTTP = [[
lua_shared_dict floors 1m;
init_by_lua_block {
  cjson = require "cjson"
  store = assert(require("authstate").open {
    redis = { url = "${url}", socket = { command_timeout_ms = 5000 } },
    enable_cache = true,
  })
  sessions = { a = store:session "a", b = store:session "b" }
  floors = ngx.shared.floors

  -- Reads one record in either way, and counts what is older than it may be.
  function check(id)
    local floor = floors:get(id) or 0
    local as_text = floor % 2 == 0
    local keys = sessions[id].keys
    local found, message =
      keys[as_text and "get_json" or "get"](keys, "session", { "x" })
    if not found then
      floors:incr("failed", 1, 0)
      floors:set("message", message)
      return
    end
    local number = tonumber(found.x)
    floors:incr("checked", 1, 0)
    if not number and floor > 0 then floors:incr("absent", 1, 0) end
    if not number or number >= floor then return end
    floors:incr("stale", 1, 0)
    floors:set("message", ("%s: %d, and %d was known"):format(id, number, floor))
  end
}
init_worker_by_lua_block {
  assert(store:on_worker_start())
  -- Whoever takes the clients' connections, each worker has something to do.
  local function go_on(premature)
    while not premature and not ngx.worker.exiting() do
      check "a"
      check "b"
      ngx.sleep(0.001)
    end
  end
  ngx.timer.at(0, go_on)
}
]]

local SERVER = [[
location = /check { content_by_lua_block {
  check "a"
  check "b"
  ngx.print "done"
} }
location = /floor { content_by_lua_block {
  floors:set(ngx.var.arg_id, tonumber(ngx.var.arg_number))
  ngx.print "done"
} }
location = /write { content_by_lua_block {
  local id, number = ngx.var.arg_id, tonumber(ngx.var.arg_number)
  assert(sessions[id].keys:set { session = { x = number } })
  local own = assert(sessions[id].keys:get("session", { "x" })).x
  assert(own >= number, "its own write")
  assert(store:ping())
  floors:set(id, number)
  ngx.print "done"
} }
location = /result { content_by_lua_block {
  local result = { cache = store:stats().cache, worker = ngx.worker.id() }
  for _, name in ipairs { "checked", "stale", "absent", "failed", "message" } do
    result[name] = floors:get(name)
  end
  ngx.print(cjson.encode(result))
} }
]]

describe("the near cache of several workers", function()
  local redis, server

  before_each(function()
    redis = redis_server.start()
    server = nginx.start {
      workers = WORKERS, http = HTTP:gsub("%${url}", redis.url), server = SERVER,
    }
  end)

  after_each(function()
    server:kill()
    redis:stop()
  end)

  local function ask(path)
    local status, body = server:get(path)
    assert.same(200, status, tostring(body) .. server:log():sub(-2000))
    return body
  end

  -- What somebody else writes who knows nothing of authstate, until it is a floor.
  local function write(id, number)
    assert(redis:command("HSET", "authstate:{" .. id .. "}:k:session", "x", number))
    assert(redis:command "PING")
    ask(("/floor?id=%s&number=%d"):format(id, number))
  end

  -- Ends the connections of a kind: "normal" or "pubsub".
  local function kill_clients(kind)
    local own = redis:command("CLIENT", "ID")
    for id in redis:command("CLIENT", "LIST", "TYPE", kind):gmatch "id=(%d+) " do
      if tonumber(id) ~= own then redis:command("CLIENT", "KILL", "ID", id) end
    end
  end

  -- Calls a function again and again under load, with a number that grows.
  local function under_load(act)
    local load = process.start {
      "wrk", "-t1", "-c" .. CLIENTS, "-d" .. SECONDS .. "s", server.url .. "/check",
      env = { LD_PRELOAD = false },
    }
    local number = 0
    repeat
      number = number + 1
      act(number)
      clock.sleep(2)
    until not load:alive()
    return number
  end

  -- What came of it: many were checked and none was stale, by workers with a cache.
  -- `allowed`: what may have happened to some besides.
  local function judge(number, allowed)
    local by_worker, count, result = {}, 0, nil
    assert.truthy(clock.wait_for(function()
      result = cjson.decode(ask "/result")
      if not by_worker[result.worker] then count = count + 1 end
      by_worker[result.worker] = result.cache
      return count == WORKERS
    end))
    local told = result.message or ""
    assert.same(0, result.stale or 0, told)
    for _, name in ipairs { "failed", "absent" } do
      if name ~= allowed then assert.same(0, result[name] or 0, name .. ": " .. told) end
    end
    assert.truthy(result.checked > 1000, "checked: " .. result.checked)
    assert.truthy(number > 10, "writes: " .. number)
    for worker, cache in pairs(by_worker) do
      assert.truthy(cache.hits > 10, ("worker %d: %d hits"):format(worker, cache.hits))
    end
    return by_worker
  end

  it("has nothing that a bare client has replaced", function()
    local number = under_load(function(n)
      write("a", n)
      if n % 3 == 0 then write("b", n) end
    end)
    for _, cache in pairs(judge(number)) do
      assert.truthy(cache.invalidations > 10, cache.invalidations)
    end
  end)

  it("has nothing that another worker has replaced", function()
    local number = under_load(function(n)
      ask(("/write?id=%s&number=%d"):format(n % 2 == 0 and "a" or "b", n))
    end)
    judge(number)
  end)

  it("has nothing that was replaced while its subscriber was lost", function()
    local number = under_load(function(n)
      if n % 20 == 0 then kill_clients "pubsub" end
      write("a", n)
    end)
    for _, cache in pairs(judge(number)) do
      assert.truthy((cache.flushes.subscriber or 0) > 0)
    end
  end)

  it("has nothing that was replaced while what it was read over was lost", function()
    local number = under_load(function(n)
      if n % 20 == 0 then kill_clients "normal" end
      write("a", n)
    end)
    for _, cache in pairs(judge(number)) do
      assert.truthy((cache.flushes.connection or 0) > 0)
    end
  end)

  it("has nothing that was there before FLUSHALL", function()
    local number = under_load(function(n)
      if n % 20 == 0 then redis:command "FLUSHALL" end
      write("a", n)
      write("b", n)
    end)
    for _, cache in pairs(judge(number, "absent")) do
      assert.truthy((cache.flushes.flushed or 0) > 0)
    end
  end)

  it("has nothing of another run of the server", function()
    local number = under_load(function(n)
      if n == 100 then
        redis:command "SAVE"
        redis:kill()
        redis:restart()
      end
      write("a", n)
      write("b", n)
    end)
    judge(number, "failed")
  end)

  it("has nothing old while nginx is reloaded", function()
    local number = under_load(function(n)
      if n == 100 then server:reload() end
      write("a", n)
    end)
    judge(number)
  end)
end)
