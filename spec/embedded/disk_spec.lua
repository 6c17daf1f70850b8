-- SPDX-License-Identifier: MIT

-- The disk of the private server is full: nothing is acknowledged that is not kept, what
-- is there can be read, and all goes on when there is space again.

local process = require "spec.support.process"
local program = require "spec.embedded.program"
local servers = require "spec.embedded.servers"
local small_disk = require "spec.embedded.small_disk"

-- arg: the directory that is the disk, the number of its kind. What all programs share.
local HEAD = [[
local private_server = require "spec.embedded.private_server"
local servers = require "spec.embedded.servers"
local small_disk = require "spec.embedded.small_disk"
local kind = small_disk.kinds[tonumber(arg[2])]
local mount, directory = arg[1], arg[1] .. "/state"
local told, untold = {}, {} -- numbers of commits

local function fill() kind.fill(mount, directory) end
local function make_space() kind.make_space(mount, directory) end

local function open_here(fsync)
  return authstate.open {
    data_dir = directory, append_fsync = fsync, open_timeout_ms = 5000,
  }
end

local function check_failure(message, code)
  assert(code == "disk", tostring(code) .. ": " .. tostring(message))
  assert(message:find(kind.reason, 1, true), message)
  -- The server's own words name no directory.
  assert(message:find(directory, 1, true) or message:find "^MISCONF", message)
end

-- Commits a number whole: creds and records of two types. Whether it was acknowledged.
local function commit(store, n)
  local value, id = { n = n }, tostring(n)
  local started_ms = core.now_ms()
  local version, message, code, details = store:session "s":commit {
    creds = value, keys = { t = { [id] = value }, u = { [id] = value } },
  }
  assert(core.now_ms() - started_ms < 4800, "took too long")
  if version then
    told[#told + 1] = n
    return true
  end
  check_failure(message, code)
  assert(details.applied == "no" or details.applied == "maybe", details.applied)
  if details.applied == "maybe" then untold[n] = true end
  return false
end

-- Commits until one fails: there is some room in the last block. The next number.
local function commit_until_full(store, n)
  for each = n, n + 500 do
    if not commit(store, each) then return each + 1 end
  end
  error "the disk is not full"
end

-- Whether all that was acknowledged is there, and nothing else but what may be, whole.
local function check(store)
  local loaded, message = store:session "s":load()
  assert(loaded, message)
  local is_expected, count, newest = {}, 0, 0
  for _, n in ipairs(told) do
    is_expected[n] = true
    assert(loaded.keys.t[tostring(n)], "lost: " .. n)
  end
  for id, value in pairs(loaded.keys.t) do
    local n = tonumber(id)
    local other = loaded.keys.u[id]
    assert(value.n == n and other and other.n == n, "torn: " .. id)
    assert(is_expected[n] or untold[n], "there, though said not to be: " .. n)
    count, newest = count + 1, math.max(newest, n)
  end
  for id in pairs(loaded.keys.u) do assert(loaded.keys.t[id], "torn: " .. id) end
  assert(loaded.creds.n == newest)
  assert(loaded.version == count, ("version %d after %d commits"):format(loaded.version,
    count))
end
]]

describe("on a full disk the private server", function()
  local mount

  before_each(function()
    mount = servers.directory()
  end)

  after_each(function()
    process.stop_all()
    servers.end_all(mount)
  end)

  local function run(kind, index, text)
    local status, words, err = program.run {
      mount, tostring(index), before = kind.before(mount), text = HEAD .. text,
      timeout_ms = 60000,
    }
    assert.equal("", err)
    assert.same({ 0, "done" }, { status, words[1] })
  end

  local CASES = {
    ["acknowledges nothing that it cannot keep, syncing always"] = [[
      local store = assert(open_here "always")
      for n = 1, 20 do assert(commit(store, n)) end
      fill()
      local n = commit_until_full(store, 21)
      for _ = 1, 5 do
        check(store)
        assert(not commit(store, n))
        n = n + 1
      end
      check(store)
      -- Also for one that comes now, and after a crash.
      local other = assert(open_here "always")
      check(other)
      for _, pid in ipairs(servers.using(directory)) do servers.end_process(pid) end
      check(other)
      assert(not commit(other, n))
      make_space()
      for each = n + 1, n + 20 do assert(commit(store, each)) end
      check(other)
      assert(other:close())
      assert(store:close())
      store = assert(open_here "always")
      check(store)
      assert(store:close())
      for _, name in ipairs(core.list_directory(directory)) do
        assert(not name:find "^temp", name)
      end
      report "done"
    ]],
    ["can be closed, syncing always, and opened when there is space"] = [[
      local store = assert(open_here "always")
      for n = 1, 20 do assert(commit(store, n)) end
      fill()
      commit_until_full(store, 21)
      assert(store:close())
      assert(#servers.using(directory) == 0)
      store = assert(open_here "always")
      check(store)
      assert(store:close())
      make_space()
      store = assert(open_here "always")
      check(store)
      assert(commit(store, 1000))
      assert(store:close())
      report "done"
    ]],
    ["does not lose what it has only in its memory, syncing once a second"] = [[
      local store = assert(open_here "everysec")
      for n = 1, 20 do assert(commit(store, n)) end
      fill()
      local n = commit_until_full(store, 21)
      for each = n, n + 4 do assert(not commit(store, each)) end
      check(store)
      local pid = private_server.pid(directory)
      local is_closed, message, code = store:close()
      assert(is_closed == nil and code == "disk", code)
      assert(message:find(directory, 1, true), message)
      assert(private_server.pid(directory) == pid)
      make_space()
      store = assert(open_here "everysec")
      check(store)
      assert(store:close())
      assert(#servers.using(directory) == 0)
      store = assert(open_here "everysec")
      check(store)
      assert(commit(store, n + 10))
      check(store)
      assert(store:close())
      report "done"
    ]],
    ["can be opened and read, syncing once a second"] = [[
      local store = assert(open_here "everysec")
      for n = 1, 20 do assert(commit(store, n)) end
      fill()
      local n = commit_until_full(store, 21)
      local other = assert(open_here "everysec")
      check(other)
      assert(not commit(other, n))
      assert(other:close())
      make_space()
      assert(store:close())
      store = assert(open_here "everysec")
      check(store)
      assert(store:close())
      report "done"
    ]],
    ["is not made strict, which would end it with what it has in memory"] = [[
      local store = assert(open_here "everysec")
      for n = 1, 20 do assert(commit(store, n)) end
      fill()
      commit_until_full(store, 21)
      local pid = private_server.pid(directory)
      local refused, message, code = open_here "always"
      assert(refused == nil and code == "disk", message)
      assert(private_server.pid(directory) == pid)
      check(store)
      make_space()
      assert(store:close())
      store = assert(open_here "always")
      check(store)
      assert(store:close())
      report "done"
    ]],
    ["goes on by itself, syncing once a second"] = [[
      local store = assert(open_here "everysec")
      fill()
      local n = commit_until_full(store, 1)
      make_space()
      local deadline_ms, is_written = core.now_ms() + 10000, nil
      repeat
        is_written = commit(store, n)
        n = n + 1
        core.sleep_ms(20)
      until is_written or core.now_ms() > deadline_ms
      assert(is_written)
      check(store)
      assert(store:close())
      store = assert(open_here "everysec")
      check(store)
      assert(store:close())
      report "done"
    ]],
    ["is not started when nothing is there yet"] = [[
      fill()
      local started_ms = core.now_ms()
      local store, message, code = open_here "always"
      assert(store == nil)
      check_failure(message, code)
      assert(core.now_ms() - started_ms < 10000)
      assert(#servers.using(directory) == 0)
      make_space()
      store = assert(open_here "always")
      assert(commit(store, 1))
      check(store)
      assert(store:close())
      report "done"
    ]],
    ["is there for who only reads while others write in vain"] = [[
      local temporary = require "spec.support.temporary"
      local program = require "spec.embedded.program"
      local store = assert(open_here "always")
      for n = 1, 20 do assert(commit(store, n)) end
      fill()
      local luajit, path = program.words_for [=[
        local store = open { data_dir = arg[1], append_fsync = "always" }
        local reads, file = 0
        repeat
          local loaded, message, code = store:session "s":load()
          if not loaded then report("failed", code, message) os.exit(3) end
          assert(loaded.keys.t["20"].n == 20)
          reads = reads + 1
          file = io.open(arg[2])
        until file
        assert(store:close())
        report("read", reads)
      ]=]
      local stop = temporary.directory() .. "/stop"
      local reader = io.popen(table.concat({ luajit, path, directory, stop }, " "))
      local n, started_ms = commit_until_full(store, 21), core.now_ms()
      repeat
        assert(not commit(store, n))
        n = n + 1
        core.sleep_ms(20)
      until core.now_ms() - started_ms > 1000
      io.open(stop, "w"):close()
      local words = program.split(reader:read "*l")
      assert(words[1] == "read" and tonumber(words[2]) >= 5, table.concat(words, " "))
      check(store)
      assert(store:close())
      report "done"
    ]],
  }

  local is_any_possible = false
  for index, kind in ipairs(small_disk.kinds) do
    local is_possible = small_disk.is_possible(kind)
    is_any_possible = is_any_possible or is_possible
    describe("(" .. kind.name .. ")", function()
      for name, text in pairs(CASES) do
        if is_possible then
          it(name, function() run(kind, index, text) end)
        elseif index == #small_disk.kinds and not is_any_possible then
          pending(name)
        end
      end
    end)
  end

  -- ---- a file system that is read-only ----------------------------------------------

  local MOUNT = [[mount -t tmpfs -o size=4m,mode=700 tmpfs "$0" && exec "$@"]]

  it("is refused at once, with the path, when the file system is read-only", function()
    if not small_disk.is_possible(small_disk.kinds[1]) then
      pending "no mount namespaces here"
      return
    end
    local status, words, err = program.run {
      mount, before = { "unshare", "-rm", "sh", "-c", MOUNT, mount },
      timeout_ms = 60000, text = [[
        local log_files = require "spec.embedded.log_files"
        local directory = arg[1] .. "/state"
        local store = open { data_dir = directory }
        assert(store:session "s".keys:set { t = { a = "1" } })
        assert(store:close())
        assert(os.execute(("mount -o remount,bind,ro '%s'"):format(arg[1])) == 0)
        local before = log_files.snapshot(directory)
        for _, path in ipairs { directory, arg[1] .. "/other" } do
          local started_ms = core.now_ms()
          local refused, message, code = authstate.open { data_dir = path }
          assert(refused == nil)
          assert(code == "unavailable" or code == "disk", code)
          assert(message:find(path, 1, true), message)
          assert(core.now_ms() - started_ms < 10000)
        end
        local after = log_files.snapshot(directory)
        for name, text in pairs(before) do assert(after[name] == text, name) end
        for name in pairs(after) do assert(before[name], name) end
        assert(os.execute(("mount -o remount,bind,rw '%s'"):format(arg[1])) == 0)
        store = open { data_dir = directory }
        assert(store:session "s".keys:get("t", { "a" }).a == "1")
        assert(store:close())
        report "done"
      ]],
    }
    assert.equal("", err)
    assert.same({ 0, "done" }, { status, words[1] })
  end)
end)
