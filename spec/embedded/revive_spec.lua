-- SPDX-License-Identifier: MIT

-- The private server dies while stores are open: whoever needs it next brings it back.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local core = require "authstate.core"
local lfs = require "lfs"
local log_files = require "spec.embedded.log_files"
local private_server = require "spec.embedded.private_server"
local process = require "spec.support.process"
local program = require "spec.embedded.program"
local servers = require "spec.embedded.servers"

local KEY = { t = { a = "1" } }

describe("the private server, killed", function()
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
    options.data_dir, options.append_fsync = directory, options.append_fsync or "always"
    return assert(authstate.open(options))
  end

  local function kill()
    return private_server.kill(directory)
  end

  -- Calls a function. Its results after how long it took, in ms.
  local function timed(fn, ...)
    local started_ms = clock.now_ms()
    local value, message, code, details = fn(...)
    return clock.now_ms() - started_ms, value, message, code, details
  end

  -- ---- the next call ----------------------------------------------------------------

  local CALLS = {
    ["a write"] = function(_, session) return session.keys:set(KEY) end,
    ["a commit with an expectation"] = function(_, session)
      return session:commit({ creds = { b = 2 } }, { expect = 1 })
    end,
    ["a read of a key"] = function(_, session)
      return assert(session.keys:get("t", { "a" })).a == "1"
    end,
    ["a load"] = function(_, session) return session:load().keys.t.a == "1" end,
    ["load_or_create"] = function(_, session)
      return not select(2, session:load_or_create(error))
    end,
    ["a list of sessions"] = function(store) return store:sessions()[1] == "s" end,
    ["session_info"] = function(store) return store:session_info "s" end,
    ["a delete"] = function(_, session) return session:delete().records == 2 end,
    ["ping"] = function(store) return store:ping() end,
  }

  for name, call in pairs(CALLS) do
    it("is back at once for " .. name, function()
      local store = open()
      local session = store:session "s"
      assert(session:commit { creds = { a = 1 }, keys = KEY })
      local pid = kill()
      assert(call(store, session))
      assert.not_equal(pid, private_server.pid(directory))
      assert(store:close())
      assert.same({}, servers.using(directory))
    end)
  end

  it("has all that it had acknowledged, kill after kill", function()
    local store = open()
    for turn = 1, 10 do
      for i = 1, 10 do
        local id = turn .. "." .. i
        local changes = { t = { [id] = "1" } }
        assert.equal((turn - 1) * 10 + i, store:session("s").keys:set(changes))
      end
      kill()
      assert.equal(turn * 10, store:session("s").keys:count "t")
    end
    assert(store:close())
  end)

  it("is back for the second of two stores too, and is one", function()
    local one, two = open(), open { append_fsync = "everysec" }
    assert(one:session("s").keys:set(KEY))
    kill()
    assert.equal("1", assert(two:session("s").keys:get("t", { "a" })).a)
    assert(one:session("s").keys:set(KEY))
    assert.equal(1, #servers.of(directory))
    assert(one:close())
    assert(two:session("s").keys:set(KEY))
    assert(two:close())
    assert.same({}, servers.using(directory))
  end)

  it("is back after somebody shut it down", function()
    local store = open()
    assert(store:session("s").keys:set(KEY))
    pcall(private_server.ask, directory, "SHUTDOWN")
    assert(clock.wait_for(function() return #servers.using(directory) == 0 end))
    assert.equal("1", assert(store:session("s").keys:get("t", { "a" })).a)
    assert(store:close())
  end)

  -- ---- the running call -------------------------------------------------------------

  local CALLER = [[
    local store = open { data_dir = arg[1], append_fsync = "always" }
    local session = store:session "s"
    assert(session:commit { creds = { n = 0 }, keys = { t = { a = "1" } } })
    report "open"
    await(arg[1] .. ".go")
    report "calls"
    local found, message, code
    if arg[2] == "read" then
      found, message, code = session.keys:get("t", { "a" })
      found = found and found.a
    else
      local changes = { creds = { n = 1 }, keys = { t = { b = "2" } } }
      found, message, code = session:commit(changes)
    end
    report("called", found, code, message)
    report("closed", store:close())
  ]]

  for name, expected in pairs { read = "1", write = "2" } do
    it("does not disturb a " .. name .. " that it had received", function()
      local caller = program.start { directory, name, text = CALLER }
      program.await(caller, "open")
      local pid = private_server.pid(directory)
      os.execute("kill -STOP " .. pid)
      io.open(directory .. ".go", "w"):close()
      program.await(caller, "calls")
      -- The call is sent, and does nothing but wait, when the program sleeps.
      assert(clock.wait_for(function()
        local place = log_files.read(("/proc/%d/wchan"):format(caller:pid()))
        return place:find "poll" or place:find "stream_read"
      end))
      servers.end_process(pid)
      assert.same({ "called", expected, "nil", "nil" }, program.await(caller, "called"))
      assert.same({ "closed", "true" }, program.await(caller, "closed"))
      assert.equal(0, caller:wait(), caller:errors())
      local store = open()
      local loaded = assert(store:session("s"):load())
      assert.equal(name == "read" and 1 or 2, loaded.version)
      assert(store:close())
    end)
  end

  -- ---- closing ----------------------------------------------------------------------

  it("lets the last user close, and is not started for that", function()
    for _, fsync in ipairs { "always", "everysec" } do
      local store = open { append_fsync = fsync }
      assert(store:session("s").keys:set(KEY))
      kill()
      local before = log_files.read(directory .. "/server.log")
      assert.is_true(store:close())
      assert.equal(before, log_files.read(directory .. "/server.log"))
      assert.same({}, servers.using(directory))
    end
    local store = open()
    assert.equal("1", assert(store:session("s").keys:get("t", { "a" })).a)
    assert(store:close())
  end)

  it("lets a user close that is not the last, and is there for the other", function()
    local one, two = open(), open()
    assert(two:session("s").keys:set(KEY))
    kill()
    assert.is_true(one:close())
    assert.same({}, servers.using(directory))
    assert.equal("1", assert(two:session("s").keys:get("t", { "a" })).a)
    assert(two:close())
  end)

  it("is gone after closing also when it was just being started", function()
    for turn = 1, 20 do
      local store = open()
      assert(store:session("s").keys:set(KEY))
      kill()
      -- Starts it, and gives up before it answers.
      store:session("s").keys:get("t", { "a" }, { timeout_ms = turn })
      assert.is_true(store:close())
      assert.same({}, servers.using(directory))
    end
  end)

  -- ---- a child that rewrites the log ------------------------------------------------

  local SESSIONS = 5 -- each has a hash of keys and one of its own; and one is the index

  local function write_sessions(store)
    for i = 1, SESSIONS do assert(store:session("s" .. i).keys:set(KEY)) end
  end

  -- A store whose server was killed and left a child behind that rewrites its log.
  local function leave_child(delay_us)
    local store = open()
    write_sessions(store)
    local child = private_server.rewrite_slowly(directory, delay_us)
    kill()
    assert.is_true(servers.is_running(child))
    return store, child
  end

  -- The same, whose child ends half a second later.
  local function leave_child_for_a_while()
    local store, child = leave_child(10e6)
    process.start { "sh", "-c", "sleep 0.5; kill -KILL " .. child }
    return store, child
  end

  it("leaves a child: a call waits for it until its deadline, and says so", function()
    local store, child = leave_child(10e6)
    local took_ms, version, message, code, details = timed(function()
      return store:session("s1").keys:set(KEY, { timeout_ms = 400 })
    end)
    assert.is_nil(version)
    assert.truthy(code == "unavailable" or code == "timeout", code)
    assert.matches(directory, message, 1, true)
    -- What the call sent on the lost connection, if anything, was its first read.
    assert.equal("no", details.applied)
    assert.is_true(took_ms >= 390 and took_ms < 8000, took_ms)
    servers.end_process(child)
    assert.equal(2, store:session("s1").keys:set(KEY))
    assert(store:close())
  end)

  it("leaves a child: `open` waits for it for open_timeout_ms, and says so", function()
    local store, child = leave_child(10e6)
    local took_ms, other, message, code = timed(authstate.open,
      { data_dir = directory, open_timeout_ms = 400 })
    assert.is_nil(other)
    assert.equal("unavailable", code)
    assert.matches(directory, message, 1, true)
    assert.is_true(took_ms >= 390 and took_ms < 8000, took_ms)
    servers.end_process(child)
    assert(store:close())
  end)

  it("leaves a child: calls and `open` succeed when it has ended", function()
    local store, child = leave_child_for_a_while()
    assert.equal(2, store:session("s1").keys:set(KEY))
    assert.is_false(servers.is_running(child))
    assert(store:close())
    store, child = leave_child_for_a_while()
    local other = open()
    assert.is_false(servers.is_running(child))
    assert.equal("1", assert(other:session("s5").keys:get("t", { "a" })).a)
    assert(other:close())
    assert(store:close())
  end)

  it("leaves a child: closing succeeds soon", function()
    local store = leave_child_for_a_while()
    local took_ms, is_closed = timed(store.close, store)
    assert.is_true(is_closed)
    assert.is_true(took_ms < 8000, took_ms)
    store = open()
    assert.equal("1", assert(store:session("s5").keys:get("t", { "a" })).a)
    assert(store:close())
  end)

  it("leaves files of its children, which the next one finds removed", function()
    local function leftovers()
      local names = {}
      for name in lfs.dir(directory) do
        if name:find "^temp%-" then names[#names + 1] = name end
      end
      return names
    end
    local function has_leftovers() return #leftovers() > 0 end
    local store, child = leave_child(10e6)
    assert(clock.wait_for(has_leftovers))
    servers.end_process(child)
    assert.is_true(has_leftovers())
    assert(store:session("s1").keys:set(KEY))
    assert.same({}, leftovers())
    -- But not those of a child that is at work.
    child = private_server.rewrite_slowly(directory, 10e6)
    assert(clock.wait_for(has_leftovers))
    local other = open()
    assert.is_true(has_leftovers())
    servers.end_process(child)
    assert(other:close())
    assert(store:close())
  end)

  -- ---- how it syncs its log ---------------------------------------------------------

  it("comes back as strict as its strictest user, whoever brings it back", function()
    local strict = open { append_fsync = "always" }
    local loose = open { append_fsync = "everysec" }
    kill()
    assert(loose:session("s").keys:set(KEY))
    assert.equal("always", private_server.config(directory, "appendfsync"))
    assert(strict:close())
    kill()
    assert(loose:session("s").keys:set(KEY))
    assert.equal("everysec", private_server.config(directory, "appendfsync"))
    local another = open { append_fsync = "always" }
    assert.equal("always", private_server.config(directory, "appendfsync"))
    assert(another:close())
    assert(loose:close())
  end)

  it("is strict for a user that was killed no longer than that", function()
    local strict = program.start {
      directory, text = [[
        local store = open { data_dir = arg[1], append_fsync = "always" }
        report "open"
        await(arg[1] .. "/never")
      ]],
    }
    program.await(strict, "open")
    local loose = open { append_fsync = "everysec" }
    kill()
    assert(loose:session("s").keys:set(KEY))
    assert.equal("always", private_server.config(directory, "appendfsync"))
    strict:kill()
    kill()
    assert(loose:session("s").keys:set(KEY))
    assert.equal("everysec", private_server.config(directory, "appendfsync"))
    assert(loose:close())
  end)

  -- ---- what cannot be mended --------------------------------------------------------

  it("says so when redis-server is gone, and is back when it is there again", function()
    local status, words, err = program.run {
      directory, text = [[
        local ffi = require "ffi"
        ffi.cdef "int setenv(const char *name, const char *value, int overwrites);"
        local private_server = require "spec.embedded.private_server"
        local store = open()
        local session = store:session "s"
        assert(session.keys:set { t = { a = "1" } })
        private_server.kill(arg[1])
        local path = os.getenv "PATH"
        ffi.C.setenv("PATH", "/nowhere", 1)
        local started_ms = core.now_ms()
        local version, message, code, details = session.keys:set { t = { b = "2" } }
        assert(version == nil)
        assert(message:find("apt-get install redis-server", 1, true), message)
        -- It may have been sent on the connection of which nobody knew that it is lost.
        assert(code == "unavailable" and details.applied == "no" or
          code == "timeout" and details.applied == "maybe", code)
        assert(core.now_ms() - started_ms < 4800)
        ffi.C.setenv("PATH", path, 1)
        report(assert(session.keys:set { t = { b = "2" } }), store:close())
      ]],
    }
    assert.same({ 0, "2", "true" }, { status, words[1], words[2] }, err)
  end)

  it("is not waited for without end when it hangs", function()
    local store = open()
    assert(store:session("s").keys:set(KEY))
    local pid = private_server.pid(directory)
    os.execute("kill -STOP " .. pid)
    local took_ms, found, _, code = timed(function()
      return store:session("s").keys:get("t", { "a" }, { timeout_ms = 300 })
    end)
    assert.is_nil(found)
    assert.equal("timeout", code)
    assert.is_true(took_ms >= 290 and took_ms < 8000, took_ms)
    local message
    took_ms, found, message, code = timed(authstate.open,
      { data_dir = directory, open_timeout_ms = 300 })
    assert.is_nil(found)
    assert.equal("unavailable", code)
    assert.matches(directory, message, 1, true)
    assert.is_true(took_ms >= 290 and took_ms < 8000, took_ms)
    os.execute("kill -CONT " .. pid)
    assert.equal("1", assert(store:session("s").keys:get("t", { "a" })).a)
    assert(store:close())
  end)

  it("is not waited for without end when another process keeps its users out", function()
    assert(open():close())
    local path = directory .. "/users.lock"
    local fd = assert(core.lock_open(path, false))
    assert.is_true(core.lock_try(fd, "exclusive"))
    local took_ms, store, message, code = timed(authstate.open,
      { data_dir = directory, open_timeout_ms = 300 })
    assert.is_nil(store)
    assert.equal("unavailable", code)
    assert.matches(path, message, 1, true)
    assert.is_true(took_ms >= 290 and took_ms < 8000, took_ms)
    core.lock_close(fd)
    assert(open():close())
  end)
end)
