-- SPDX-License-Identifier: MIT

-- `rotate-keys` brings every value under the primary key, beside programs that write, and
-- goes on where it was ended.

local authstate = require "authstate"
local cjson = require "cjson"
local clock = require "spec.support.clock"
local fixture = require "spec.support.fixture"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"
local rotation = require "authstate.rotation"
local temporary = require "spec.support.temporary"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"
local tool = require "spec.command.tool"

local KEYS = { ("0123456789abcdef"):rep(4), ("fedcba9876543210"):rep(4) }
local RECORDS = 479 -- of the small session, creds included

local function encryption(ids, primary, required)
  local keys = {}
  for _, id in ipairs(ids) do keys[id] = KEYS[id] end
  return { keys = keys, primary = primary, required = required }
end

local function profile(ids, primary, required)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = ("[%d] = %q"):format(id, KEYS[id]) end
  local text = "return { options = { encryption = { keys = { %s }, primary = %d, "
    .. "required = %s } } }"
  return temporary.file(text:format(table.concat(keys, ", "), primary,
    tostring(required or false)), "keys.lua")
end

describe("rotate-keys", function()
  local server, both

  setup(function()
    server = redis_server.start()
    both = profile({ 1, 2 }, 2)
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
  end)

  local function words(...)
    return { "rotate-keys", "--redis", server.url, ... }
  end

  local function import(session, ...)
    tool.succeed {
      "import", fixture.path "small.json.gz", "--session", session, "--redis", server.url,
      ...
    }
  end

  local function report(...)
    return cjson.decode(tool.succeed(words("--json", "--profile", both, ...)))
  end

  -- How many records of a session are under each key id; 0 is none.
  local function key_ids(session)
    local counts = {}
    for _, key in ipairs(stored.session_keys(server, session)) do
      for _, value in pairs(key:find "}:meta$" and {} or stored.hash(server, key)) do
        local id = value:byte() >= 0x90 and value:byte(2) or 0
        counts[id] = (counts[id] or 0) + 1
      end
    end
    return counts
  end

  local function check_session(session, ids)
    local store = assert(authstate.open {
      redis = server.url, encryption = encryption(ids or { 2 }, 2, true),
    })
    local loaded = assert(store:session(session):load_json())
    store:close()
    assert.equal(sample.session("small").creds, loaded.creds)
    assert.same(sample.session("small").keys, loaded.keys)
  end

  it("rewrites what is under another key or none, and says how much", function()
    import("a", "--profile", profile({ 1 }, 1))
    import "b"
    import("c", "--profile", both)
    local said = tool.succeed(words("--profile", both))
    assert.match("session a: 479 rewritten, 0 already, 0 failed, 0 left\n", said, 1, true)
    assert.match("session b: 479 rewritten, 0 already, 0 failed, 0 left\n", said, 1, true)
    assert.not_match("session c", said, 1, true)
    assert.match("rotate   3 of 3\n", said, 1, true)
    assert.match("3 sessions under key id 2: 958 records rewritten, 479 already, "
      .. "0 failed, 0 left\n$", said)
    for _, session in ipairs { "a", "b", "c" } do
      assert.same({ [2] = RECORDS }, key_ids(session))
      check_session(session)
    end
    assert.same({
      primary = 2, sessions = 3, rewritten = 0, already = 3 * RECORDS, failed = 0,
      left = 0, failures = {},
    }, report())
  end)

  it("changes neither version nor generation, and leaves other sessions", function()
    import("a", "--profile", profile({ 1 }, 1))
    import("b", "--profile", profile({ 1 }, 1))
    local before = stored.meta(server, "a")
    assert.equal(RECORDS, report("--session", "a").rewritten)
    assert.same(before, stored.meta(server, "a"))
    assert.same({ [1] = RECORDS }, key_ids "b")
    assert.same({ [2] = RECORDS }, key_ids "a")
  end)

  it("reads foreign JSON and keeps its text", function()
    import("a", "--profile", profile({ 1 }, 1))
    server:command("HSET", "authstate:{a}:k:pre-key", "x", ' {"foreign": [1.0]}')
    assert.equal(RECORDS + 1, report().rewritten)
    local store = assert(authstate.open {
      redis = server.url, encryption = encryption({ 2 }, 2, true),
    })
    assert.same({ x = ' {"foreign": [1.0]}' },
      store:session("a").keys:get_json("pre-key", { "x" }))
    store:close()
  end)

  it("leaves what it cannot open as it is, names it, and fails", function()
    import("a", "--profile", profile({ 1 }, 1))
    local key, ids = "authstate:{a}:k:pre-key", sample.ids "pre-key"
    local damaged = server:command("HGET", key, ids[1]):sub(1, -2) .. "\0"
    local moved = server:command("HGET", key, ids[2])
    server:command("HSET", key, ids[1], damaged, ids[3], moved, ids[4], "hello")
    local outcome = tool.run(words("--profile", both))
    assert.equal(1, outcome.status)
    for _, words_of_it in ipairs {
      "session a: 476 rewritten, 0 already, 3 failed, 0 left\n",
      ('  pre-key "%s": key id 1 does not open it: '):format(ids[1]),
      ('  pre-key "%s": key id 1 does not open it: '):format(ids[3]),
      ('  pre-key "%s": not JSON at byte 0'):format(ids[4]),
    } do
      assert.match(words_of_it, outcome.out, 1, true)
    end
    assert.equal("authstate rotate-keys: 3 records cannot be opened, and are as they "
      .. "were\n", outcome.err)
    assert.equal(damaged, server:command("HGET", key, ids[1]))
    assert.equal("hello", server:command("HGET", key, ids[4]))
    outcome = tool.run(words("--json", "--profile", both))
    assert.equal(1, outcome.status)
    local told = cjson.decode(outcome.out)
    assert.same({ 0, 476, 3 }, { told.rewritten, told.already, told.failed })
    assert.equal(3, #told.failures)
    assert.same({ "a", "pre-key" }, { told.failures[1].session, told.failures[1].type })
  end)

  it("does not bless what is not encrypted where that is required", function()
    import "a"
    local outcome = tool.run(words("--profile", profile({ 1, 2 }, 2, true)))
    assert.equal(1, outcome.status)
    assert.match("479 failed", outcome.out, 1, true)
    assert.same({ [0] = RECORDS }, key_ids "a")
  end)

  it("passes over deleted sessions, and knows no others", function()
    import("a", "--profile", profile({ 1 }, 1))
    tool.succeed { "delete", "--session", "a", "--redis", server.url }
    assert.equal(0, report().sessions)
    tool.check_failure(tool.run(words("--profile", both, "--session", "a")), 1,
      { "there is no session a" })
    tool.check_failure(tool.run(words("--profile", both, "--session", "}")), 2,
      { "--session: session id" })
  end)

  it("without keys is a wrong call", function()
    tool.check_failure(tool.run(words()), 2,
      { 'the option "encryption" is missing; name a profile that sets it' })
  end)

  -- A store whose values somebody touches before they are encrypted anew.
  local function open_disturbed(disturb)
    local store = assert(authstate.open {
      redis = server.url, encryption = encryption({ 1, 2 }, 2),
    })
    local keyring = store.keyring
    store.keyring = setmetatable({}, { __index = function(_, name)
      return function(_, ...)
        if name == "encrypt" then disturb(...) end
        return keyring[name](keyring, ...)
      end
    end })
    return store, keyring
  end

  it("loses no write that comes meanwhile", function()
    import("a", "--profile", profile({ 1 }, 1))
    -- A program that has the new key, but writes with the old one still.
    local writer = assert(authstate.open {
      redis = server.url, encryption = encryption({ 1, 2 }, 1),
    })
    local session, written, gone, rounds = writer:session "a", {}, {}, 0
    local store = open_disturbed(function(_, _, _, kind, id)
      rounds = rounds + 1
      if kind ~= "pre-key" or rounds > 2000 then return end
      if rounds % 3 == 0 then
        written[id], gone[id] = ('{"n":%d}'):format(rounds), nil
        assert(session.keys:set_json { [kind] = { [id] = written[id] } })
      elseif rounds % 3 == 1 then
        written[id], gone[id] = nil, true
        assert(session.keys:set { [kind] = { [id] = authstate.null } })
      end
    end)
    local done = assert(rotation.rotate(store, "a"))
    store:close()
    assert.is_true(next(written) ~= nil and next(gone) ~= nil)
    assert.equal(0, done.failed)
    for id, text in pairs(written) do
      assert.same({ [id] = text }, session.keys:get_json("pre-key", { id }))
    end
    for id in pairs(gone) do assert.same({}, session.keys:get("pre-key", { id })) end
    assert.equal(done.left, key_ids("a")[1] or 0)
    assert.equal(0, report().left)
    assert.is_nil(key_ids("a")[1])
    writer:close()
  end)

  it("runs beside a program that writes all the time", function()
    import("a", "--profile", profile({ 1 }, 1))
    local store = assert(authstate.open {
      redis = server.url, encryption = encryption({ 1, 2 }, 2),
    })
    local session, running = store:session "a", tool.start(words("--profile", both))
    local ids, written, n = sample.ids "pre-key", {}, 0
    repeat
      n = n + 1
      local id = ids[n % #ids + 1]
      written[id] = ('{"n":%d}'):format(n)
      assert(session.keys:set_json { ["pre-key"] = { [id] = written[id] } })
    until not running:alive()
    assert.equal(0, running:wait())
    for id, text in pairs(written) do
      assert.same({ [id] = text }, session.keys:get_json("pre-key", { id }))
    end
    store:close()
    assert.same({ [2] = RECORDS }, key_ids "a")
  end)

  it("goes on where it was killed", function()
    import("a", "--profile", profile({ 1 }, 1))
    local between = proxy.start { server = server, count = "EVALSHA" }
    local running
    repeat
      between:delay(30)
      running = tool.start { "rotate-keys", "--redis", between.url, "--profile", both }
      clock.wait_for(function()
        return key_ids("a")[2] ~= nil or not running:alive()
      end)
      running:signal "KILL"
      running:wait()
      between:pass()
    until key_ids("a")[2]
    between:stop()
    local counts = key_ids "a"
    assert.is_true(counts[1] > 0, "the run was over before it was killed")
    check_session("a", { 1, 2 })
    local told = report()
    assert.equal(RECORDS, told.rewritten + told.already)
    assert.is_true(told.already > 0)
    assert.same({ [2] = RECORDS }, key_ids "a")
    check_session "a"
  end)

  it("begins a session again that is deleted and made meanwhile", function()
    import("a", "--profile", profile({ 1 }, 1))
    local is_made = false
    local store, keyring = open_disturbed(function()
      if is_made then return end
      is_made = true
      local other = assert(authstate.open {
        redis = server.url, encryption = encryption({ 1 }, 1),
      })
      local session = other:session "a"
      assert(session:delete())
      session:load_creds()
      assert(session:commit {
        creds = { b = 1 }, keys = { ["pre-key"] = { ["1"] = "new" } },
      })
      other:close()
    end)
    local done = assert(rotation.rotate(store, "a"))
    store.keyring = keyring
    assert.same({ 2, 0, 0, 0 }, { done.rewritten, done.already, done.failed, done.left })
    assert.same({ ["1"] = "new" }, store:session("a").keys:get("pre-key", { "1" }))
    store:close()
  end)
end)
