-- SPDX-License-Identifier: MIT

-- The demo, as a stranger runs it first.

local cjson = require "cjson"
local clock = require "spec.support.clock"
local fixture = require "spec.support.fixture"
local lfs = require "lfs"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local resp_client = require "spec.support.resp_client"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

-- What a line of the table holds behind its name.
local VALUES = {
  number = "%s+%d+", numbers = "%s+%d+%s+%d+", times = "%s+%d+ us%s+%d+ us",
  size = "%s+%d+%.%d [KM]iB", words = "[%a ]+",
}

-- The lines of the table, in order.
local TABLE = {
  { "one session, call by call", "words" }, { "calls", "numbers" }, { "p50", "times" },
  { "p99", "times" }, { "round trips", "number" }, { "bytes to the server", "size" },
  { "bytes from the server", "size" }, { "the session as JSON", "size" },
  { "the session as stored", "size" }, { "" },
  { "32 sessions at once", "words" }, { "in all", "number" },
  { "open when the server died", "number" }, { "  acknowledged later", "number" },
  { "open when the writer died", "number" }, { "  found in effect", "number" },
  { "  found without effect", "number" }, { "  found in part", "number" }, { "" },
  { "records checked", "number" }, { "lost: %d+" }, { "doubled: %d+" },
}

local function table_pattern()
  local lines = {}
  for i, row in ipairs(TABLE) do lines[i] = row[1] .. (VALUES[row[2]] or "") end
  return "\n\n" .. table.concat(lines, "\n") .. "\n$"
end

-- The number that stands behind a name in the table.
local function figure(outcome, name)
  return tonumber(outcome.out:match("\n *" .. name .. ":? +(%d+)\n")
    or outcome.out:match("\n" .. name .. ": (%d+)\n"))
end

-- Whether a process was started with this directory in its command line.
local function is_used(directory)
  for entry in lfs.dir "/proc" do
    local file = entry:find "^%d+$" and io.open("/proc/" .. entry .. "/cmdline", "rb")
    if file then
      local words = file:read "*a" or ""
      file:close()
      if words:find(directory, 1, true) then return true end
    end
  end
  return false
end

local function directory_of(said)
  return assert(said:match "private redis%-server in (/[^\r\n]+)", said)
end

local function is_nothing_left(directory)
  return lfs.attributes(directory) == nil and not is_used(directory)
end

local function has_script()
  local status, out = process.run { "script", "--version" }
  return status == 0 and out:find("util-linux", 1, true) ~= nil
end

