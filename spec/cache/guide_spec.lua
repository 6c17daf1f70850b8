-- SPDX-License-Identifier: MIT

-- doc/policies.md, whose scripts run as they are printed.

local core = require "authstate.core"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local TRACE = "spec/fixtures/small.trace.jsonl.gz"

local function read_file(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local guide = read_file "doc/policies.md"
local scripts = {}
for text in guide:gmatch "```lua\n(.-)```" do scripts[#scripts + 1] = text end

local function write(text, name)
  return temporary.file(text, name)
end

local function replay(...)
  local ended = tool.run { "replay", TRACE, "--json", ... }
  assert.equal(0, ended.status, ended.err)
  return core.from_json(ended.out).results
end

describe("the guide to policies", function()
  it("prints three policies and a rule that authstate check finds nothing in", function()
    assert.equal(4, #scripts)
    for i, text in ipairs(scripts) do
      local path = write(text, "mine.lua")
      local ended = tool.run { "check", path }
      assert.equal(0, ended.status, ended.out)
      assert.match(("%s +%s: 5000 steps from seed %%d+, 0 of 3 rules broken\n$"):format(
        i < 4 and "policy" or "preload", (path:gsub("%p", "%%%0"))), ended.out)
    end
  end)

  it("begins with one that does what fifo does, and makes it better", function()
    local first, second = write(scripts[1], "1.lua"), write(scripts[2], "2.lua")
    local list = replay("--policy", ("fifo,%s,%s"):format(first, second))
    assert.equal(list[1].hit_ratio, list[2].hit_ratio)
    assert.is_true(list[3].hit_ratio > list[2].hit_ratio)
  end)

  it("prints sieve as it is", function()
    local shipped = read_file "lua/authstate/policies/sieve.lua"
    assert.equal(scripts[3], shipped:match "\n(return function.*)$")
  end)

  it("prints a rule that saves round trips", function()
    local rule = write(scripts[4], "rule.lua")
    local plain = replay("--policy", "tinylfu")[1]
    local with_rule = replay("--policy", "tinylfu", "--preload", rule)[1]
    assert.is_true(with_rule.round_trips < plain.round_trips)
    assert.is_true(with_rule.useful > 0)
  end)
end)
