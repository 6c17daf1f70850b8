-- SPDX-License-Identifier: MIT

-- A stream is lost and the server does not let us end it: for a while what was sent on it
-- may still be executed, and sessions that have writes among that take no others.

local hashes = require "spec.engine.hashes"
local peer = require "spec.engine.peer"

local QUARANTINE_MS = 30000
local NOT_KILLED = "the connection broke and the server does not let us end it"
local NOT_SENT = "not sent: an earlier write of the session may still be executed, since "
  .. "its connection broke and the server does not let us end it"

-- Why the old stream cannot be ended: what the server answers when its successor comes.
local REASONS = {
  ["CLIENT KILL is not permitted"] = function(p)
    p.answers["CLIENT KILL"] = "-NOPERM User app has no permissions to run it\r\n"
  end,
  ["the run is not told any more"] = function(p)
    p.answers["INFO server"] = "-NOPERM User app has no permissions to run it\r\n"
  end,
}

local function begin(p, config)
  config = config or {}
  config.quarantine_ms = config.quarantine_ms or QUARANTINE_MS
  if config.retries == nil then config.retries = true end
  p:start(config)
  p:ready()
  p:forget_commands()
  p.stored = {}
  p.answers = hashes.answers(p.stored)
  p.answers.EVALSHA = function(words) return peer.bulk(words[#words]) end
  return p, p.engine:lane "meta"
end

local function ready(config)
  return begin(peer.new(), config)
end

-- Submits a write; its slot, or nil, message, code.
local function submit(p, lane, text, deadline_ms)
  return p.engine:submit(p.now_ms, deadline_ms or math.huge, false,
    { { "EVALSHA", "sha", text } }, lane, true)
end

local function write(p, lane, text, deadline_ms)
  return assert(submit(p, lane, text, deadline_ms))
end

local function echo(p, lane, text)
  return p:submit({ { "ECHO", text } }, { lane = lane })
end

local function told_by(ended)
  local told = ended.code or ended.replies
  while type(told) == "table" do told = told[1] end
  return told
end

-- Pumps; what became of slots, by the names given to them.
local function results(p, names)
  p:pump()
  local found = {}
  for _, ended in ipairs(p:ends()) do
    local name = assert(names[ended.slot], "a slot that is none of these, or told twice")
    names[ended.slot] = nil
    found[name] = told_by(ended)
  end
  return found
end

-- Loses the stream; its successor cannot end it.
local function lose(p, reason)
  p:closed()
  p.received[0] = ""
  ;(reason or REASONS["CLIENT KILL is not permitted"])(p)
end

local function quarantine_ms(p, lane)
  return lane:quarantine_ms(p.now_ms)
end

-- A lane in quarantine, with nothing queued.
local function quarantined(config)
  local p, lane = ready(config)
  write(p, lane, "1")
  p:flush()
  p:write()
  lose(p)
  p:pump()
  assert.same({ "timeout" }, p:codes())
  return p, lane
end

describe("a session whose lost stream cannot be ended", function()
  for why, reason in pairs(REASONS) do
    it("has its sent writes end as timeout and sends none of those behind: " .. why,
      function()
        local request = #peer.encode { "EVALSHA", "sha", "1" }
        for written = 1, 3 * request do
          local p, lane = ready()
          local names = {}
          for i = 1, 3 do names[write(p, lane, tostring(i))] = i end
          names[echo(p, lane, "read")] = "read"
          p:write(written)
          lose(p, reason)
          local expected = { read = "read" }
          for i = 1, 3 do
            expected[i] = i <= math.ceil(written / request) and "timeout" or "unavailable"
          end
          assert.same(expected, results(p, names), written)
          local carried = p:operations()
          assert.equal("ECHO read", table.remove(carried))
          assert.is_true(carried[1] == nil or carried[1] == "CLIENT KILL ID 1")
          assert.is_nil(carried[2])
          assert.equal(QUARANTINE_MS, quarantine_ms(p, lane))
          assert.equal(0, p.engine:statistics().queued_operations)
          assert.equal(0, p.engine:statistics().queued_bytes)
        end
      end)
  end

  it("says so, whatever is cut, also to plain writes that were collected", function()
    local result = peer.each_cut(function(p)
      local _, lane = begin(p)
      write(p, lane, "1")
      p:write()
      lose(p)
      write(p, lane, "2")
      p:change(lane, { "k", "a", "1" })
      p:change(lane, { "k", "b", "1" })
      p:read(lane, "k", { "a" })
      p:change(lane, { "k", "c", "1" })
      -- The last one has not left the batch when the stream is ready.
      p:greet()
      assert(p.engine:statistics().ready_connections == 1)
      p:pump()
      local told = {}
      for i, ended in ipairs(p:ends()) do
        told[i] = { told_by(ended), ended.message, ended.attempts }
      end
      return { told, p.stored, p.engine:statistics().queued_bytes }
    end)
    local ends, count = result[1], {}
    for _, ended in ipairs(ends) do
      local key = table.concat({ tostring(ended[1]), ended[2] or "", ended[3] }, "|")
      count[key] = (count[key] or 0) + 1
    end
    assert.same({
      ["timeout|" .. NOT_KILLED .. "|1"] = 1,
      ["unavailable|" .. NOT_SENT .. "|0"] = 4,
      ["nil||1"] = 1, -- the read: nothing is there
    }, count)
    assert.same({}, result[2])
    assert.equal(0, result[3])
  end)

  it("refuses writes of every kind, takes reads, and other sessions take both", function()
    local p, lane = quarantined()
    local other = p.engine:lane "other"
    assert.same({ nil, "unavailable" }, { submit(p, lane, "2"),
      select(3, submit(p, lane, "2")) })
    assert.equal("unavailable", (select(3,
      p.engine:write(lane, { "k", "f", "1" }, math.huge, p.now_ms))))
    assert.equal("unavailable", (select(3, p.engine:submit(p.now_ms, math.huge, true,
      { { "HSET", "k", "f", "1" } }, lane, true))))
    assert.equal(0, p.engine:statistics().queued_operations)
    assert.equal(0, p.engine:statistics().queued_bytes)
    local names = {
      [echo(p, lane, "read")] = "read", [p:read(lane, "k", { "f" })] = "joined",
      [write(p, other, "3")] = "other", [p:change(other, { "k", "a", "1" })] = "plain",
    }
    assert.same({ read = "read", other = "3", plain = 1 }, results(p, names))
    assert.equal(0, quarantine_ms(p, other))
    assert.same({ k = { a = "1" }, other = { ver = "1" } }, p.stored)
  end)

  it("takes writes again when the time is over, not before", function()
    local p, lane = quarantined { quarantine_ms = 100 }
    for left = 100, 50, -10 do
      assert.equal(left, quarantine_ms(p, lane))
      assert.equal("unavailable", (select(3, submit(p, lane, "2"))))
      p:pass(left == 50 and 49.5 or 10)
    end
    assert.equal(0.5, quarantine_ms(p, lane))
    p.now_ms = p.now_ms + 0.5 -- also when nobody has told the time yet
    assert.equal(0, quarantine_ms(p, lane))
    local names = { [write(p, lane, "2")] = 2, [p:change(lane, { "k", "f", "1" })] = 3 }
    assert.same({ [2] = "2", [3] = 1 }, results(p, names))
    p:pass(0)
    lane:close()
    assert.equal(0, p.engine:statistics().lanes)
  end)

  it("is still the same when it is closed and opened anew, until the time is over",
    function()
      local p, lane = quarantined { quarantine_ms = 100 }
      lane:close()
      p:pass(99)
      local again = p.engine:lane "meta"
      assert.equal(1, quarantine_ms(p, again))
      assert.equal("unavailable", (select(3, submit(p, again, "2"))))
      again:close()
      assert.equal(1, p.engine:statistics().lanes)
      p:pass(1)
      assert.equal(0, p.engine:statistics().lanes)
      again = p.engine:lane "meta"
      assert.same({ [2] = "2" }, results(p, { [write(p, again, "2")] = 2 }))
    end)

  it("that is closed before the next stream comes is remembered, too", function()
    local p, lane = ready()
    write(p, lane, "1", 1005)
    p:flush()
    p:write()
    p:pass(5)
    assert.same({ "timeout" }, p:codes())
    lane:close()
    lose(p)
    assert.equal(1, p.engine:statistics().lanes)
    assert.same({ x = "x" }, results(p, { [p:submit { { "ECHO", "x" } }] = "x" }))
    assert.equal(QUARANTINE_MS, quarantine_ms(p, p.engine:lane "meta"))
  end)

  -- The write of a caller who had given up was forgotten with its slot: the next one was
  -- sent, and the old one executed after it.
  it("counts writes that nobody waits for", function()
    for _, way in ipairs { "deadline", "cancel", "release" } do
      local p, lane = ready()
      local slot = write(p, lane, "1", way == "deadline" and 1005 or nil)
      p:flush()
      p:write()
      if way == "deadline" then p:pass(5) end
      if way == "cancel" then p.engine:cancel(slot, p.now_ms) end
      if way == "release" then p.engine:release(slot) end
      p:ends()
      lose(p)
      local names = { [write(p, lane, "2")] = 2, [echo(p, lane, "read")] = "read" }
      assert.same({ [2] = "unavailable", read = "read" }, results(p, names), way)
      assert.equal(QUARANTINE_MS, quarantine_ms(p, lane))
    end
  end)

  it("is one of those alone whose writes had gone out on that stream", function()
    local p, lane = ready { pool_size = 2 }
    local away, reader = p.engine:lane "away", p.engine:lane "reader"
    local late
    local names = {}
    names[write(p, lane, "mine")] = "mine"
    names[write(p, away, "away")] = "away"
    local mine = p.engine:next_write(0):find "mine" and 0 or 1
    assert.is_truthy(p.engine:next_write(1 - mine):find "away")
    names[echo(p, reader, "read")] = "read"
    if not p.engine:next_write(mine):find "read" then
      reader = p.engine:lane "reader, on the same connection"
      names[echo(p, reader, "too")] = "too"
    end
    p:write(nil, 0)
    p:write(nil, 1)
    repeat
      late = p.engine:lane "" -- nobody's, so each is another
      local slot = write(p, late, "late")
      names[slot] = p.engine:next_write(mine):find "late" and "late" or "elsewhere"
    until names[slot] == "late"
    p:closed(nil, mine)
    p.received[mine] = ""
    REASONS["CLIENT KILL is not permitted"](p)
    local found = results(p, names)
    assert.same({ "timeout", "away", "late" }, { found.mine, found.away, found.late })
    assert.same({ QUARANTINE_MS, 0, 0, 0 }, { quarantine_ms(p, lane),
      quarantine_ms(p, away), quarantine_ms(p, reader), quarantine_ms(p, late) })
  end)

  it("is free once the old stream is ended after all, or its server is another",
    function()
      for _, change in ipairs { function() end,
        function(p) p.run_id = peer.run_id "b" end } do
        local p, lane = ready()
        local slot = write(p, lane, "1")
        p:write()
        p.engine:cancel(slot, p.now_ms)
        p:ends()
        p:closed()
        p.received[0] = ""
        change(p)
        assert.same({ [2] = "2" }, results(p, { [write(p, lane, "2")] = 2 }))
        assert.equal(0, quarantine_ms(p, lane))
        -- And a later stream that cannot be ended is none of its business.
        p:submit { { "ECHO", "x" } }
        p:write()
        lose(p)
        p:pump()
        assert.equal(0, quarantine_ms(p, lane))
        lane:close()
        assert.equal(0, p.engine:statistics().lanes)
      end
    end)

  -- A script that ran long when a stream was lost put sessions in quarantine.
  it("is not in quarantine when the server cannot say it now: the next stream ends it",
    function()
      for _, command in ipairs { "CLIENT ID", "INFO server", "CLIENT KILL" } do
        for _, words in ipairs { "BUSY Redis is busy", "LOADING Redis is loading" } do
          local p, lane = ready()
          local names = { [write(p, lane, "1")] = 1 }
          p:flush()
          p:write()
          p:closed()
          p.received[0] = ""
          local refused = 0
          p.answers[command] = function()
            refused = refused + 1
            return refused <= 3 and "-" .. words .. "\r\n" or nil
          end
          p:pump()
          for _ = 1, 3 do
            assert.same({}, p:codes())
            p:pass(p.engine:deadline_ms() - p.now_ms)
            p:pump()
          end
          assert.same({ "1" }, results(p, names), command)
          assert.same({ "CLIENT KILL ID 1", "EVALSHA sha 1" }, p:operations())
          assert.equal(0, quarantine_ms(p, lane))
        end
      end
    end)

  it("takes writes at once without a quarantine_ms", function()
    local p, lane = quarantined { quarantine_ms = 0 }
    assert.equal(0, quarantine_ms(p, lane))
    assert.same({ [2] = "2" }, results(p, { [write(p, lane, "2")] = 2 }))
  end)
end)

describe("a stopped lane whose lost stream cannot be ended", function()
  local BUSY = "-BUSY Redis is busy running a script\r\n"

  -- What was parked when its stream was lost was sent again, and its first copy executed
  -- after what came later.
  for _, is_early in ipairs { true, false } do
    it(("has writes that were sent behind the refusal end as timeout: the next stream "
      .. "comes %s"):format(is_early and "while it waits" or "for it"), function()
      for _, is_closed in ipairs { false, true } do
        local p, lane = ready()
        local names = {}
        names[write(p, lane, "refused")] = "refused"
        names[write(p, lane, "sent")] = "sent"
        names[echo(p, lane, "read")] = "read"
        p:flush()
        p:write()
        p:feed(BUSY)
        names[write(p, lane, "later")] = "later"
        if is_closed then lane:close() end
        lose(p)
        local found = {}
        if is_early then
          names[p:submit { { "ECHO", "other" } }] = "other"
          found = results(p, names)
          assert.same({ sent = "timeout", other = "other" }, found)
        end
        p:pass(10)
        for name, told in pairs(results(p, names)) do found[name] = told end
        -- Refused and not sent since: it is told so, and not as unknown.
        assert.same({ refused = "unavailable", sent = "timeout", later = "unavailable",
          read = is_early and "read" or "timeout", other = is_early and "other" or nil },
          found)
        for _, command in ipairs(p:operations()) do
          assert.is_nil(command:find "EVALSHA")
        end
        assert.is_true(quarantine_ms(p, p.engine:lane "meta") > 0)
        assert.equal(0, p.engine:statistics().queued_operations)
        assert.equal(0, p.engine:statistics().queued_bytes)
      end
    end)
  end
end)
