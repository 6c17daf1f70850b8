-- SPDX-License-Identifier: MIT

local statistics = require "bench.harness.statistics"

describe("quartiles of a benchmark's rounds", function()
  it("are the middle of each half, between neighbours when need be", function()
    assert.same({ q1 = 2, median = 3, q3 = 4 }, statistics.quartiles { 5, 1, 3, 2, 4 })
    assert.same({ q1 = 1.75, median = 2.5, q3 = 3.25 },
      statistics.quartiles { 4, 2, 1, 3 })
    assert.same({ q1 = 7, median = 7, q3 = 7 }, statistics.quartiles { 7 })
  end)

  it("do not mind one round that something else disturbed", function()
    local list = { 1, 1, 1, 1000, 1, 1, 1 }
    assert.same({ q1 = 1, median = 1, q3 = 1 }, statistics.quartiles(list))
    assert.same({ 1, 1, 1, 1000, 1, 1, 1 }, list)
  end)

  it("are taken of ratios within one round", function()
    assert.same({ 2, 2, 0.5 }, statistics.ratios({ 2, 20, 5 }, { 1, 10, 10 }))
    assert.has_error(function() statistics.ratios({ 1 }, { 1, 2 }) end)
  end)
end)

describe("the spread of the same program against itself", function()
  it("is the factor that its quartiles lie within, in either direction", function()
    assert.equal(1.25, statistics.spread { q1 = 0.9, median = 1, q3 = 1.25 })
    assert.equal(2, statistics.spread { q1 = 0.5, median = 1, q3 = 1.25 })
    assert.equal(1, statistics.spread { q1 = 1, median = 1, q3 = 1 })
  end)

  it("marks a ratio within it as no difference", function()
    assert.equal("no difference", statistics.verdict(1.25, 1.25))
    assert.equal("no difference", statistics.verdict(1 / 1.25, 1.25))
    assert.equal("no difference", statistics.verdict(1, 1))
  end)

  it("leaves a ratio beyond it a difference", function()
    assert.equal("slower", statistics.verdict(1.26, 1.25))
    assert.equal("faster", statistics.verdict(0.79, 1.25))
  end)
end)
