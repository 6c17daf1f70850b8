-- SPDX-License-Identifier: MIT

-- `inspect` tells how a session or a whole store is, and none of its secrets.

local authstate = require "authstate"
local cjson = require "cjson"
local fixture = require "spec.support.fixture"
local process = require "spec.support.process"
local record_text = require "spec.command.record_text"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local function sha256(text)
  local _, digest = process.run { "sha256sum", stdin = text }
  return digest:match "^%x+"
end

local function by_type(described)
  local types = {}
  for _, each in ipairs(described.types) do types[each.type] = each end
  return types
end

describe("inspect", function()
  local server, store

  setup(function()
    server = redis_server.start()
    store = assert(authstate.open { redis = server.url })
  end)

  teardown(function()
    store:close()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
  end)

  local function run(...)
    return tool.succeed { "inspect", "--redis", server.url, ... }
  end

  local function describe_session(id)
    return cjson.decode(run("--json", "--session", id))
  end

  local function import(id, name)
    tool.succeed { "import", fixture.path(name .. ".json.gz"), "--session", id, "--redis",
      server.url }
  end

  local function write(id, text)
    assert(store:session(id):commit_json(text))
  end

  local function meta_of(id)
    local key = ("authstate:{%s}:meta"):format(id)
    local found = server:command("HMGET", key, "gen", "ver", "at")
    return { generation = found[1], version = found[2], at_ms = tonumber(found[3]) }
  end

  describe("of one session", function()
    for _, name in ipairs { "small", "large" } do
      it(("counts and measures each type of the %s session"):format(name), function()
        import("s", name)
        local split = record_text.split(fixture.read(name .. ".json.gz"))
        local expected = {}
        for kind, records in pairs(split.keys) do
          local type_expected = { records = 0, json_bytes = 0, smallest_bytes = math.huge,
            largest_bytes = 0 }
          for _, text in pairs(records) do
            type_expected.records = type_expected.records + 1
            type_expected.json_bytes = type_expected.json_bytes + #text
            type_expected.smallest_bytes = math.min(type_expected.smallest_bytes, #text)
            type_expected.largest_bytes = math.max(type_expected.largest_bytes, #text)
          end
          expected[kind] = type_expected
        end
        local described, found = describe_session "s", {}
        for kind, each in pairs(by_type(described)) do
          found[kind] = {
            records = each.records, json_bytes = each.json_bytes,
            smallest_bytes = each.smallest_bytes, largest_bytes = each.largest_bytes,
          }
        end
        assert.same(expected, found)
        assert.equal(#split.creds, described.creds.json_bytes)
        assert.equal(sha256(split.creds):sub(1, 16), described.creds.sha256)
      end)
    end

    it("names it, its generation, its version and its last write", function()
      import("s", "small")
      write("s", '{"keys":{"t":{"a":1}}}')
      local meta, described = meta_of "s", describe_session "s"
      assert.equal("s", described.session)
      assert.equal(meta.generation, ("%.0f"):format(described.generation))
      assert.equal("2", meta.version)
      assert.equal(2, described.version)
      assert.equal(2, described.measured_version)
      assert.equal(meta.at_ms, described.last_write.unix_ms)
      assert.equal(os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(meta.at_ms / 1000)),
        described.last_write.utc)
      local ago_ms = described.last_write.ago_ms
      assert.is_true(ago_ms >= 0 and ago_ms < 10000)
      assert.equal(store:session_info("s").bytes, described.memory_bytes)
    end)

    it("tells how long ago the last write was, by the clock of the server", function()
      write("s", '{"keys":{"t":{"a":1}}}')
      local hours_ago_ms = server:command("TIME")[1] * 1000 - 5.5 * 3600 * 1000
      server:command("HSET", "authstate:{s}:meta", "at", ("%.0f"):format(hours_ago_ms))
      assert.match("\nlast write   %d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ, 5 h ago\n",
        run("--session", "s"))
    end)

    it("says whether it is registered", function()
      for creds, expected in pairs {
        ['{"registered":true}'] = true, ['{"registered":false}'] = false,
        ['{"a":1}'] = "not said",
      } do
        server:command("FLUSHALL")
        write("s", ('{"creds":%s}'):format(creds))
        local described = describe_session "s"
        if expected == "not said" then
          assert.is_nil(described.registered)
        else
          assert.equal(expected, described.registered)
        end
        local words = { [true] = "yes", [false] = "no" }
        assert.truthy(run("--session", "s"):find("\nregistered   "
          .. (words[expected] or expected) .. "\n", 1, true))
      end
    end)

    it("tells the fingerprint of the identity, whatever form the key has", function()
      local key = ("\5"):rep(33)
      local numbers = ("5,"):rep(32) .. "5"
      for _, buffer in ipairs {
        '{"type":"Buffer","data":"' .. authstate.bytes(key):base64() .. '"}',
        '{"type":"Buffer","data":[' .. numbers .. "]}",
      } do
        server:command("FLUSHALL")
        write("s", ('{"creds":{"signedIdentityKey":{"private":%s,"public":%s}}}')
          :format(buffer:gsub("5", "6"), buffer))
        assert.equal(sha256(key):sub(1, 16), describe_session("s").creds.identity)
      end
      write("s", '{"creds":{"signedIdentityKey":{}}}')
      assert.is_nil(describe_session("s").creds.identity)
      assert.match("identity none\n", run("--session", "s"))
    end)

    it("shows the counters of the creds, and no number that might be a secret", function()
      write("s", '{"creds":{"registrationId":139,"nextPreKeyId":75,"next_pre_key_id":76,'
        .. '"firstUnuploadedPreKeyId":31,"accountSyncCounter":0,"lastTimestamp":1.5,'
        .. '"pairingCode":12345678,"pin":123456,"historyCount":-1,"otherId":"7",'
        .. '"nested":{"keyId":9}}}')
      assert.same({
        registrationId = 139, nextPreKeyId = 75, next_pre_key_id = 76,
        firstUnuploadedPreKeyId = 31, accountSyncCounter = 0, historyCount = -1,
      }, describe_session("s").creds.counters)
      local said = run("--session", "s")
      assert.match("\n  nextPreKeyId +75\n  next_pre_key_id +76\n  registrationId +139\n",
        said)
      assert.falsy(said:find("12345", 1, true))
    end)

    it("tells the range of ids that are all whole numbers", function()
      for ids, expected in pairs {
        ["9 10 100"] = { "9", "100" }, ["0"] = { "0", "0" }, ["7"] = { "7", "7" },
        ["9 99999999999999999999 10"] = { "9", "99999999999999999999" },
        ["9 010"] = {}, ["9 a"] = {}, ["a 9"] = {}, ["-1 1"] = {}, ["1.5"] = {},
        ["1 "] = { "1", "1" },
      } do
        server:command("FLUSHALL")
        local parts = {}
        for id in ids:gmatch "%S+" do parts[#parts + 1] = ('"%s":1'):format(id) end
        write("s", ('{"keys":{"t":{%s}}}'):format(table.concat(parts, ",")))
        local each = by_type(describe_session "s").t
        assert.same(expected, { each.first_id, each.last_id }, ids)
        local range = expected[1] and ("  ids %s to %s"):format(unpack(expected)) or ""
        local said = run("--session", "s")
        assert.truthy(said:find(each.sha256 .. range .. "\n", 1, true), ids)
      end
    end)

    describe("has a fingerprint for each type that", function()
      local function fingerprints(text)
        server:command("FLUSHALL")
        write("s", text)
        local found = {}
        for kind, each in pairs(by_type(describe_session "s")) do
          found[kind] = each.sha256
        end
        return found
      end

      it("is the hash of its sorted lines, one for each record", function()
        local records = { b = "[1, 2]", a = '"x"', ["\195\169"] = "true" }
        local parts, lines = {}, {}
        for id, text in pairs(records) do
          parts[#parts + 1] = ('"%s":%s'):format(id, text)
          lines[#lines + 1] = sha256(id) .. " " .. sha256(text) .. "\n"
        end
        table.sort(lines)
        local found =
          fingerprints(('{"keys":{"t":{%s}}}'):format(table.concat(parts, ",")))
        assert.equal(sha256(table.concat(lines)):sub(1, 16), found.t)
      end)

      it("does not depend on the order in which they were written", function()
        local first, second = {}, {}
        for i = 1, 600 do
          first[i] = ('"%d":%d'):format(i, i)
          second[601 - i] = first[i]
        end
        local found = fingerprints(('{"keys":{"t":{%s}}}')
          :format(table.concat(first, ",")))
        assert.same(found, fingerprints(('{"keys":{"t":{%s}}}')
          :format(table.concat(second, ","))))
      end)

      it("changes with each record, each id and each record more", function()
        local seen = {}
        for _, records in ipairs {
          '"a":1,"b":2', '"a":2,"b":1', '"a":1,"b":3', '"a":1,"c":2', '"a":1', '"b":2',
          '"a":1,"b":2,"c":3', '"a":1, "b": [2]', '"a":1,"b":2.0',
        } do
          local found = fingerprints(('{"keys":{"t":{%s},"u":{"a":1}}}'):format(records))
          assert.is_nil(seen[found.t], records)
          seen[found.t] = true
          seen.u = seen.u or found.u
          assert.equal(seen.u, found.u)
        end
      end)
    end)

    it("shows what people read in a table", function()
      write("s", '{"creds":{"registered":true,"nextPreKeyId":3},"keys":{"pre-key":'
        .. '{"1":"x","2":"xyz"},"odd\\u001bt":{"a":true}}}')
      local said = run("--session", "s")
      assert.match("^session      s\ngeneration   %d+\nversion      1\n"
        .. "registered   yes\nlast write   %S+, %d+ %l+ ago\nmemory       %d+ B\n"
        .. "creds        36 bytes of JSON, sha256 %x+, identity none\n"
        .. "  nextPreKeyId               3\n"
        .. "type      records   JSON bytes   smallest    largest  sha256\n"
        .. "odd\\x1bt        1            4          4          4  %x+\n"
        .. "pre%-key         2            8          3          5  %x+  ids 1 to 2\n$",
        said)
    end)

    it("shows one without creds, and one without records", function()
      write("s", '{"keys":{"t":{"a":1}}}')
      assert.match("\ncreds        none\ntype ", run("--session", "s"))
      assert.is_nil(describe_session("s").creds)
      write("s", '{"keys":{"t":{"a":null}}}')
      assert.match("\ncreds        none\n$", run("--session", "s"))
      assert.same({}, describe_session("s").types)
    end)

    it("shows creds that something else has put there", function()
      server:command("HSET", "authstate:{s}:creds", "creds", '{"a":1}')
      assert.match("\ngeneration   none\nversion      0\n", run("--session", "s"))
      assert.equal(7, describe_session("s").creds.json_bytes)
    end)

    it("gives programs a session and types that are no UTF-8 as digits", function()
      assert(store:session("\255s").keys:set_json { ["\254"] = { a = "1" } })
      local described = describe_session "\255s"
      assert.same({ hex = "ff73" }, described.session)
      assert.same({ hex = "fe" }, described.types[1].type)
    end)

    it("does not find one that was deleted", function()
      import("s", "small")
      assert(store:session("s"):delete())
      tool.check_failure(tool.run { "inspect", "--session", "s", "--redis", server.url },
        1, { "there is no session s" })
    end)

    it("names a record that cannot be opened", function()
      import("s", "small")
      server:command("HSET", "authstate:{s}:k:pre-key", "74", "garbage")
      for _, option in ipairs { "--json", "--prefix=authstate:" } do
        tool.check_failure(
          tool.run { "inspect", option, "--session", "s", "--redis", server.url }, 1,
          { 'pre-key "74": ', "not JSON" })
      end
      server:command("HDEL", "authstate:{s}:k:pre-key", "74")
      server:command("HSET", "authstate:{s}:creds", "creds", "[1]")
      tool.check_failure(tool.run { "inspect", "--session", "s", "--redis", server.url },
        1, { 'creds "creds": ' })
    end)

    it("is of one moment, also while the session is being written", function()
      local stop_path = temporary.directory() .. "/stop"
      local program = [[
        local store, stop_path = ...
        local session, round = store:session "s", 0
        repeat
          round = round + 1
          local records = {}
          for i = 1, 40 do records[tostring(i)] = tostring(round) end
          assert(session.keys:set_json { a = records, b = records })
          local file = io.open(stop_path)
        until file
      ]]
      write("s", '{"keys":{"a":{"1":0},"b":{"1":0}}}')
      local before = meta_of("s").version
      local writing = tool.start { "run", "--redis", server.url,
        temporary.file(program, "write.lua"), stop_path }
      for _ = 1, 15 do
        local types = by_type(describe_session "s")
        assert.equal(types.a.sha256, types.b.sha256)
      end
      assert.is_true(meta_of("s").version - before > 15)
      io.open(stop_path, "w"):close()
      assert.equal(0, writing:wait())
      writing:kill()
    end)
  end)

  -- ---- no secrets -------------------------------------------------------------------

  describe("never prints key material:", function()
    -- All runs of 16 characters in the strings of a session's JSON, but for the names of
    -- types and of the fields of records; and in the other forms that bytes have.
    local WINDOW = 16
    local secrets, count

    local function add(secret)
      secret = secret:lower()
      for at = 1, #secret - WINDOW + 1 do
        secrets[secret:sub(at, at + WINDOW - 1)] = true
      end
      count = count + (#secret >= WINDOW and 1 or 0)
    end

    local function add_forms(encoded)
      local is_base64, bytes = pcall(authstate.from_base64, encoded)
      if not is_base64 or #bytes < 8 then return end
      local numbers = { bytes:raw():byte(1, math.min(#bytes, 256)) }
      add(bytes:hex())
      add(table.concat(numbers, ","))
      add(table.concat(numbers, ", "))
    end

    local function collect(text, split)
      secrets, count = {}, 0
      local names = {}
      for kind in pairs(split.keys) do names[kind] = true end
      for name in text:gmatch '"([%a_]+)":' do names[name] = true end
      for inner in text:gmatch '"([^"\\]*)"' do
        if not names[inner] and #inner >= WINDOW then
          add(inner)
          add_forms(inner)
        end
      end
      for list in text:gmatch "%[([%d,]+)%]" do add(list) end
    end

    local function find_secret(said)
      said = said:lower()
      for at = 1, #said - WINDOW + 1 do
        local run_of_said = said:sub(at, at + WINDOW - 1)
        if secrets[run_of_said] then return run_of_said end
      end
    end

    setup(function()
      local text = fixture.read "small.json.gz"
      collect(text, record_text.split(text))
      assert.is_true(count > 5000)
    end)

    before_each(function()
      import("s", "small")
      -- The same keys once more as lists of numbers.
      local creds = store:session("s"):load_creds()
      write("t", ('{"creds":%s}'):format(authstate.to_json(creds, "array")))
    end)

    it("the search finds it where it is", function()
      for _, id in ipairs { "s", "t" } do
        local said = tool.succeed { "export", "--session", id, "--redis", server.url }
        assert.is_string(find_secret(said))
      end
    end)

    for _, option in ipairs { "--json", "--prefix=authstate:" } do
      for _, words in ipairs { { "--session", "s" }, { "--session", "t" }, {} } do
        it(("inspect %s %s"):format(option, table.concat(words, " ")), function()
          assert.is_nil(find_secret(run(option, unpack(words))))
        end)
      end
    end
  end)

  -- ---- the whole store --------------------------------------------------------------

  describe("of the whole store", function()
    local GOOD = { appendonly = "yes", appendfsync = "always",
      ["maxmemory-policy"] = "noeviction" }

    local function configure(settings)
      for name, value in pairs(settings) do
        server:command("CONFIG", "SET", name, value)
      end
    end

    before_each(function()
      configure(GOOD)
    end)

    teardown(function()
      configure { appendonly = "no" }
    end)

    it("tells which server it is and how that keeps what it is given", function()
      local version = server:command("INFO", "server"):match "redis_version:(%S+)"
      assert.equal(("server            %s\nRedis             %s\n"
        .. "appendonly        yes\nappendfsync       always\n"
        .. "maxmemory-policy  noeviction\nsessions          0\n")
        :format(server.url, version), run())
      assert.same({
        server = server.url, redis_version = version, appendonly = "yes",
        appendfsync = "always", maxmemory_policy = "noeviction", warnings = {},
        sessions = {},
      }, cjson.decode(run "--json"))
    end)

    it("does not tell the password of the server", function()
      local guarded = redis_server.start { password = "hush", tcp = true }
      for _, option in ipairs { "--json", "--prefix=authstate:" } do
        local said = tool.succeed { "inspect", option, "--redis",
          ("redis://default:hush@127.0.0.1:%d"):format(guarded.port) }
        assert.falsy(said:find("hush", 1, true))
        assert.truthy(said:find("redis://127.0.0.1:" .. guarded.port, 1, true))
      end
      guarded:stop()
    end)

    for name, case in pairs {
      ["a policy that evicts"] =
        { { ["maxmemory-policy"] = "allkeys-lru" }, { "allkeys-lru", "noeviction" } },
      ["a policy that evicts what expires"] =
        { { ["maxmemory-policy"] = "volatile-ttl" }, { "volatile-ttl", "noeviction" } },
      ["no append-only file"] = { { appendonly = "no" }, { "appendonly is no" } },
    } do
      it("warns of " .. name, function()
        configure(case[1])
        local line = run():match "\n(warning: [^\n]+)\nsessions"
        local warnings = cjson.decode(run "--json").warnings
        assert.equal(1, #warnings)
        for _, word in ipairs(case[2]) do
          assert.truthy(line:find(word, 1, true), line)
          assert.truthy(warnings[1]:find(word, 1, true), warnings[1])
        end
      end)
    end

    it("has a line for each session, sorted by their bytes", function()
      import("b", "small")
      write("a\27", '{"keys":{"t":{"a":1}}}')
      write("a\27", '{"keys":{"t":{"b":1}}}')
      write("gone", '{"keys":{"t":{"b":1}}}')
      assert(store:session("gone"):delete())
      assert.match("\nsessions          2\n"
        .. "session  records     memory   version  last write\n"
        .. "a\\x1b          2      %d+ B         2  %S+, %d+ %l+ ago\n"
        .. "b            479  %d+%.%d KiB         1  %S+, %d+ %l+ ago\n$", run())
      local sessions = cjson.decode(run "--json").sessions
      assert.equal(2, #sessions)
      assert.same({ "a\27", 2, 2, store:session_info("a\27").bytes },
        { sessions[1].session, sessions[1].records, sessions[1].version,
          sessions[1].memory_bytes })
      assert.equal(meta_of("b").at_ms, sessions[2].last_write.unix_ms)
    end)

    it("goes through 3,000 sessions", function()
      configure { appendfsync = "no" }
      for i = 1, 3000 do write(("%04d"):format(i), '{"creds":{"a":1}}') end
      local sessions = cjson.decode(run "--json").sessions
      assert.equal(3000, #sessions)
      for i, each in ipairs(sessions) do
        assert.equal(("%04d"):format(i), each.session)
        assert.equal(1, each.records)
      end
      local _, lines = run():gsub("\n%d%d%d%d ", "%0")
      assert.equal(3000, lines)
    end)

    for _, case in ipairs {
      { { "-info" }, "not told", "yes", "always", "noeviction" },
      { { "-config" }, "7", "yes", "not told", "noeviction" },
      { { "-info", "-config", "-time" }, "not told", "not told", "not told", "not told" },
    } do
      it("says what the server did not tell: " .. table.concat(case[1], " "), function()
        write("a", '{"creds":{"a":1}}')
        server:command("ACL", "DELUSER", "limited")
        server:command("ACL", "SETUSER", "limited", "on", ">word", "~*", "+@all",
          unpack(case[1]))
        local limited = "unix://limited:word@" .. server.socket
        local said = tool.succeed { "inspect", "--redis", limited }
        assert.match(("^server +%s\nRedis +%s[%%d.]*\nappendonly +%s\nappendfsync +%s\n"
          .. "maxmemory%%-policy +%s\nsessions +1\n"):format(server.url, case[2], case[3],
          case[4], case[5]), said)
        assert.match("\na +1 ", said)
        local document = cjson.decode(tool.succeed {
          "inspect", "--json", "--redis", limited })
        assert.equal(case[3] ~= "not told" and case[3] or nil, document.appendonly)
        assert.same({}, document.warnings)
      end)
    end

    it("finds nothing to warn of in the private server", function()
      local directory = temporary.directory() .. "/state"
      local document = cjson.decode(tool.succeed {
        "inspect", "--json", "--data-dir", directory })
      assert.equal("unix://" .. directory .. "/redis.sock", document.server)
      assert.same({ "yes", {} }, { document.appendonly, document.warnings })
    end)
  end)
end)
