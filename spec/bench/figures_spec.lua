-- SPDX-License-Identifier: MIT

local figures = require "bench.harness.figures"

-- A peer as it stands in results.json, with the medians that matter here.
local function peer_of(fields)
  return {
    goal = fields.goal, cpu_goal_us = fields.cpu_goal_us,
    wall = { ratio = { median = fields.ratio } },
    cpu = { operation_us = { median = fields.cpu_us } },
  }
end

describe("a time in a benchmark's table", function()
  it("is told with the digits that count", function()
    assert.equal("0.28 us", figures.time(0.278))
    assert.equal("9.99 us", figures.time(9.99))
    assert.equal("10.0 us", figures.time(10))
    assert.equal("1.50 ms", figures.time(1500))
    assert.equal("2.00 s", figures.time(2e6))
  end)
end)

describe("a goal in a benchmark's table", function()
  it("is reached by a peer that takes as many times our time, or more", function()
    assert.equal("goal 5: reached", figures.remark(peer_of { goal = 5, ratio = 5 }))
    assert.equal("goal 5: not reached",
      figures.remark(peer_of { goal = 5, ratio = 4.99 }))
    assert.equal("goal 0.87: reached",
      figures.remark(peer_of { goal = 1 / 1.15, ratio = 0.9 }))
  end)

  it("for our CPU time is reached when we take no more", function()
    local reached = peer_of { cpu_goal_us = 0.9, cpu_us = 0.9, ratio = 1 }
    assert.equal("ours; CPU goal 0.9 us: reached", figures.remark(reached, true))
    local missed = peer_of { cpu_goal_us = 0.9, cpu_us = 0.91, ratio = 1 }
    assert.equal("ours; CPU goal 0.9 us: not reached", figures.remark(missed, true))
  end)
end)
