-- SPDX-License-Identifier: MIT
-- doc/examples/openresty and the program of doc/openresty.md, run as they are written.

local cjson = require "cjson"
local lfs = require "lfs"

local clock = require "spec.support.clock"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local EXAMPLE = "doc/examples/openresty/"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

-- A configuration with the places of this run.
local function adapt(text, redis, directory)
  local root = lfs.currentdir()
  text = text:gsub("redis://127.0.0.1:6379", redis.url)
  text = text:gsub("/tmp/authstate%-gateway.sock", directory .. "/gateway.sock")
  text = text:gsub("lua_package_path \"", ("%%0%s/lua/?.lua;%s/lua/?/init.lua;")
    :format(root, root))
  local cpath = ("\n  lua_package_cpath '%s/build/%s/?.so;;';"):format(root,
    os.getenv "AUTHSTATE_BUILD" or "release")
  text = text:gsub("http {", "%0" .. cpath, 1)
  local _, user = process.run { "id", "-u" }
  return (tonumber(user) == 0 and "user root;\n" or "") .. "daemon off;\n" .. text
end

local function start(directory)
  return process.start { "nginx", "-p", directory, "-c", directory .. "/nginx.conf" }
end

describe("the example gateway", function()
  local redis, server, directory

  -- Status and body of a request.
  local function curl(method, path, body)
    local command = {
      "curl", "-s", "-m", "10", "-w", "\n%{http_code}", "-X", method,
      "--unix-socket", directory .. "/gateway.sock", "http://gateway" .. path,
      method == "HEAD" and "-I" or nil,
      env = { LD_PRELOAD = false },
    }
    if body then
      command[#command + 1] = "--data-binary"
      command[#command + 1] = "@" .. temporary.file(body)
    end
    local _, out = process.run(command)
    local text, status = out:match "^(.*)\n(%d+)$"
    return tonumber(status), text
  end

  setup(function()
    redis = redis_server.start()
    directory = temporary.directory()
    local text = read(EXAMPLE .. "nginx.conf")
    write(directory .. "/nginx.conf", adapt(text, redis, directory))
    write(directory .. "/gateway.lua", read(EXAMPLE .. "gateway.lua"))
    server = start(directory)
    assert(clock.wait_for(function() return curl("GET", "/status") == 200 end),
      server:errors())
  end)

  local function log()
    return read(directory .. "/error.log")
  end

  it("commits creds and keys, and gives them back as they were written", function()
    local creds = '{"registered":true,"noiseKey":{"type":"Buffer","data":"AQI="}}'
    local record = '{ "z": 1.50, "a": [1,2] }'
    assert.same({ 200, '{"version":1}\n' }, { curl("POST", "/sessions/5511/commit",
      ('{"creds":%s,"keys":{"session":{"a.0":%s}}}'):format(creds, record)) }, log())
    assert.same({ 200, creds }, { curl("GET", "/sessions/5511/creds") })
    assert.same({ 200, '{"a.0":' .. record .. "}" },
      { curl("GET", "/sessions/5511/keys/session?id=a.0&id=b.0") })
  end)

  it("puts and deletes keys", function()
    assert.same(200, (curl("PUT", "/sessions/put/keys",
      '{"pre-key":{"1":{"x":1},"2":{"x":2}}}')))
    assert.same(200, (curl("PUT", "/sessions/put/keys", '{"pre-key":{"1":null}}')))
    assert.same({ 200, '{"2":{"x":2}}' },
      { curl("GET", "/sessions/put/keys/pre-key?id=1&id=2") })
  end)

  it("takes a body that nginx keeps in a file", function()
    local text = ("x"):rep(3000000)
    assert.same(200, (curl("PUT", "/sessions/large/keys",
      ('{"session":{"a":{"text":"%s"}}}'):format(text))), log())
    local status, body = curl("GET", "/sessions/large/keys/session?id=a")
    assert.same({ 200, text }, { status, cjson.decode(body).a.text })
  end)

  it("says what is wrong with a request", function()
    local status, body = curl("POST", "/sessions/5511/commit", "{")
    assert.same({ 400, "bad_request" }, { status, cjson.decode(body).error })
    assert.same(404, (curl("GET", "/sessions/nobody/creds")))
    assert.same(405, (curl("POST", "/sessions/5511/keys")))
    assert.truthy(cjson.decode(body).message:find "^text: not JSON at byte 1", body)
    assert.same(400, (curl("GET", "/sessions/5511/keys/session")))
    assert.same(400, (curl("GET", "/sessions/5511/keys/session?id")))
    assert.same(400, (curl("GET", "/sessions/5511/keys/session?id=%ff")))
    assert.same(400, (curl("GET", "/sessions/5511/keys/creds?id=creds")))
    assert.same(400, (curl("GET", "/sessions/%7Dx/creds")))
    assert.same(404, (curl("GET", "/sessions/5511/else")))
    assert.same(404, (curl("GET", "/else")))
    local _, head = curl("HEAD", "/sessions/5511/keys")
    assert.truthy(head:find "405 Not Allowed.*allow: PUT", head)
    assert.falsy(log():find("[error]", 1, true), log())
  end)

  -- What ended the keys of the request could replace the creds.
  it("lets no body of keys bring anything else", function()
    assert.same(200, (curl("POST", "/sessions/apart/commit", '{"creds":{"a":1}}')))
    for _, body in ipairs { '{"x":{"1":1}},"creds":{"a":2}', "{}", "5", "" } do
      curl("PUT", "/sessions/apart/keys", body)
    end
    assert.same(400, (curl("PUT", "/sessions/apart/keys", '{"x":{}},"creds":{"a":2}')))
    assert.same({ 200, '{"a":1}' }, { curl("GET", "/sessions/apart/creds") })
  end)

  it("takes ids as they are written", function()
    for _, id in ipairs { "+5511", "a%2Fb%25%3A", "%FF", "a%7Bb%7D" } do
      local text = ('{"session":{"%s":{"x":1}}}'):format "a/b:+%"
      assert.same(200, (curl("PUT", "/sessions/" .. id .. "/keys", text)), id)
      assert.same({ 200, '{"a/b:+%":{"x":1}}' },
        { curl("GET", "/sessions/" .. id .. "/keys/session?id=a/b:%2B%25") })
    end
    assert.same(1, redis:command("EXISTS", "authstate:{+5511}:meta"))
    assert.same(1, redis:command("EXISTS", "authstate:{a/b%:}:meta"))
    assert.same(1, redis:command("EXISTS", "authstate:{\255}:meta"))
  end)

  -- Those beyond the first thousand were taken for absent.
  it("asks for all ids of a long query", function()
    assert.same(200, (curl("PUT", "/sessions/long/keys", '{"s":{"1100":1}}')))
    local ids = {}
    for i = 1, 1100 do ids[i] = i == 1100 and "id=1100" or "id=x" end
    assert.same({ 200, '{"1100":1}' },
      { curl("GET", "/sessions/long/keys/s?" .. table.concat(ids, "&")) })
  end)

  it("answers HEAD as GET, without a body", function()
    assert.same(200, (curl("PUT", "/sessions/head/keys", '{"s":{"1":12345}}')))
    local status, head = curl("HEAD", "/sessions/head/keys/s?id=1")
    assert.same(200, status)
    assert.truthy(head:find("content%-length: 11"), head)
    assert.same(404, (curl("HEAD", "/sessions/head/creds")))
  end)

  it("counts for Prometheus, and shows a page", function()
    local status, text = curl("GET", "/metrics")
    assert.same(200, status)
    local count = 0
    for line in text:gmatch "[^\n]+" do
      if line:sub(1, 1) ~= "#" then
        count = count + 1
        assert.truthy(line:find '^[%l_%d]+{[^{}]*worker="[01]"} [%d.e+-]+$', line)
      end
    end
    assert.truthy(count >= 20, text)
    local commits = 'authstate_operations_total{operation="commit"'
    assert.truthy(text:find(commits, 1, true), text)
    status, text = curl("GET", "/status")
    assert.same(200, status)
    assert.truthy(text:find("Redis answers", 1, true), text)
  end)

  it("answers from the near cache of a worker, and shows how often", function()
    local function hits_on(page)
      local _, text = curl("GET", page)
      local sum = 0
      for hits in text:gmatch 'authstate_cache_hits_total{[^}]*}[^%d]*(%d+)' do
        sum = sum + hits
      end
      return sum
    end
    assert.same(200, (curl("PUT", "/sessions/hot/keys", '{"session":{"x":1}}')))
    assert.truthy(clock.wait_for(function()
      curl("GET", "/sessions/hot/keys/session?id=x")
      return hits_on "/metrics" > 0 and hits_on "/status" > 0
    end))
    redis:command("HSET", "authstate:{hot}:k:session", "x", "2")
    assert.truthy(redis:command "PING")
    assert.same({ 200, '{"x":2}' }, { curl("GET", "/sessions/hot/keys/session?id=x") })
  end)

  it("a session that somebody has deleted is found gone", function()
    local authstate = require "authstate"
    local store = assert(authstate.open { redis = redis.url })
    assert.same(200, (curl("POST", "/sessions/gone/commit",
      '{"creds":{"a":1},"keys":{"session":{"x":1}}}')))
    assert.same({ 200, '{"x":1}' }, { curl("GET", "/sessions/gone/keys/session?id=x") })
    assert(store:session("gone"):delete())
    assert.same(404, (curl("GET", "/sessions/gone/creds")))
    local text = '{"creds":{"a":2},"keys":{"session":{"x":2}}}'
    assert.same(409, (curl("POST", "/sessions/gone/commit",
      '{"keys":{"session":{"x":3}}}')))
    assert.same(200, (curl("POST", "/sessions/gone/commit?anew=1", text)), log())
    assert.same({ 200, '{"x":2}' }, { curl("GET", "/sessions/gone/keys/session?id=x") })
    assert(store:close())
  end)

  it("is told when Redis is away, and goes on when it is back", function()
    redis:stop()
    local status, body = curl("GET", "/sessions/5511/creds")
    assert.same({ 503, "unavailable" }, { status, cjson.decode(body).error })
    assert.same(503, (curl("GET", "/status")))
    redis:restart()
    assert.truthy(clock.wait_for(function()
      return curl("GET", "/sessions/5511/creds") == 404
    end), log())
  end)
end)

describe("doc/openresty.md", function()
  it("begins with a configuration that works as it stands", function()
    local redis, directory = redis_server.start(), temporary.directory()
    local port = redis_server.free_port()
    local text = read("doc/openresty.md"):match "```nginx\n(.-)```"
    text = text:gsub("127.0.0.1:8080", "127.0.0.1:" .. port)
      :gsub("load_module modules/", "load_module /usr/lib/nginx/modules/")
      :gsub("http {", '%0\n  lua_package_path ";;";', 1)
    write(directory .. "/nginx.conf", "error_log error.log;\npid nginx.pid;\n"
      .. adapt(text, redis, directory))
    local server = start(directory)
    local function count()
      local _, out = process.run {
        "curl", "-s", ("http://127.0.0.1:%d/count?session=5511"):format(port),
        env = { LD_PRELOAD = false },
      }
      return tonumber(out)
    end
    assert.truthy(clock.wait_for(count), server:errors())
    local first = count()
    assert.same(first + 1, count())
    redis:stop()
    server:stop()
  end)
end)
