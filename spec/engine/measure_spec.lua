-- SPDX-License-Identifier: MIT

-- What the engine measures by itself, and the bounds that can be changed while it works.

local core = require "authstate.core"
local core_ffi = require "authstate.core_ffi"
local hashes = require "spec.engine.hashes"

local library = core_ffi.library

-- The first histograms, as binding/histogram.h numbers them.
local WAIT, READ, SET = 0, 1, 2

local function near(expected, told)
  assert.is_true(math.abs(told - expected) <= expected / 31, told)
end

describe("an engine that is given histograms", function()
  local p, lane, histograms, seen

  before_each(function()
    p, lane = hashes.ready({}, { k = { a = "12345" }, meta = { gen = "7" } })
    histograms = core.histograms(3)
    seen = core_ffi.histograms(histograms:address())
    p.engine:measure(histograms)
    p.engine:set_now(p.now_ms)
  end)

  local function count(number)
    return library.authstate_histogram_count(seen, number)
  end

  local function median_ms(number)
    return library.authstate_histogram_quantile(seen, number, 0.5)
  end

  local function read_quickly()
    return library.authstate_read(core_ffi.engine(p.engine:address()),
      core_ffi.hash(lane:hash "k"), "a", 1, 7, core.shapes.raw, 60000)
  end

  -- Bytes leave `wait_ms` after they were submitted, answers come `wire_ms` later.
  local function serve(wait_ms, wire_ms)
    p.now_ms = p.now_ms + wait_ms
    p:flush()
    p:write()
    p.now_ms = p.now_ms + wire_ms
    p:pump()
    return p.engine:drain({})
  end

  it("counts what a quick read took, and how long it waited to be sent", function()
    read_quickly()
    assert.equal(1, serve(3, 20))
    assert.same({ 1, 1, 0 }, { count(WAIT), count(READ), count(SET) })
    near(3, median_ms(WAIT))
    near(23, median_ms(READ))
  end)

  it("counts what a quick plain write took", function()
    library.authstate_set(core_ffi.engine(p.engine:address()),
      core_ffi.hash(lane:hash "k"), "a", 1, "x", 1, 60000)
    serve(0, 8)
    assert.same({ 1, 0, 1 }, { count(WAIT), count(READ), count(SET) })
    near(8, median_ms(SET))
  end)

  it("leaves the time of what fails to who asks for its outcome", function()
    library.authstate_read(core_ffi.engine(p.engine:address()),
      core_ffi.hash(lane:hash "k"), "a", 1, 6, core.shapes.raw, 60000)
    serve(1, 1)
    assert.same({ 1, 0 }, { count(WAIT), count(READ) })
  end)

  it("counts no more once they are taken away", function()
    p.engine:measure()
    read_quickly()
    serve(1, 1)
    assert.equal(0, count(WAIT))
  end)

  it("may outlive whoever gave them", function()
    histograms, seen = nil, nil
    collectgarbage()
    collectgarbage()
    read_quickly()
    assert.equal(1, serve(1, 1))
  end)

  it("tells of one that is handed out how long it waited, and its bytes", function()
    local slot = p:read(lane, "k", { "a", "none", "a" })
    serve(4, 9)
    assert.same({ 4, 10 }, { p.engine:details(slot) })
    p.engine:release(slot)
    assert.has_error(function() p.engine:details(slot) end)
  end)

  it("says that what was never sent waited all the time", function()
    local slot = p:read(lane, "k", { "a" }, { deadline_ms = p.now_ms + 5 })
    p:pass(6)
    p.engine:drain({})
    assert.equal("unavailable", (p.engine:outcome(slot)))
    assert.same({ 6, 0 }, { p.engine:details(slot) })
  end)
end)

describe("bounds of an engine", function()
  it("change for what comes; what was accepted stays, in its order", function()
    local p, lane = hashes.ready({ max_operations = 100, batch_size = 100 },
      { k = { a = "1", b = "2", c = "3", d = "4" }, meta = { gen = "7" } })
    local slots = {}
    for i, field in ipairs { "a", "b", "c" } do
      slots[i] = p:read(lane, "k", { field })
    end
    p.engine:set_bounds(1, 0, 4, 1e6)
    assert.equal("", p.engine:next_write(0)) -- nothing has left by the change alone
    slots[4] = p:read(lane, "k", { "d" })
    assert.not_equal("", p.engine:next_write(0))
    local slot, _, code = p.engine:read(lane, "k", { "a" }, -1, core.shapes.raw,
      math.huge, p.now_ms)
    assert.is_nil(slot)
    assert.equal("overloaded", code)
    p:pump()
    p.engine:drain({})
    for i = 1, 4 do
      assert.same({ { tostring(i) } }, p.engine:take(slots[i], "raw"))
    end
  end)
end)
