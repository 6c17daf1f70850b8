-- SPDX-License-Identifier: MIT

-- A write takes effect exactly once, wherever the connection breaks: at every byte of its
-- request and of its reply (every third from a random one on, but for `make check`), and
-- whatever others write meanwhile.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local actor = require "spec.api.actor"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails, is_absent = outcome.fails, outcome.is_absent

-- The proxy is silent until it is told to cut: what others do meanwhile may take time.
local SETTLE_MS = 600000

local STEP = os.getenv "AUTHSTATE_BUILD" == "sanitize" and 1 or 3

-- What only a connection says on which sessions are read and written: not the one that is
-- told what others change.
local SENT = "SCRIPT"

-- Creds of a real account, cut down: every byte of them costs one broken connection.
local function short_creds(registration_id)
  return { registrationId = registration_id, noiseKey = sample.creds().noiseKey }
end

describe("a write that was withdrawn", function()
  local server, store, session

  setup(function()
    server = redis_server.start()
    store = assert(authstate.open { redis = server.url })
    session = store:session "s"
  end)

  teardown(function()
    store:close()
    server:stop()
  end)

  -- The reply to a read that was sent before the write was taken for news of it: the next
  -- write got its number, and was answered as if it had been done before.
  it("is not judged by a read that was sent before it", function()
    assert.equal(1, session.keys:set { t = { i = 0 } })
    authstate.run(function()
      local told
      server:pause()
      local reading = authstate.spawn(function() session:load_creds() end)
      local writing = authstate.spawn(function()
        told = { session.keys:set { t = { i = 1 } } }
      end)
      authstate.sleep(0)
      writing:cancel()
      authstate.sleep(0)
      server:resume()
      assert(reading:wait())
      local _, details = fails("cancelled", unpack(told, 1, 4))
      assert.equal("maybe", details.applied)
      assert.equal(3, session.keys:set { t = { i = 2 } })
    end)
    assert.same({ i = 2 }, session.keys:get("t", { "i" }))
    assert.equal(3, stored.version(server, "s"))
  end)

  -- It passed a first write whose number the server wanted anew.
  it("or must be sent anew is not passed by a read", function()
    local late = assert(authstate.open { redis = server.url })
    local handle = late:session "s"
    handle:load_creds()
    for n = 1, 20 do assert(session.keys:set { t = { i = n } }) end
    authstate.run(function()
      authstate.spawn(function() assert(handle.keys:set { t = { i = "late" } }) end)
      authstate.sleep(0)
      assert.same({ i = "late" }, handle.keys:get("t", { "i" }))
    end)
    late:close()
  end)
end)

describe("a write whose connection cannot be ended", function()
  -- A read told that it had not taken effect, while its bytes were still on their way;
  -- the next write got its number, and was taken for it.
  it("is of unknown outcome as long as its bytes may come", function()
    local server = redis_server.start()
    server:command("ACL", "SETUSER", "user", "on", ">word", "~*", "+@all",
      "-client|kill")
    local between = proxy.start { server = server, count = "EVALSHA" }
    local store = assert(authstate.open {
      redis = { url = between.url, username = "user", password = "word" },
    })
    local session = store:session "s"
    assert.equal(1, session.keys:set { t = { i = 1 } })
    between:cut_request { from = "EVALSHA", after_bytes = 60 }
    fails("timeout", session.keys:set { t = { i = 2 } })
    between:pass()
    is_absent(session:load_creds())
    local seq, applied = session:last_commit()
    assert.same({ 2, "maybe" }, { seq, applied })
    fails("unavailable", session.keys:set { t = { i = 3 } })
    -- A handle that knows nothing of it.
    session = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    fails("unavailable", store:session("s").keys:set { t = { i = 3 } })
    fails("unavailable", store:session("s"):delete())
    assert.same({ i = 1 }, store:session("s").keys:get("t", { "i" }))
    store:close()
    between:stop()
    server:stop()
  end)
end)

