-- SPDX-License-Identifier: MIT

-- Many tasks on few sessions: each session answers as if one queue had taken all its
-- calls in the order in which they were made.

local authstate = require "authstate"
local history = require "spec.api.history"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"

local SESSIONS, TASKS, CALLS = 50, 1000, 6
-- Of those that a load asks for before it knows which there are: else it asks twice.
local TYPES = { "pre-key", "session", "tctoken" }
local IDS = { "a", "b", "c", "d", "e" }

describe("calls of many tasks", function()
  local server, store
  local calls    -- by session: those made, in order
  local serial   -- the newest value

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    calls, serial = {}, 0
  end)

  local function next_value()
    serial = serial + 1
    return serial
  end

  -- Makes a call and writes down what it answered.
  local function note(list, call, answer, message, code)
    if code == "conflict" then
      call.answer = code
    elseif answer == nil then
      call.answer = ("%s: %s"):format(code, message)
    else
      call.answer = answer
    end
    list.answered = list.answered + 1
  end

  local function begin(list, call)
    list[#list + 1] = call
    return call
  end

  local function some_ids(choose, most)
    local ids, seen = {}, {}
    for _ = 1, choose:integer(1, most) do
      local id = choose:pick(IDS)
      if not seen[id] then ids[#ids + 1] = id end
      seen[id] = true
    end
    return ids
  end

  -- Changes for the checker, and the same for the library.
  local function some_changes(choose)
    local changes, given = {}, {}
    for _ = 1, choose:pick { 1, 1, 1, 2 } do
      local kind = choose:pick(TYPES)
      changes[kind], given[kind] = {}, {}
      for _, id in ipairs(some_ids(choose, choose:pick { 1, 1, 4 })) do
        local is_deletion = choose:chance(0.25)
        changes[kind][id] = not is_deletion and next_value()
        given[kind][id] = changes[kind][id] or authstate.null
      end
    end
    return changes, given
  end

  local CHOICES = {
    get = function(choose, session, list)
      local kind, ids = choose:pick(TYPES), some_ids(choose, choose:pick { 1, 1, 4 })
      local call = begin(list, { name = "get", type = kind, ids = ids })
      note(list, call, session.keys:get(kind, ids))
    end,

    count = function(choose, session, list)
      local call = begin(list, { name = "count", type = choose:pick(TYPES) })
      note(list, call, session.keys:count(call.type))
    end,

    load = function(_, session, list)
      local call = begin(list, { name = "load" })
      local loaded, message, code = session:load()
      if loaded then
        loaded = {
          creds = loaded.creds and loaded.creds.n, keys = loaded.keys,
          version = loaded.version,
        }
      end
      note(list, call, loaded, message, code)
    end,

    set = function(choose, session, list)
      local changes, given = some_changes(choose)
      local call = begin(list, { name = "write", changes = changes })
      note(list, call, session.keys:set(given))
    end,

    commit = function(choose, session, list)
      local changes, given = some_changes(choose)
      local call =
        begin(list, { name = "write", changes = changes, creds = next_value() })
      note(list, call, session:commit { creds = { n = call.creds }, keys = given })
    end,

    expect = function(choose, session, list)
      local changes, given = some_changes(choose)
      local version = #list
      for i = #list, 1, -1 do
        if type(list[i].answer) == "number" and list[i].name == "write" then
          version = list[i].answer
          break
        end
      end
      local call = begin(list, { name = "write", changes = changes, expect = version })
      note(list, call, session:commit { keys = given, expect = version })
    end,
  }

  local CHECKED = { "get", "get", "get", "get", "set", "set", "commit", "expect", "load",
    "count" }
  local PLAIN = { "get", "get", "get", "set", "set", "set", "set", "commit", "load",
    "count" }

  local function work(choose, menu, own_coroutines, id)
    local session, list = store:session(id), calls[id]
    for _ = 1, CALLS do
      local make_call = CHOICES[choose:pick(menu)]
      if choose:chance(own_coroutines) then
        coroutine.wrap(make_call)(choose, session, list)
      else
        make_call(choose, session, list)
      end
      if choose:chance(0.2) then authstate.sleep(choose:pick { 0, 0, 1, 3 }) end
    end
  end

  local function check_sessions(about)
    for id, list in pairs(calls) do
      assert.equal(#list, list.answered, about)
      local expected, message = history.replay(list)
      assert.is_table(expected,
        ("%s, session %s: %s"):format(about, id, tostring(message)))
      local stored = assert(store:session(id):load())
      assert.equal(expected.version, stored.version, about)
      for kind, records in pairs(expected.keys) do
        if next(records) == nil then records = nil end
        assert.same(records, stored.keys[kind], about)
      end
    end
  end

  local function storm(options, choose)
    options.redis = { url = server.url, socket = { command_timeout_ms = 60000 } }
    store = assert(authstate.open(options))
    for number = 1, SESSIONS do calls["s" .. number] = { answered = 0 } end
    local own_coroutines = choose:pick { 0, 0.02, 0.2 }
    local menu = options.writes == "plain" and PLAIN or CHECKED
    authstate.run(function()
      -- All handles know the same generation, so that none is fenced.
      for id, list in pairs(calls) do
        authstate.spawn(CHOICES.commit, choose, store:session(id), list)
      end
      authstate.sleep(20)
      for task = 1, TASKS do
        local id = "s" .. (task % SESSIONS + 1)
        authstate.spawn(work, choose, menu, own_coroutines, id)
      end
    end)
    check_sessions(("seed %d, pool_size %d"):format(choose.seed, options.pool_size))
    assert.equal(0, store:stats().queued.operations)
    store:close()
  end

  for _, pool_size in ipairs { 1, 2, 5 } do
    for _, writes in ipairs { "checked", "plain" } do
      for _, is_batched in ipairs { true, false } do
        it(("take effect in their order: %s writes, %d connections%s"):format(writes,
          pool_size, is_batched and "" or ", each alone"), function()
          local choose = random.new()
          for _ = 1, random.rounds(1) do
            calls, serial = {}, 0
            server:command("FLUSHALL")
            storm({
              pool_size = pool_size, writes = writes, enable_batching = is_batched,
              batch_size = is_batched and choose:pick { 2, 7, 256 } or nil,
              batch_window_ms = choose:pick { 0, 10 },
            }, choose)
          end
        end)
      end
    end
  end
end)

describe("writes of tasks that are late or cancelled", function()
  local server, between

  setup(function()
    server = redis_server.start()
    between = proxy.start { server = server }
  end)

  teardown(function()
    between:stop()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    between:pass()
  end)

  local MODES = {
    { "checked writes", { writes = "checked" } },
    { "checked writes, two connections", { writes = "checked", pool_size = 2 } },
    { "plain writes", { writes = "plain" } },
    { "plain writes, each alone", { writes = "plain", enable_batching = false } },
  }

  -- Makes one write in a task, and cancels the task or not; what it was told goes into
  -- `told`.
  local function write(choose, session, id, told)
    local options = choose:chance(0.4) and { timeout_ms = choose:integer(1, 12) } or nil
    local ids = { [id] = 1 }
    if choose:chance(0.3) then ids[id .. "x"] = 2 end
    local task = authstate.spawn(function()
      told[id] = { session.keys:set({ t = ids }, options) }
    end)
    if choose:chance(0.4) then
      authstate.spawn(function()
        local ms = choose:pick { false, 0, 0, 1, 3 }
        if ms then authstate.sleep(ms) end
        task:cancel()
      end)
    end
  end

  local function check(about, found, version, told)
    local versions = {}
    for id, outcome in pairs(told) do
      local answer, message, code, details = unpack(outcome, 1, 4)
      local is_there = found[id] ~= nil
      local words = ("%s, %s: %s %s"):format(about, id, tostring(code), tostring(message))
      if answer then
        assert.is_true(is_there, words)
        assert.is_true(answer <= version, words)
        assert.is_nil(versions[answer], words)
        versions[answer] = true
      elseif details.applied == "no" then
        assert.is_false(is_there, words)
      else
        assert.equal("maybe", details.applied, words)
      end
    end
  end

  for _, mode in ipairs(MODES) do
    it("say truly what became of them: " .. mode[1], function()
      local choose = random.new()
      mode[2].redis = { url = between.url, socket = { command_timeout_ms = 60000 } }
      for _ = 1, random.rounds(3) do
        server:command("FLUSHALL")
        local store = assert(authstate.open(mode[2]))
        local sessions, told, made = {}, {}, 0
        for number = 1, 5 do
          sessions[number], told[number] = store:session("s" .. number), {}
          assert(sessions[number].keys:set { t = { first = 1 } })
        end
        authstate.run(function()
          for _ = 1, 30 do
            for _ = 1, choose:integer(1, 20) do
              local number = choose:integer(1, 5)
              made = made + 1
              write(choose, sessions[number], "n" .. made, told[number])
            end
            if choose:chance(0.4) then between:hold() end
            authstate.sleep(choose:pick { 0, 0, 1, 4 })
            between:pass()
          end
        end)
        assert(store:ping())
        for number, session in ipairs(sessions) do
          assert(session.keys:set { t = { last = 1 } })
          local loaded = assert(session:load())
          check(("seed %d, s%d"):format(choose.seed, number), loaded.keys.t,
            loaded.version, told[number])
        end
        assert.equal(0, store:stats().queued.operations)
        store:close()
      end
    end)
  end
end)

-- The server knows the newest writers of a session, and asks the others to begin anew. It
-- has answered by then what was read behind the write.
describe("a read behind a write that has to be sent again", function()
  local server

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  local READS = {
    get = function(session) return session.keys:get("t", { "a" }).a end,
    ["get with options"] = function(session)
      return session.keys:get("t", { "a" }, { timeout_ms = 5000 }).a
    end,
    ["get of two"] = function(session) return session.keys:get("t", { "a", "b" }).a end,
    list = function(session) return #session.keys:list "t" + 1 end,
    load = function(session) return session:load().keys.t.a end,
    ["the first of a handle"] = function(session, store)
      return store:session(session.id).keys:get("t", { "a" }).a
    end,
  }

  for _, options in ipairs { {}, { enable_cache = true } } do
    for name, read in pairs(READS) do
      it(("sees it: %s, %s"):format(name, next(options) or "no cache"), function()
        server:command "FLUSHALL"
        options.redis = server.url
        local store = assert(authstate.open(options))
        local session = store:session "s"
        for i = 1, 2 do assert(session.keys:set { t = { a = i } }) end
        for _ = 1, 2 do assert(session.keys:get("t", { "a" })) end -- the quick way
        local meta = "authstate:{s}:meta"
        for _, field in ipairs(server:command("HKEYS", meta)) do
          if field:find "^w:" then server:command("HDEL", meta, field) end
        end
        local seen
        authstate.run(function()
          authstate.spawn(function()
            assert(session.keys:set { t = { a = 3, b = 3 } })
          end)
          authstate.spawn(function() seen = read(session, store) end)
        end)
        assert.equal(3, seen)
        store:close()
      end)
    end
  end
end)
