-- SPDX-License-Identifier: MIT

-- Without the option `redis`, `open` starts a private redis-server or joins the one that
-- runs in the directory.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local lfs = require "lfs"
local nginx = require "spec.support.nginx"
local private_server = require "spec.embedded.private_server"
local process = require "spec.support.process"
local program = require "spec.embedded.program"
local random = require "spec.support.random"
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

  local function config(name)
    return private_server.config(directory, name)
  end

  local function server_pid()
    return private_server.pid(directory)
  end

  local is_running = servers.is_running

  local function open(options)
    options = options or {}
    options.data_dir = options.data_dir or directory
    return assert(authstate.open(options))
  end

  local function put(store, key)
    assert(store:session("s").keys:set_json { t = { [key] = "1" } })
  end

  -- The ids that are stored, sorted, in one text.
  local function stored(store)
    local ids = assert(store:session("s").keys:list "t")
    table.sort(ids)
    return table.concat(ids, " ")
  end

  local function refuses(words, options)
    options = options or {}
    options.data_dir = options.data_dir or directory
    local store, message, code, details = authstate.open(options)
    assert.is_nil(store)
    assert.equal("unavailable", code, message)
    assert.is_false(details.sent)
    for _, word in ipairs(words) do assert.matches(word, message, 1, true) end
  end

  -- ---- what is started ------------------------------------------------------------

  it("listens on a socket in a directory of ours alone, with its log on", function()
    local store = open()
    assert.equal("rwx------", lfs.attributes(directory, "permissions"))
    assert.equal("rwx------", lfs.attributes(directory .. "/redis.sock", "permissions"))
    assert.equal("0", config "port")
    assert.equal("yes", config "appendonly")
    assert.equal("everysec", config "appendfsync")
    assert.equal("noeviction", config "maxmemory-policy")
    assert.equal("0", config "maxmemory")
    assert.equal("", config "save")
    assert.equal(directory, config "dir")
    assert(store:close())
  end)

  it("syncs its log as asked", function()
    local store = open { append_fsync = "always" }
    assert.equal("always", config "appendfsync")
    assert(store:close())
    store = open { append_fsync = "everysec" }
    assert.equal("everysec", config "appendfsync")
    assert(store:close())
  end)

  it("becomes as strict as the strictest of its users", function()
    local loose = open()
    assert.equal("everysec", config "appendfsync")
    local strict = open { append_fsync = "always" }
    assert.equal("always", config "appendfsync")
    assert(strict:close())
    local another = open()
    assert.equal("always", config "appendfsync")
    assert(loose:close())
    assert(another:close())
  end)

  it("keeps what was written when it is closed and opened again", function()
    for turn = 1, 3 do
      local store = open()
      put(store, tostring(turn))
      assert(store:close())
    end
    local store = open()
    assert.equal("1 2 3", stored(store))
    assert(store:close())
  end)

  it("is no process any more when the store is closed", function()
    local store = open()
    local pid = server_pid()
    assert.is_true(is_running(pid))
    assert(store:close())
    assert.is_false(is_running(pid))
    assert.is_nil(lfs.attributes(directory .. "/redis.sock"))
    local found, _, code = store:session("s"):load()
    assert.is_nil(found)
    assert.equal("closed", code)
    assert.is_true(store:close())
  end)

  it("makes the directories above it that are missing, as private", function()
    directory = temporary.directory() .. "/a/b/c"
    assert(open():close())
    local parent = directory:match "^(.*)/b/c$"
    assert.equal("rwx------", lfs.attributes(parent, "permissions"))
  end)

  for name, path in pairs {
    ["spaces"] = "a b  c", ["quotes"] = [[it's "quoted"]], ["UTF-8"] = "São João 🥖",
    ["a backslash"] = [[a\b]], ["a line break"] = "a\nb", ["shell words"] = "$HOME;*`x`",
    ["a leading -"] = "-f", ["a #"] = "a #b", ["other bytes"] = "\255\1\127",
  } do
    it("takes a path with " .. name, function()
      directory = temporary.directory() .. "/" .. path
      local store = open()
      put(store, "1")
      assert.equal(directory, config "dir")
      assert(store:close())
      store = open()
      assert.equal("1", stored(store))
      assert(store:close())
    end)
  end

  -- ---- where ----------------------------------------------------------------------

  describe("without data_dir", function()
    local WHERE = "assert(open({}):close()) report 'closed'"

    local function was_in(path)
      return lfs.attributes(path .. "/appendonlydir", "mode") == "directory"
    end

    it("lives in authstate under XDG_STATE_HOME", function()
      local home = temporary.directory()
      local status, words = program.run {
        text = WHERE, env = { XDG_STATE_HOME = home .. "/x", HOME = home },
      }
      assert.same({ 0, "closed" }, { status, words[1] })
      assert.is_true(was_in(home .. "/x/authstate"))
    end)

    for name, value in pairs { unset = false, empty = "", relative = "x/y" } do
      it("lives in ~/.local/state/authstate when XDG_STATE_HOME is " .. name, function()
        local home = temporary.directory()
        local status, words = program.run {
          text = WHERE, env = { XDG_STATE_HOME = value, HOME = home },
        }
        assert.same({ 0, "closed" }, { status, words[1] })
        assert.is_true(was_in(home .. "/.local/state/authstate"))
        assert.equal("rwx------", lfs.attributes(home .. "/.local", "permissions"))
      end)
    end

    it("is refused when there is neither", function()
      local status, words = program.run { text = WHERE, env = { HOME = false } }
      assert.same({ 3, "failed", "unavailable" }, { status, words[1], words[2] })
      assert.match("XDG_STATE_HOME.*HOME.*data_dir", words[3])
    end)
  end)

  it("takes a relative data_dir, and keeps to it wherever the program goes", function()
    local home = temporary.directory()
    local status, words, err = program.run {
      "sub/state", cwd = home, text = [[
        local store = open()
        require("lfs").chdir "/"
        assert(store:session("s").keys:set_json { t = { a = "1" } })
        assert(store:close())
        report "closed"
      ]],
    }
    assert.equal("", err)
    assert.same({ 0, "closed" }, { status, words[1] })
    directory = home .. "/sub/state"
    local store = open()
    assert.equal("a", stored(store))
    assert(store:close())
  end)

  it("takes a symbolic link for the directory behind it", function()
    local store = open()
    put(store, "1")
    local link = temporary.directory() .. "/link"
    assert(lfs.link(directory, link, true))
    local other = open { data_dir = link }
    assert.equal("1", stored(other))
    assert(other:close())
    assert(store:close())
  end)

  -- ---- what is refused --------------------------------------------------------------

  describe("is refused", function()
    it("when redis-server is not installed, and says what to install", function()
      local status, words = program.run {
        directory, text = "open()", env = { PATH = "/nowhere" },
      }
      assert.same({ 3, "failed", "unavailable" }, { status, words[1], words[2] })
      assert.matches("apt-get install redis-server", words[3], 1, true)
    end)

    it("when redis-server ends at once, and says how its log ends", function()
      local bin = temporary.directory()
      local file = assert(io.open(bin .. "/redis-server", "w"))
      file:write "#!/bin/sh\necho no luck today >&2\nexit 1\n"
      file:close()
      os.execute("chmod +x " .. bin .. "/redis-server")
      local status, words = program.run {
        directory, text = "open()", env = { PATH = bin .. ":/usr/bin:/bin" },
      }
      assert.same({ 3, "failed", "unavailable" }, { status, words[1], words[2] })
      assert.matches("no luck today", words[3], 1, true)
    end)

    it("and opens in the same program once the reason is gone", function()
      os.execute("mkdir -m 700 '" .. directory .. "' '" .. directory .. "/redis.conf'")
      refuses { directory .. "/redis.conf", "Is a directory" }
      assert(lfs.rmdir(directory .. "/redis.conf"))
      assert(open():close())
    end)

    it("in a file", function()
      directory = temporary.file "x"
      refuses { directory }
      directory = temporary.file "x" .. "/below"
      refuses { directory, "Not a directory" }
    end)

    it("in a directory of somebody else", function()
      local _, id = process.run { "id", "-u" }
      if id == "0\n" then
        assert(lfs.mkdir(directory))
        os.execute(("chown 65534 '%s'; chmod 700 '%s'"):format(directory, directory))
      else
        directory = "/"
      end
      refuses { directory, "belongs to another user" }
    end)

    for _, mode in ipairs { "755", "710", "701", "707" } do
      it("in a directory of mode " .. mode .. ", and says what to run", function()
        assert(lfs.mkdir(directory))
        os.execute(("chmod %s '%s'"):format(mode, directory))
        refuses { directory, "chmod 700 " .. directory }
        os.execute(("chmod 700 '%s'"):format(directory))
        assert(open():close())
      end)
    end

    it("in a directory that is not writable", function()
      assert(lfs.mkdir(directory))
      os.execute(("chmod 500 '%s'"):format(directory))
      -- root may write all the same, unless it gives that up.
      local status, words = program.run {
        directory, text = "open()",
        before = { "setpriv", "--bounding-set=-dac_override,-dac_read_search",
          "--inh-caps=-dac_override,-dac_read_search" },
      }
      assert.same({ 3, "failed", "unavailable" }, { status, words[1], words[2] })
      assert.matches("is not writable", words[3], 1, true)
    end)

    it("in a directory that cannot be made", function()
      refuses({ "/proc/nowhere", "cannot be made" }, { data_dir = "/proc/nowhere/state" })
    end)

    it("inside nginx", function()
      local server = nginx.start { server = ([[
        location = / { content_by_lua_block {
          local store, message, code = require "authstate".open { data_dir = %q }
          ngx.print(tostring(store), "\t", code, "\t", message)
        } }
      ]]):format(directory) }
      local _, said = server:get "/"
      server:kill()
      local store, code, message = tostring(said):match "^(%S+)\t(%S+)\t(.*)$"
      assert.same({ "nil", "unsupported" }, { store, code }, said)
      assert.matches('redis = "redis://', message, 1, true)
      assert.is_nil(lfs.attributes(directory))
    end)
  end)

  -- ---- several users ----------------------------------------------------------------

  local USER = [==[
    local store = open()
    report("open")
    for step = 2, #arg do
      await(arg[1] .. ".go" .. arg[step])
      local changes = { t = { [arg[step]] = "1" } }
      local done, message, code = store:session("s").keys:set_json(changes)
      report("wrote" .. arg[step], done, code)
    end
    await(arg[1] .. ".close" .. arg[2])
    report("closed", store:close())
  ]==]

  local function user(name)
    local handle = program.start { directory, name, text = USER }
    program.await(handle, "open")
    return handle
  end

  local function tell(order)
    io.open(directory .. "." .. order, "w"):close()
  end

  local function write(handle, name)
    tell("go" .. name)
    assert.equal("wrote" .. name, program.await(handle, "wrote" .. name)[1])
  end

  local function close(handle, name)
    tell("close" .. name)
    assert.same({ "closed", "true" }, program.await(handle, "closed"))
    assert.equal(0, handle:wait())
    handle:kill()
  end

  for _, order in ipairs { { "a", "b" }, { "b", "a" } } do
    it("is shared by two processes, closed by " .. order[1] .. " first", function()
      local users = { a = user "a", b = user "b" }
      local pid = server_pid()
      write(users.a, "a")
      write(users.b, "b")
      close(users[order[1]], order[1])
      assert.is_true(is_running(pid))
      local third = open()
      assert.equal("a b", stored(third))
      assert(third:close())
      assert.is_true(is_running(pid))
      close(users[order[2]], order[2])
      assert.is_false(is_running(pid))
    end)
  end

  it("is shared by two stores of one process", function()
    local one, two = open(), open()
    local pid = server_pid()
    put(one, "1")
    assert.equal("1", stored(two))
    assert(one:close())
    assert.is_true(is_running(pid))
    put(two, "2")
    assert.equal("1 2", stored(two))
    assert(two:close())
    assert.is_false(is_running(pid))
  end)

  it("is one, however many processes open it at once", function()
    local users = {}
    for i = 1, 6 do
      users[i] = program.start {
        directory, tostring(i), text = [[
          for turn = 1, 8 do
            local store = open()
            local session = store:session "s"
            assert(session:load_or_create(function() return { a = 1 } end))
            assert(session.keys:set_json { t = { [arg[2] .. "." .. turn] = "1" } })
            assert(store:close())
          end
          report "done"
        ]],
      }
    end
    for _, handle in ipairs(users) do
      assert.equal(0, handle:wait(40000), handle:errors() .. handle:output())
      handle:kill()
    end
    local store = open()
    assert.equal(48, store:session("s").keys:count "t")
    assert(store:close())
  end)

  -- ---- crashes ----------------------------------------------------------------------

  it("survives a user that is killed, and the next one finds all it was told", function()
    local handle = program.start {
      directory, text = [[
        local store = open()
        local count = 0
        repeat
          count = count + 1
          assert(store:session("s").keys:set_json { t = { [tostring(count)] = "1" } })
          report("wrote", count)
        until false
      ]],
    }
    program.await(handle, "wrote")
    local pid = server_pid()
    clock.sleep(30)
    handle:kill()
    local told = tonumber(program.words(handle:output())[2])
    assert.is_true(is_running(pid))
    local store = open()
    assert.equal(pid, server_pid())
    for count = 1, told do
      local id = tostring(count)
      assert.same({ [id] = "1" }, store:session("s").keys:get_json("t", { id }))
    end
    assert.is_true(store:session("s").keys:count "t" - told <= 1)
    assert(store:close())
    assert.is_false(is_running(pid))
  end)

  it("survives users that are killed at any time, while they start it too", function()
    local dice, told, rounds = random.new(), 0, 20
    local writer = [[
      local store = open { data_dir = arg[1], append_fsync = "always" }
      local session, count = store:session "s", tonumber(arg[2])
      assert(session:load_or_create(function() return { a = 1 } end))
      repeat
        count = count + 1
        assert(session.keys:set_json { t = { [tostring(count)] = "1" } })
        report("wrote", count)
      until count % 20 == 0
      store:close()
    ]]
    for round = 1, rounds do
      local handle = program.start { directory, tostring(told), text = writer }
      -- A busy machine may need longer than that for each first write.
      if round == rounds and told == 0 then program.await(handle, "wrote") end
      clock.sleep(dice:fraction() * 60)
      local is_up, pid = pcall(server_pid)
      if is_up and dice:chance(0.3) then servers.kill(pid) end
      handle:kill()
      told = tonumber(program.words(handle:output())[2]) or told
    end
    local store = open { append_fsync = "always" }
    local found = store:session("s").keys
    assert.is_true(told > 0)
    for count = 1, told do
      local id = tostring(count)
      assert.same({ [id] = "1" }, found:get_json("t", { id }))
    end
    assert(store:close())
  end)

  it("does not kill a program with SIGPIPE when it is killed", function()
    local handle = program.start {
      directory, text = [[
        local store = open()
        report "open"
        await(arg[1] .. ".go")
        local session = store:session "s"
        for _ = 1, 3 do
          local done, message, code = session.keys:set_json { t = { a = "1" } }
          report("answer", done, code)
        end
        report("closed", store:close())
      ]],
    }
    program.await(handle, "open")
    private_server.kill(directory)
    tell "go"
    assert.equal(0, handle:wait(), handle:errors())
    assert.equal("open\nanswer\t1\tnil\nanswer\t2\tnil\nanswer\t3\tnil\nclosed\ttrue\n",
      handle:output())
  end)

  it("takes a socket file that nobody listens on any more", function()
    local store = open()
    put(store, "1")
    local pid = server_pid()
    assert(store:close())
    assert.is_false(is_running(pid))
    local file = assert(io.open(directory .. "/redis.sock", "w"))
    file:close()
    store = open()
    assert.equal("1", stored(store))
    assert(store:close())
  end)

  it("is not a child of the program that started it, nor in its session", function()
    local handle = program.start {
      directory, text = 'local store = open() report "open" await(arg[1] .. ".go")',
    }
    program.await(handle, "open")
    local pid = server_pid()
    os.execute(("kill -HUP -%d; kill -INT -%d"):format(handle:pid(), handle:pid()))
    assert(handle:wait())
    handle:kill()
    assert.is_true(is_running(pid))
    local store = open()
    assert.equal(pid, server_pid())
    assert(store:close())
  end)

  it("inherits no file of the program that started it", function()
    local store = open()
    local pid = server_pid()
    local fds = {}
    for fd in lfs.dir(("/proc/%d/fd"):format(pid)) do
      local _, target = process.run { "readlink", ("/proc/%d/fd/%s"):format(pid, fd) }
      if target:find "^/" then fds[#fds + 1] = target:match "[^/\n]+\n$" end
    end
    table.sort(fds)
    for _, name in ipairs(fds) do
      assert.truthy(("null server.log server.lock urandom"):find(name:match "^[^\n]+", 1,
        true)
        or name:find "^appendonly", name)
    end
    assert(store:close())
  end)
end)
