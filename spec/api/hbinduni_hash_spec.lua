-- SPDX-License-Identifier: MIT

-- The layout of the Node package of hbinduni: its hashes are read and written in place,
-- so that its programs and ours can take turns.

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"

local KEY = "5511999999999:auth"

-- Type, id, and the field that Node gives it.
local RECORDS = {
  { "pre-key", "1", "pre-key-1" },
  { "session", "5511999999999.0", "session-5511999999999.0" },
  { "session", "5511:2.0", "session-5511-2.0" },
  { "sender-key", "120363000000030868@g.us::5521980000274::0",
    "sender-key-120363000000030868@g.us--5521980000274--0" },
  { "sender-key", "a--b@g.us::1_1::99", "sender-key-a--b@g.us--1_1--99" },
  { "sender-key-memory", "120363000000030868@g.us",
    "sender-key-memory-120363000000030868@g.us" },
  { "app-state-sync-key", "AAAA/+A=", "app-state-sync-key-AAAA__+A=" },
  { "app-state-sync-key", "//", "app-state-sync-key-____" },
  { "app-state-sync-version", "critical_block", "app-state-sync-version-critical_block" },
  { "tctoken", "__index", "tctoken-__index" },
  { "lid-mapping", "5511_reverse", "lid-mapping-5511_reverse" },
  { "device-list", "5511", "device-list-5511" },
  { "identity-key", "5511.0", "identity-key-5511.0" },
}

