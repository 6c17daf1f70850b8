-- SPDX-License-Identifier: MIT
-- The library inside nginx: what a request gets, in every way that a call can end.

local cjson = require "cjson"

local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"

-- Each spec's requests are Lua that is sent along, so that it reads from top to bottom.
local SERVER = [[
lua_check_client_abort on;
location = /run {
  content_by_lua_block {
    ngx.req.read_body()
    local results = { assert(loadstring(ngx.req.get_body_data()))() }
    for i = 1, table.maxn(results) do
      if results[i] == nil then results[i] = cjson.null end
    end
    ngx.print(cjson.encode(results))
  }
}
]]

local function config_of(redis)
  return ([[
    init_by_lua_block {
      cjson = require "cjson"
      authstate = require "authstate"
      store = assert(authstate.open { redis = "%s" })
    }
  ]]):format(redis.url)
end

describe("inside nginx", function()
  local redis, server

  local function run(code)
    local status, body = server:request("/run", { method = "POST", body = code })
    assert.same(200, status, tostring(body) .. server:log())
    return unpack(cjson.decode(body))
  end

  setup(function()
    redis = redis_server.start { tcp = true }
    server = nginx.start { http = config_of(redis), server = SERVER }
  end)

  it("a session is written, read and deleted", function()
    assert.same({ 1, true, "one" }, { run [[
      local session = store:session "a"
      local creds, created = session:load_or_create(function()
        return { noiseKey = { public = authstate.bytes "k" } }
      end)
      assert(creds, created)
      assert(session.keys:set { ["pre-key"] = { ["1"] = { name = "one" } } })
      local info = assert(store:session_info "a")
      return info.creds, created, session.keys:get("pre-key", { "1" })["1"].name
    ]] })
    assert.same({ "two", false, 2 }, { run [[
      local session = store:session "a"
      assert(session:commit_json '{"keys":{"pre-key":{"1":null,"2":{"name":"two"}}}}')
      local whole = assert(session:load())
      local receipt = assert(session:delete())
      return whole.keys["pre-key"]["2"].name, whole.keys["pre-key"]["1"] ~= nil,
        receipt.records
    ]] })
    assert.same({ 1, true }, { run [[
      local count = select("#", store:session "a":load_creds())
      return count, store:session "a":load_creds() == nil
    ]] }, "absent, and no error")
  end)

  it("several ids are read at once, and types are listed", function()
    assert.same({ 50, "a50", 2 }, { run [[
      local session, records, ids = store:session "b", {}, {}
      for i = 1, 50 do records["a" .. i], ids[i] = { id = "a" .. i }, "a" .. i end
      assert(session.keys:set { session = records })
      assert(session.keys:set { ["sender-key"] = { x = authstate.bytes "y" } })
      local found, count = assert(session.keys:get("session", ids)), 0
      for _ in pairs(found) do count = count + 1 end
      local types = 0
      for _ in pairs(assert(session.keys:types())) do types = types + 1 end
      return count, found.a50.id, types
    ]] })
  end)

  it("calls of one session keep their order among requests", function()
    -- Each light thread writes its number and reads it at once; the writes of a session
    -- wait for each other.
    assert.same({ 0, 100 }, { run [[
      local session, wrong, threads = store:session "c", 0, {}
      for i = 1, 100 do
        threads[i] = ngx.thread.spawn(function()
          local version = assert(session.keys:set { session = { x = { number = i } } })
          local found = assert(session.keys:get("session", { "x" }))
          if found.x.number < i then wrong = wrong + 1 end
          return version
        end)
      end
      local last = 0
      for i = 1, 100 do
        local _, version = ngx.thread.wait(threads[i])
        last = math.max(last, version)
      end
      return wrong, last
    ]] })
  end)

  -- Somebody else carries writes out, and reads that were called behind came before them.
  it("a read that is called behind a write sees it", function()
    for _, writes in ipairs { "checked", "plain" } do
      assert.same({ 0 }, { run(([[
        local own = assert(authstate.open {
          redis = store.node, enable_cache = false, writes = %q,
        })
        local session, wrong = own:session "order", 0
        for i = 1, 50 do
          local writer = ngx.thread.spawn(function()
            return session.keys:set { session = { x = { number = i } } }
          end)
          local found = assert(session.keys:get("session", { "x" }))
          if found.x.number ~= i then wrong = wrong + 1 end
          assert(select(2, ngx.thread.wait(writer)))
        end
        own:close()
        return wrong
      ]]):format(writes)) })
    end
  end)

  it("requests of one turn leave together", function()
    local before, mean = run [[
      local store = assert(authstate.open { redis = store.node, enable_cache = false })
      local session, threads = store:session "d", {}
      assert(session.keys:set { session = { x = { number = 1 } } })
      assert(session.keys:get("session", { "x" }))
      local before = store:stats().batch
      for i = 1, 64 do
        threads[i] = ngx.thread.spawn(function()
          return session.keys:get("session", { "x" })
        end)
      end
      for i = 1, 64 do ngx.thread.wait(threads[i]) end
      local after = store:stats().batch
      store:close()
      return 1, 64 / (after.count - before.count)
    ]]
    assert.same(1, before)
    assert.truthy(mean >= 32, "operations in a batch: " .. mean)
  end)

  it("a call in a coroutine of the request's own waits, too", function()
    assert.same({ "1", "2" }, { run [[
      local session = store:session "e"
      local records = { ["1"] = { id = "1" }, ["2"] = { id = "2" } }
      assert(session.keys:set { session = records })
      local each = coroutine.wrap(function()
        for _, id in ipairs { "1", "2" } do
          coroutine.yield(assert(session.keys:get("session", { id }))[id].id)
        end
      end)
      return each(), each()
    ]] })
  end)

  it("a call that C calls is refused, since it could never be answered", function()
    local is_fine, message = run [[
      return pcall(function()
        return ("x"):gsub("x", function() return tostring(store:ping()) end)
      end)
    ]]
    assert.is_false(is_fine)
    assert.truthy(message:find("called by a function in C", 1, true), message)
  end)

  it("a caller's mistake is raised at his line", function()
    local _, message = run [[
      return pcall(function() store:session("a").keys:get("session", "x") end)
    ]]
    assert.truthy(message:find("ids: \"x\" is no list of ids", 1, true), message)
  end)

  it("tasks and the loop are nginx's", function()
    local messages = { run [[
      local messages = {}
      for _, call in ipairs {
        function() authstate.run(function() end) end,
        function() authstate.spawn(function() end) end,
        function() store:run(function() end) end,
        function() store:step() end,
        function() store:fd() end,
        function() store:deadline_ms() end,
      } do messages[#messages + 1] = select(2, pcall(call)) end
      return unpack(messages)
    ]] }
    assert.same(6, #messages)
    for _, message in ipairs(messages) do
      assert.truthy(message:find('^%[string[^:]*:%d: [%w_]+: is not there inside nginx'),
        message)
    end
    assert.same({ true, true }, { run [[
      local before = ngx.now()
      local is_fine = authstate.sleep(20)
      ngx.update_time()
      return is_fine, ngx.now() - before >= 0.019
    ]] })
  end)

  it("no private server is started", function()
    local _, message, code = run [[ return authstate.open {} ]]
    assert.same("unsupported", code)
    assert.truthy(message:find("pass its URL", 1, true), message)
  end)

  it("a closed store answers so, and others go on", function()
    assert.same({ true, "closed", true }, { run [[
      local other = assert(authstate.open { redis = store.node })
      assert(other:ping())
      assert(other:close())
      local _, _, code = other:ping()
      return other:close(), code, store:ping()
    ]] })
  end)

  it("a server that is reached by TCP works, and one that is not says why", function()
    assert.same({ true, cjson.null, "unavailable", "no" }, { run(([[
      local near = assert(authstate.open { redis = "redis://127.0.0.1:%d" })
      local far = assert(authstate.open {
        redis = { url = "redis://127.0.0.1:%d", socket = { connect_timeout_ms = 500 } },
      })
      local is_fine, _, code, details = far:ping { timeout_ms = 1000 }
      local answer = near:ping()
      near:close()
      return answer, is_fine, code, details.applied
    ]]):format(redis.port, redis_server.free_port())) })
  end)

  it("a host name without a resolver says what is missing", function()
    local _, message, code = run [[
      return authstate.open({ redis = "redis://example.invalid" }):ping()
    ]]
    assert.same("unavailable", code)
    assert.truthy(message:find("`resolver`", 1, true), message)
  end)

  it("a deadline is kept when the server is silent, and nothing crosses later", function()
    redis:pause()
    local found, code, elapsed_ms = run [[
      local session = store:session "f"
      local found, _, code, details = session.keys:get("session", { "x" },
        { timeout_ms = 300 })
      return found, code, details.elapsed_ms
    ]]
    redis:resume()
    assert.same({ cjson.null, "timeout" }, { found, code })
    assert.truthy(elapsed_ms >= 299 and elapsed_ms < 1500, "ms: " .. elapsed_ms)
    assert.same({ "mine" }, { run [[
      local session = store:session "f"
      assert(session.keys:set { session = { y = { whose = "mine" } } })
      return session.keys:get("session", { "y" }).y.whose
    ]] })
  end)

  it("a request that vanishes frees what it had, and its session goes on", function()
    redis:pause()
    -- Two light threads of a request write and read; the request ends under them.
    run [[
      local session = store:session "g"
      local function write() session.keys:set { session = { x = { number = 1 } } } end
      local threads = { ngx.thread.spawn(write), ngx.thread.spawn(write) }
      for i = 3, 12 do
        threads[i] = ngx.thread.spawn(function()
          session.keys:get("session", { "x", "y" })
        end)
      end
      ngx.sleep(0.05)
      for i = 1, 12 do ngx.thread.kill(threads[i]) end
      return true
    ]]
    -- A client that does not wait.
    process.run {
      "curl", "-s", "-m", "0.2", server.url .. "/run", "-d",
      'return store:session("g").keys:get("session", { "x" })',
      env = { LD_PRELOAD = false },
    }
    redis:resume()
    assert.same({ 2, 0, 0 }, { run [[
      local session = store:session "g"
      assert(session.keys:set { session = { x = { number = 2 } } })
      local found = assert(session.keys:get("session", { "x" }))
      local deadline = ngx.now() + 10
      local queued
      repeat
        ngx.sleep(0.05)
        queued = store:stats().queued
      until queued.operations == 0 or ngx.now() > deadline
      local held = 0
      repeat
        held = 0
        for _ in pairs(store.driver.handed) do held = held + 1 end
        ngx.sleep(0.05)
      until held == 0 or ngx.now() > deadline
      return found.x.number, queued.operations, held
    ]] })
  end)

  -- It waited for one of 512 light threads to be free, however long that took.
  it("a write keeps its deadline, though many others wait for the server", function()
    run [[
      for i = 1, 700 do assert(store:session("w" .. i).keys:count "x") end
      return true
    ]]
    redis:pause()
    local is_alone, first_code, codes = run [[
      local threads, ended, codes = {}, 0, {}
      for i = 1, 700 do
        threads[i] = ngx.thread.spawn(function()
          local _, _, code = store:session("w" .. i):commit({ creds = { a = 1 } },
            { timeout_ms = 2500 })
          ended, codes[code] = ended + 1, true
        end)
      end
      local _, _, code = store:session "late":commit({ creds = { a = 1 } },
        { timeout_ms = 100 })
      local is_alone = ended == 0
      for i = 1, 700 do ngx.thread.wait(threads[i]) end
      local names = {}
      for name in pairs(codes) do names[#names + 1] = name end
      return is_alone, code, table.concat(names, " ")
    ]]
    redis:resume()
    assert.same({ true, "timeout", "timeout" }, { is_alone, first_code, codes })
  end)

  -- The light thread that writes ended, and nobody knew.
  it("a socket that raises is a connection lost, and another one is made", function()
    local _, message, code, is_there = run [[
      local tcp, raises = ngx.socket.tcp, true
      function ngx.socket.tcp()
        local real = tcp()
        return setmetatable({
          send = function(_, bytes)
            if raises then error "raised by the socket" end
            return real:send(bytes)
          end,
        }, { __index = function(_, name)
          return function(_, ...) return real[name](real, ...) end
        end })
      end
      local anew = assert(authstate.open { redis = store.node })
      local is_there, message, code = anew:ping()
      raises = false
      local is_there_then = anew:ping()
      ngx.socket.tcp = tcp
      anew:close()
      return is_there, message, code, is_there_then
    ]]
    assert.same({ "unavailable", true }, { code, is_there })
    assert.truthy(message:find("raised by the socket", 1, true), message)
  end)

  it("nothing is logged that is amiss", function()
    for line in server:log():gmatch "[^\n]+" do
      for _, level in ipairs { "[warn]", "[alert]", "[crit]", "[emerg]" } do
        assert.falsy(line:find(level, 1, true), line)
      end
    end
  end)
end)
