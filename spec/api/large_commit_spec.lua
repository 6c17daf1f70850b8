-- SPDX-License-Identifier: MIT

-- A whole account in one commit, as an import makes it: there entirely or not at all.

local authstate = require "authstate"
local clock = require "spec.support.clock"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local actor = require "spec.api.actor"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

-- Commits a file's session under an id, when it may.
local IMPORTER = [[
  local file = io.open(arg[2])
  local text = file:read "*a"
  file:close()
  session = store:session(arg[3])
  store:ping()
  await(arg[4])
  report "going"
  local started_ms = core.now_ms()
  local version = assert(session:commit_json(text, { timeout_ms = 60000 }))
  report(version, core.now_ms() - started_ms)
]]

-- The large account `copies` times under other ids: text and number of keys.
local function multiply(copies)
  local account = sample.session "large"
  local types, count = {}, 0
  for kind, records in pairs(account.keys) do
    local members = {}
    for id, text in pairs(records) do
      for copy = 1, copies do
        local name = copy == 1 and id or id .. "#" .. copy
        members[#members + 1] = ("%q:%s"):format(name, text)
        count = count + 1
      end
    end
    types[#types + 1] = ("%q:{%s}"):format(kind, table.concat(members, ","))
  end
  local text =
    ('{"creds":%s,"keys":{%s}}'):format(account.creds, table.concat(types, ","))
  return text, count
end

describe("a large commit", function()
  local server, store

  setup(function()
    server = redis_server.start()
    store = assert(authstate.open { redis = server.url })
    assert(store:ping())
  end)

  teardown(function()
    store:close()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
  end)

  -- How many records Redis has in one moment, creds included, and the version.
  local function count_records(id)
    local look = { { "MULTI" }, { "HLEN", "authstate:{" .. id .. "}:creds" } }
    for kind in pairs(sample.session("large").keys) do
      look[#look + 1] = { "HLEN", "authstate:{" .. id .. "}:k:" .. kind }
    end
    look[#look + 1] = { "HGET", "authstate:{" .. id .. "}:meta", "ver" }
    look[#look + 1] = { "EXEC" }
    local replies = server:pipeline(look)
    local found = replies[#replies]
    local sum = 0
    for i = 1, #found - 1 do sum = sum + found[i] end
    return sum, tonumber(found[#found] or 0)
  end

  for copies, name in pairs { [1] = "3,000", [10] = "30,000" } do
    it("of " .. name .. " records is seen by others whole or not at all", function()
      local text, count = multiply(copies)
      local path, go = temporary.file(text), temporary.directory() .. "/go"
      local importer = actor.start(server.url, IMPORTER, path, "s", go)
      importer:await "ready"
      io.open(go, "w"):close()
      local looks = 0
      local reader = store:session "s"
      local function check()
        local records, version = count_records "s"
        assert.equal(version == 0 and 0 or count + 1, records)
        looks = looks + 1
        return version
      end
      while check() == 0 do
        if looks % 50 == 0 and copies == 1 then
          local loaded = reader:load { timeout_ms = 60000 }
          if loaded then assert.equal(1, loaded.version) end
        end
        assert.is_true(importer.process:alive() or importer.process:status() == 0,
          importer.process:errors())
      end
      assert.equal("1", importer:finish()[1])
      assert.equal(1, check())
      assert.is_true(looks > 5, looks)
      local info = store:session_info "s"
      local sum = 0
      for _, records in pairs(info.counts) do sum = sum + records end
      assert.equal(count, sum)
    end)
  end

  it("of a process that is killed is there whole or not at all, and can be repeated",
    function()
      local dice = random.new()
      local text, count = multiply(1)
      local path = temporary.file(text)
      local function count_clients()
        return tonumber(server:command("INFO", "clients"):match "connected_clients:(%d+)")
      end
      local idle = count_clients()

      local function import(id, delay_ms)
        local go = temporary.directory() .. "/go"
        local importer = actor.start(server.url, IMPORTER, path, id, go)
        importer:await "ready"
        io.open(go, "w"):close()
        if not delay_ms then return importer:finish() end
        importer:await "going"
        clock.sleep(delay_ms)
        importer.process:signal "KILL"
        importer.process:kill()
      end

      local takes_ms = tonumber(import("whole")[2])
      assert.equal(count + 1, (count_records "whole"))
      for round = 1, 10 do
        local id = "killed" .. round
        import(id, dice:fraction() * takes_ms)
        assert.is_truthy(clock.wait_for(function() return count_clients() <= idle end))
        local records, version = count_records(id)
        assert.equal(version == 0 and 0 or count + 1, records,
          ("round %d of seed %d"):format(round, dice.seed))
        local session = store:session(id)
        local loaded = session:load_json()
        assert.equal(version == 1, loaded ~= nil)
        if loaded then assert.same(sample.session("large").keys, loaded.keys) end
        assert.equal(version + 1, session:commit_json(text))
        assert.equal(count + 1, (count_records(id)))
      end
    end)

  it("takes the place of records that were there, in the same step", function()
    local session = store:session "s"
    session:commit_json(sample.text "small")
    local changes = {}
    for kind, records in pairs(sample.session("small").keys) do
      changes[kind] = {}
      for id in pairs(records) do changes[kind][id] = authstate.null end
    end
    for kind, records in pairs(sample.session("large").keys) do
      changes[kind] = changes[kind] or {}
      for id, text in pairs(records) do changes[kind][id] = text end
    end
    assert.equal(2, session.keys:set_json(changes))
    assert.same(sample.session("large").keys, session:load_json().keys)
    assert.equal(2, stored.version(server, "s"))
  end)

  it("is loaded again by a handle that knew less types", function()
    local one, two = store:session "s", store:session "s"
    assert(one:save_creds(sample.creds()))
    assert(two:load())
    local changes = {}
    for n = 1, 30 do changes["type" .. n] = { a = n } end
    assert(one.keys:set(changes))
    assert.same(changes, two:load().keys)
  end)
end)
