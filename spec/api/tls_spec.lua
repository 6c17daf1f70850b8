-- SPDX-License-Identifier: MIT

-- TLS with real servers: whom a store trusts, what it is told when it does not, and that
-- everything works over it.

local authstate = require "authstate"
local certificates = require "spec.support.certificates"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local ffi = require "ffi"
local outcome = require "spec.api.outcome"
local process = require "spec.support.process"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"
local socket = require "socket"
local temporary = require "spec.support.temporary"

local fails, raises = outcome.fails, outcome.raises

local CONNECT_TIMEOUT_MS = 1000
local MIB = 1024 * 1024

pcall(ffi.cdef, "int fork(void); int waitpid(int, int *, int); void _exit(int);")

describe("a store over TLS", function()
  local authority, other, good
  local stores, servers, proxies = {}, {}, {}

  -- A server with a certificate, whose port is `tls_port`.
  local function start(made, config)
    local port = redis_server.free_port()
    local settings = {
      ["tls-port"] = port, ["tls-cert-file"] = made.cert, ["tls-key-file"] = made.key,
      ["tls-ca-cert-file"] = authority.cert, ["tls-auth-clients"] = "no",
    }
    for name, value in pairs(config or {}) do settings[name] = value end
    local server = redis_server.start { tcp = true, config = settings }
    server.tls_port = port
    servers[#servers + 1] = server
    return server
  end

  local function between(server)
    local made = proxy.start { upstream = { port = server.tls_port }, tcp = true }
    proxies[#proxies + 1] = made
    return made
  end

  local function open(port, tls, options)
    options = options or {}
    options.redis = {
      url = ("rediss://%s:%d"):format(options.host or "localhost", port), tls = tls,
      socket = { connect_timeout_ms = CONNECT_TIMEOUT_MS },
    }
    options.host = nil
    local store = assert(authstate.open(options))
    stores[#stores + 1] = store
    return store
  end

  local function trusted(server, options)
    return open(server.tls_port, { ca = authority.cert }, options)
  end

  -- The message of a store that cannot connect; at once, or within the timeout.
  local function refused(store, most_ms)
    local began_ms = clock.now_ms()
    local message, details = fails("unavailable", store:ping { timeout_ms = 3000 })
    local took_ms = clock.now_ms() - began_ms
    assert.is_true(took_ms < (most_ms or CONNECT_TIMEOUT_MS), took_ms)
    assert.is_false(details.sent)
    assert.equal("no", details.applied)
    assert.is_true(details.retry)
    fails("unavailable", store:session("s"):load_or_create(error))
    return message
  end

  local function has(words, message)
    assert.match(words, message, 1, true)
  end

  setup(function()
    authority = certificates.authority "Spec Authority"
    other = certificates.authority "Other Authority"
    local names = { "DNS:localhost", "IP:127.0.0.1" }
    good = start(authority:issue { name = "redis", alt = names })
  end)

  before_each(function()
    good:command("FLUSHALL")
  end)

  after_each(function()
    for _, store in ipairs(stores) do store:close() end
    for _, each in ipairs(proxies) do each:stop() end
    for i = #servers, 2, -1 do table.remove(servers, i):kill() end
    stores, proxies = {}, {}
  end)

  teardown(function()
    good:kill()
  end)

  describe("trusts", function()
    it("the name and the address that the certificate is for", function()
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        local store = trusted(good, { host = host })
        assert.is_true(store:ping())
        assert.equal(("rediss://%s:%d"):format(host, good.tls_port), store.node)
      end
    end)

    it("a name that it is told to look for", function()
      local server = start(authority:issue { name = "x", alt = { "DNS:r.example" } })
      assert.is_true(open(server.tls_port,
        { ca = authority.cert, server_name = "r.example" }):ping())
    end)

    -- openssl's server has a second certificate for those who ask for its name, and is no
    -- Redis.
    it("the certificate that the server has for the name it asks for (SNI)", function()
      local first = authority:issue { name = "first", alt = { "DNS:first.example" } }
      local second = authority:issue { name = "second", alt = { "DNS:second.example" } }
      local port = redis_server.free_port()
      local asked = process.start { "openssl", "s_server", "-accept", port, "-quiet",
        "-cert", first.cert, "-key", first.key, "-servername", "second.example",
        "-cert2", second.cert, "-key2", second.key, env = { LD_PRELOAD = false } }
      assert.is_truthy(clock.wait_for(function()
        local peer = socket.connect("127.0.0.1", port)
        return peer and peer:close()
      end))
      local function message_for(name)
        return (fails("unavailable",
          open(port, { ca = authority.cert, server_name = name }):ping()))
      end
      assert.is_nil(message_for("second.example"):find "certificate")
      has("is for first.example, not for third.example", message_for "third.example")
      has("is for first.example, not for 127.0.0.1", message_for "127.0.0.1")
      asked:kill()
    end)

    it("the common name of a certificate that has no other names", function()
      local server = start(authority:issue { name = "localhost" })
      assert.is_true(trusted(server):ping())
      has("is for localhost, not for 127.0.0.1",
        refused(trusted(server, { host = "127.0.0.1" })))
    end)

    it("a chain over an authority between", function()
      local middle = authority:issue { name = "Middle", is_authority = true }
      local leaf = middle:issue { name = "redis", alt = { "DNS:localhost" } }
      local chain = certificates.join(leaf.cert, middle.cert)
      assert.is_true(trusted(start { cert = chain, key = leaf.key }):ping())
      has("is signed by Middle", refused(trusted(start(leaf))))
    end)

    it("a self-signed certificate that it was given", function()
      local made = certificates.self_signed { name = "redis", alt = { "DNS:localhost" } }
      local server = start(made)
      assert.is_true(open(server.tls_port, { ca = made.cert }):ping())
    end)

    it("any certificate when it is insecure, and warns once when it is opened", function()
      local made = certificates.self_signed { name = "x", alt = { "DNS:x.example" } }
      local told = {}
      local store = open(start(made).tls_port, { insecure = true }, {
        log = function(level, message) told[#told + 1] = level .. ": " .. message end,
      })
      assert.equal(1, #told)
      has("warn: redis.tls.insecure: the certificate of rediss://localhost:", told[1])
      assert.is_true(store:ping())
      assert.is_true(store:ping())
      assert.equal(1, #told)
    end)

    it("a server that wants a certificate, and shows its own", function()
      local ours = authority:issue { name = "client" }
      local server = start(authority:issue { name = "r", alt = { "DNS:localhost" } },
        { ["tls-auth-clients"] = "yes" })
      assert.is_true(open(server.tls_port,
        { ca = authority.cert, cert = ours.cert, key = ours.key }):ping())
    end)
  end)

  describe("is told that the certificate of the server", function()
    it("is for another host", function()
      local server = start(authority:issue { name = "x",
        alt = { "DNS:a.example", "DNS:b.example", "IP:10.1.2.3", "DNS:c.example" } })
      local message = refused(trusted(server))
      has("the certificate of the server is for a.example, b.example, 10.1.2.3 and 1 "
        .. "more, not for localhost; redis.tls.server_name says", message)
      has("rediss://localhost:" .. server.tls_port .. ": ", message)
    end)

    it("is for another address", function()
      local server = start(authority:issue { name = "127.0.0.1",
        alt = { "DNS:localhost", "DNS:127.0.0.1", "IP:::1" } })
      has("is for localhost, 127.0.0.1, ::1, not for 127.0.0.1",
        refused(trusted(server, { host = "127.0.0.1" })))
      has("not for 10.0.0.1",
        refused(open(server.tls_port, { ca = authority.cert, server_name = "10.0.0.1" })))
    end)

    it("has a name that cannot be printed", function()
      local server = start(authority:issue { name = "a\27[2Jb" })
      has("is for a?[2Jb, not for localhost", refused(trusted(server)))
    end)

    it("has expired", function()
      local server = start(authority:issue { name = "r", alt = { "DNS:localhost" },
        days = -1 })
      local message = refused(trusted(server))
      assert.match("the certificate of the server has expired on 20%d%d%-%d%d%-%d%d ",
        message)
    end)

    it("is self-signed", function()
      local made = certificates.self_signed { name = "redis", alt = { "DNS:localhost" } }
      has("is self-signed; to trust it, give it as redis.tls.ca",
        refused(trusted(start(made))))
    end)

    it("is signed by somebody else than it trusts, or than the system does", function()
      for _, tls in ipairs { { ca = other.cert }, {} } do
        has("is signed by Spec Authority, whom we have no reason to trust; redis.tls.ca",
          refused(open(good.tls_port, tls)))
      end
    end)
  end)

  describe("is told that the server", function()
    it("wants a certificate that it has not got, or another one", function()
      for _, protocol in ipairs { "TLSv1.2", "TLSv1.3" } do
        local server = start(authority:issue { name = "r", alt = { "DNS:localhost" } },
          { ["tls-auth-clients"] = "yes", ["tls-protocols"] = protocol })
        has("a certificate of ours", refused(trusted(server)))
        local strange = other:issue { name = "client" }
        has("our certificate (redis.tls.cert)", refused(open(server.tls_port,
          { ca = authority.cert, cert = strange.cert, key = strange.key })))
      end
    end)

    it("speaks TLS 1.1 only", function()
      local server = start(authority:issue { name = "r", alt = { "DNS:localhost" } }, {
        ["tls-protocols"] = "TLSv1.1", ["tls-ciphers"] = "DEFAULT@SECLEVEL=0",
      })
      has("does not speak TLS 1.2 or newer", refused(trusted(server)))
      has("does not speak TLS 1.2 or newer",
        refused(open(server.tls_port, { insecure = true })))
    end)

    it("does not speak TLS", function()
      local store = open(good.port, { ca = authority.cert })
      has("no connection within connect_timeout_ms = 1000; perhaps the port is one "
        .. "without TLS (redis://)", refused(store, 2 * CONNECT_TIMEOUT_MS))
    end)

    it("speaks TLS where it does not", function()
      local store = assert(authstate.open {
        redis = "redis://127.0.0.1:" .. good.tls_port,
      })
      stores[#stores + 1] = store
      has("; perhaps the port is one with TLS (rediss://)", refused(store))
    end)

    it("does not answer, within the timeout", function()
      local silent = between(good)
      silent:hold()
      has("no connection within connect_timeout_ms = 1000",
        refused(open(silent.port, { ca = authority.cert }), 2 * CONNECT_TIMEOUT_MS))
    end)

    it("closes the connection in the handshake, at whatever byte", function()
      local cutting = between(good)
      for _, after_bytes in ipairs { 1, 5, 6, 100, 600 } do
        cutting:cut_reply { after_bytes = after_bytes }
        local store = open(cutting.port, { ca = authority.cert })
        has("in the TLS handshake: the server closed the connection",
          (fails("unavailable", store:ping())))
        store:close()
        cutting:pass()
      end
    end)
  end)

  describe("refuses a file", function()
    local made

    setup(function()
      made = authority:issue { name = "client" }
    end)

    local function says(words, tls)
      local given = { redis = { host = "h", tls = tls } }
      has(words, raises(function() authstate.open(given) end))
    end

    it("that cannot be read, with its path and the reason", function()
      says('option "redis.tls.ca": "/nowhere/ca.pem" cannot be read: No such file or '
        .. "directory; accepted: a PEM file", { ca = "/nowhere/ca.pem" })
      says('option "redis.tls.cert": "/nowhere" cannot be read: No such file',
        { cert = "/nowhere", key = made.key })
      says('option "redis.tls.key": "/tmp" cannot be read: Is a directory',
        { cert = made.cert, key = "/tmp" })
    end)

    it("that holds something else", function()
      local path = temporary.file "hunter2\n"
      says('" holds no certificate in PEM form; accepted', { ca = path })
      says('" holds no certificate in PEM form', { ca = made.key })
      says('" holds no certificate in PEM form', { cert = path, key = made.key })
      says('" holds no private key in PEM form', { cert = made.cert, key = path })
      says('" holds no private key in PEM form', { cert = made.cert, key = made.cert })
      says('option "redis.tls.ca": "', { ca = temporary.file(
        "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n") })
    end)

    it("with the key of another certificate", function()
      says('" does not fit the certificate', { cert = made.cert, key = authority.key })
    end)

    it("with a key that wants a passphrase, and asks nobody for it", function()
      says('" is encrypted with a passphrase; accepted: a PEM file with the private key',
        { cert = made.cert, key = certificates.encrypted_key(made) })
    end)

    it("of a profile where the profile says it", function()
      local path = temporary.file(
        "return { options = { redis = {\n tls = { ca = '/nowhere' } } } }", "p.lua")
      local given = { redis = "rediss://h", profile = path }
      local message = raises(function() authstate.open(given) end)
      has(path .. ":2: option \"redis.tls.ca\": \"/nowhere\" cannot be read", message)
      local store = assert(authstate.open { redis = "redis://h", profile = temporary.file(
        "return { options = { redis = { tls = { insecure = true } } } }", "q.lua") })
      assert.equal("rediss://h:6379", store.node)
      store:close()
    end)
  end)

  it("keeps a whole session, byte for byte", function()
    local session = trusted(good):session "s"
    assert(session:commit_json(sample.text "small"))
    local loaded = assert(trusted(good):session("s"):load_json())
    assert.same(sample.session("small").keys, loaded.keys)
    assert.equal(sample.creds_text(), loaded.creds)
    assert(session:delete())
  end)

  it("knows user, password and database", function()
    good:command("ACL", "SETUSER", "app", "on", ">p@ss:/%", "~*", "&*", "+@all")
    local store = assert(authstate.open { redis = {
      url = ("rediss://app:p%%40ss%%3a%%2f%%25@localhost:%d/3"):format(good.tls_port),
      tls = { ca = authority.cert },
    } })
    stores[#stores + 1] = store
    assert(store:session("s").keys:set { t = { a = "1" } })
    assert.match("db3:", good:command("INFO", "keyspace"))
    good:command("ACL", "SETUSER", "app", "resetpass", ">other")
    local again = assert(authstate.open { redis = {
      url = ("rediss://app:hunter2@localhost:%d"):format(good.tls_port),
      tls = { ca = authority.cert },
    } })
    stores[#stores + 1] = again
    local message = fails("auth", again:ping())
    assert.is_nil(message:find("hunter2", 1, true))
  end)

  describe("with large values", function()
    local TEXT = '"' .. ("x"):rep(10 * MIB) .. '"'
    local function large(port)
      return open(port, { ca = authority.cert },
        { max_value_bytes = 16 * MIB }):session "s"
    end

    it("moves them both ways, whole", function()
      local session = large(good.tls_port)
      assert(session.keys:set_json { t = { a = TEXT } })
      assert.is_true(session.keys:get_json("t", { "a" }).a == TEXT)
    end)

    it("writes once what was cut off on the way, and reads again", function()
      for _, after_bytes in ipairs { 5000, 100001, 5 * MIB } do
        good:command("FLUSHALL")
        local cutting = between(good)
        local session = large(cutting.port)
        assert(session.keys:set { t = { b = "1" } })
        cutting:cut_request { after_bytes = after_bytes }
        local version = assert(session.keys:set_json { t = { a = TEXT } })
        assert.equal(2, version)
        assert.equal(1, cutting:stats().cuts)
        cutting:cut_reply { after_bytes = after_bytes }
        assert.is_true(session.keys:get_json("t", { "a" }).a == TEXT)
        assert.equal(2, cutting:stats().cuts)
      end
    end)

    it("waits no longer than its deadline for a record that is not whole", function()
      local half = between(good)
      local session = large(half.port)
      assert(session.keys:set_json { t = { a = TEXT } })
      local before = half:stats().reply_bytes
      half:cut_reply { after_bytes = 40000, settle_ms = 60000 }
      local began_ms, began_cpu = clock.now_ms(), os.clock()
      fails("timeout", session.keys:get_json("t", { "a" }, { timeout_ms = 500 }))
      assert.is_true(clock.now_ms() - began_ms < 5000)
      assert.is_true(os.clock() - began_cpu < 0.4)
      assert.is_true(half:stats().reply_bytes > before)
    end)
  end)

  it("connects again when it was cut off, and after the server was away", function()
    local session = trusted(good):session "s"
    assert(session.keys:set { t = { a = "1" } })
    good:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert.same({ a = "1" }, session.keys:get("t", { "a" }))
    good:restart()
    assert.is_true(trusted(good):ping())
    fails("fenced", session.keys:set { t = { a = "2" } }) -- its data went with it
  end)

  it("trusts nobody else when it connects again", function()
    local server = start(authority:issue { name = "r", alt = { "DNS:localhost" } })
    local store = trusted(server)
    assert.is_true(store:ping())
    local strange = other:issue { name = "r", alt = { "DNS:localhost" } }
    assert.equal("OK", server:command("CONFIG", "SET", "tls-cert-file", strange.cert,
      "tls-key-file", strange.key))
    server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    clock.wait_for(function() return not store:ping() end)
    has("is signed by Other Authority", refused(store))
  end)

  it("serves a hundred tasks, over several connections", function()
    local store = trusted(good, { pool_size = 4 })
    authstate.run(function()
      for i = 1, 100 do
        authstate.spawn(function()
          local session = store:session("s" .. i)
          local value = ("%d"):format(i):rep(i * 100)
          for round = 1, 5 do
            assert(session.keys:set { t = { a = value, b = tostring(round) } })
            local found = assert(session.keys:get("t", { "a", "b", "c" }))
            assert.is_true(found.a == value and found.b == tostring(round))
          end
        end)
      end
    end)
    assert.equal(4, store:stats().pool.busy)
    assert.equal(0, store:stats().pool.reconnects)
  end)

  it("is used by a parent and its child, each over a connection of its own", function()
    local store = trusted(good)
    local session = store:session "s"
    assert(session.keys:set { t = { a = "0" } })
    local child = ffi.C.fork()
    if child == 0 then
      local is_fine = pcall(function()
        for i = 1, 20 do
          assert(session.keys:set { child = { a = tostring(i) } })
          assert(session.keys:get("child", { "a" }).a == tostring(i))
        end
        store:close()
      end)
      ffi.C._exit(is_fine and 0 or 1)
    end
    for i = 1, 20 do
      assert(session.keys:set { parent = { a = tostring(i) } })
      assert.equal(tostring(i), session.keys:get("parent", { "a" }).a)
    end
    local status = ffi.new "int[1]"
    ffi.C.waitpid(child, status, 0)
    assert.equal(0, status[0])
    assert.same({ a = "20" }, session.keys:get("child", { "a" }))
    assert.equal(0, store:stats().pool.reconnects)
  end)

  it("gives back what it took", function()
    local function use()
      local store = trusted(good)
      assert(store:ping())
      store:close()
    end
    use()
    collectgarbage()
    local made = core.tls { ca = authority.cert }
    assert.equal("userdata", type(made))
    assert.is_nil(tostring(made):find(authority.cert, 1, true))
    for _ = 1, 20 do use() end
    made = nil -- luacheck: ignore
    collectgarbage()
    assert.is_truthy(clock.wait_for(function()
      return good:command("INFO", "clients"):find("connected_clients:1\r", 1, true)
    end))
  end)
end)