describe("the layout hbinduni-hash", function()
  local server, store, session

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url, layout = "hbinduni-hash" })
    session = store:session "5511999999999"
  end)

  after_each(function()
    store:close()
  end)

  -- Writes as Node does: the whole small session, or these fields.
  local function node_writes(fields)
    local command = { "HSET", KEY }
    for field, text in pairs(fields) do
      command[#command + 1], command[#command + 2] = field, text
    end
    assert(server:command(unpack(command)))
  end

  local function node_reads()
    local flat, fields = server:command("HGETALL", KEY), {}
    for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
    return fields
  end

  -- The small session as Node has it.
  local function small_fields()
    local small = sample.session "small"
    local fields = { creds = small.creds }
    for kind, records in pairs(small.keys) do
      for id, text in pairs(records) do
        fields[kind .. "-" .. id:gsub("/", "__"):gsub(":", "-")] = text
      end
    end
    return fields
  end

  for _, record in ipairs(RECORDS) do
    local kind, id, field = unpack(record)
    it(("has %s %s in the field %s, and nothing else there"):format(kind, id, field),
      function()
        node_writes { creds = '{"a":1}', [field] = '"from Node"' }
        assert.same({ [id] = '"from Node"' }, session.keys:get_json(kind, { id }))
        assert(session.keys:set_json { [kind] = { [id] = '"from us"' } })
        assert.same({ creds = '{"a":1}', [field] = '"from us"' }, node_reads())
        assert(session.keys:set { [kind] = { [id] = authstate.null } })
        assert.same({ creds = '{"a":1}' }, node_reads())
      end)
  end

  it("reads what Node wrote, all of it, byte for byte", function()
    node_writes(small_fields())
    local small = sample.session "small"
    local loaded = assert(session:load_json())
    assert.equal(small.creds, loaded.creds)
    for kind, records in pairs(small.keys) do
      for id, text in pairs(records) do
        -- A session's id with a colon does not come back from its field.
        local listed = kind == "session" and id:gsub(":", "-") or id
        assert.equal(text, loaded.keys[kind][listed], kind .. " " .. id)
        assert.equal(text, session.keys:get_json(kind, { id })[id])
      end
    end
    assert.is_nil(loaded.unknown)
    assert.equal(0, loaded.version)
  end)

  it("changes what it is told to, and not a byte else", function()
    local before = small_fields()
    node_writes(before)
    local creds = assert(session:load_creds())
    creds.nextPreKeyId = 4711
    assert(session:commit {
      creds = creds, keys = { ["pre-key"] = { ["74"] = authstate.null }, session = {
        ["5511900000999.0"] = { a = authstate.bytes "bytes" },
      } },
    })
    local after = node_reads()
    assert.equal('{"a":{"type":"Buffer","data":"Ynl0ZXM="}}',
      after["session-5511900000999.0"])
    assert.matches('"nextPreKeyId":4711', after.creds, 1, true)
    assert.is_nil(after["pre-key-74"])
    before["pre-key-74"], before.creds, after.creds = nil, nil, nil
    after["session-5511900000999.0"] = nil
    assert.same(before, after)
  end)

  it("keeps meta beside the hash, in its slot, and writes exactly once", function()
    node_writes { creds = '{"a":1}' }
    assert(session:load_creds())
    assert.equal(1, session.keys:set_json { ["pre-key"] = { ["1"] = "1" } })
    assert.equal(2, session.keys:set_json { ["pre-key"] = { ["1"] = "2" } })
    local meta = "authstate:{" .. KEY .. "}:meta"
    assert.equal("2", server:command("HGET", meta, "ver"))
    assert.same({ 1, 0 }, { server:command("EXISTS", meta),
      server:command("EXISTS", "authstate:{index:0}") })
    local version, _, code = session:commit {
      keys = { ["pre-key"] = { ["1"] = 3 } }, expect = 1,
    }
    assert.is_nil(version)
    assert.equal("conflict", code)
  end)

  it("counts and lists by the names of the fields", function()
    node_writes {
      creds = "{}", ["pre-key-1"] = "1", ["pre-key-2"] = "1", ["something else"] = "1",
      ["sender-key-a--b--c"] = "1", ["sender-key-memory-a"] = "1",
    }
    local ids = session.keys:list "pre-key"
    table.sort(ids)
    assert.same({ "1", "2" }, ids)
    assert.same({ "a::b::c" }, session.keys:list "sender-key")
    assert.equal(1, session.keys:count "sender-key-memory")
    assert.equal(0, session.keys:count "session")
    assert.same({ ["pre-key"] = 2, ["sender-key"] = 1, ["sender-key-memory"] = 1 },
      session.keys:types())
    local info = store:session_info "5511999999999"
    assert.same({ 1, 2 }, { info.creds, info.counts["pre-key"] })
    assert.equal(1, session:load().unknown)
  end)

  it("lists the sessions that Node made", function()
    local expected = {}
    for i = 1, 300 do
      server:command("HSET", ("s%d:auth"):format(i), "creds", "{}")
      expected[i] = "s" .. i
    end
    server:command("SET", "string:auth", "x")
    server:command("HSET", "authstate:{s1:auth}:meta", "gen", "1")
    local seen, after, pages = {}, nil, 0
    repeat
      local ids, next_page = store:sessions { after = after, limit = 50 }
      for _, id in ipairs(ids) do seen[id] = true end
      after, pages = next_page, pages + 1
    until not after
    local ids = {}
    for id in pairs(seen) do ids[#ids + 1] = id end
    table.sort(ids)
    table.sort(expected)
    assert.same(expected, ids)
    assert.is_true(pages > 1)
    assert.error_matches(function() store:sessions { after = "3:1:x" } end, "after")
  end)

  it("finds nothing where Node wrote nothing, and makes creds when asked", function()
    assert.is_nil((session:load()))
    assert.is_nil((session:load_creds()))
    assert.is_nil((store:session_info "5511999999999"))
    local creds, created = session:load_or_create(function() return { n = 1 } end)
    assert.same({ { n = 1 }, true }, { creds, created })
    assert.same({ creds = '{"n":1}' }, node_reads())
    local other = store:session "5511999999999"
    assert.same({ { n = 1 }, false }, {
      other:load_or_create(function() error "made twice" end),
    })
  end)

  it("deletes what Node wrote, and keeps a late writer of ours out", function()
    node_writes { creds = "{}", ["pre-key-1"] = "1" }
    local late = store:session "5511999999999"
    assert(late:load())
    assert.equal(2, session:delete().records)
    assert.equal(0, server:command("EXISTS", KEY))
    local version, _, code = late.keys:set_json { ["pre-key"] = { ["2"] = "2" } }
    assert.is_nil(version)
    assert.equal("fenced", code)
    assert.is_nil((session:load()))
    assert.equal(0, session:delete().records)
  end)

  it("finds a session that Node made again after it was deleted", function()
    node_writes { creds = '{"a":1}' }
    assert.equal(1, session:delete().records)
    node_writes { creds = '{"a":2}', ["pre-key-1"] = "1" }
    assert.same({ a = 2 }, session:load_creds())
    assert.equal('{"a":2}', session:load_json().creds)
    assert.equal(1, session:commit { creds = { a = 3 } } and 1)
    assert(session.keys:set_json { ["pre-key"] = { ["1"] = "2" } })
    assert.equal(2, session:delete().records)
  end)

  it("refuses two ids that have one field, and writes neither", function()
    node_writes { creds = "{}" }
    assert.error_matches(function()
      session.keys:set_json { session = { ["a:1"] = "1", ["a-1"] = "2" } }
    end, 'are both the field "session%-a%-1"')
    assert.same({ creds = "{}" }, node_reads())
  end)

  it("refuses a record that would not be found under its type", function()
    for kind, ids in pairs { ["my-type"] = { ["1"] = "1" }, pre = { ["key-7"] = "1" } } do
      assert.error_matches(function()
        session.keys:set_json { ["pre-key"] = { ["1"] = "1" }, [kind] = ids }
      end, "cannot be kept in this layout")
    end
    assert.same({}, node_reads())
  end)

  it("names the record that cannot be opened", function()
    node_writes { creds = "{}", ["session-a.0"] = "damaged" }
    local loaded, message, code, details = session:load()
    assert.is_nil(loaded)
    assert.equal("corrupt", code)
    assert.matches('session "a.0"', message, 1, true)
    assert.same({ "session", "a.0" }, { details.type, details.id })
  end)

  it("keeps sessions apart whatever they are called", function()
    local names = { "a", "a:auth", "{a}", "*", "a*", "[a]", "authstate:{a}", " ", "\0" }
    for i, name in ipairs(names) do
      assert(store:session(name):commit { creds = { n = i } })
    end
    for i, name in ipairs(names) do
      assert.same({ n = i }, store:session(name):load_creds())
    end
    assert.equal(1, store:session("*"):delete().records)
    assert.equal(#names - 1, #store:sessions { limit = 1000 })
  end)

  it("does not write a value that is too large, nor one that is no JSON", function()
    local small = assert(authstate.open {
      redis = server.url, layout = "hbinduni-hash", max_value_bytes = 1024,
    })
    local large = small:session "large"
    local version, _, code = large.keys:set { session = { a = ("x"):rep(1100) } }
    assert.same({ nil, "too_large" }, { version, code })
    local text = '"' .. ("x"):rep(1100) .. '"'
    version, _, code = large.keys:set_json { session = { a = text } }
    assert.same({ nil, "too_large" }, { version, code })
    assert.error_matches(function()
      large.keys:set_json { session = { a = "{" } }
    end, "byte 1")
    assert.equal(0, server:command("EXISTS", "large:auth"))
    small:close()
  end)
end)
