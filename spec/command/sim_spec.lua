-- SPDX-License-Identifier: MIT

local core = require "authstate.core"
local sim = require "authstate.sim"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

-- Status, output and complaints of a call.
local function run(...)
  local result = tool.run { "sim", ... }
  return result.status, result.out, result.err
end

describe("authstate sim", function()
  it("runs seeds and says what happened in them", function()
    local status, out, err = run("--seeds", "6")
    assert.equal(0, status, err)
    assert.match("fault +%d+  %l+: ", out)
    assert.match("sim      6 seeds, %d+ calls, %d+ changes, [%d.]+ simulated minutes: "
      .. "0 seeds not as promised\n$", out)
  end)

  it("repeats one run for programs", function()
    local documents = {}
    for i = 1, 2 do
      local status, out = run("--seed", "9", "--json")
      assert.equal(0, status)
      documents[i] = core.from_json(out)
    end
    assert.same(documents[1], documents[2])
    local report = sim.run { seed = 9, options = { prefix = "authstate:" } }
    assert.equal(report.calls, documents[1].calls)
    assert.equal(report.elapsed_ms, documents[1].simulated_ms)
    assert.equal(1, documents[1].seeds)
    assert.equal(0, #documents[1].failures)
  end)

  it("has only the faults that are named", function()
    local _, out = run("--seeds", "30", "--faults", "reset,kick", "--json")
    local found = core.from_json(out).faults
    assert.is_true(found.reset > 0 and found.kick > 0)
    assert.is_nil(found.restart)
    _, out = run("--seeds", "3", "--faults", "none", "--json")
    assert.is_nil(next(core.from_json(out).faults))
  end)

  -- All records of a type share a field: each overwrites the others.
  it("fails with seed and story when a layout of the user's loses records", function()
    local layout = temporary.file([[
      local typed = require "authstate.layouts.typed"
      return function(options)
        local layout = typed(options)
        local key = layout.key
        function layout.key(session, kind, id)
          return key(session, kind, kind == "session" and "same" or id)
        end
        return layout
      end
    ]], ".lua")
    local status, out = run("--seeds", "3", "--layout", layout)
    assert.equal(1, status)
    assert.match("SEED=%d+\n", out)
    assert.match("ms  call %d+, store %d: ", out)
  end)

  it("is a wrong call with a wrong number, fault, layout or profile", function()
    for _, words in ipairs {
      { "--seeds", "0" }, { "--seeds", "many" }, { "--seed", "-1" },
      { "--seed", "4294967296" }, { "--faults", "rest" }, { "--layout", "no-such" },
      { "--profile", "no-such" }, { "--prefix", "{}" },
    } do
      local status, out, err = run(unpack(words))
      assert.equal(2, status, words[1])
      assert.equal("", out)
      assert.match("^authstate sim: [^\n]+\n$", err)
    end
  end)
end)
