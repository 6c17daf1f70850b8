-- SPDX-License-Identifier: MIT
-- The near cache in a worker of nginx, one situation after the other. What several
-- workers do under load is in coherence_spec.lua.

local cjson = require "cjson"

local authstate = require "authstate"
local certificates = require "spec.support.certificates"
local clock = require "spec.support.clock"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local HTTP = [[
init_by_lua_block {
  cjson = require "cjson"
  authstate = require "authstate"
  logged = {}
  store = assert(authstate.open {
    redis = ${redis}, enable_cache = true, ${options}
    log = function(level, message)
      ngx.sleep(0.001) -- it may wait
      logged[#logged + 1] = level .. ": " .. message
    end,
  })
  session = store:session "s"

  function hits() return store:stats().cache.hits end

  -- Whether a read asks nobody.
  function is_hit(kind, id)
    local before = hits()
    assert(session.keys:get(kind, { id }))
    return hits() > before
  end

  function wait_for(predicate)
    local due = ngx.now() + 10
    while not predicate() do
      assert(ngx.now() < due, "it did not come true in 10 s")
      ngx.sleep(0.002)
    end
    return true
  end

  -- Reads until the answer comes from the cache.
  function keep(kind, id)
    return wait_for(function() return is_hit(kind, id) end)
  end

  function value(id) return assert(session.keys:get("session", { id }))[id] end

  function exists(path)
    local file = io.open(path)
    if file then file:close() end
    return file ~= nil
  end

  -- Keeps the worker, and lets nothing else be done, until a file is there.
  function block_until(path)
    repeat ngx.update_time() until exists(path)
  end

  function touch(path) assert(io.open(path, "w")):close() end
}
init_worker_by_lua_block { assert(store:on_worker_start()) }
]]

-- Each spec's requests are Lua that is sent along.
local SERVER = [[
lua_check_client_abort on;
location = /run { content_by_lua_block {
  ngx.req.read_body()
  local results = { assert(loadstring(ngx.req.get_body_data()))() }
  for i = 1, table.maxn(results) do
    if results[i] == nil then results[i] = cjson.null end
  end
  ngx.print(cjson.encode(results))
} }
]]

local function start(redis, options)
  options = options or {}
  local places = {
    redis = options.redis or ("%q"):format(redis.url), options = options.open or "",
  }
  return nginx.start {
    http = HTTP:gsub("%${(%w+)}", places), workers = options.workers,
    server = SERVER .. (options.server or ""),
  }
end

describe("the near cache inside nginx", function()
  local redis, server

  local function run(code)
    local status, body = server:request("/run", { method = "POST", body = code })
    assert.same(200, status, tostring(body) .. server:log():sub(-3000))
    return unpack(cjson.decode(body))
  end

  -- What somebody else writes, until Redis has sent the message that tells of it.
  local function write(id, text)
    assert(redis:command("HSET", "authstate:{s}:k:session", id, text))
    assert(redis:command "PING")
  end

  local function kill_clients(kind)
    local own = redis:command("CLIENT", "ID")
    for id in redis:command("CLIENT", "LIST", "TYPE", kind):gmatch "id=(%d+) " do
      if tonumber(id) ~= own then redis:command("CLIENT", "KILL", "ID", id) end
    end
  end

  -- A request that reads from the cache, keeps the worker while `act` is called, and goes
  -- on with `code`. What it answers.
  local function act_while_kept(act, code)
    local directory = temporary.directory()
    local begun, done = directory .. "/begun", directory .. "/done"
    local body = temporary.file(([[
      keep("session", "x")
      local before = value "x"
      touch %q
      block_until %q
    ]]):format(begun, done) .. code)
    local request = process.start {
      "curl", "-s", "-m", "20", server.url .. "/run", "--data-binary", "@" .. body,
      env = { LD_PRELOAD = false },
    }
    assert.truthy(clock.wait_for(function() return io.open(begun) end))
    act()
    assert(io.open(done, "w")):close()
    request:wait(20000)
    return cjson.decode(request:output()), server:log()
  end

  before_each(function() redis = redis_server.start() end)

  after_each(function()
    if server then server:kill() end
    server = nil
    redis:stop()
  end)

  describe("of one worker", function()
    before_each(function()
      server = start(redis)
      run [[
        assert(session.keys:set { session = { x = "old", y = { n = 1 } } })
        return keep("session", "x"), keep("session", "y")
      ]]
    end)

    it("answers without asking anybody, as values and as texts", function()
      local calls = redis:command("INFO", "commandstats"):match "hmget:calls=(%d+)"
      assert.same({ "old", 1, '{"n":1}', '{"n":1}', '"old"' }, { run [[
        local texts = assert(session.keys:get_json("session", { "y" }))
        return value "x", value("y").n, texts.y,
          session.keys:get_json("session", { "y" }).y,
          session.keys:get_json("session", { "x", "y" }).x
      ]] })
      local after = redis:command("INFO", "commandstats"):match "hmget:calls=(%d+)"
      assert.same(calls, after)
    end)

    it("gives each request tables of its own", function()
      assert.same({ 1 }, { run [[ value("y").n = 2 return value("y").n ]] })
    end)

    it("gives texts as they are after another write", function()
      assert.same({ '{"n":1}' }, { run [[
        return assert(session.keys:get_json("session", { "y" })).y ]] })
      write("y", '{"n":2}')
      assert.same({ '{"n":2}' }, { run [[
        return assert(session.keys:get_json("session", { "y" })).y ]] })
      assert.same({ '{"n":3}' }, { run [[
        keep("session", "y")
        assert(session.keys:get_json("session", { "y" }))
        assert(session.keys:set { session = { y = { n = 3 } } })
        assert(is_hit("session", "y"))
        return assert(session.keys:get_json("session", { "y" })).y
      ]] })
    end)

    it("has what its own writes and commits wrote, and not what they deleted", function()
      assert.same({ true, "mine", true, "committed", true, cjson.null }, { run [[
        local results = {}
        local function note()
          results[#results + 1] = is_hit("session", "x")
          results[#results + 1] = value "x" or cjson.null
        end
        assert(session.keys:set { session = { x = "mine" } })
        note()
        assert(session:commit { creds = { a = 1 },
          keys = { session = { x = "committed" }, ["pre-key"] = { ["1"] = 1 } } })
        note()
        assert(session.keys:set { session = { x = authstate.null } })
        note()
        return unpack(results)
      ]] })
    end)

    it("does not serve what is being written", function()
      assert.same({ 0, 40 }, { run [[
        local wrong, last = 0, 0
        for n = 1, 40 do
          local writer = ngx.thread.spawn(function()
            return session.keys:set { session = { x = n } }
          end)
          -- It was called after the write: it must see it, or wait for it.
          local reader = ngx.thread.spawn(function() return value "x" end)
          local _, seen = ngx.thread.wait(reader)
          if seen ~= n then wrong = wrong + 1 end
          assert(ngx.thread.wait(writer))
          last = value "x"
        end
        return wrong, last
      ]] })
    end)

    it("keeps two sessions apart, and forgets one that is deleted", function()
      assert.same({ "old", "other", "old", cjson.null }, { run [[
        local other = store:session "t"
        assert(other:commit { creds = { a = 1 }, keys = { session = { x = "other" } } })
        local function read(handle)
          return assert(handle.keys:get("session", { "x" })).x or cjson.null
        end
        local a, b = read(session), read(other)
        assert(other:delete())
        return a, b, read(session), read(store:session "t")
      ]] })
    end)

    it("serves nothing of a generation before", function()
      local store = assert(authstate.open { redis = redis.url, enable_cache = false })
      run [[
        assert(store:session("g"):commit { creds = { a = 1 },
          keys = { session = { x = "first" } } })
        handle = store:session "g"
        return assert(handle.keys:get("session", { "x" })).x
      ]]
      local session = store:session "g"
      assert(session:delete())
      assert(session:load_creds() == nil)
      assert(session:commit { creds = { a = 2 }, keys = { session = { x = "second" } } })
      assert(store:ping())
      assert.same({ "fenced", "second" }, { run [[
        local found, _, code = handle.keys:get("session", { "x" })
        local fresh = assert(store:session("g").keys:get("session", { "x" })).x
        return code or found.x, fresh
      ]] })
      store:close()
    end)

    it("counts", function()
      assert.same({ true, true, true, true, true }, { run [[
        local before = store:stats().cache
        value "x"
        local after = store:stats().cache
        return after.hits == before.hits + 1, after.entries == 2, after.bytes > 0,
          after.capacity_bytes >= 16 * 1024 ^ 2, after.types.session.hits >= 1
      ]] })
    end)

    it("is warmed in a timer", function()
      assert.same({ 3, true, true }, { run [[
        assert(store:session("w").keys:set { session = { a = 1, b = 2 },
          ["pre-key"] = { c = 3 } })
        local done, count = require("ngx.semaphore").new(), nil
        ngx.timer.at(0, function()
          count = assert(store:warm { "w" })
          done:post()
        end)
        done:wait(10)
        session = store:session "w"
        local a, c = is_hit("session", "a"), is_hit("pre-key", "c")
        session = store:session "s"
        return count, a, c
      ]] })
    end)
  end)

  -- nginx reads nothing while a request keeps the worker, and its clock is no help.
  describe("of a worker that was kept from everything", function()
    local acts = {
      ["another's write"] = function() write("x", '"new"') end,
      ["the end of its subscriber, and a write"] = function()
        kill_clients "pubsub"
        write("x", '"new"')
      end,
      ["the end of its connection, and a write"] = function()
        kill_clients "normal"
        write("x", '"new"')
      end,
      ["FLUSHALL, and a write"] = function()
        redis:command "FLUSHALL"
        write("x", '"new"')
      end,
      ["100 writes of others, and one of the same"] = function()
        for i = 1, 100 do
          redis:command("HSET", "authstate:{other" .. i .. "}:k:session", "x", i)
        end
        write("x", '"new"')
      end,
    }

    for name, act in pairs(acts) do
      it("sees " .. name, function()
        write("x", '"old"') -- without a generation, which FLUSHALL would end
        server = start(redis)
        run [[
          for i = 1, 100 do
            assert(store:session("other" .. i).keys:get("session", { "x" }))
          end
          return keep("session", "x")
        ]]
        assert.same({ "old", "new" }, act_while_kept(act, 'return before, value "x"'))
      end)
    end
  end)

  it("goes on for a session whose writer has vanished", function()
    server = start(redis, { open = 'writes = "plain",' })
    run [[
      assert(session.keys:set { session = { x = "old" } })
      return keep("session", "x")
    ]]
    redis:pause()
    run [[
      local writer = ngx.thread.spawn(function()
        session.keys:set { session = { x = "new" } }
      end)
      ngx.sleep(0.05)
      ngx.thread.kill(writer)
      return true
    ]]
    redis:resume()
    assert.same({ "new", true }, { run [[
      wait_for(function() return value "x" == "new" end)
      return value "x", keep("session", "x")
    ]] })
  end)

  it("is off, and says so once, where the server does not let it be", function()
    redis:command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all",
      "resetchannels")
    server = start(redis, {
      redis = ('{ url = %q, username = "app", password = "secret" }'):format(redis.url),
    })
    assert.same({ 0, 1, true }, { run [[
      assert(session.keys:set { session = { x = 1 } })
      wait_for(function()
        value "x"
        return #logged > 0
      end)
      for _ = 1, 50 do
        value "x"
        ngx.sleep(0.001)
      end
      return hits(), #logged, logged[1]:find("the cache is off", 1, true) ~= nil
    ]] })
    redis:command("HSET", "authstate:{s}:k:session", "x", "2")
    assert.same({ 2 }, { run [[ return value "x" ]] })
  end)

  it("is off in a database that may be swapped", function()
    server = start(redis, { redis = ("{ url = %q, database = 1 }"):format(redis.url) })
    assert.same({ 1, 1, 0 }, { run [[
      assert(session.keys:set { session = { x = 1 } })
      ngx.sleep(0.05)
      return value "x", value "x", hits()
    ]] })
  end)

  it("is bounded in each worker", function()
    server = start(redis, { workers = 2, open = "cache_max_bytes = 1048576," })
    run [[
      for i = 0, 9 do
        local records = {}
        for id = 1, 200 do
          local text = ngx.encode_base64(("%08d"):format(id):rep(90))
          records[i .. ":" .. id] = { text = text }
        end
        assert(session.keys:set { session = records })
      end
      return true
    ]]
    local seen, count = {}, 0
    assert.truthy(clock.wait_for(function()
      local worker, bytes, capacity, evictions, entries = run [[
        for i = 0, 9 do
          for id = 1, 200 do value(i .. ":" .. id) end
        end
        local cache = store:stats().cache
        return ngx.worker.id(), cache.bytes, cache.capacity_bytes, cache.evictions,
          cache.entries
      ]]
      assert.same(1048576, capacity)
      assert.truthy(bytes <= capacity and entries > 100, bytes .. " " .. entries)
      if evictions == 0 then return false end -- its connection was not watched yet
      if not seen[worker] then count = count + 1 end
      seen[worker] = true
      return count == 2
    end, 20000), server:log())
  end)

  it("takes its default bound from what the workers share", function()
    local capacities = {}
    for _, workers in ipairs { 1, 4 } do
      server = start(redis, { workers = workers })
      capacities[workers] = run [[ return store:stats().cache.capacity_bytes ]]
      server:kill()
    end
    local least = 16 * 1024 ^ 2
    assert.same(math.max(least, math.floor(capacities[1] / 4)), capacities[4])
  end)

  it("does not make a call possible where none could wait", function()
    server = start(redis, { server = [[
      location = /phase {
        header_filter_by_lua_block {
          if is_warm then told = { pcall(value, "x") } end
        }
        content_by_lua_block {
          is_warm = keep("session", "x")
          ngx.print "done"
        }
      }
    ]] })
    run [[ return assert(session.keys:set { session = { x = 1 } }) ]]
    assert.same(200, (server:get "/phase"), server:log())
    local is_fine, message = run [[ return told[1], told[2] ]]
    assert.is_false(is_fine)
    assert.truthy(message:find("header_filter_by_lua cannot wait", 1, true), message)
  end)

  it("knows what others change under TLS, too", function()
    local authority = certificates.authority "one"
    local made = authority:issue { name = "redis", alt = { "IP:127.0.0.1" } }
    local port = redis_server.free_port()
    redis:stop()
    redis = redis_server.start { tcp = true, config = {
      ["tls-port"] = port, ["tls-cert-file"] = made.cert, ["tls-key-file"] = made.key,
      ["tls-ca-cert-file"] = authority.cert, ["tls-auth-clients"] = "no",
    } }
    local place = '{ url = "rediss://127.0.0.1:%d", tls = { ca = %q } }'
    server = start(redis, { redis = place:format(port, authority.cert) })
    run [[ return assert(session.keys:set { session = { x = 0 } }) ]]
    local loss = "assert(store:stats().cache.flushes.subscriber == nil)"
    for i = 1, 5 do
      -- What was sent over TCP may be on its way for a moment.
      local answer = act_while_kept(function() write("x", tostring(i)) end, [[
        local due, last = ngx.now() + 10, nil
        repeat
          ngx.update_time()
          last = value "x"
        until last ~= before or ngx.now() > due
      ]] .. loss .. " return before, last")
      assert.same({ i - 1, i }, answer)
    end
    kill_clients "pubsub"
    run [[ return keep("session", "x") ]]
  end)
end)

describe("two stores of a worker", function()
  it("share what is cached, and are not taken for lua_code_cache off", function()
    local redis = redis_server.start()
    local server = start(redis)
    local status, body = server:request("/run", { method = "POST", body = [[
      local other = assert(authstate.open {
        redis = store.node, enable_cache = true, log = function() end,
      })
      assert(session.keys:set { session = { x = 1 } })
      keep("session", "x")
      local own = session
      session = other:session "s"
      keep("session", "x")
      assert(session.keys:set { session = { x = 2 } })
      assert(other:ping())
      session = own
      local seen = value "x"
      assert(other:close())
      keep("session", "x")
      return seen
    ]] })
    assert.same({ 200, "[2]" }, { status, body }, server:log())
    assert.falsy(server:log():find("lua_code_cache", 1, true), server:log())
    server:kill()
  end)
end)

describe("lua_code_cache off", function()
  it("has no near cache, and no connections for one", function()
    local redis = redis_server.start()
    local server = nginx.start {
      http = "lua_code_cache off;",
      server = ([[
        location = /count { content_by_lua_block {
          local store = assert(require("authstate").open {
            redis = "%s", enable_cache = true,
          })
          local session = store:session "s"
          local found = assert(session.keys:get("session", { "x" }))
          local number = found.x or 0
          assert(session.keys:set { session = { x = number + 1 } })
          ngx.sleep(0.02)
          assert(session.keys:get("session", { "x" }))
          assert(session.keys:get("session", { "x" }))
          ngx.print(number, " ", store:stats().cache.hits)
        } }
      ]]):format(redis.url),
    }
    for number = 0, 9 do
      local status, body = server:get "/count"
      assert.same(200, status, server:log())
      -- Nobody knows of the first one that another one follows.
      local count, hits = body:match "^(%d+) (%d+)$"
      assert.same(number, tonumber(count))
      if number > 0 then assert.same("0", hits) end
    end
    assert.falsy(redis:command("CLIENT", "LIST", "TYPE", "pubsub"):find "id=%d+ .*id=",
      "more than one subscriber")
    assert.same(0, server:quit())
  end)
end)