describe("the demo", function()
  describe("without a fault", function()
    local outcome

    setup(function()
      outcome = tool.run { "demo" }
    end)

    it("ends with a table and the count of what was lost: nothing", function()
      assert.equal("", outcome.err)
      assert.equal(0, outcome.status)
      assert.match(table_pattern(), outcome.out)
      assert.match("\nlost: 0\ndoubled: 0\n$", outcome.out)
    end)

    it("kills the server amid writes, which are acknowledged later", function()
      local open = figure(outcome, "open when the server died")
      assert.is_true(open >= 20)
      assert.equal(open, figure(outcome, "acknowledged later"))
      assert.match("\nkilled   redis%-server, process %d+, amid " .. open .. " writes: "
        .. open .. " acknowledged later, back in %d+ ms\n", outcome.out)
    end)

    it("kills the writer amid unacknowledged writes, and finds each whole or not",
      function()
        local open = figure(outcome, "open when the writer died")
        assert.is_true(open >= 20)
        assert.equal(open,
          figure(outcome, "found in effect") + figure(outcome, "found without effect"))
        assert.equal(0, figure(outcome, "found in part"))
        assert.match("\nkilled   the writer, process %d+, amid " .. open .. " writes: "
          .. "%d+ took effect, %d+ did not, 0 in part\n", outcome.out)
      end)

    it("checks every record of every session that was written to", function()
      assert.is_true(figure(outcome, "records checked") > 33 * 400)
      assert.equal(4800, figure(outcome, "in all"))
    end)

    it("says that what it imported and exported is exact", function()
      assert.match("\nload     every record as imported: yes\n", outcome.out)
      assert.match("\nexport   byte for byte as the model: yes\n", outcome.out)
    end)

    it("makes at least a thousand calls", function()
      local reads, writes = outcome.out:match "\ncalls%s+(%d+)%s+(%d+)\n"
      assert.is_true(tonumber(reads) >= 1000 and tonumber(writes) >= 1000)
    end)

    it("prints plain lines where there is no terminal", function()
      assert.falsy(outcome.out:find "[^\n -~]")
      assert.match("\nimport   478 of 478\n", outcome.out)
      assert.match("\nreplay   4850 of 4850\n", outcome.out)
      assert.match("\nsessions 32 of 32\n", outcome.out)
      assert.match("\nburst    4800 of 4800\n", outcome.out)
      assert.match("\ncheck    32 of 32\n", outcome.out)
    end)

    it("leaves no process and no directory behind", function()
      assert.is_true(is_nothing_left(directory_of(outcome.out)))
    end)
  end)

  it("finds the one write that a fault withholds", function()
    local outcome = tool.run { "demo", "--fault", "drop" }
    assert.equal("", outcome.err)
    assert.equal(1, outcome.status)
    assert.match(table_pattern(), outcome.out)
    assert.match("\nlost: 1\ndoubled: 0\n$", outcome.out)
    assert.match("\nexport   byte for byte as the model: NO\n", outcome.out)
    assert.is_true(is_nothing_left(directory_of(outcome.out)))
  end)

  it("finds the one write that a fault repeats", function()
    local outcome = tool.run { "demo", "--fault", "repeat" }
    assert.equal("", outcome.err)
    assert.equal(1, outcome.status)
    assert.match("\nlost: 0\ndoubled: 1\n$", outcome.out)
    assert.is_true(is_nothing_left(directory_of(outcome.out)))
  end)

  it("tells programs the same", function()
    local directory = temporary.directory() .. "/state"
    local figures = cjson.decode(tool.succeed { "demo", "--json", "--data-dir",
      directory })
    assert.same({ 0, 0 }, { figures.lost, figures.doubled })
    assert.equal(479, figures.records - figures.burst.records)
    assert.equal(4850, figures.calls)
    local burst = figures.burst
    assert.same({ 32, 4800 }, { burst.sessions, burst.writes })
    assert.is_true(burst.server_kill.unacknowledged >= 20)
    assert.equal(burst.server_kill.unacknowledged, burst.server_kill.acknowledged_later)
    assert.is_true(burst.server_kill.back_ms > 0)
    local writer = burst.writer_kill
    assert.is_true(writer.unacknowledged >= 20)
    assert.equal(writer.unacknowledged, writer.took_effect + writer.did_not)
    assert.equal(0, writer.in_part)
    assert.is_true(figures.import_exact and figures.export_exact)
    assert.is_true(figures.write_p99_us >= figures.write_p50_us)
    -- A directory that was given is kept, and not demonstrated in twice.
    assert.equal("rwx------", lfs.attributes(directory, "permissions"))
    assert.is_false(is_used(directory))
    local listed = tool.succeed { "sessions", "--data-dir", directory }
    assert.equal(33, select(2, listed:gsub("\n", "\n")))
    assert.match("\ndemo\n$", listed)
    local again = tool.run { "demo", "--json", "--data-dir", directory }
    tool.check_failure(again, 1, { "has a session demo already" })
    assert.is_false(is_used(directory))
  end)

  for _, case in ipairs {
    { fault = "", status = 0, lost = 0 },
    { fault = "drop", status = 2, lost = 1 },
  } do
    it("is what make runs, FAULT=" .. case.fault, function()
      local status, out, err = process.run {
        "make", "demo", "FAULT=" .. case.fault,
          os.getenv "AUTHSTATE_BUILD" == "sanitize" and
        "SANITIZE=1" or nil, env = { MAKEFLAGS = false, MAKELEVEL = false,
          HOME = "/nowhere" },
      }
      assert.equal(case.status, status, err)
      assert.match("\nlost: " .. case.lost .. "\ndoubled: 0\n", out)
      assert.is_true(is_nothing_left(directory_of(out)))
    end)
  end

  describe("on a terminal", function()
    local test = has_script() and it or pending

    local function run_on_terminal(line)
      local status, out = process.run {
        "script", "-qec", line:gsub("PROGRAM", process.quote(tool.PROGRAM)), "/dev/null",
      }
      return status, out
    end

    test("draws how far it is in one line", function()
      local status, out = run_on_terminal "PROGRAM demo"
      assert.equal(0, status)
      assert.match("\rimport   %[#*%.*%] %d+ of 478\r", out)
      assert.match("\rreplay   %[#+%.+%] %d+ of 4850\r", out)
      assert.match("\rreplay   %[##############################%] 4850 of 4850\r\n", out)
      assert.match("\rburst    %[#+%.+%] %d+ of 4800\r", out)
      assert.match("\nlost: 0\r\ndoubled: 0\r\n$", out)
      assert.is_true(is_nothing_left(directory_of(out)))
    end)

    test("draws nothing when the output goes elsewhere, as import shows", function()
      local server = redis_server.start()
      local import = ("PROGRAM import %s --replace --session s --redis %s "):format(
        fixture.path "large.json.gz", server.url)
      local _, drawn = run_on_terminal(import)
      assert.truthy(drawn:find("[#", 1, true))
      local path = temporary.directory() .. "/elsewhere"
      for _, rest in ipairs { ">" .. path, "2>" .. path, "--json" } do
        local status, out = run_on_terminal(import .. rest)
        assert.equal(0, status)
        assert.falsy(out:find("[#", 1, true), out)
        local file = io.open(path)
        assert.falsy(file and file:read("*a"):find "[\r#]")
      end
      server:stop()
    end)
  end)

  -- Starts one and waits until a session has seen so many writes.
  local function start(directory, session, version)
    local demo = tool.start { "demo", "--data-dir", directory }
    assert(clock.wait_for(function()
      local client = resp_client.connect { socket = directory .. "/redis.sock" }
      local key = ("authstate:{%s}:meta"):format(session)
      local is_fine, found = pcall(function()
        return client and client:command("HGET", key, "ver")
      end)
      if client then client:close() end
      return (is_fine and tonumber(found or 0) or 0) > version
    end, 60000))
    return demo
  end

  for _, case in ipairs { { "replaying", "demo", 10 }, { "writing", "burst-1", 2 } } do
    it("cleans up when it is interrupted while " .. case[1], function()
      local directory = temporary.directory() .. "/state"
      local demo = start(directory, case[2], case[3])
      demo:signal "INT"
      local status = demo:wait()
      demo:kill() -- its guard names the directory too
      assert.equal(1, status)
      assert.equal("authstate demo: interrupted\n", demo:errors())
      assert.is_false(is_used(directory))
    end)

    for _, signal in ipairs { "TERM", "KILL" } do
      it(("leaves no process behind when it is ended by %s while %s"):format(signal,
        case[1]), function()
        local directory = temporary.directory() .. "/state"
        local demo = start(directory, case[2], case[3])
        demo:signal(signal)
        assert.is_true(demo:wait() > 128)
        -- What is started by the demo is killed with it when the guard of the spec is
        -- told to, so the demo's own must be done before.
        assert(clock.wait_for(function()
          return lfs.attributes(directory .. "/redis.sock") == nil
        end))
        demo:kill()
        assert(clock.wait_for(function() return not is_used(directory) end))
      end)
    end
  end

  it("leaves no directory behind when its server does not start", function()
    local bin = temporary.directory()
    local file = assert(io.open(bin .. "/redis-server", "w"))
    file:write "#!/bin/sh\nexit 1\n"
    file:close()
    assert.equal(0, os.execute("chmod +x " .. bin .. "/redis-server"))
    local outcome = tool.run {
      "demo", env = { PATH = bin .. ":" .. os.getenv "PATH" },
    }
    assert.equal(1, outcome.status)
    assert.match("ended at once", outcome.err)
    local directory = assert(outcome.err:match "private redis%-server in (/[^ ]+)")
    assert.is_true(is_nothing_left(directory))
  end)
end)
