-- SPDX-License-Identifier: MIT

-- What the core offers of the system: clock, random bytes, digests, gzip, directories,
-- locks, daemons.

local lfs = require "lfs"

local clock = require "spec.support.clock"
local core = require "authstate.core"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

local LUAJIT = os.getenv "LUAJIT" or "luajit"

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- Runs a Lua program that has `core`, in a process of its own.
local function start_lua(text, ...)
  local head = ("package.path, package.cpath = %q, %q\n"):format(package.path,
    package.cpath)
  local path = temporary.file(head .. 'local core = require "authstate.core"\n' .. text)
  return process.start { LUAJIT, path, ... }
end

local function run_lua(text, ...)
  local started = start_lua(text, ...)
  local code = started:wait()
  started:stop()
  assert.equal(0, code, started:errors())
  return started:output()
end

describe("the clock", function()
  it("is monotonic, in milliseconds, and sleeps", function()
    local began_ms = core.now_ms()
    core.sleep_ms(20)
    local took_ms = core.now_ms() - began_ms
    assert.is_true(took_ms >= 20 and took_ms < 20000, took_ms)
    core.sleep_ms(0)
    core.sleep_ms(0.5)
  end)
end)

describe("random bytes", function()
  it("are as many as asked, and never the same", function()
    for _, length in ipairs { 1, 8, 255, 256 } do
      assert.equal(length, #core.random(length))
    end
    assert.not_equal(core.random(16), core.random(16))
    for _, wrong in ipairs { 0, 257, -1 } do
      assert.error_matches(function() core.random(wrong) end, "1 to 256")
    end
  end)
end)

describe("a digest", function()
  -- FIPS 180-4 examples.
  it("is SHA-1 or SHA-256 in hexadecimal", function()
    assert.equal("da39a3ee5e6b4b0d3255bfef95601890afd80709", core.sha1_hex "")
    assert.equal("a9993e364706816aba3e25717850c26c9cd0d89d", core.sha1_hex "abc")
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      core.sha256_hex "")
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      core.sha256_hex "abc")
    assert.equal(40, #core.sha1_hex(("\0"):rep(1000000)))
  end)
end)