describe("a write whose connection breaks", function()
  local server, between, direct, store, session

  setup(function()
    server = redis_server.start()
    between = proxy.start { server = server, count = SENT }
    direct = assert(authstate.open { redis = server.url })
    store = assert(authstate.open { redis = between.url })
    session = store:session "s"
    assert(store:ping())
  end)

  teardown(function()
    store:close()
    direct:close()
    between:stop()
    server:stop()
  end)

  -- Calls `call(n)` with the connection cut at byte n, for n STEP apart until the order
  -- finds nothing to cut. Returns how many bytes there were, at most, and how many calls.
  local function at_every_byte(cut, options, prepare, call)
    local n, calls = random.new():integer(0, STEP - 1), 0
    repeat
      prepare(n)
      options.after_bytes, options.sent = n, SENT
      local cuts = between:stats().cuts
      between[cut](between, options)
      call(n)
      local stats = between:stats()
      local is_over = stats.waiting == 1
      if not is_over then assert.equal(1, stats.cuts - cuts, n) end
      n, calls = n + STEP, calls + 1
    until is_over
    between:pass()
    return n - STEP, calls
  end

  for cut, name in pairs {
    cut_request = "in its request", cut_reply = "in its reply, being applied",
  } do
    -- Replies are counted from the one to the script on.
    local function options()
      return cut == "cut_reply" and { from = "EVALSHA" } or {}
    end
    local least = { cut_request = 200, cut_reply = 30 }

    it("at any byte " .. name .. ": keys:set is done once", function()
      server:command("FLUSHALL")
      assert(session:load_or_create(short_creds))
      local text = sample.record "pre-key"
      local version = stored.version(server, "s")
      local bytes = at_every_byte(cut, options(), function() end, function(n)
        local id = tostring(n % 10)
        version = version + 1
        assert.equal(version, session.keys:set_json { ["pre-key"] = { [id] = text } }, n)
        assert.equal(version, stored.version(server, "s"), n)
      end)
      assert.is_true(bytes >= least[cut], bytes)
      local found = session.keys:get_json("pre-key", { "0", "9" })
      assert.same({ ["0"] = text, ["9"] = text }, found)
    end)

    it("at any byte " .. name .. ": a key is consumed once", function()
      server:command("FLUSHALL")
      assert(session:load_or_create(short_creds))
      local version = stored.version(server, "s")
      at_every_byte(cut, options(), function(n)
        assert(session.keys:set { ["pre-key"] = { ["1"] = n } })
        version = version + 1
      end, function(n)
        version = version + 1
        assert.equal(version,
          session.keys:set { ["pre-key"] = { ["1"] = authstate.null } }, n)
        assert.equal(version, stored.version(server, "s"), n)
        assert.equal(0, server:command("EXISTS", "authstate:{s}:k:pre-key"), n)
      end)
    end)

    it("at any byte " .. name .. ": creds are created once", function()
      server:command("FLUSHALL")
      local id, handle, made
      local bytes, calls = at_every_byte(cut, options(), function(n)
        id = ("%s new%04d"):format(cut, n)
        handle = store:session(id)
        made = 0
      end, function(n)
        local creds, created = handle:load_or_create(function()
          made = made + 1
          return short_creds(n)
        end)
        assert.equal(n, creds and creds.registrationId, created)
        assert.is_true(created, n)
        assert.equal(1, made, n)
        assert.equal(1, stored.version(server, id), n)
        assert.equal(stored.meta(server, id).gen, (stored.index_entry(server, id)), n)
      end)
      assert.is_true(bytes >= least[cut], bytes)
      assert.equal(calls, #direct:sessions { limit = 100000 })
    end)

    it("at any byte " .. name .. ": a session is deleted once", function()
      server:command("FLUSHALL")
      local id, handle, info
      local bytes = at_every_byte(cut, options(), function(n)
        id = ("%s old%04d"):format(cut, n)
        assert(direct:session(id):commit {
          creds = short_creds(n),
          keys = { session = { a = 1, b = 2 }, ["pre-key"] = { c = 3 } },
        })
        info = direct:session_info(id)
        handle = store:session(id)
        assert(handle:load_creds())
      end, function(n)
        local receipt = assert(handle:delete())
        assert.equal(4, receipt.records, n)
        assert.equal(info.bytes, receipt.bytes, n)
        local meta = stored.meta(server, id)
        assert.equal("2", meta.ver, n)
        assert.equal(meta.gen, ("%.0f"):format(receipt.generation), n)
        assert.same({ "authstate:{" .. id .. "}:meta" }, stored.session_keys(server, id))
        server:command("DEL", "authstate:{" .. id .. "}:meta")
      end)
      assert.is_true(bytes >= least[cut], bytes)
      assert.same({}, direct:sessions())
    end)
  end

  it("in the middle of a whole account: it is there once, or not at all", function()
    local dice = random.new()
    server:command("FLUSHALL")
    local before = between:stats().request_bytes
    assert(store:session("whole"):commit_json(sample.text "small"))
    local size = between:stats().request_bytes - before
    for n = 1, 20 do
      local id = "account" .. n
      between:cut_request { after_bytes = dice:integer(1, size - 1), sent = SENT }
      assert.equal(1, store:session(id):commit_json(sample.text "small"))
      assert.equal(1, stored.version(server, id))
      assert.same(sample.session("small").keys, direct:session(id):load_json().keys)
    end
  end)

  it("again and again, at random: each of many counts is made once", function()
    local dice, counts = random.new(), random.rounds(300)
    server:command("FLUSHALL")
    assert(session:load_or_create(short_creds))
    for n = 1, counts do
      local cut = dice:pick { "cut_request", "cut_reply" }
      between[cut](between, {
        after_bytes = dice:integer(0, 300), settle_ms = dice:integer(0, 1), sent = SENT,
      })
      assert.equal(n + 1, session.keys:set { session = { counter = n } })
    end
    between:pass()
    assert.same({ counter = counts }, session.keys:get("session", { "counter" }))
    assert.equal(counts + 1, stored.version(server, "s"))
  end)
end)

describe("a write that is sent again while others write", function()
  local server, between, direct, theirs

  local SET_A = [[return session.keys:set { session = { x = "A" } }]]

  local WRITER = [[
    assert(session:load_creds())
    for _ = 1, tonumber(arg[4] or 0) do
      assert(session.keys:set { session = { w = "0" } })
    end
    await(arg[2])
    local chunk = assert(loadstring(arg[3]))
    setfenv(chunk, setmetatable({
      session = session, store = store, authstate = authstate,
    }, { __index = _G }))
    local result, message, code, details = chunk()
    local seq, applied = session:last_commit()
    report(type(result) == "table" and result.records or result, code,
      details and details.applied, seq, applied)
  ]]

  setup(function()
    server = redis_server.start()
    between = proxy.start { server = server, count = "EVALSHA" }
    direct = assert(authstate.open { redis = server.url })
  end)

  teardown(function()
    direct:close()
    between:stop()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    theirs = direct:session "s"
    theirs:load_creds()
    assert.equal(1, theirs:commit {
      creds = sample.creds(1),
      keys = { session = { x = "old" }, ["pre-key"] = { ["1"] = "1" } },
    })
  end)

  -- The records that are stored, whatever our cache was told of what others have written.
  local function stored_now(kind, ids)
    return assert(theirs.keys:get(kind, ids, { consistent = true }))
  end

  -- Another process does `write`. The proxy hands the request on, whole ("applied") or
  -- not ("lost"), is silent while `meanwhile` is done, and cuts the connection then.
  -- Returns the words that the process reports.
  local function interleave(cut, write, meanwhile, options)
    options = options or {}
    local go = temporary.directory() .. "/go"
    local writer =
      actor.start(between.url, WRITER, go, write, tostring(options.before or 0))
    writer:await "ready"
    local version, before = stored.version(server, "s"), between:stats()
    if cut == "applied" then
      between:cut_reply { from = "EVALSHA", after_bytes = 0, settle_ms = SETTLE_MS }
    else
      between:cut_request { from = "EVALSHA", after_bytes = 60, settle_ms = SETTLE_MS }
    end
    io.open(go, "w"):close()
    assert.is_true(clock.wait_for(function()
      if cut == "applied" then return stored.version(server, "s") > version end
      return between:stats().waiting == 0 -- it sends no more of it
    end))
    meanwhile()
    between:cut { sent = "EVALSHA" }
    local words = writer:finish()
    assert.equal(before.cuts + 1, between:stats().cuts)
    return words
  end

  it("does not undo a later write of another", function()
    local words = interleave("applied", SET_A,
      function()
        assert.equal("A", stored_now("session", { "x" }).x)
        assert.equal(3, theirs.keys:set { session = { x = "B" } })
      end)
    assert.equal("2", words[1]) -- the version that it made, not the newest
    assert.same({ x = "B" }, stored_now("session", { "x" }))
    assert.equal(3, stored.version(server, "s"))
  end)

  it("takes effect after the other's when it had none before", function()
    local words = interleave("lost", SET_A,
      function() assert.equal(2, theirs.keys:set { session = { x = "B" } }) end)
    assert.equal("3", words[1])
    assert.same({ x = "A" }, stored_now("session", { "x" }))
  end)

  it("does not revive a pre-key that another consumed", function()
    local words = interleave("applied",
      [[return session.keys:set { ["pre-key"] = { ["2"] = "fresh" } }]],
      function()
        assert(theirs.keys:set { ["pre-key"] = { ["2"] = authstate.null } })
      end)
    assert.equal("2", words[1])
    assert.same({}, stored_now("pre-key", { "2" }))
  end)

  it("does not delete again what another has put back", function()
    interleave("applied",
      [[return session.keys:set { ["pre-key"] = { ["1"] = authstate.null } }]],
      function() assert(theirs.keys:set { ["pre-key"] = { ["1"] = "new" } }) end)
    assert.same({ ["1"] = "new" }, stored_now("pre-key", { "1" }))
  end)

  it("is no conflict with itself when it expects a version", function()
    local words = interleave("applied",
      [[return session:commit { keys = { session = { x = "A" } }, expect = 1 }]],
      function() assert.equal(3, theirs.keys:set { session = { y = "B" } }) end)
    assert.equal("2", words[1])
    assert.same({ x = "A", y = "B" }, stored_now("session", { "x", "y" }))
  end)

  it("is a conflict when the version it expects is no longer there", function()
    local words = interleave("lost",
      [[return session:commit { keys = { session = { x = "A" } }, expect = 1 }]],
      function() assert.equal(2, theirs.keys:set { session = { y = "B" } }) end)
    assert.same({ "nil", "conflict", "no" }, { unpack(words, 1, 3) })
    assert.same({ x = "old", y = "B" }, stored_now("session", { "x", "y" }))
  end)

  it("does not revive a session that was deleted: applied before", function()
    local words = interleave("applied", SET_A,
      function() assert.equal(3, theirs:delete().records) end)
    assert.equal("2", words[1])
    assert.same({ "authstate:{s}:meta" }, stored.session_keys(server, "s"))
  end)

  -- It was told of the newest generation and took that for its own: the next creds of a
  -- process that had never seen the delete began the session anew.
  it("does not let its process revive a session that was deleted", function()
    local words = interleave("applied", [[
      assert(session.keys:set { session = { x = "A" } })
      return session:save_creds { registrationId = 9 }
    ]], function() assert.equal(3, theirs:delete().records) end)
    assert.same({ "nil", "fenced" }, { unpack(words, 1, 2) })
    assert.same({ "authstate:{s}:meta" }, stored.session_keys(server, "s"))
  end)

  it("does not revive a session that was deleted: not applied", function()
    local words = interleave("lost", SET_A,
      function() assert.equal(3, theirs:delete().records) end)
    assert.same({ "nil", "fenced" }, { unpack(words, 1, 2) })
    assert.same({ "authstate:{s}:meta" }, stored.session_keys(server, "s"))
  end)

  it("does not reach the successor of a session that was deleted", function()
    for _, cut in ipairs { "applied", "lost" } do
      interleave(cut, SET_A, function()
        theirs:load_creds()
        theirs:delete()
        is_absent(theirs:load_creds())
        assert(theirs:save_creds(sample.creds(2)))
      end)
      assert.same({}, theirs.keys:types())
    end
  end)

  it("that deleted the session does not delete its successor", function()
    local words = interleave("applied", [[return session:delete()]], function()
      is_absent(theirs:load_creds())
      assert(theirs:save_creds(sample.creds(2)))
    end)
    assert.equal("yes", words[5])
    assert.equal(2, theirs:load_creds().registrationId)
    assert.same({ "s" }, direct:sessions())
  end)

  it("that would delete the session is fenced by its successor", function()
    local words = interleave("lost", [[return session:delete()]], function()
      assert(theirs:delete())
      is_absent(theirs:load_creds())
      assert(theirs:save_creds(sample.creds(2)))
    end)
    assert.equal("fenced", words[2])
    assert.equal(2, theirs:load_creds().registrationId)
  end)

  it("is still known after seven other writers", function()
    local words = interleave("applied", SET_A,
      function()
        for n = 1, 7 do
          local other = authstate.open { redis = server.url }
          assert(other:session("s").keys:set { session = { x = "B" .. n } })
          other:close()
        end
      end, { before = 2 })
    assert.equal("4", words[1])
    assert.same({ x = "B7", w = "0" }, stored_now("session", { "x", "w" }))
  end)

  -- The server remembers the newest eight writers of a session.
  for before, name in pairs { [0] = "its first", [2] = "a later one" } do
    it("and is forgotten by the server is of unknown outcome: " .. name, function()
      local words = interleave("applied", SET_A,
        function()
          for n = 1, 8 do
            local other = authstate.open { redis = server.url }
            assert(other:session("s").keys:set { session = { x = "B" .. n } })
            other:close()
          end
        end, { before = before })
      assert.same({ "nil", "timeout", "maybe" }, { unpack(words, 1, 3) })
      assert.same({ x = "B8" }, stored_now("session", { "x" }))
    end)
  end
end)

describe("a writer", function()
  local server

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
  end)

  it("is one of the newest eight that the session knows", function()
    local stores = {}
    for n = 1, 12 do
      stores[n] = assert(authstate.open { redis = server.url })
      assert.equal(n, stores[n]:session("s").keys:set { session = { x = n } })
    end
    local seen = {}
    for field, runs in pairs(stored.meta(server, "s")) do
      if field:find "^w:" then seen[#seen + 1] = tonumber(runs:match ":(%d+)$") end
    end
    table.sort(seen)
    assert.same({ 5, 6, 7, 8, 9, 10, 11, 12 }, seen)
    for _, store in ipairs(stores) do store:close() end
  end)

  it("that was forgotten goes on under a new name", function()
    local old = assert(authstate.open { redis = server.url })
    local session = old:session "s"
    assert.equal(1, session:save_creds(sample.creds(1)))
    assert.equal(2, session.keys:set { session = { x = "old" } })
    for n = 1, 10 do
      local other = assert(authstate.open { redis = server.url })
      assert.equal(n + 2, other:session("s").keys:set { session = { x = n } })
      other:close()
    end
    assert.equal(13, session.keys:set { session = { x = "mine" } })
    assert.equal(14, session.keys:set { session = { y = "mine" } })
    assert.same({ x = "mine", y = "mine" }, session.keys:get("session", { "x", "y" }))
    assert.equal(14, stored.version(server, "s"))
    assert.equal(3, session:delete().records)
    old:close()
  end)

  it("that begins long after it loaded has its first write done once", function()
    local late = assert(authstate.open { redis = server.url })
    local busy = assert(authstate.open { redis = server.url })
    assert(busy:session("s"):save_creds(sample.creds(1)))
    for _, write in ipairs {
      function(session) return session.keys:set { session = { x = "late" } } end,
      function(session) return session:delete() end,
    } do
      local session = late:session "s"
      assert(session:load_creds())
      for n = 1, 20 do assert(busy:session("s").keys:set { session = { y = n } }) end
      local version = stored.version(server, "s")
      assert(write(session))
      assert.equal(version + 1, stored.version(server, "s"))
      late:close()
      late = assert(authstate.open { redis = server.url })
    end
    late:close()
    busy:close()
  end)

  it("numbers its writes together for all handles of a session", function()
    local store = assert(authstate.open { redis = server.url })
    for n = 1, 20 do
      assert.equal(n, store:session("s").keys:set { session = { x = n } })
      if n % 5 == 0 then collectgarbage() end
    end
    assert.equal(20, stored.version(server, "s"))
    local writers = 0
    for field in pairs(stored.meta(server, "s")) do
      if field:find "^w:" then writers = writers + 1 end
    end
    assert.equal(1, writers)
    fails("conflict", store:session("s"):commit { expect = 3 })
    store:close()
  end)
end)
