-- SPDX-License-Identifier: MIT

-- The scripts inside Redis, called the way the library calls them, one rule at a time.

local redis_server = require "spec.support.redis_server"
local server_scripts = require "authstate.server_scripts"
local stored = require "spec.api.stored"

local META, CREDS, KEYS = "authstate:{s}:meta", "authstate:{s}:creds", "authstate:{s}:k:t"

describe("the commit script", function()
  local server

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    for _, source in ipairs(server_scripts.sources()) do
      assert(server:command("SCRIPT", "LOAD", source))
    end
  end)

  local function call(name, keys, arguments)
    return server:pipeline({ server_scripts.command(name, keys, arguments) })[1]
  end

  -- One commit: of creds (unless `keys_only`) and of KEYS { a = value }.
  local function commit(fields)
    local arguments = {
      fields.writer or "w1", tostring(fields.seq or 1), fields.pinned or "",
      fields.proposal or "100", fields.creates and "create" or "write",
      fields.keys_only and "" or "1", fields.registered or "", fields.expect or "",
      fields.seen or "",
    }
    local keys = { META }
    local function add(...)
      for _, word in ipairs { ... } do arguments[#arguments + 1] = word end
    end
    if not fields.keys_only then
      keys[#keys + 1] = CREDS
      add("creds", "0", "1", "creds", fields.creds or "C")
    end
    keys[#keys + 1] = KEYS
    add("t", fields.delete and "1" or "0", "1")
    if fields.delete then add(fields.delete) end
    add("a", fields.value or "v")
    return call("commit", keys, arguments)
  end

  local function delete(fields)
    return call("delete", { META, CREDS, KEYS },
      { fields.writer or "w1", tostring(fields.seq), fields.pinned or "", "hash", "60000",
        fields.seen or "", "t" })
  end

  local function refused(verdict, ask)
    local before = stored.everything(server)
    assert.same(verdict, ask())
    assert.same(before, stored.everything(server))
  end

  it("opens the proposed generation when there is none", function()
    assert.same({ "ok", "100", "1" }, commit { proposal = "100" })
    assert.equal("100", stored.meta(server, "s").gen)
    assert.same({ "ok", "100", "2" }, commit { seq = 2, pinned = "100", proposal = "" })
  end)

  it("opens one for a caller that saw none, and for one that did not look", function()
    assert.same({ "ok", "100", "1" }, commit { pinned = "0" })
    server:command("FLUSHALL")
    assert.same({ "ok", "100", "1" }, commit { pinned = "" })
  end)

  it("takes the stored generation of a caller without one", function()
    commit {}
    assert.same({ "ok", "100", "2" }, commit { seq = 2, pinned = "", proposal = "" })
    assert.same({ "ok", "100", "3" }, commit { seq = 3, pinned = "", proposal = "200" })
  end)

  it("is fenced under another generation, or when the session is lost", function()
    commit {}
    refused({ "fenced", "100" }, function() return commit { seq = 2, pinned = "99" } end)
    refused({ "fenced", "100" }, function() return commit { seq = 2, pinned = "101" } end)
    refused({ "fenced", "100" }, function() return commit { seq = 2, pinned = "0" } end)
    server:command("FLUSHALL")
    refused({ "fenced", "" },
      function() return commit { pinned = "100", proposal = "200" } end)
    refused({ "fenced", "" }, function() return commit { pinned = "", proposal = "" } end)
  end)

  it("says `again`, with its version, to a write that it has applied", function()
    commit { value = "one" }
    refused({ "again", "100", "1" }, function() return commit { value = "other" } end)
    commit { seq = 2, pinned = "100", value = "two" }
    for _, pinned in ipairs { "100", "", "0", "7" } do
      refused({ "again", "100", "1" },
        function() return commit { seq = 1, pinned = pinned } end)
      refused({ "again", "100", "2" },
        function() return commit { seq = 2, pinned = pinned } end)
    end
    refused({ "again", "100", "1" },
      function() return commit { seq = 1, expect = "77" } end)
    assert.equal("two", server:command("HGET", KEYS, "a"))
  end)

  it("knows the version of each write, also with other writers between", function()
    local versions, seqs = {}, {}
    local writers = { "w1", "w2", "w1", "w1", "w2", "w3", "w1", "w1", "w1", "w2", "w1" }
    for version, writer in ipairs(writers) do
      seqs[writer] = (seqs[writer] or 0) + 1
      versions[#versions + 1] = { writer = writer, seq = seqs[writer], version = version }
      assert.same({ "ok", "100", tostring(version) }, commit {
        writer = writer, seq = seqs[writer], pinned = version > 1 and "100" or "",
      })
    end
    for _, write in ipairs(versions) do
      refused({ "again", "100", tostring(write.version) }, function()
        return commit { writer = write.writer, seq = write.seq, pinned = "100" }
      end)
    end
    assert.equal("7:11,6:9,3:4,1:1", stored.meta(server, "s")["w:w1"])
  end)

  it("keeps 16 runs of a writer; the version of an older write is 0: unknown", function()
    for n = 1, 20 do
      commit { writer = "w1", seq = n, pinned = n > 1 and "100" or "" }
      commit { writer = "w2", seq = n, pinned = "100" }
    end
    local _, commas = stored.meta(server, "s")["w:w1"]:gsub(",", "")
    assert.equal(15, commas)
    refused({ "again", "100", "39" }, function() return commit { seq = 20 } end)
    refused({ "again", "100", "11" }, function() return commit { seq = 6 } end)
    refused({ "again", "100", "0" }, function() return commit { seq = 2 } end)
  end)

  it("says `gap` to a write whose predecessor it has not seen", function()
    refused({ "gap", "" }, function() return commit { seq = 2 } end)
    commit {}
    refused({ "gap", "1" }, function() return commit { seq = 3, pinned = "100" } end)
    refused({ "gap", "" },
      function() return commit { writer = "w9", seq = 2, pinned = "100" } end)
    assert.same({ "ok", "100", "2" }, commit { seq = 2, pinned = "100" })
  end)

  it("does not count a refused write", function()
    commit {}
    refused({ "conflict", "1" }, function() return commit { seq = 2, expect = "5" } end)
    refused({ "conflict", "1" }, function() return commit { seq = 2, expect = "0" } end)
    assert.same({ "ok", "100", "2" }, commit { seq = 2, expect = "1" })
  end)

  it("remembers the newest 8 writers", function()
    for n = 1, 12 do
      assert.same({ "ok", "100", tostring(n) },
        commit { writer = "w" .. n, pinned = n > 1 and "100" or "" })
    end
    local function writers()
      local names = {}
      for field in pairs(stored.meta(server, "s")) do
        if field:find "^w:" then names[#names + 1] = field:sub(3) end
      end
      table.sort(names)
      return names
    end
    assert.same({ "w10", "w11", "w12", "w5", "w6", "w7", "w8", "w9" }, writers())
    commit { writer = "w5", seq = 2, pinned = "100" }
    commit { writer = "w13", pinned = "100" }
    assert.same({ "w10", "w11", "w12", "w13", "w5", "w7", "w8", "w9" }, writers())
    refused({ "gap", "" },
      function() return commit { writer = "w1", seq = 2, pinned = "100" } end)
  end)

  it("says `gap` to a first write that may have been forgotten", function()
    for n = 1, 10 do commit { writer = "w" .. n, pinned = n > 1 and "100" or "" } end
    for _, seen in ipairs { "0", "1" } do
      refused({ "gap", "" }, function()
        return commit { writer = "new", pinned = "100", seen = seen }
      end)
      refused({ "gap", "" }, function()
        return delete { writer = "new", seq = 1, pinned = "100", seen = seen }
      end)
    end
    assert.same({ "ok", "100", "11" },
      commit { writer = "new", pinned = "100", seen = "2" })
  end)

  it("says `exists` to one who would create what is there", function()
    commit { creates = true }
    refused({ "exists" }, function()
      return commit { writer = "w2", creates = true, pinned = "100", creds = "theirs" }
    end)
    refused({ "again", "100", "1" }, function() return commit { creates = true } end)
  end)

  it("creates creds beside keys that are there", function()
    commit { keys_only = true }
    assert.same({ "ok", "100", "2" }, commit { seq = 2, creates = true, pinned = "100" })
  end)

  it("names the key of another kind, before anything is changed", function()
    commit {}
    server:command("DEL", KEYS)
    server:command("SET", KEYS, "text")
    refused({ "wrong_type", KEYS },
      function() return commit { seq = 2, pinned = "100" } end)
    server:command("SET", META, "text")
    refused({ "wrong_type", META },
      function() return commit { seq = 2, pinned = "100" } end)
    refused({ "wrong_type", META },
      function() return delete { seq = 2, pinned = "100" } end)
  end)

  describe("on a tombstone", function()
    local generation

    before_each(function()
      commit { proposal = "1700000000000000" }
      generation = delete({ seq = 2, pinned = "1700000000000000" })[2]
      assert.is_true(tonumber(generation) > 1700000000000000)
    end)

    it("opens a greater generation, for creds of a caller that has seen it", function()
      local proposal = ("%.0f"):format(tonumber(generation) + 1)
      assert.same({ "ok", proposal, "3" },
        commit { seq = 3, pinned = generation, proposal = proposal })
      assert.equal(-1, server:command("PTTL", META))
    end)

    it("says `reopen` to one that is not greater, or missing", function()
      for _, proposal in ipairs { "1", generation, "" } do
        refused({ "reopen", generation }, function()
          return commit { seq = 3, pinned = generation, proposal = proposal }
        end)
      end
    end)

    it("is fenced for keys alone, and for who has not seen it", function()
      local proposal = "9000000000000000"
      for _, fields in ipairs {
        { pinned = generation, keys_only = true }, { pinned = "", keys_only = true },
        { pinned = "" }, { pinned = "0" }, { pinned = "1700000000000000" },
      } do
        fields.seq, fields.proposal = 3, proposal
        refused({ "fenced", generation }, function() return commit(fields) end)
      end
    end)

    it("still knows the writes before it: `again`, and nothing is revived", function()
      refused({ "again", generation, "1" }, function()
        return commit { seq = 1, pinned = "", proposal = "1700000000000000" }
      end)
      refused({ "again", generation, "2", "2", server:command("HGET", META, "bytes"),
        "1700000000000000" },
        function() return delete { seq = 2, pinned = "1700000000000000" } end)
      assert.equal(0, server:command("EXISTS", CREDS))
    end)

    it("says `gone` to another delete", function()
      refused({ "gone", generation },
        function() return delete { seq = 3, pinned = generation } end)
      refused({ "gone", generation },
        function() return delete { writer = "w2", seq = 1 } end)
    end)
  end)

  describe("and the delete script:", function()
    it("nothing to delete is `absent`", function()
      refused({ "absent" }, function() return delete { seq = 1 } end)
      refused({ "absent" }, function() return delete { seq = 1, pinned = "0" } end)
      refused({ "fenced", "" }, function() return delete { seq = 1, pinned = "5" } end)
    end)

    it("types it was not told of are named, and nothing is deleted", function()
      commit {}
      call("commit", { META, "authstate:{s}:k:u" },
        { "w1", "2", "100", "", "write", "", "", "", "", "u", "0", "1", "a", "v" })
      refused({ "types", "u" }, function() return delete { seq = 3, pinned = "100" } end)
    end)

    it("a delete of an older generation is fenced", function()
      commit {}
      refused({ "fenced", "100" },
        function() return delete { seq = 2, pinned = "99" } end)
    end)

    it("gap and again are as for a commit", function()
      commit {}
      refused({ "gap", "1" }, function() return delete { seq = 3, pinned = "100" } end)
      refused({ "again", "100", "1", false, false, false },
        function() return delete { seq = 1, pinned = "100" } end)
    end)
  end)

  it("takes more fields and keys than unpack could", function()
    local arguments = { "w1", "1", "", "100", "write", "", "", "", "" }
    local keys = { META }
    local function add(...)
      for _, word in ipairs { ... } do arguments[#arguments + 1] = word end
    end
    for k = 1, 3 do
      keys[#keys + 1] = "authstate:{s}:k:" .. k
      add(tostring(k), "9000", "9000")
      for i = 1, 9000 do add("old" .. i) end
      for i = 1, 9000 do add("id" .. i, "v" .. i) end
    end
    assert.same({ "ok", "100", "1" }, call("commit", keys, arguments))
    for k = 1, 3 do
      assert.equal(9000, server:command("HLEN", keys[k + 1]))
      assert.equal("v9000", server:command("HGET", keys[k + 1], "id9000"))
    end
    keys, arguments = { META }, { "w1", "2", "100", "", "write", "", "", "", "" }
    for k = 1, 9000 do
      keys[#keys + 1] = "authstate:{s}:k:many" .. k
      add("many" .. k, "0", "1", "a", "v")
    end
    assert.same({ "ok", "100", "2" }, call("commit", keys, arguments))
    assert.equal(1, server:command("EXISTS", "authstate:{s}:k:many9000"))
  end)

  it("takes an entry out of the index only up to its generation", function()
    server:command("ZADD", "authstate:{index:0}", 100, "s")
    assert.equal(0, call("unindex", { "authstate:{index:0}" }, { "s", "99" }))
    assert.equal(0, call("unindex", { "authstate:{index:0}" }, { "none", "999" }))
    assert.equal("100", server:command("ZSCORE", "authstate:{index:0}", "s"))
    assert.equal(1, call("unindex", { "authstate:{index:0}" }, { "s", "100" }))
  end)
end)