describe("gunzip", function()
  local text = ("some text, over and over; "):rep(20000)

  local function gzip(content)
    local code, out = process.run {
      "gzip", "-c", stdin = content, env = { LD_PRELOAD = false },
    }
    assert.equal(0, code)
    return out
  end

  it("unpacks one member, several, and an empty one", function()
    assert.is_true(core.gunzip(gzip(text), #text) == text)
    assert.equal("ab", core.gunzip(gzip "a" .. gzip "b", 2))
    assert.equal("", core.gunzip(gzip "", 0))
  end)

  it("refuses more than the limit, before it takes the memory", function()
    local out, message = core.gunzip(gzip(text), #text - 1)
    assert.is_nil(out)
    assert.equal("the content is larger than the limit", message)
    local bomb = gzip(("\0"):rep(20000000))
    assert.is_nil((core.gunzip(bomb, 1000)))
  end)

  it("says that the data is truncated or damaged, wherever", function()
    local packed = gzip "a short text, not much of it"
    for length = 0, #packed - 1 do
      local out, message = core.gunzip(packed:sub(1, length), 1000)
      assert.is_nil(out)
      assert.is_true(#message > 0)
    end
    for at = 1, #packed do
      local byte = packed:byte(at)
      local changed = packed:sub(1, at - 1) .. string.char((byte + 1) % 256)
        .. packed:sub(at + 1)
      local out, message = core.gunzip(changed, 1000)
      -- Only the time, the system and the flags of the header may be anything.
      if at > 10 then
        assert.is_nil(out, at)
        assert.is_true(#message > 0)
      end
    end
    assert.is_nil((core.gunzip("plain text", 1000)))
  end)
end)

describe("a directory", function()
  it("is made with its parents, for its owner alone", function()
    local root = temporary.directory()
    for _, name in ipairs { "/a", "/b/c/d", "/e/f/", "/a" } do
      local path = root .. name
      assert.is_true(core.make_directory(path))
      assert.equal("rwx------", lfs.attributes(path, "permissions"))
      assert.is_true(core.check_directory(path))
    end
    assert.equal("rwx------", lfs.attributes(root .. "/b", "permissions"))
  end)

  it("that cannot be made says why", function()
    local file = temporary.file "text"
    for path, words in pairs {
      [file .. "/a"] = "Not a directory", [""] = "No such file or directory",
      ["/proc/none"] = "No such file or directory",
      ["/" .. ("x"):rep(5000)] = "File name too long",
      [temporary.directory() .. "/" .. ("x"):rep(300)] = "File name too long",
    } do
      local made, message = core.make_directory(path)
      assert.is_nil(made)
      assert.equal(words, message)
    end
  end)

  it("is checked: whether it is one, ours, and closed to others", function()
    local root = temporary.directory()
    local function fault(path) return select(2, core.check_directory(path)) end
    assert.equal("missing", fault(root .. "/none"))
    assert.equal("not_a_directory", fault(temporary.file "text"))
    os.execute("chmod 750 " .. root)
    assert.equal("open_to_others", fault(root))
    os.execute("chmod 700 " .. root)
    assert.is_nil(fault(root))
    local is_root = process.run { "sh", "-c", "test $(id -u) -eq 0" } == 0
    if is_root then
      os.execute("chown 65534 " .. root)
      assert.equal("foreign", fault(root))
    end
  end)

  it("tells what is in it", function()
    local root = temporary.directory()
    assert.same({}, core.list_directory(root))
    for _, name in ipairs { "b", ".a", "c d" } do
      assert.is_true(core.write_file(root .. "/" .. name, name))
    end
    assert(lfs.mkdir(root .. "/sub"))
    local names = core.list_directory(root)
    table.sort(names)
    assert.same({ ".a", "b", "c d", "sub" }, names)
    assert.same({ true, false, false }, { core.is_directory(root),
      core.is_directory(root .. "/b"), core.is_directory(root .. "/none") })
    assert.is_true(core.sync_directory(root))
    for _, list in ipairs { core.list_directory, core.sync_directory } do
      assert.same({ nil, "Not a directory" }, { list(root .. "/b") })
      assert.same({ nil, "No such file or directory" }, { list(root .. "/none") })
    end
  end)
end)

describe("a private file", function()
  it("is written whole, for its owner alone, in the place of an older one", function()
    local path = temporary.directory() .. "/file"
    for _, text in ipairs { ("long\0"):rep(300000), "short", "" } do
      assert.is_true(core.write_file(path, text))
      assert.equal(text, read_file(path))
      assert.equal("rw-------", lfs.attributes(path, "permissions"))
    end
  end)

  it("is cut off where it is told to", function()
    local path = temporary.file "some text"
    assert.is_true(core.truncate_file(path, 4))
    assert.equal("some", read_file(path))
    assert.same({ nil, "No such file or directory" }, { core.truncate_file("/no", 1) })
    assert.error_matches(function() core.truncate_file(path, -1) end, "a length")
  end)

  it("says why it cannot be written", function()
    local root = temporary.directory()
    assert(lfs.link(temporary.file "text", root .. "/link", true))
    for path, words in pairs {
      [root] = "Is a directory", [root .. "/none/x"] = "No such file or directory",
      ["/dev/full"] = "No space left on device",
      [root .. "/link"] = "Too many levels of symbolic links",
    } do
      assert.same({ nil, words }, { core.write_file(path, "text") })
    end
  end)
end)

describe("a process", function()
  it("knows its number, and ends another without a word", function()
    local sleeper = start_lua "print(core.process_id()) io.flush() core.sleep_ms(60000)"
    assert.is_true(clock.wait_for(function() return #sleeper:output() > 0 end))
    assert.equal(sleeper:pid(), tonumber(sleeper:output()))
    assert.is_true(core.kill_process(sleeper:pid()))
    assert.equal(128 + 9, sleeper:wait())
    sleeper:kill()
    assert.same({ nil, "No such process" }, { core.kill_process(sleeper:pid()) })
  end)

  it("does not end groups of others", function()
    for _, pid in ipairs { 0, -1, -2 } do
      assert.same({ nil, "No such process" }, { core.kill_process(pid) })
    end
  end)
end)

describe("a lock", function()
  local path

  before_each(function() path = temporary.directory() .. "/lock" end)

  it("is shared, or one's alone, between open files", function()
    local one = assert(core.lock_open(path, false))
    local two = assert(core.lock_open(path, false))
    assert.equal("rw-------", lfs.attributes(path, "permissions"))
    assert.is_true(core.lock_try(one, "shared"))
    assert.is_true(core.lock_try(two, "shared"))
    assert.is_false(core.lock_try(one, "exclusive"))
    core.lock_close(two)
    assert.is_true(core.lock_try(one, "exclusive"))
    two = assert(core.lock_open(path, false))
    assert.is_false(core.lock_try(two, "shared"))
    assert.is_true(core.lock_try(one, "shared"))
    assert.is_true(core.lock_try(two, "shared"))
    core.lock_close(one)
    core.lock_close(two)
    local taken, message = core.lock_try(-1, "shared")
    assert.is_nil(taken)
    assert.equal("Bad file descriptor", message)
    assert.error_matches(function() core.lock_try(one, "half") end, "invalid option")
  end)

  it("is not opened through a link, nor where nothing can be made", function()
    lfs.link(temporary.file "text", path, true)
    local fd, message = core.lock_open(path, false)
    assert.is_nil(fd)
    assert.is_true(#message > 0)
    fd, message = core.lock_open(path .. "/none/lock", false)
    assert.is_nil(fd)
    assert.is_true(#message > 0)
  end)

  it("ends with its process, however that ends", function()
    local holder = start_lua([[
      assert(core.lock_try(core.lock_open(arg[1], false), "exclusive"))
      print "held" io.flush()
      core.sleep_ms(60000)
    ]], path)
    assert.is_true(clock.wait_for(function() return holder:output() == "held\n" end))
    local fd = assert(core.lock_open(path, false))
    assert.is_false(core.lock_try(fd, "shared"))
    holder:kill()
    assert.is_true(clock.wait_for(function() return core.lock_try(fd, "exclusive") end))
    core.lock_close(fd)
  end)

  it("passes to a program only when it is inheritable", function()
    for _, is_inheritable in ipairs { true, false } do
      local fd = assert(core.lock_open(path, is_inheritable))
      assert.is_true(core.lock_try(fd, "exclusive"))
      local pid_path = temporary.directory() .. "/pid"
      os.execute(("sleep 60 >/dev/null 2>&1 & echo $! >%s"):format(pid_path))
      core.lock_close(fd)
      local other = assert(core.lock_open(path, false))
      assert.equal(not is_inheritable, core.lock_try(other, "exclusive"))
      os.execute("kill -KILL " .. read_file(pid_path))
      assert.is_true(clock.wait_for(function()
        return core.lock_try(other, "exclusive")
      end))
      core.lock_close(other)
    end
  end)
end)

-- ---- daemons --------------------------------------------------------------------------

-- What /proc tells of a process: state, parent, session; nil when it is gone.
local function status_of(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  if not text then return nil end
  local state, parent, group, session = text:match "%) (%a) (%d+) (%d+) (%d+)"
  return {
    state = state, parent = tonumber(parent), group = tonumber(group),
    session = tonumber(session),
  }
end

-- The open descriptors of a process: number to what it is.
local function descriptors_of(pid)
  local open = {}
  for name in lfs.dir(("/proc/%d/fd"):format(pid)) do
    local target = lfs.symlinkattributes(("/proc/%d/fd/%s"):format(pid, name), "target")
    if tonumber(name) then open[tonumber(name)] = target end
  end
  return open
end

local function zombies()
  local own, count = tonumber(lfs.symlinkattributes("/proc/self", "target")), 0
  for name in lfs.dir "/proc" do
    local status = tonumber(name) and status_of(tonumber(name))
    if status and status.parent == own and status.state == "Z" then count = count + 1 end
  end
  return count
end

-- A daemon that writes its pid and sleeps; it is killed by the caller.
local function start_sleeper(directory, kept_fd)
  assert(core.start_daemon({
    "sh", "-c", 'cd "$1" && echo $$ >pid.new && mv pid.new pid && exec sleep 60', "sh",
    directory,
  }, directory .. "/log", kept_fd))
  local pid = assert(clock.wait_for(function()
    local path = directory .. "/pid"
    return lfs.attributes(path) and tonumber(read_file(path))
  end))
  -- The shell has become sleep, its own descriptors and signal mask are gone.
  assert(clock.wait_for(function()
    return read_file(("/proc/%d/comm"):format(pid)) == "sleep\n"
  end))
  return pid
end

local function kill(pid)
  os.execute("kill -KILL " .. pid)
  assert.is_true(clock.wait_for(function()
    local status = status_of(pid)
    return not status or status.state == "Z"
  end))
end

describe("a daemon", function()
  it("has a session of its own, is not our child and leaves no zombie", function()
    local own = tonumber(lfs.symlinkattributes("/proc/self", "target"))
    local before = zombies()
    local pid = start_sleeper(temporary.directory(), -1)
    local status = status_of(pid)
    assert.not_equal(own, status.parent)
    assert.not_equal(own, status.session)
    assert.not_equal(status_of(own).session, status.session)
    assert.equal(before, zombies())
    kill(pid)
    assert.equal(before, zombies())
  end)

  it("inherits the kept descriptor and no other", function()
    local directory = temporary.directory()
    local others = {}
    for i = 1, 20 do others[i] = assert(core.lock_open(directory .. "/o" .. i, true)) end
    for _, which in ipairs { 1, 10, 20, 0 } do
      local kept = others[which] or -1
      local place = temporary.directory()
      local pid = start_sleeper(place, kept)
      local expected = { [0] = "/dev/null", "/dev/null", place .. "/log" }
      if others[which] then expected[kept] = directory .. "/o" .. which end
      -- For a moment the loader of `sleep` has its libraries open.
      local found
      clock.wait_for(function()
        found = descriptors_of(pid)
        return pcall(assert.same, expected, found)
      end)
      assert.same(expected, found)
      kill(pid)
    end
    for _, fd in ipairs(others) do core.lock_close(fd) end
  end)

  it("starts with no signal blocked, whatever we block", function()
    local place = temporary.directory()
    local pid = start_sleeper(place, -1)
    local blocked = read_file(("/proc/%d/status"):format(pid)):match "SigBlk:%s*(%x+)"
    assert.equal(("0"):rep(16), blocked)
    kill(pid)
  end)

  it("that cannot be started says why, and leaves nothing", function()
    local directory = temporary.directory()
    local before, open_before = zombies(), 0
    for _ in lfs.dir "/proc/self/fd" do open_before = open_before + 1 end
    local file = temporary.file "no program"
    for _, case in ipairs {
      { { "no-such-program" }, directory .. "/log", "No such file or directory" },
      { { file }, directory .. "/log", "Permission denied" },
      { { directory }, directory .. "/log", "Permission denied" },
      { { "true" }, directory .. "/none/log", "No such file or directory" },
      { { "true" }, directory, "Is a directory" },
    } do
      local started, message = core.start_daemon(case[1], case[2], -1)
      assert.is_nil(started)
      assert.equal(case[3], message)
    end
    local open_after = 0
    for _ in lfs.dir "/proc/self/fd" do open_after = open_after + 1 end
    assert.equal(open_before, open_after)
    assert.equal(before, zombies())
  end)

  it("writes its errors to the end of the log", function()
    local directory = temporary.directory()
    local log = directory .. "/log"
    for i = 1, 2 do
      local command = { "sh", "-c", "echo out; echo error " .. i .. " >&2" }
      assert(core.start_daemon(command, log, -1))
      assert.is_true(clock.wait_for(function()
        return read_file(log):find("error " .. i, 1, true) ~= nil
      end))
    end
    assert.equal("error 1\nerror 2\n", read_file(log))
    assert.equal("rw-------", lfs.attributes(log, "permissions"))
  end)

  -- A program without standard streams: the pipe that reports the failure, or the log,
  -- took their place and was closed or written over.
  it("may be started, and fail, with the standard streams closed", function()
    local directory = temporary.directory()
    local program = ([[
      local function tell(name, ...)
        local file = assert(io.open(%q .. "/" .. name, "w"))
        file:write(tostring((...)), " ", tostring((select(2, ...)))) file:close()
      end
      for fd = 0, 2 do core.lock_close(fd) end
      tell("missing", core.start_daemon({ "no-such-program" }, %q .. "/log", -1))
      local command = { "sh", "-c", "echo to the log >&2" }
      tell("started", core.start_daemon(command, %q .. "/log", -1))
    ]]):format(directory, directory, directory)
    run_lua(program)
    assert.equal("nil No such file or directory", read_file(directory .. "/missing"))
    assert.equal("true nil", read_file(directory .. "/started"))
    assert.is_true(clock.wait_for(function()
      return read_file(directory .. "/log") == "to the log\n"
    end))
  end)

  it("takes a list of 1 to 64 strings", function()
    for _, wrong in ipairs { {}, { {} }, { "true", false } } do
      assert.has_error(function() core.start_daemon(wrong, "/dev/null", -1) end)
    end
    local many = {}
    for i = 1, 65 do many[i] = "x" end
    assert.error_matches(function() core.start_daemon(many, "/dev/null", -1) end,
      "1 to 64 arguments")
  end)
end)

describe("a terminal", function()
  it("is told from what is none", function()
    assert.is_false(core.is_terminal(-1))
    local fd = core.lock_open(temporary.directory() .. "/file", false)
    assert.is_false(core.is_terminal(fd))
    core.lock_close(fd)
    local code, out = process.run {
      "script", "-qec", ("%s -e 'package.cpath = %q; print(require(%q).is_terminal(1))'")
        :format(LUAJIT, package.cpath, "authstate.core"), "/dev/null",
    }
    if code == 0 then assert.match("true", out) end
  end)
end)
