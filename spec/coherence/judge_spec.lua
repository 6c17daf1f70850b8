-- SPDX-License-Identifier: MIT

-- The judge of near caches sees what it is to see in histories made by hand, and nothing
-- in those that are as promised.

local judge = require "spec.coherence.judge"

-- A history of one record "x": changes are tags, or false for a removal; writes are
-- { process, called, ended, fenced } by tag.
local function history(changes, writes, runs)
  local order, by_tag = {}, {}
  for i, tag in ipairs(changes) do order[i] = { cells = { x = tag } } end
  for tag, write in pairs(writes) do
    by_tag[tag] = {
      process = write[1], called_ms = write[2], ended_ms = write[3] or nil,
      fenced_ms = write[4] or nil,
    }
  end
  return { order = order, writes = by_tag, runs = runs, bound_ms = 1000 }
end

-- One read, from `began` to `ended`; `slack_ms` nil: not told.
local function read(tag, began_ms, ended_ms, slack_ms, process)
  return {
    process = process or "a", cell = "x", tag = tag, slack_ms = slack_ms,
    first_ended_ms = ended_ms, last_began_ms = began_ms, last_ended_ms = ended_ms,
  }
end

local function violations(changes, writes, ...)
  return judge.judge(history(changes, writes, { ... }))
end

local function is_fine(...)
  assert.same({}, violations(...))
end

local function is_seen(pattern, ...)
  local found = violations(...)
  assert.equal(1, #found)
  assert.match(pattern, found[1])
end

-- 1 and 2, both by the process "w", told of at 11 and 21.
local TWO = { [1] = { "w", 9, 10, 11 }, [2] = { "w", 19, 20, 21 } }

describe("the judge of near caches", function()
  it("lets pass what is stored", function()
    is_fine({ 1, 2 }, TWO, read(1, 12, 13, 0), read(2, 22, 23, 0), read(false, 1, 2, 0))
  end)

  it("lets pass an old value until its end was told", function()
    is_fine({ 1, 2 }, TWO, read(1, 21, 30, 0))
    is_fine({ 1, 2 }, TWO, read(1, 31, 32, 10))
    is_fine({ 1, 2 }, TWO, read(1, 1020, 1021))
  end)

  it("sees an old value when its end was told", function()
    is_seen("told", { 1, 2 }, TWO, read(1, 21.5, 30, 0))
    is_seen("told", { 1, 2 }, TWO, read(1, 31.5, 32, 10))
  end)

  it("sees an old value beyond the bound, whoever was told", function()
    is_seen("bound", { 1, 2 }, TWO, read(1, 1020.5, 1021))
  end)

  it("sees absence when it was over", function()
    is_seen("= false .*told.*that it was 1", { 1, 2 }, TWO, read(false, 11.5, 12, 0))
    is_seen("= 1 .*told.*that it was false", { 1, false, 2 }, TWO, read(1, 21.5, 22, 0))
  end)

  it("takes the last absence that fits", function()
    is_fine({ 1, false, 2, false }, TWO, read(false, 30, 31, 0))
    is_fine({ 1, false, 2 }, TWO, read(false, 18, 20, 0))
  end)

  it("bounds what nobody signs by what comes behind it", function()
    local writes = { [1] = { "w", 9, 10, 11 }, [3] = { "w", 29, 30, 31 } }
    local order = history({ 1, false }, writes, { read(1, 30.5, 32, 0) })
    order.order[3] = { cells = { y = 3 } }
    assert.same({}, judge.judge(order))
    order.runs = { read(1, 31.5, 32, 0) }
    assert.match("told", judge.judge(order)[1])
  end)

  it("bounds a write that was not acknowledged by one that was", function()
    local writes = {
      [1] = { "w", 9, 10, 11 }, [2] = { "w", 19 }, [3] = { "w", 29, 30, 31 },
    }
    is_fine({ 1, 2, 3 }, writes, read(1, 31, 32, 0))
    is_seen("told", { 1, 2, 3 }, writes, read(1, 31.5, 32, 0))
    is_seen("told", { 1, 2, 3 }, writes, read(2, 31.5, 32, 0))
  end)

  it("holds a process to its own writes from their call on", function()
    local writes = { [1] = { "w", 9, 10, 11 }, [2] = { "a", 19, 40 } }
    is_fine({ 1, 2 }, writes, read(1, 19, 22))
    is_seen("own", { 1, 2 }, writes, read(1, 19.5, 22))
    is_fine({ 1, 2 }, writes, read(1, 19.5, 22, nil, "b"))
  end)

  it("does so through what others wrote before it", function()
    local writes = {
      [1] = { "w", 9, 10 }, [2] = { "w", 19, 20 }, [3] = { "a", 21, 22 },
    }
    is_seen("own", { 1, 2, 3 }, writes, read(1, 21.5, 22))
    is_seen("own", { 1, 2, 3 }, writes, read(2, 21.5, 22))
  end)

  it("does not hold it to one that was not acknowledged", function()
    local writes = { [1] = { "w", 9, 10, 11 }, [2] = { "a", 19 } }
    is_fine({ 1, 2 }, writes, read(1, 500, 501))
  end)

  it("sees what was read before it was written, or never was", function()
    is_seen("not stored by", { 1, 2 }, TWO, read(2, 12, 13, 0))
    is_seen("not stored by", { 1, 2 }, TWO, read(7, 12, 13, 0))
  end)

  it("sees an acknowledged write that is not stored", function()
    is_seen("acknowledged and is not stored", { 1 }, TWO, read(1, 12, 13, 0))
  end)

  it("judges a run by its first end and its last beginning", function()
    local run = {
      process = "a", cell = "x", tag = 1, slack_ms = 0, first_ended_ms = 12,
      last_began_ms = 20.5, last_ended_ms = 22,
    }
    is_fine({ 1, 2 }, TWO, run)
    run.last_began_ms = 21.5
    is_seen("told", { 1, 2 }, TWO, run)
    run.last_began_ms, run.first_ended_ms = 20.5, 8
    is_seen("not stored by", { 1, 2 }, TWO, run)
  end)
end)
