-- SPDX-License-Identifier: MIT

-- store:record_trace: which records a program uses, without anybody's name.

local authstate = require "authstate"
local outcome = require "spec.api.outcome"
local redis_server = require "spec.support.redis_server"
local replay = require "authstate.replay"
local temporary = require "spec.support.temporary"

local null = authstate.null

describe("store:record_trace", function()
  local server, store, session, path

  setup(function() server = redis_server.start {} end)
  teardown(function() server:stop() end)

  before_each(function()
    server:command "FLUSHALL"
    store = assert(authstate.open { redis = server.url })
    session = store:session "5511900000001"
    path = temporary.directory() .. "/own.trace.jsonl"
  end)

  after_each(function() store:close() end)

  local function lines()
    local list = {}
    for line in io.lines(path) do list[#list + 1] = line end
    return list
  end

  -- What is recorded while `work` is done: its calls, and the text.
  local function recorded(work)
    assert(store:record_trace(path))
    work()
    assert(store:record_trace(false))
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return assert(replay.read(path)), text
  end

  it("writes what is read and written, in the order of the calls", function()
    local calls = recorded(function()
      assert(session.keys:set { ["pre-key"] = { ["7"] = { a = 1 }, ["8"] = { a = 1 } } })
      assert(session.keys:get("pre-key", { "7", "9" }))
      for _ = 1, 3 do assert(session.keys:get_json("pre-key", { "7" })) end
      assert(session:save_creds { registered = true })
      assert(session:commit { creds = { registered = true },
        keys = { ["pre-key"] = { ["7"] = null } } })
    end)
    assert.equal("[\"creds\"]", lines()[6])
    assert.equal("[\"creds\"]", lines()[7])
    assert.equal(6, #calls) -- replay leaves out creds
    assert.same({ "set", "get", "get", "get", "get", "set" }, {
      calls[1].kind, calls[2].kind, calls[3].kind, calls[4].kind, calls[5].kind,
      calls[6].kind,
    })
    local seven = calls[2].ids[1]
    assert.same({ seven }, calls[3].ids)
    assert.same({ kind = "remove", type = "pre-key", id = seven }, calls[6].changes[1])
    local written = {}
    for _, change in ipairs(calls[1].changes) do written[change.id] = true end
    assert.is_true(written[seven])
    assert.is_nil(written[calls[2].ids[2]])
  end)

  it("has nothing of ids and values, but signs, devices and words all share", function()
    local _, text = recorded(function()
      assert(session.keys:set {
        session = { ["5521980000685.3"] = { secret = "hidden" } },
        ["sender-key"] = {
          ["120363000000007717@g.us::100000000031676_1::0"] = { secret = "hidden" },
        },
        ["lid-mapping"] = { ["100000000031676_reverse"] = "5521980000685" },
        ["app-state-sync-key"] = { ["714AQ/4q"] = { secret = "hidden" } },
      })
    end)
    for _, name in ipairs { "5511900000001", "5521980000685", "120363000000007717",
      "100000000031676", "714AQ", "4q", "hidden", "secret" } do
      assert.is_nil(text:find(name, 1, true), name)
    end
    assert.match('"session":%["1%d+%.3"%]', text)
    assert.match('"1%d+@g%.us::1%d+_1::0"', text)
    assert.match('"1%d+_reverse"', text)
  end)

  it("gives one thing the same hash in all types of a session, not in two", function()
    local calls = recorded(function()
      assert(session.keys:get("session", { "100000000031676_1.0" }))
      assert(session.keys:get("identity-key", { "100000000031676_1.0" }))
      assert(session.keys:get("device-list", { "100000000031676" }))
      assert(store:session("5511900000002").keys:get("session",
        { "100000000031676_1.0" }))
    end)
    assert.equal(calls[1].ids[1], calls[2].ids[1])
    assert.equal(calls[1].ids[1]:match "^%d+", calls[3].ids[1])
    assert.not_equal(calls[1].ids[1], calls[4].ids[1])
  end)

  it("takes another key each time", function()
    local function record()
      return recorded(function() session.keys:get("session", { "100000000031676" }) end)
    end
    assert.not_equal(record()[1].ids[1], record()[1].ids[1])
  end)

  it("leaves the calls as they are, also wrong ones", function()
    local calls = recorded(function()
      assert.has_error(function() session.keys:get("t", 1) end)
      assert.has_error(function() session.keys:get("t", { 1 }) end)
      assert.has_error(function() session.keys:get(1, { "a" }) end)
      assert.has_error(function() session.keys:set { t = 1 } end)
      assert.same({}, session.keys:get("t", { "a" }))
    end)
    assert.equal(1, #calls)
  end)

  it("ends with the store, whole", function()
    assert(store:record_trace(path))
    for i = 1, 100 do assert(session.keys:get("t", { tostring(i) })) end
    store:close()
    assert.equal(100, #lines())
  end)

  it("begins anew in another file", function()
    local first = path
    assert(store:record_trace(first))
    assert(session.keys:get("t", { "a" }))
    path = path .. ".2"
    assert(store:record_trace(path))
    assert(session.keys:get("t", { "a" }))
    assert(session.keys:get("t", { "a" }))
    assert(store:record_trace(false))
    assert(session.keys:get("t", { "a" }))
    assert.equal(2, #lines())
    path = first
    assert.equal(1, #lines())
  end)

  it("says why a file cannot be made", function()
    local message = outcome.fails("disk", store:record_trace "/no/folder/trace")
    assert.match("/no/folder/trace: No such file", message)
    assert.is_nil(store.observer)
    message = outcome.raises(function() store:record_trace(1) end)
    assert.match("^path: 1; accepted", message)
  end)

  it("tells once when a file cannot be written, and calls go on", function()
    local told = {}
    store:close()
    store = assert(authstate.open { redis = server.url,
      log = function(level, message) told[#told + 1] = level .. ": " .. message end })
    session = store:session "s"
    assert(store:record_trace "/dev/full")
    for i = 1, 3000 do assert(session.keys:get("t", { tostring(i) })) end
    assert.equal(1, #told)
    assert.match("^error: /dev/full: No space left on device; the trace ends$", told[1])
    assert(store:record_trace(false))
  end)
end)
