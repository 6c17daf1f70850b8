-- SPDX-License-Identifier: MIT

-- Servers that refuse, are of the wrong kind or in the wrong state; data directories that
-- cannot be one; outputs that cannot be written: every command fails with its status and
-- one sentence, and changes nothing.

local calls = require "spec.command.calls"
local clock = require "spec.support.clock"
local lfs = require "lfs"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local FAILED, USAGE = 1, 2
local DEBUG = { ["enable-debug-command"] = "yes" }

local function is_root()
  local _, uid = process.run { "id", "-u" }
  return uid == "0\n"
end

local function shell(line)
  local status, out, err = process.run { "sh", "-c", line }
  assert(status == 0, err)
  return out
end

describe("a call to a bad place", function()
  local directory, home

  before_each(function()
    directory, home = temporary.directory(), temporary.directory()
    calls.write_files(directory)
  end)

  local function run(call, ...)
    local words = calls.with(calls.words(call, directory), ...)
    words.cwd, words.env = home, { HOME = home, TMPDIR = home }
    return tool.run(words)
  end

  -- Nothing was made at home, where it was called, or beside its files.
  local function check_no_file(listing)
    assert.equal("", calls.listing(home))
    assert.equal(listing, calls.listing(directory))
  end

  -- Each call that has to do with a server, and that `wanted` accepts.
  local function each_call(wanted)
    local list = {}
    for _, call in ipairs(calls.stores) do
      if not call.has_own_server and (not wanted or wanted(call)) then
        list[#list + 1] = call
      end
    end
    return ipairs(list)
  end

  local function writes(call)
    return call.writes
  end

  -- Gives the server the session that the calls are about.
  local function fill(server)
    tool.succeed { "import", "--redis", server.url, "--session", "s",
      directory .. "/good.json" }
  end

  -- Checks that a call fails at a URL with these words, and changes nothing there. A
  -- server is looked at by `digest`, if it can be.
  local function check_refusal(call, url, words, digest)
    local before, listing = digest and digest(), calls.listing(directory)
    local outcome = run(call, "--redis", url)
    tool.check_failure(outcome, FAILED, words)
    assert.falsy(outcome.err:find("hush", 1, true), outcome.err)
    assert.equal(before, digest and digest())
    check_no_file(listing)
  end

  local function digest_of(server)
    return function()
      return assert(server:command("DEBUG", "DIGEST"))
    end
  end

  -- ---- nobody there, or somebody else ---------------------------------------------

  describe("where nobody is:", function()
    for _, call in each_call() do
      it(calls.name(call), function()
        check_refusal(call, "redis://127.0.0.1:1",
          { "redis://127.0.0.1:1: Connection refused" })
        check_refusal(call, "unix:///nowhere/redis.sock",
          { "unix:///nowhere/redis.sock: No such file or directory" })
        check_refusal(call, "unix://" .. directory .. "/good.json",
          { "/good.json: Connection refused" })
        check_refusal(call, "redis://no.such.host.invalid",
          { "redis://no.such.host.invalid:6379: " })
      end)
    end
  end)

  describe("where something else than a Redis 7 is:", function()
    local peers, urls

    -- Peers that say one thing whatever they are asked, and what is said of them.
    local PEERS = {
      old = { "6.2.14", { "6.2.14", "7.0" } },
      web = { "=HTTP/1.1 400 Bad Request\\r\\n", { "web.sock: " } },
      closed = { "=", { "closed.sock: " } },
      foreign = { "!-ERR unknown command", { "unknown command" } },
    }

    setup(function()
      peers, urls = {}, {}
      local place = temporary.directory()
      for name, peer in pairs(PEERS) do
        local path = ("%s/%s.sock"):format(place, name)
        peers[#peers + 1] = process.start {
          os.getenv "LUAJIT" or "luajit", "spec/command/peer_program.lua", path, peer[1],
          env = { LD_PRELOAD = false },
        }
        assert(clock.wait_for(function()
          return lfs.attributes(path, "mode") == "socket"
        end), peers[#peers]:errors())
        urls[name] = "unix://" .. path
      end
    end)

    teardown(function()
      for _, peer in ipairs(peers) do peer:kill() end
    end)

    for name, peer in pairs(PEERS) do
      for _, call in each_call() do
        it(("%s, %s"):format(name, calls.name(call)), function()
          check_refusal(call, urls[name], peer[2])
        end)
      end
    end
  end)

  -- ---- a server that refuses this user ----------------------------------------------

  describe("that does not let this user in:", function()
    local server

    setup(function()
      server = redis_server.start {
        password = "right", tcp = true,
        config = {
          ["enable-debug-command"] = "yes",
          user = {
            "nobody on >hush ~* -@all",
            "elsewhere on >hush ~other:* +@all",
            "reader on >hush ~* +@read +@connection +@transaction +info +time "
              .. "+script|load",
            "off off >hush ~* +@all",
          },
        },
      }
    end)

    teardown(function()
      server:stop()
    end)

    local function url(user)
      return ("redis://%s127.0.0.1:%d"):format(user, server.port)
    end

    for _, call in each_call() do
      it(calls.name(call), function()
        tool.succeed { "import", "--replace", "--redis", url ":right@", "--session", "s",
          directory .. "/good.json" }
        local at = "redis://127.0.0.1:" .. server.port .. ": "
        local digest = digest_of(server)
        for _, user in ipairs { "", ":hush@", "default:hush@", "stranger:hush@",
          "off:hush@", "nobody:hushed@" } do
          check_refusal(call, url(user), { at }, digest)
        end
        check_refusal(call, url "nobody:hush@", { "no permissions" }, digest)
        check_refusal(call, url "elsewhere:hush@", { "no permissions", "keys" }, digest)
        if call.writes then
          check_refusal(call, url "reader:hush@", { "no permissions" }, digest)
        else
          assert.equal(0, run(call, "--redis", url "reader:hush@").status)
        end
      end)
    end
  end)

  -- ---- a server in a state ----------------------------------------------------------

  describe("that is a replica", function()
    local master, replica

    setup(function()
      master = redis_server.start { tcp = true, config = DEBUG }
      replica = redis_server.start { config = {
        ["enable-debug-command"] = "yes", replicaof = "127.0.0.1 " .. master.port,
      } }
    end)

    teardown(function()
      replica:stop()
      master:stop()
    end)

    before_each(function()
      master:command("FLUSHALL")
      fill(master)
      assert.equal(1, master:command("WAIT", 1, 10000))
    end)

    for _, call in each_call(writes) do
      it("is told so by " .. calls.name(call), function()
        check_refusal(call, replica.url, { "read only replica" }, digest_of(replica))
      end)
    end

    for _, call in each_call(function(call) return not call.writes end) do
      it("is enough for " .. calls.name(call), function()
        assert.equal(0, run(call, "--redis", replica.url).status)
      end)
    end
  end)

  describe("whose memory is full", function()
    local server

    setup(function()
      server = redis_server.start { config = DEBUG }
    end)

    teardown(function()
      server:stop()
    end)

    before_each(function()
      server:command("CONFIG", "SET", "maxmemory", "0")
      server:command("FLUSHALL")
      fill(server)
      server:command("CONFIG", "SET", "maxmemory", "1")
    end)

    local function is_refused(call)
      return call.is_transaction or call.writes and call[1] ~= "delete"
    end

    for _, call in each_call(is_refused) do
      it("is told so by " .. calls.name(call), function()
        check_refusal(call, server.url, { "maxmemory" }, digest_of(server))
      end)
    end

    for _, call in each_call(function(call) return not is_refused(call) end) do
      it("is enough for " .. calls.name(call), function()
        assert.equal(0, run(call, "--redis", server.url).status)
      end)
    end
  end)

  describe("that cannot save what it has", function()
    local server

    setup(function()
      server = redis_server.start { config = {
        ["enable-debug-command"] = "yes", save = "3600 1", dbfilename = "taken",
      } }
      fill(server)
      -- A directory where the file should go.
      assert(lfs.mkdir(server.directory .. "/taken"))
      server:command "BGSAVE"
      assert(clock.wait_for(function()
        return server:command("INFO", "persistence"):find "rdb_last_bgsave_status:err"
      end))
    end)

    teardown(function()
      server:kill()
    end)

    for _, call in each_call(writes) do
      it("is told so by " .. calls.name(call), function()
        check_refusal(call, server.url, { "MISCONF" }, digest_of(server))
      end)
    end
  end)

  -- Whoever has not given a shorter time waits until the server has its data.
  describe("that is loading its data", function()
    local server, reloading

    before_each(function()
      server = redis_server.start { config = {
        ["enable-debug-command"] = "yes", rdbcompression = "no",
        ["loading-process-events-interval-bytes"] = 1024,
      } }
      fill(server)
      -- 100 ms each: longer than anybody waits.
      assert(server:command("DEBUG", "POPULATE", 9000, "key", 2048))
      server:command("CONFIG", "SET", "key-load-delay", "100000")
      reloading = server:connect()
      reloading:send { { "DEBUG", "RELOAD" } }
      assert(clock.wait_for(function()
        local _, message = server:command "PING"
        return message and message:find "^LOADING"
      end))
    end)

    after_each(function()
      reloading:close()
      server:kill()
    end)

    -- Starts each call beside the others; gives their processes by their names.
    local function start_each(wanted)
      local started = {}
      for _, call in each_call(wanted) do
        local words = calls.with(calls.words(call, directory), "--redis", server.url)
        words.cwd, words.env = home, { HOME = home, TMPDIR = home }
        started[calls.name(call)] = tool.start(words)
      end
      assert.is_truthy(next(started))
      return started
    end

    it("is told so, after the five seconds that calls have", function()
      local listing = calls.listing(directory)
      for _, started in pairs(start_each(function(call)
        return call[1] == "run" or call[1] == "get"
      end)) do
        started:wait(60000)
        tool.check_failure({
          status = started:status(), out = started:output(), err = started:errors(),
        }, FAILED, { "loading" })
      end
      check_no_file(listing)
    end)

    it("is served when that has ended, if it can wait so long", function()
      local started = start_each(function(call)
        return not call.writes and call[1] ~= "run" and call[1] ~= "get"
      end)
      clock.sleep(300)
      server:command("CONFIG", "SET", "key-load-delay", "0")
      for name, each in pairs(started) do
        each:wait(60000)
        assert.same({ 0, "" }, { each:status(), each:errors() }, name)
      end
    end)
  end)

  -- ---- data directories -------------------------------------------------------------

  describe("that cannot be a data directory:", function()
    local root_test = is_root() and it or pending

    -- `place` is what is given; nothing may be made in `around`.
    local function check_directories(place, around, words)
      for _, call in ipairs(calls.stores) do
        local before, listing = calls.listing(around), calls.listing(directory)
        local outcome = run(call, "--data-dir", place)
        tool.check_failure(outcome, FAILED, words)
        assert.equal(before, calls.listing(around), calls.name(call))
        check_no_file(listing)
      end
    end

    it("a file", function()
      local path = temporary.file "x"
      local around = path:match "^(.*)/"
      check_directories(path, around, { path, "not a directory" })
      check_directories(path .. "/below", around, { path .. "/below", "Not a directory" })
    end)

    it("one that others may look into", function()
      local around = temporary.directory()
      for _, mode in ipairs { "755", "710", "701", "777" } do
        local place = around .. "/" .. mode
        shell(("mkdir %s && chmod %s %s"):format(place, mode, place))
        check_directories(place, around, { place, "lets other users in", "chmod 700" })
      end
    end)

    root_test("one of another user", function()
      local around = temporary.directory()
      shell(("mkdir -m 700 %s/x && chown nobody %s/x"):format(around, around))
      check_directories(around .. "/x", around, { "another user" })
    end)

    root_test("one on a disk that is read-only", function()
      local around = temporary.directory()
      local status = process.run { "mount", "-t", "tmpfs", "-o", "mode=700", "x", around }
      if status ~= 0 then return pending "may not mount" end
      shell(("mkdir -m 700 %s/x && mount -o remount,ro %s"):format(around, around))
      local is_right, message = pcall(function()
        check_directories(around .. "/x", around, { around .. "/x", "not writable" })
        check_directories(around .. "/new", around,
          { around .. "/new", "Read-only file system" })
      end)
      shell("umount " .. around)
      assert(is_right, message)
    end)

    it("none, where there is no home either", function()
      for _, call in ipairs(calls.stores) do
        local words = calls.words(call, directory)
        words.cwd, words.env = home, { HOME = false, XDG_STATE_HOME = false }
        if not call.has_own_server then
          local listing = calls.listing(directory)
          tool.check_failure(tool.run(words), FAILED, { "HOME", "data_dir" })
          check_no_file(listing)
        end
      end
    end)

    it("any, where there is no redis-server", function()
      local bin, place = temporary.directory(), temporary.directory() .. "/state"
      for _, program in ipairs { "luajit", "sh", "dirname", "readlink", "env" } do
        shell(("ln -s \"$(command -v %s)\" %s/%s"):format(program, bin, program))
      end
      for _, call in ipairs(calls.stores) do
        local words = calls.with(calls.words(call, directory), "--data-dir", place)
        words.cwd, words.env = home, { HOME = home, PATH = bin }
        local listing = calls.listing(directory)
        tool.check_failure(tool.run(words), FAILED, { "redis-server cannot be started",
          "apt-get install redis-server" })
        check_no_file(listing)
      end
    end)
  end)

  -- ---- outputs ----------------------------------------------------------------------

  describe("that cannot be written:", function()
    local server

    setup(function()
      server = redis_server.start { config = DEBUG }
    end)

    teardown(function()
      server:stop()
    end)

    before_each(function()
      server:command("FLUSHALL")
      fill(server)
    end)

    local PLACES = {
      { "a full disk", 'exec "$@" >/dev/full', "No space left on device" },
      { "a closed output", 'exec "$@" >&-', "Bad file descriptor" },
      { "closed streams all together", 'exec "$@" <&- >&-', "Bad file descriptor" },
      { "a pipe that nobody reads",
        '{ "$@"; echo $? >&3; } 3>STATUS | exec true; exit $(cat STATUS)',
        "Broken pipe" },
    }

    local function run_into(place, words)
      local status_path = temporary.directory() .. "/status"
      words.cwd, words.env = home, { HOME = home }
      local line = place[2]:gsub("STATUS", status_path)
      return tool.run_in_shell("trap '' PIPE; " .. line, words)
    end

    local function check(place, words)
      tool.check_failure(run_into(place, words), FAILED,
        { "standard output: " .. place[3] })
      assert.equal("", calls.listing(home))
    end

    for _, place in ipairs(PLACES) do
      for _, call in each_call() do
        it(("%s, %s"):format(place[1], calls.name(call)), function()
          local words = calls.words(call, directory)
          check(place, calls.with(words, "--redis", server.url))
          -- What was to be done is done, but for the printing.
          if call[1] == "delete" then fill(server) end
          if call[1] == "import" then
            server:command("DEL", "authstate:{new}:meta", "authstate:{new}:creds",
              "authstate:{new}:k:pre-key")
          end
          if call.prints_path then shell("rm -r " .. directory .. "/made") end
          check(place, calls.with(words, "--redis", server.url, "--json"))
        end)
      end

      it(place[1] .. ", what needs no server", function()
        for _, words in ipairs { { "--help" }, { "--version" }, { "help" } } do
          check(place, words)
        end
        for _, call in ipairs(calls.list) do check(place, { call[1], "--help" }) end
      end)
    end

    -- What is opened next would have taken the number of a closed output: the socket.
    it("sends nothing of what it says to the server when its outputs are closed",
    function()
      -- So much that it is written before the socket is closed.
      local large = ('{"creds":{"a":"%s"},"keys":{"pre-key":{"1":{"b":2}}}}')
        :format(("x"):rep(300000))
      tool.succeed { "import", "--replace", temporary.file(large), "--session", "s",
        "--redis", server.url }
      local digest = digest_of(server)
      local function errors()
        return server:command("INFO", "errorstats")
      end
      for _, streams in ipairs { ">&-", "<&- >&-", "<&- >&- 2>&-", ">&- 2>&-" } do
        for _, call in each_call(function(call) return not call.writes end) do
          local before, errors_before = digest(), errors()
          local outcome = run_into({ nil, 'exec "$@" ' .. streams },
            calls.with(calls.words(call, directory), "--redis", server.url))
          assert.same({ FAILED, "" }, { outcome.status, outcome.out })
          local is_told = not streams:find("2>", 1, true)
          assert.equal(is_told and ("authstate%s: standard output: Bad file descriptor\n")
            :format(outcome.err:match "^authstate( ?%l*)") or "", outcome.err)
          assert.equal(before, digest())
          assert.equal(errors_before, errors())
          if call.prints_path then shell("rm -r " .. directory .. "/made") end
        end
      end
    end)

    it("says its failure with the status when it cannot say it in words", function()
      local outcome = tool.run_in_shell('exec "$@" 2>&-', { "export", "--session",
        "nobody", "--redis", server.url })
      assert.same({ FAILED, "" }, { outcome.status, outcome.out })
      outcome = tool.run_in_shell('exec "$@" 2>&-', { "export" })
      assert.same({ USAGE, "" }, { outcome.status, outcome.out })
    end)
  end)
end)
