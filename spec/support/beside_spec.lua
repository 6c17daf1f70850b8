-- SPDX-License-Identifier: MIT

-- How `make test` runs the specs in two processes, and which it says took longest.

local clock = require "spec.support.clock"
local process = require "spec.support.process"
local temporary = require "spec.support.temporary"

-- Not those of the run that this spec is in.
local OF_ITS_OWN = { SPEC_SHARE = false, SPEC_REPORT = false, SLOWEST = false }

-- Ways a spec may end the process it runs in.
local ENDINGS = { "os.exit(0)", "os.exit(3)", "os.execute 'kill -9 $PPID'" }

-- The files, in a directory, in the order of their texts.
local function write_files(texts)
  local directory = temporary.directory()
  for number, text in ipairs(texts) do
    local file = assert(io.open(("%s/%d_spec.lua"):format(directory, number), "w"))
    assert(file:write(text))
    file:close()
  end
  return directory
end

-- As `make test` does.
local function command_for(directory)
  return {
    "spec/support/beside.sh", "2", arg[0], "--lua=" .. arg[-1], directory,
    env = OF_ITS_OWN, timeout_ms = 60000,
  }
end

-- @return the last line, the exit status, all that was printed
local function run_beside(texts)
  local code, output = process.run(command_for(write_files(texts)))
  return output:match "([^\n]*)\n$", code, output
end

-- The text of a spec that appends a line to a file.
local function note(path, line)
  return ([[do local file = io.open(%q, "a") file:write(%q, "\n") file:close() end]])
    :format(path, line)
end

local function lines_of(path)
  local lines = {}
  local file = io.open(path)
  if not file then return lines end
  for line in file:lines() do lines[#lines + 1] = line end
  file:close()
  table.sort(lines)
  return lines
end

describe("specs that are run side by side", function()
  it("run once each, some in one process and some in the other", function()
    local notes, texts, names = temporary.file "", {}, {}
    for number = 1, 6 do
      names[number] = "file " .. number
      -- The first two wait for each other.
      texts[number] = [[it("runs", function()
        local clock = require "spec.support.clock"
        ]] .. note(notes, names[number]) .. (number > 2 and "" or ([[
        assert(clock.wait_for(function()
          local count = 0
          for _ in io.lines(%q) do count = count + 1 end
          return count >= 2
        end))]]):format(notes)) .. " end)"
    end
    local line, code = run_beside(texts)
    assert.same(names, lines_of(notes))
    assert.equal("6 passed, 0 failed", line)
    assert.equal(0, code)
  end)

  it("are counted together, whichever of them fail", function()
    local texts = {}
    for number = 1, 4 do
      texts[number] = ([[
        it("passes", function() end)
        it("fails as number %d", function() error "no" end)
        local skip = pending skip "is skipped"
      ]]):format(number)
    end
    local line, code, output = run_beside(texts)
    assert.equal("4 passed, 4 failed, 4 skipped", line)
    assert.equal(1, code)
    for number = 1, 4 do assert.match("fails as number " .. number, output) end
  end)

  it("say it when one of them ends its process, with or without a status", function()
    for _, ending in ipairs(ENDINGS) do
      local line, code, output = run_beside {
        ([[it("ends all", function() %s end)]]):format(ending),
        [[it("passes", function() end)]],
      }
      assert.match("^%d passed, 1 failed$", line)
      assert.equal(1, code)
      assert.match("ended with status %d+; its last file is [^\n]*/1_spec.lua", output)
    end
  end)

  it("say it when the count does not explain the status of a process", function()
    local line, code = run_beside {
      [[local skip = pending skip "is skipped"
      require("busted").subscribe({ "exit" }, function() os.exit(3) end)]],
    }
    assert.equal("0 passed, 1 failed, 1 skipped", line)
    assert.equal(1, code)
  end)

  for _, signal in ipairs { "INT", "TERM" } do
    it("leave nothing running when they get " .. signal, function()
      local pids = temporary.file ""
      local endless = [[it("is endless", function()
        local redis_server = require "spec.support.redis_server"
        local pid = redis_server.start().process:pid()
        ]] .. note(pids, "%d"):gsub('"%%d"', "pid") .. [[
        require("spec.support.clock").sleep(1e7)
      end)]]
      local running = process.start(command_for(write_files { endless, endless }))
      finally(function()
        for _, pid in ipairs(lines_of(pids)) do
          os.execute("kill -9 2>/dev/null " .. pid)
        end
      end)
      assert(clock.wait_for(function() return #lines_of(pids) == 2 end))
      running:signal(signal)
      assert(running:wait())
      for _, pid in ipairs(lines_of(pids)) do
        assert(clock.wait_for(function()
          return os.execute(("kill -0 %d 2>/dev/null"):format(pid)) ~= 0
        end))
      end
    end)
  end
end)

describe("SLOWEST", function()
  it("names so many files and specs, the longest first, before the count", function()
    local directory = write_files {
      [[it("is quick", function() end)]],
      [[before_each(function() require("spec.support.clock").sleep(200) end)
      it("is slow", function() end)]],
      [[it("is neither", function() require("spec.support.clock").sleep(50) end)]],
    }
    local code, output = process.run {
      arg[-1], arg[0], directory, timeout_ms = 60000,
      env = { SPEC_SHARE = false, SPEC_REPORT = false, SLOWEST = 2 },
    }
    assert.equal(0, code)
    assert.match(("\nfiles: # s\n *# s  [^\n]*2_spec.lua\n *# s  [^\n]*3_spec.lua\n"
      .. "\nspecs: # s\n *# s  [^\n]*2_spec.lua:2 is slow\n *# s  [^\n]*3_spec.lua:1 is "
      .. "neither\n\n3 passed, 0 failed\n$"):gsub("#", "[%%d.]+"), output)
  end)
end)
