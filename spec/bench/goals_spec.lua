-- SPDX-License-Identifier: MIT

local goals = require "bench.harness.goals"
local tables = require "bench.harness.tables"

describe("a goal of a benchmark", function()
  it("is an upper or a lower bound, itself within it", function()
    assert.is_true(goals.at_most("s", "w", 1.18, 1.18).is_reached)
    assert.is_false(goals.at_most("s", "w", 1.181, 1.18).is_reached)
    assert.is_true(goals.at_least("s", "w", 3, 3).is_reached)
    assert.is_false(goals.at_least("s", "w", 2.99, 3).is_reached)
  end)

  it("of several things is reached when each reaches it", function()
    local goal = goals.each_at_least("s", "w", { a = 1.2, b = 3 }, 1.2)
    assert.is_true(goal.is_reached)
    assert.equal("s: w, goal at least 1.20: 1.200: reached", goals.line(goal))
    goal = goals.each_at_least("s", "w", { a = 1.1, b = 3, c = 1 }, 1.2)
    assert.is_false(goal.is_reached)
    assert.equal("s: w, goal at least 1.20: 1.000: not reached (a 1.100, c 1.000)",
      goals.line(goal))
  end)

  it("is not judged when nothing was measured", function()
    local goal = goals.at_most("s", "w", nil, 2)
    assert.is_nil(goal.is_reached)
    assert.equal("s: w, goal at most 2.00: not measured", goals.line(goal))
  end)
end)

describe("a table of a benchmark", function()
  local one = {
    title = "t", columns = { "", "bytes" },
    rows = { { "a<b", tables.cell(12) }, { "total", tables.cell(nil) },
      { "share", tables.cell(0.5, "%.3f") } },
  }

  it("has names on the left and numbers on the right", function()
    assert.same({ "t", "       bytes", "a<b       12", "total      -", "share  0.500" },
      tables.lines(one))
  end)

  it("may stand on a page", function()
    assert.matches("<td>a&lt;b</td><td>12</td>", tables.html(one), 1, true)
  end)
end)
