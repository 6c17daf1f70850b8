-- SPDX-License-Identifier: MIT

-- Files of the data directory are taken away while a store is open, and hosts and
-- wrappers that are not as one would expect: never a second server on one log.

local authstate = require "authstate"
local lfs = require "lfs"
local private_server = require "spec.embedded.private_server"
local process = require "spec.support.process"
local program = require "spec.embedded.program"
local servers = require "spec.embedded.servers"
local temporary = require "spec.support.temporary"

describe("the private server", function()
  local directory

  before_each(function()
    directory = servers.directory() .. "/state"
  end)

  after_each(function()
    process.stop_all()
    servers.end_all(directory)
  end)

  local function open(options)
    options = options or {}
    options.data_dir = directory
    return assert(authstate.open(options))
  end

  it("is joined, not started a second time, when its locks were removed", function()
    local first = open { append_fsync = "always" }
    assert(first:session("s"):commit { creds = { me = "first" } })
    for _, name in ipairs { "server.lock", "users.lock", "always.lock" } do
      assert(os.remove(directory .. "/" .. name))
    end
    local second = open { append_fsync = "always" }
    assert.equal(1, #servers.using(directory))
    local creds, created = second:session("s"):load_or_create(function()
      return { me = "second" }
    end)
    assert.same({ "first", false }, { creds.me, created })
    assert(second:close())
    assert(first:close())
    assert.same({}, servers.using(directory))
  end)

  it("says that its socket was removed when it cannot be shut down", function()
    local store = open()
    assert(os.remove(directory .. "/redis.sock"))
    local is_closed, message, code = store:close()
    assert.is_nil(is_closed)
    assert.equal("unavailable", code)
    assert.matches(directory .. "/redis.sock was removed", message, 1, true)
  end)

  -- A shell script in place of redis-server; the PATH that finds it first.
  local function wrap_server(text)
    local bin = temporary.directory()
    local path = bin .. "/redis-server"
    local file = assert(io.open(path, "w"))
    file:write("#!/bin/sh\n", text)
    file:close()
    os.execute("chmod +x " .. path)
    return bin .. ":" .. os.getenv "PATH", bin
  end

  it("is started again when it is killed as often as it comes up", function()
    local search_path, bin = wrap_server [[
starts=$(dirname "$0")/starts
echo start >>"$starts"
[ "$(wc -l <"$starts")" -gt 6 ] && exec /usr/bin/redis-server "$@"
echo "7:M 29 Nov 2026 09:59:07.710 * DB loaded from base file: 0.000 seconds" >&2
kill -9 $$
]]
    local status, words, err = program.run {
      directory, env = { PATH = search_path },
      text = [[
        local store = open { data_dir = arg[1], open_timeout_ms = 60000 }
        report("closed", store:close())
      ]],
    }
    assert.equal("", err)
    assert.same({ 0, "closed", "true" }, { status, unpack(words) })
    assert.equal(("start\n"):rep(7), io.open(bin .. "/starts"):read "*a")
  end)

  it("is not started again for long when it ends of itself", function()
    local search_path, bin = wrap_server [[
echo start >>"$(dirname "$0")/starts"
echo "7:M 29 Nov 2026 09:59:07.710 * Loading" >&2
echo "7:M 29 Nov 2026 09:59:07.710 # I do not want to" >&2
exit 1
]]
    local status, words, err = program.run {
      directory, env = { PATH = search_path }, text = [[
        local store, message, code = authstate.open { data_dir = arg[1] }
        report(store, code, message)
      ]],
    }
    assert.equal("", err)
    assert.same({ 0, "nil", "unavailable" }, { status, words[1], words[2] })
    assert.match("ended at once; its log ends: .* I do not want to", words[3])
    assert.equal(("start\n"):rep(3), io.open(bin .. "/starts"):read "*a")
  end)

  it("is one when what is called redis-server closes descriptors", function()
    local search_path = wrap_server [[
for f in 3 4 5 6 7 8 9; do eval "exec $f>&-"; done
exec /usr/bin/redis-server "$@"
]]
    local status, words, err = program.run {
      directory, env = { PATH = search_path }, text = [[
        local servers = require "spec.embedded.servers"
        local store = open()
        assert(store:session "s".keys:set_json { t = { a = "1" } })
        local other = open()
        report("servers", #servers.using(arg[1]))
        assert(other:close())
        assert(store:close())
      ]],
    }
    assert.equal("", err)
    assert.same({ 0, "servers", "1" }, { status, words[1], words[2] })
    assert.same({}, servers.using(directory))
  end)

  it("is started by a host that ignores SIGCHLD", function()
    local status, words, err = program.run {
      directory, text = [[
        local ffi = require "ffi"
        ffi.cdef "void *signal(int, void *);"
        ffi.C.signal(17, ffi.cast("void *", 1))
        local store = open()
        report("closed", store:close())
      ]],
    }
    assert.equal("", err)
    assert.same({ 0, "closed", "true" }, { status, words[1], words[2] })
  end)

  it("is left to others when the log function of one who opens it raises", function()
    local store = open { append_fsync = "always" }
    assert(store:session("s").keys:set_json { t = { a = "1" } })
    private_server.kill(directory)
    assert(store:close())
    local path
    for name in lfs.dir(directory .. "/appendonlydir") do
      if name:find "%.incr%.aof$" then path = directory .. "/appendonlydir/" .. name end
    end
    os.execute(("truncate -s -4 '%s'"):format(path))
    local status, words, err = program.run {
      directory, text = [[
        local told = 0
        local store = open {
          data_dir = arg[1], log = function() told = told + 1 error "no" end,
        }
        local other = open()
        assert(other:close())
        report("told", told, store:close())
      ]],
    }
    assert.match("the function log raised", err)
    assert.same({ 0, "told", "1", "true" }, { status, unpack(words) })
  end)

  it("does not keep a call beyond its deadline when the queue is full", function()
    local store = open { queue_max_operations = 1 }
    local session = store:session "s"
    assert(session.keys:set_json { t = { a = "1" } })
    os.execute("kill -STOP " .. private_server.pid(directory))
    local pid = servers.using(directory)[1]
    local _, _, code = session.keys:get_json("t", { "a" }, { timeout_ms = 100 })
    assert.equal("timeout", code)
    -- Somebody holds the lock, as a child that rewrites the log does.
    local holder = process.start {
      "flock", "-x", directory .. "/server.lock", "sleep", "20",
    }
    servers.end_process(pid)
    local core = require "authstate.core"
    local started_ms = core.now_ms()
    session.keys:get_json("t", { "a" }, { timeout_ms = 300 })
    session.keys:get_json("t", { "a" }, { timeout_ms = 300 })
    assert.is_true(core.now_ms() - started_ms < 5000)
    holder:kill()
    assert(store:close())
  end)
end)
