-- SPDX-License-Identifier: MIT

-- What the private server finds in its log after a crash: the end is missing, or it is
-- damaged.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local lfs = require "lfs"
local log_files = require "spec.embedded.log_files"
local private_server = require "spec.embedded.private_server"
local process = require "spec.support.process"
local program = require "spec.embedded.program"
local random = require "spec.support.random"
local servers = require "spec.embedded.servers"
local temporary = require "spec.support.temporary"

-- Only for one that hangs: with sanitizers, on a busy machine, they take some minutes.
local WORKERS, WORKER_TIMEOUT_MS = 6, 900000

describe("the log of the private server", function()
  local directory

  before_each(function()
    directory = servers.directory() .. "/state"
  end)

  after_each(function()
    process.stop_all()
    servers.end_all(directory)
  end)

  local function open()
    return assert(authstate.open { data_dir = directory, append_fsync = "always" })
  end

  -- Writes number `n` whole: creds and two types.
  local function put(store, n)
    local value = { n = n }
    assert(store:session("s"):commit {
      creds = value, keys = { session = { a = value }, ["pre-key"] = { ["1"] = value } },
    })
  end

  local function number_of(store)
    local loaded = assert(store:session("s"):load())
    local n = loaded.creds.n
    assert.same({ session = { a = { n = n } }, ["pre-key"] = { ["1"] = { n = n } } },
      loaded.keys)
    return n
  end

  -- Writes 1 to n and closes. The sizes of the log after each write.
  local function write_numbers(n)
    local store, ends = open(), {}
    for i = 1, n do
      put(store, i)
      ends[i] = log_files.size(directory)
    end
    assert(store:close())
    return ends
  end

  -- ---- cut off ------------------------------------------------------------------------

  -- arg: data directory, that of the files, the newest file, first and last length,
  -- then the lengths at which a write is whole
  local CUTTER = [==[
    local log_files = require "spec.embedded.log_files"
    local directory, whole = arg[1], {}
    local files = log_files.snapshot(arg[2])
    local text = files[arg[3]]
    for i = 6, #arg do whole[i - 5] = tonumber(arg[i]) end

    local function look(store, count)
      local loaded, message = store:session("s"):load()
      if message then return message end
      local creds, keys = loaded and loaded.creds, loaded and loaded.keys
      local a = loaded and keys.session and keys.session.a
      local b = loaded and keys["pre-key"] and keys["pre-key"]["1"]
      local found = ("%s %s %s"):format(tostring(creds and creds.n), tostring(a and a.n),
        tostring(b and b.n))
      local expected = ("%d %d %d"):format(count, count, count)
      if found ~= expected then return found .. " instead of " .. expected end
    end

    local function try(length, count)
      files[arg[3]] = text:sub(1, length)
      log_files.restore(directory, files)
      local store, message = authstate.open { data_dir = directory }
      if not store then return message end
      local fault = look(store, count)
      if fault then return fault end
      local session = store:session "after"
      assert(session:commit { creds = { n = length }, keys = { t = { a = "1" } } })
      assert(store:close())
      store, message = authstate.open { data_dir = directory }
      if not store then return "opened again: " .. message end
      fault = look(store, count)
      local after = store:session("after"):load()
      if not after or after.creds.n ~= length or after.keys.t.a ~= "1" then
        fault = "what was written afterwards is not there"
      end
      assert(store:close())
      return fault and "opened again: " .. fault
    end

    local first, last, count = tonumber(arg[4]), tonumber(arg[5]), 0
    for length = first, last do
      while whole[count + 1] and whole[count + 1] <= length do count = count + 1 end
      local fault = try(length, count)
      if fault then report("bad", length, count, fault) os.exit(3) end
    end
    report("tried", last - first + 1)
  ]==]

  -- Has the lengths from `first` to `last` tried by several programs at once.
  local function try_lengths(saved, newest, ends, first, last)
    local workers, share = {}, math.ceil((last - first + 1) / WORKERS)
    for i = 1, WORKERS do
      local from = first + (i - 1) * share
      workers[i] = program.start {
        ("%s%d"):format(directory, i), saved, newest, tostring(from),
        tostring(math.min(from + share - 1, last)), text = CUTTER, unpack(ends),
      }
    end
    local tried, faults = 0, {}
    for i, worker in ipairs(workers) do
      worker:wait(WORKER_TIMEOUT_MS)
      local words = program.words(worker:output())
      if words[1] == "tried" then
        tried = tried + tonumber(words[2])
      else
        faults[#faults + 1] = worker:output() .. worker:errors()
      end
      worker:kill()
      servers.end_all(directory .. i)
    end
    return tried, faults
  end

  -- In one write; in three in `make check`.
  it("may be cut off at any byte: whole writes are there, the cut one is not, for ever",
    function()
      local ends = write_numbers(6)
      local newest = log_files.newest(directory)
      local last = ends[os.getenv "AUTHSTATE_BUILD" == "sanitize" and 6 or 4]
      local tried, faults = try_lengths(directory, newest, ends, ends[3], last)
      assert.same({}, faults)
      assert.equal(last - ends[3] + 1, tried)
    end)

  -- Has the server killed while a child rewrites the log: the log is in two files.
  local function kill_amid_rewrite(write)
    local store = open()
    local child = private_server.rewrite_slowly(directory, 10e6)
    write(store)
    private_server.kill(directory)
    servers.end_process(child)
    assert(store:close())
  end

  it("may be cut off, rewritten, and its server killed amid that", function()
    local ends = write_numbers(3)
    local path = directory .. "/" .. log_files.newest(directory)
    local text = log_files.read(path)
    local cuts = 0
    -- After each command of the last write, and in the middle of it.
    for position in text:sub(ends[2] + 1):gmatch "()\r\n%*" do
      for _, length in ipairs { ends[2] + position + 1, ends[2] + position + 6 } do
        log_files.write(path, text:sub(1, length))
        kill_amid_rewrite(function() end)
        local store = open()
        assert.equal(2, number_of(store))
        assert(store:close())
        servers.end_all(directory)
        os.execute("rm -r '" .. directory .. "'")
        write_numbers(3)
        cuts = cuts + 1
      end
    end
    assert.is_true(cuts >= 8)
  end)

  -- ---- damaged ------------------------------------------------------------------------

  -- Opens and is refused for the damage, and nothing is changed.
  local function refuses(words)
    local before = log_files.snapshot(directory)
    local store, message, code, details =
      authstate.open { data_dir = directory, append_fsync = "always" }
    if store then
      local loaded = store:session("s"):load()
      store:close()
      local n = loaded and loaded.creds and loaded.creds.n
      error("opened, at number " .. tostring(n), 2)
    end
    assert.equal("corrupt", code, message)
    assert.is_false(details.sent)
    for _, word in ipairs(words) do assert.matches(word, message, 1, true) end
    assert.same(before, log_files.snapshot(directory))
    assert.same({}, servers.using(directory))
  end

  -- Damages a file, or removes it, is refused, puts all back, and finds all.
  local function check(name, damage, number)
    local files = log_files.snapshot(directory)
    local path, words = directory .. "/" .. name, { directory, name:match "[^/]*$" }
    local damaged = damage and damage(files[name])
    if damaged then log_files.write(path, damaged) else assert(os.remove(path)) end
    -- What is gone cannot be repaired.
    if damaged and damaged ~= "" then words[3] = "redis-check-aof" end
    refuses(words)
    log_files.restore(directory, files)
    local store = open()
    assert.equal(number, number_of(store))
    assert(store:close())
  end

  local function replace(text, position, bytes)
    return text:sub(1, position - 1) .. bytes .. text:sub(position + #bytes)
  end

  -- The position of a pattern after the middle of a text.
  local function find_late(text, pattern)
    return assert(text:find(pattern, math.floor(#text / 2)))
  end

  local DAMAGES = {
    ["zeros in the middle"] = function(text)
      return replace(text, math.floor(#text / 2), ("\0"):rep(200))
    end,
    ["bytes missing in the middle"] = function(text)
      local position = find_late(text, "%*%d")
      return text:sub(1, position - 8) .. text:sub(position)
    end,
    ["the name of a command"] = function(text)
      return replace(text, find_late(text, "HSET"), "HSXT")
    end,
    ["the number of a command's words"] = function(text)
      return replace(text, find_late(text, "%*4\r\n"), "*X")
    end,
    ["a length made so great that the rest seems to be missing"] = function(text)
      return replace(text, find_late(text, "%$18\r\n"), "$99999999\r\n")
    end,
    ["a length of one more digit's worth"] = function(text)
      return replace(text, find_late(text, "%$18\r\n"), "$98")
    end,
    ["one write made to begin no more"] = function(text)
      return replace(text, find_late(text, "MULTI\r\n"), "XULTI")
    end,
  }

  for name, damage in pairs(DAMAGES) do
    it("is `corrupt` with damage to " .. name, function()
      write_numbers(20)
      check(log_files.newest(directory), damage, 20)
    end)
  end

  it("is `corrupt` with random bytes anywhere but at its end", function()
    local dice = random.new()
    local ends = write_numbers(20)
    local newest = log_files.newest(directory)
    for _ = 1, 10 do
      check(newest, function(text)
        -- 100 bytes hold the beginning of a command at least.
        return replace(text, dice:integer(1, ends[18]), dice:bytes(100))
      end, 20)
    end
  end)

  it("is `corrupt` without its manifest, or with a damaged one", function()
    write_numbers(3)
    local name = "appendonlydir/appendonly.aof.manifest"
    check(name, nil, 3)
    check(name, function() return "" end, 3)
    check(name, function() return "no manifest\n" end, 3)
    check(name, function(text) return text:sub(1, -10) end, 3)
  end)

  -- The path of the file that the log begins with.
  local function base_name()
    for name in lfs.dir(directory .. "/appendonlydir") do
      if name:find "%.base%." then return "appendonlydir/" .. name end
    end
  end

  it("is `corrupt` without a file that the manifest names, or with a damaged base",
    function()
      write_numbers(3)
      local store = open()
      assert(private_server.ask(directory, "BGREWRITEAOF"))
      assert(clock.wait_for(function()
        return private_server.info(directory, "aof_rewrite_in_progress") == "0"
      end))
      put(store, 4)
      assert(store:close())
      check(log_files.newest(directory), nil, 4)
      check(base_name(), nil, 4)
      check(base_name(), function() return "" end, 4)
      check(base_name(), function(text) return replace(text, 1, "X") end, 4)
      check(base_name(), function(text) return text:sub(1, -5) end, 4)
    end)

  it("is `corrupt` when another file than the last is cut off", function()
    write_numbers(3)
    local first = log_files.newest(directory)
    kill_amid_rewrite(function(store) put(store, 4) end)
    assert.not_equal(first, log_files.newest(directory))
    check(first, function(text) return text:sub(1, -20) end, 4)
    -- After a whole command, but amid a write.
    check(first, function(text)
      return text:sub(1, text:match "^.*()%*1\r\n%$4\r\nEXEC" - 1)
    end, 4)
  end)

  it("is repaired in a copy by what the message says", function()
    write_numbers(20)
    local path = directory .. "/" .. log_files.newest(directory)
    local text = log_files.read(path)
    log_files.write(path, DAMAGES["the number of a command's words"](text))
    local _, message = authstate.open { data_dir = directory }
    local command = message:match "(redis%-check%-aof .*)$"
    assert.is_string(command, message)
    local copy = temporary.directory() .. "/state"
    os.execute(("cp -a '%s' '%s'"):format(directory, copy))
    command = command:gsub(directory:gsub("%p", "%%%0"), (copy:gsub("%%", "%%%%")))
    local status, out, err = process.run { "sh", "-c", "yes | " .. command }
    assert.equal(0, status, out .. err)
    local store = assert(authstate.open { data_dir = copy })
    local n = number_of(store)
    assert.is_true(n >= 5 and n < 20, n)
    assert(store:close())
  end)
end)
