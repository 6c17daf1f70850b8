-- SPDX-License-Identifier: MIT

-- The checker judges histories made by hand: what is as promised it lets pass, and each
-- thing that is not it names.

local checker = require "authstate.sim.checker"

describe("the checker", function()
  local calls, entries, position, now_ms

  before_each(function()
    calls, entries, position, now_ms = {}, {}, 0, 0
  end)

  -- The server changes a session.
  local function change(fields)
    position = position + 1
    local entry = { session = "s", position = position, at_ms = now_ms, cells = {} }
    for name, value in pairs(fields) do entry[name] = value end
    entries[#entries + 1] = entry
    return entry
  end

  -- A call begins; `finish` ends it.
  local function begin(operation, fields)
    now_ms = now_ms + 1
    local call = {
      number = #calls + 1, store = 1, session = "s", operation = operation,
      began_ms = now_ms, began_at = position, deadline_ms = now_ms + 100,
      timeout_ms = 100, answers = 0,
    }
    for name, value in pairs(fields or {}) do call[name] = value end
    calls[#calls + 1] = call
    return call
  end

  local function finish(call, outcome)
    now_ms = now_ms + 1
    call.ended_ms, call.ended_at, call.outcome = now_ms, position, outcome
    call.answers = call.answers + 1
    return call
  end

  local function done(outcome)
    outcome.is_fine = true
    return outcome
  end

  local function failed(code, applied, details)
    details = details or {}
    details.applied = applied
    return { is_fine = false, code = code, message = "no", details = details }
  end

  -- A write that goes well: cell "t/1" gets the tag.
  local function write(tag, version)
    local call = begin("set", { is_write = true, tag = tag, cells = { ["t/1"] = tag } })
    change { cells = { ["t/1"] = tag }, version = version, generation = 7 }
    return finish(call, done { version = version })
  end

  local function read(tag)
    return finish(begin("get_one", { asked = { "t/1" } }),
      done { cells = { ["t/1"] = tag } })
  end

  local function judge(conditions)
    local sentences = {}
    for i, violation in ipairs(checker.judge(calls, entries, conditions or {})) do
      sentences[i] = violation.sentence
    end
    return sentences
  end

  local function finds(pattern, conditions)
    local sentences = judge(conditions)
    for _, sentence in ipairs(sentences) do
      if sentence:find(pattern) then return end
    end
    error("not found: " .. pattern .. " in: " .. table.concat(sentences, "; "), 2)
  end

  it("lets pass what is as promised", function()
    read(nil)
    write(1, 1)
    read(1)
    write(2, 2)
    finish(begin("load", { asks_all = true }),
      done { cells = { ["t/1"] = 2 }, version = 2, generation = 7 })
    local delete = begin "delete"
    change {
      is_tombstone = true, generation = 9, version = 3, cells = { ["t/1"] = false },
    }
    finish(delete, done { generation = 9, records = 1 })
    finish(begin("load", { asks_all = true, is_last = true }),
      done { cells = {}, is_absent = true })
    assert.same({}, judge())
  end)

  it("lets pass a write of unknown outcome, done, late or never", function()
    for tag = 1, 2 do
      local call = begin("set", { is_write = true, tag = tag, cells = { ["t/1"] = tag } })
      finish(call, failed("timeout", "maybe", { sent = true }))
      if tag == 1 then change { cells = { ["t/1"] = tag }, version = 1 } end
      assert.same({}, judge())
    end
  end)

  it("sees a call that was not answered", function()
    begin "get_one"
    finds "was answered 0 times"
  end)

  it("sees a call that was answered twice", function()
    local call = read(nil)
    finish(call, call.outcome)
    finds "was answered 2 times"
  end)

  it("sees an answer behind the deadline", function()
    local call = begin("get_one", { asked = { "t/1" } })
    now_ms = now_ms + 150
    finish(call, done { cells = {} })
    finds "was answered %d+.%d+ ms after its deadline"
  end)

  it("sees a call that raised", function()
    finish(begin "get_one", failed("raised", "maybe"))
    finds "raised: no"
  end)

  it("sees an acknowledged write that is lost", function()
    local call = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    finish(call, done { version = 1 })
    finds "was acknowledged and never took effect"
  end)

  it("sees a write that was acknowledged before it took effect", function()
    local call = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    finish(call, done { version = 1 })
    change { cells = { ["t/1"] = 1 }, version = 1 }
    finds "was acknowledged before it took effect"
  end)

  it("sees a write that took effect before it was made", function()
    change { cells = { ["t/1"] = 1 }, version = 1 }
    local call = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    finish(call, done { version = 1 })
    finds "took effect before it was made"
  end)

  it("sees a write that took effect twice", function()
    write(1, 1)
    change { cells = { ["t/1"] = 1 }, version = 2 }
    finds "took effect 2 times"
  end)

  it("sees a write that took effect in part", function()
    local call = begin("set",
      { is_write = true, tag = 1, cells = { ["t/1"] = 1, ["t/2"] = 1 } })
    change { cells = { ["t/1"] = 1 }, version = 1 }
    finish(call, done { version = 1 })
    finds "took effect in part"
  end)

  it("sees a write that touched more than it was to", function()
    local call = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    change { cells = { ["t/1"] = 1, ["t/2"] = false }, version = 1 }
    finish(call, done { version = 1 })
    finds "took effect in part"
  end)

  it("sees a write in another session", function()
    local call = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    change { session = "other", cells = { ["t/1"] = 1 }, version = 1 }
    finish(call, done { version = 1 })
    finds "took effect in session other"
  end)

  it("sees what nobody wrote", function()
    change { cells = { ["t/1"] = 0 }, version = 1 }
    finds "wrote t/1 of session s, and nobody did"
  end)

  it("sees a wrong version", function()
    local call = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    change { cells = { ["t/1"] = 1 }, version = 1 }
    finish(call, done { version = 2 })
    finds "was told version 2, and made 1"
  end)

  for _, code in ipairs { "unavailable", "cancelled", "fenced", "oom", "timeout" } do
    it("sees a write that was told as not applied and was: " .. code, function()
      local call = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
      finish(call, failed(code, "no"))
      change { cells = { ["t/1"] = 1 }, version = 1 }
      finds "not applied, and took effect in change 1"
    end)
  end

  it("sees an `unavailable` that was sent", function()
    finish(begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } }),
      failed("unavailable", "no", { sent = true }))
    finds "is `unavailable`, and was sent = true"
  end)

  it("sees an `unavailable` that may have been applied", function()
    finish(begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } }),
      failed("unavailable", "maybe"))
    finds "is `unavailable`, and was sent = nil, applied = maybe"
  end)

  it("sees a last_commit that said no, or yes, and was wrong", function()
    local call = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    finish(call, failed("timeout", "maybe", { sent = true }))
    call.settled = "yes"
    finds "was told `timeout`, then applied, and did not take effect"
    call.settled = "no"
    change { cells = { ["t/1"] = 1 }, version = 1 }
    finds "was told by last_commit as not applied, and took effect"
  end)

  it("sees an expected version that was not met", function()
    write(1, 1)
    local call = begin("set",
      { is_write = true, tag = 2, expect = 5, cells = { ["t/1"] = 2 } })
    change { cells = { ["t/1"] = 2 }, version = 2 }
    finish(call, done { version = 2 })
    finds "expected version 5 and made 2"
  end)

  it("sees a conflict with nothing", function()
    write(1, 1)
    local fields = { is_write = true, tag = 2, expect = 1, cells = { ["t/1"] = 2 } }
    finish(begin("set", fields), failed("conflict", "no", { version = 1 }))
    finds "was told of a conflict with 1"
  end)

  it("sees a conflict with a version that never was", function()
    write(1, 1)
    local fields = { is_write = true, tag = 2, expect = 1, cells = { ["t/1"] = 2 } }
    finish(begin("set", fields), failed("conflict", "no", { version = 8 }))
    finds "was told of a conflict with 8"
  end)

  it("sees writes in another order than they were called in", function()
    local first = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    local second = begin("set", { is_write = true, tag = 2, cells = { ["t/1"] = 2 } })
    change { cells = { ["t/1"] = 2 }, version = 1 }
    change { cells = { ["t/1"] = 1 }, version = 2 }
    finish(first, done { version = 2 })
    finish(second, done { version = 1 })
    finds "took effect in change 1, before what was called before it: call 1"
  end)

  it("sees no order between two stores, or two sessions", function()
    local first = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    local second = begin("set",
      { is_write = true, tag = 2, store = 2, cells = { ["t/1"] = 2 } })
    change { cells = { ["t/1"] = 2 }, version = 1 }
    change { cells = { ["t/1"] = 1 }, version = 2 }
    finish(first, done { version = 2 })
    finish(second, done { version = 1 })
    assert.same({}, judge())
  end)

  it("sees a read that misses the write before it", function()
    local first = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    local second = begin("get_one", { asked = { "t/1" } })
    change { cells = { ["t/1"] = 1 }, version = 1 }
    finish(first, done { version = 1 })
    finish(second, done { cells = {} })
    finds "call 2 .* gave nothing, without what was called before it"
  end)

  it("allows a late write behind a read only where it is allowed", function()
    local first = begin("set", { is_write = true, tag = 1, cells = { ["t/1"] = 1 } })
    finish(first, failed("timeout", "maybe", { sent = true }))
    read(nil)
    change { cells = { ["t/1"] = 1 }, version = 1 }
    finds "gave nothing"
    assert.same({}, judge { are_late_writes_allowed = true })
  end)

  it("sees a stale read", function()
    write(1, 1)
    write(2, 2)
    read(1)
    finds "gave t/1=1, which was not stored then, but at change 1"
  end)

  it("sees two reads that go back in time", function()
    local first = begin("get_one", { asked = { "t/1" } })
    local second = begin("get_one", { asked = { "t/1" } })
    local other = begin("set",
      { is_write = true, tag = 1, store = 2, cells = { ["t/1"] = 1 } })
    change { cells = { ["t/1"] = 1 }, version = 1 }
    finish(other, done { version = 1 })
    finish(first, done { cells = { ["t/1"] = 1 } })
    finish(second, done { cells = {} })
    finds "call 2 .* without what was called before it"
  end)

  it("sees a read of what never was", function()
    write(1, 1)
    read(77)
    finds "gave t/1=77, which never was stored together"
  end)

  it("sees a torn read", function()
    for tag = 1, 2 do
      local call = begin("set",
        { is_write = true, tag = tag, cells = { ["t/1"] = tag, ["t/2"] = tag } })
      change { cells = { ["t/1"] = tag, ["t/2"] = tag }, version = tag }
      finish(call, done { version = tag })
    end
    finish(begin("get_many", { asked = { "t/1", "t/2" } }),
      done { cells = { ["t/1"] = 1, ["t/2"] = 2 } })
    finds "which never was stored together"
  end)

  it("sees a load that lacks a record, or tells another version", function()
    write(1, 1)
    finish(begin("load", { asks_all = true }), done { cells = {}, version = 1 })
    finds "gave nothing"
    calls[2] = nil
    finish(begin("load", { asks_all = true }),
      done { cells = { ["t/1"] = 1 }, version = 9 })
    finds "gave t/1=1, which never was stored"
  end)

  it("sees an acknowledged delete that never was", function()
    write(1, 1)
    finish(begin "delete", done { generation = 9, records = 1 })
    finds "was acknowledged %(generation 9%) and never took effect"
  end)

  it("sees a delete by nobody", function()
    write(1, 1)
    change {
      is_tombstone = true, generation = 9, version = 2, cells = { ["t/1"] = false },
    }
    finds "deleted session s, and nobody did"
  end)

  it("ascribes one delete to one call of unknown outcome", function()
    local call = begin "delete"
    finish(call, failed("timeout", "maybe", { sent = true }))
    change { is_tombstone = true, generation = 9, version = 1 }
    assert.same({}, judge())
    calls[1].deleted = nil
    change { is_tombstone = true, generation = 10, version = 2 }
    finds "change 2 deleted session s, and nobody did"
  end)

  local function create(tag, outcome)
    local call = begin("load_or_create", {
      is_write = true, is_composite = true, tag = tag, cells = { ["creds/creds"] = tag },
      asked = { "creds/creds" }, made_at = position,
    })
    change { cells = { ["creds/creds"] = tag }, version = position + 1 }
    return finish(call, outcome)
  end

  it("sees creds that were made twice", function()
    create(1, done { is_created = true, cells = { ["creds/creds"] = 1 } })
    assert.same({}, judge())
    create(2, done { is_created = true, cells = { ["creds/creds"] = 2 } })
    finds "made creds where there were some"
    finds "was told to make creds while there were some"
  end)

  it("sees creds that were made, and others told", function()
    create(1, done { is_created = false, cells = { ["creds/creds"] = 1 } })
    finds "made creds and was told of others"
  end)

  it("sees a call that fails, or waits in vain, when faults have stopped", function()
    finish(begin("get_one", { must_succeed = true }), failed("oom", "no"))
    finds "failed when there were no faults any more"
    local call = begin("get_one", { deadline_ms = 50000, timeout_ms = 49990 })
    now_ms = 49999
    finish(call, failed("timeout", "no"))
    finds("was not answered within its 49990 ms", { calm_ms = 10 })
    for _, sentence in ipairs(judge { calm_ms = 49000 }) do
      assert.not_match("was not answered within", sentence)
    end
  end)

  it("sees what is stored in the end and not read", function()
    write(1, 1)
    local last = begin("load", { asks_all = true, is_last = true })
    finish(last, done { cells = { ["t/1"] = 1 }, version = 1 })
    change { cells = { ["t/1"] = false }, version = 2 }
    finds "gave t/1=1 in the end; stored is nothing"
  end)
end)
