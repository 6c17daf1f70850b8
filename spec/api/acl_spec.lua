-- SPDX-License-Identifier: MIT

-- The users of doc/security.md, made as they stand there: each can do what it is for, and
-- without any one of its rules something is denied, told by name, and left as it was.

local authstate = require "authstate"
local rotation = require "authstate.rotation"
local outcome = require "spec.api.outcome"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails = outcome.fails

-- The index may name too much: a session is put in before its first write, and taken out
-- when it is deleted. Without these a delete is done, and told so.
local OF_THE_INDEX = { zrem = true, zscore = true }

-- Without these, less is known or can be done, and every call still works.
local OPTIONAL = { ["client|id"] = true, ["client|kill"] = true, info = true }

local PAGE = "doc/security.md"

-- The words of a command that makes a user: { [name] = list }.
local function read_users()
  local users = {}
  for line in io.lines(PAGE) do
    local name, rules = line:match "^ACL SETUSER authstate%-(%w+) (.*)$"
    if name then
      local words = {}
      for word in rules:gmatch "%S+" do words[#words + 1] = word end
      users[name] = words
    end
  end
  return users
end

-- Each call, on sessions that are there: "s" with records, "gone" deleted, "old" with as
-- many writers as are remembered.
local READS = {
  { "ping", function(store) return store:ping() end },
  { "load_creds", function(store) return store:session("s"):load_creds() end },
  { "load_creds_json", function(store) return store:session("s"):load_creds_json() end },
  { "load", function(store) return store:session("s"):load() end },
  { "load_json", function(store) return store:session("s"):load_json() end },
  { "get", function(store) return store:session("s").keys:get("t", { "a" }) end },
  { "get, several", function(store)
    local session = store:session "s"
    local found, message, code, details = session.keys:get("t", { "a" })
    if not found then return nil, message, code, details end
    return session.keys:get_json("t", { "a", "b" })
  end },
  { "list", function(store) return store:session("s").keys:list "t" end },
  { "count", function(store) return store:session("s").keys:count "t" end },
  { "types", function(store) return store:session("s").keys:types() end },
  { "one read after another", function(store)
    local session = store:session "s"
    local found, message, code, details = session:load_creds()
    if not found then return nil, message, code, details end
    return session.keys:get("t", { "a" })
  end },
}

local LISTS = {
  { "sessions", function(store) return store:sessions() end },
  { "session_info", function(store) return store:session_info "s" end },
}

local WRITES = {
  { "load_or_create", function(store)
    return store:session("new"):load_or_create(sample.creds)
  end },
  { "load_or_create, again", function(store)
    return store:session("gone"):load_or_create(sample.creds)
  end },
  { "save_creds", function(store)
    return store:session("s"):save_creds(sample.creds(2))
  end },
  { "commit", function(store)
    return store:session("s"):commit {
      creds = sample.creds(3), keys = { t = { a = authstate.null, c = "1" } },
    }
  end },
  { "commit_json", function(store)
    return store:session("import"):commit_json(sample.text "small")
  end },
  { "set", function(store)
    return store:session("s").keys:set { t = { a = authstate.null, b = "2" } }
  end },
  { "set_json", function(store)
    return store:session("old").keys:set_json { t = { b = "2" } }
  end },
}

local PLAIN_WRITES = {
  { "a plain write", function(store)
    local session = store:session "s"
    local found, message, code, details = session:load()
    if not found then return nil, message, code, details end
    return session.keys:set { t = { b = "2" } }
  end },
  { "a plain removal", function(store)
    local session = store:session "s"
    local found, message, code, details = session:load()
    if not found then return nil, message, code, details end
    return session.keys:set { t = { a = authstate.null } }
  end },
}

local DELETES = {
  { "delete", function(store) return store:session("s"):delete() end },
}

local ROTATIONS = {
  { "rotate-keys", function(store)
    local ids, message, code, details = rotation.sessions(store)
    if not ids then return nil, message, code, details end
    return rotation.rotate(store, "s")
  end },
}

-- What each user can do, and with which options. Inspecting and deleting by a command
-- asks besides for what `beside` names.
local ROLES = {
  reader = { calls = { READS } },
  lister = { calls = { READS, LISTS }, beside = { time = true } },
  writer = { calls = { READS, WRITES } },
  plain = { calls = { READS, WRITES, PLAIN_WRITES }, options = { writes = "plain" } },
  rotator = {
    calls = { ROTATIONS },
    options = { encryption = { keys = { ("ab"):rep(32) }, primary = 1 } },
  },
  all = {
    calls = { READS, WRITES, PLAIN_WRITES, LISTS, DELETES },
    options = { writes = "plain" }, beside = { pexpiretime = true },
  },
}

describe("a user of the server", function()
  local server
  local users = read_users()

  teardown(function()
    server:kill()
  end)

  -- All that is stored but for the index, as one text.
  local function state()
    local everything, keys, lines = stored.everything(server), {}, {}
    for key in pairs(everything) do
      if not key:find("{index:", 1, true) then keys[#keys + 1] = key end
    end
    table.sort(keys)
    for i, key in ipairs(keys) do lines[i] = key .. everything[key] end
    return table.concat(lines)
  end

  local function admin(work)
    local store = assert(authstate.open { redis = server.url })
    work(store)
    store:close()
  end

  local function fill()
    admin(function(store)
      for _, id in ipairs { "s", "gone" } do
        assert(store:session(id):commit {
          creds = sample.creds(1), keys = { t = { a = "1", b = "1" } },
        })
      end
      assert(store:session("gone"):delete())
    end)
    for i = 1, 9 do
      admin(function(store)
        assert(store:session("old").keys:set { t = { a = tostring(i) } })
      end)
    end
  end

  local kept

  -- All keys as they are, for `refill`.
  local function keep()
    kept = {}
    for _, key in ipairs(server:command("KEYS", "*")) do
      local ttl_ms = math.max(server:command("PTTL", key), 0)
      table.insert(kept, { key, ttl_ms, server:command("DUMP", key) })
    end
  end

  -- Makes all that is stored as it was at first, without eleven stores each time.
  local function refill()
    server:command("FLUSHALL")
    for _, each in ipairs(kept) do
      assert.equal("OK", server:command("RESTORE", unpack(each)))
    end
  end

  setup(function()
    server = redis_server.start { tcp = true }
    fill()
    keep()
  end)

  -- Makes a user with the rules of the page, but for one of them.
  local function make_user(name, without)
    server:command("ACL", "DELUSER", "app")
    local rules = {}
    for _, word in ipairs(users[name]) do
      if word == ">SECRET" then word = ">hunter2" end
      if word ~= without then rules[#rules + 1] = word end
    end
    assert.equal("OK", server:command("ACL", "SETUSER", "app", unpack(rules)))
  end

  local function open_as_user(options)
    local given = { redis = { url = server.url, username = "app", password = "hunter2" } }
    for name, value in pairs(options or {}) do given[name] = value end
    return assert(authstate.open(given))
  end

  -- Does all calls of a role, each on data that is as at first, with a store of its own.
  -- `told(name, is_same, value, message, code, details)` gets what each gave.
  local function do_calls(role, told)
    for _, list in ipairs(role.calls) do
      for _, call in ipairs(list) do
        refill()
        local before = state()
        local store = open_as_user(role.options)
        local value, message, code, details = call[2](store)
        store:close()
        told(call[1], before == state(), value, message, code, details)
      end
    end
  end

  for name, role in pairs(ROLES) do
    describe("authstate-" .. name, function()
      it("can do what it is for", function()
        make_user(name)
        do_calls(role, function(call, _, value, message, code)
          assert.is_truthy(value, ("%s: %s: %s"):format(call, tostring(code),
            tostring(message)))
        end)
      end)

      for _, rule in ipairs(users[name]) do
        local command = rule:match "^%+(.*)$"
        if command and not OPTIONAL[command] and not (role.beside or {})[command] then
          it("is denied something without +" .. command .. ", which is named", function()
            make_user(name, rule)
            local denied = 0
            do_calls(role, function(call, is_same, value, message, code, details)
              if value ~= nil then return end
              fails("denied", value, message, code, details)
              assert.match("'" .. command .. "'", message:lower(), 1, true)
              assert.is_nil(message:find("hunter2", 1, true))
              assert.equal(OF_THE_INDEX[command] and "yes" or "no", details.applied, call)
              assert.equal(not OF_THE_INDEX[command], is_same, call)
              denied = denied + 1
            end)
            assert.is_true(denied > 0)
          end)
        end
      end

      it("can do all of it without what may be left out", function()
        for command in pairs(OPTIONAL) do
          make_user(name, "+" .. command)
          local store = open_as_user(role.options)
          refill()
          if name == "rotator" then
            assert(rotation.rotate(store, "s"))
          else
            assert.is_true(store:ping())
            assert(store:session("s"):load())
          end
          store:close()
        end
      end)
    end)
  end

  it("that only reads cannot write, delete, or be talked into it", function()
    make_user "reader"
    refill()
    local before = state()
    for _, list in ipairs { WRITES, DELETES } do
      for _, call in ipairs(list) do
        local store = open_as_user()
        fails("denied", call[2](store))
        store:close()
      end
    end
    assert.is_true(before == state())
  end)

  it("cannot reach keys of another prefix", function()
    make_user "all"
    local store = open_as_user { prefix = "other:" }
    fails("denied", store:session("s"):load())
    fails("denied", store:session("s"):save_creds(sample.creds()))
    store:close()
  end)

  it("needs +select for another database", function()
    make_user "reader"
    local given = { url = server.url .. "?db=2", username = "app", password = "hunter2" }
    local store = assert(authstate.open { redis = given })
    assert.match("'select'", (fails("denied", store:ping())), 1, true)
    store:close()
    server:command("ACL", "SETUSER", "app", "+select")
    store = assert(authstate.open { redis = given })
    assert.is_true(store:ping())
    store:close()
  end)

  for _, rule in ipairs { "+client|kill", "+client|id", "+info" } do
    it("without " .. rule .. " is told timeout of what was lost on the way", function()
      make_user("writer", rule)
      refill()
      local between = proxy.start { server = server }
      local store = assert(authstate.open { redis = {
        url = between.url, username = "app", password = "hunter2",
      } })
      local session = store:session "s"
      assert(session:load_creds())
      assert(session.keys:set { t = { a = "2" } })
      between:cut_request { from = "EVALSHA", after_bytes = 60 }
      local _, details = fails("timeout", session.keys:set { t = { a = "3" } })
      assert.equal("maybe", details.applied)
      assert.equal("2", stored.hash(server, "authstate:{s}:k:t").a and
        session.keys:get("t", { "a" }).a)
      store:close()
      between:stop()
    end)
  end
end)

describe("a server that does not know a command", function()
  -- Redis repeats what a command was given that it does not know.
  it("does not make its arguments a message", function()
    local server = redis_server.start { config = {
      ["rename-command"] = { 'AUTH ""', 'HSET ""' }, requirepass = '""',
    } }
    local told = {}
    local function open(options)
      options.log = function(_, message) told[#told + 1] = message end
      return assert(authstate.open(options))
    end
    local store = open { redis = { path = server.socket, password = "hunter2" } }
    local message = fails("server", store:ping())
    assert.match("unknown command 'AUTH'", message, 1, true)
    store:close()
    store = open { redis = server.url, writes = "plain" }
    local replies, words = store:perform(store:begin(nil, nil, 1), {
      commands = { { "HSET", "key", "field", "hunter2" } },
    })
    assert.is_nil(replies)
    assert.match("unknown command 'HSET'", words, 1, true)
    store:close()
    assert.equal(2, #told)
    for _, each in ipairs { message, words, unpack(told) } do
      assert.is_nil(each:find("hunter2", 1, true), each)
    end
    server:kill()
  end)
end)
