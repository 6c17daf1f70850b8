-- SPDX-License-Identifier: MIT

-- What goes into Redis with `import` comes out with `export`, byte for byte.

local authstate = require "authstate"
local core = require "authstate.core"
local clock = require "spec.support.clock"
local fixture = require "spec.support.fixture"
local proxy = require "spec.support.proxy"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local record_text = require "spec.command.record_text"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"
local watcher = require "spec.command.watcher"

describe("import and export", function()
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

  local function import(path, ...)
    return tool.succeed { "import", path, "--session", "s", "--redis", server.url, ... }
  end

  local function import_text(text, ...)
    return import(temporary.file(text, "session.json"), ...)
  end

  local function export(session)
    local text = tool.succeed {
      "export", "--session", session or "s", "--format", "json", "--redis", server.url,
    }
    assert.equal("\n", text:sub(-1))
    return text:sub(1, -2)
  end

  -- Every byte Redis keeps, but for the index, which may name too much.
  local function everything()
    local dump = {}
    for _, key in ipairs(server:command("KEYS", "*")) do
      if not key:find("{index:%d+}$") then dump[key] = server:command("DUMP", key) end
    end
    return dump
  end

  -- The exit status of an import in the background. Killed, its guard lets go of what it
  -- inherited: connections that were open when it began.
  local function finish(importer)
    local status = importer:wait()
    importer:kill()
    return status
  end

  -- Imports a text and checks what is exported against it, independently of the code
  -- under test and with it.
  local function check_round_trip(text, ...)
    import_text(text, ...)
    local exported = export()
    local expected, found = record_text.split(text), record_text.split(exported)
    assert.is_true(found.is_sorted, "types and ids are not sorted by their bytes")
    assert.equal(expected.records, found.records)
    assert.equal(expected.creds, found.creds)
    for kind, records in pairs(expected.keys) do
      for id, record in pairs(records) do
        if found.keys[kind][id] ~= record then
          error(("%q %q: %s instead of %s"):format(kind, id,
            tostring(found.keys[kind][id]),
            record))
        end
      end
    end
    assert.same(core.split_session(text), core.split_session(exported))
    return exported
  end

  describe("of a real session", function()
    for _, name in ipairs { "small", "large" } do
      local file_name = name .. ".json.gz"

      it("gives back every record of " .. name .. ", compressed or not", function()
        local text = fixture.read(file_name)
        local exported = check_round_trip(text)
        for _, records in pairs(record_text.split(text).keys) do
          for _, record in pairs(records) do
            assert.truthy(exported:find(record, 1, true), record)
          end
        end
        server:command("FLUSHALL")
        import(fixture.path(file_name))
        assert.equal(exported, export())
      end)
    end

    it("can be imported again from what was exported", function()
      import(fixture.path "small.json.gz")
      local exported = export()
      server:command("FLUSHALL")
      import_text(exported)
      assert.equal(exported, export())
    end)

    it("says what it did", function()
      local said = import(fixture.path "small.json.gz")
      assert.match("^import +478 of 478\nimported 478 records and the creds of session "
        .. "s: 343%.1 KiB of JSON, %d+%.%d KiB stored, in one step of %d+ ms\n$", said)
    end)

    it("keeps a session record with 40 closed states", function()
      local record = fixture.read "session-40-states.json.gz"
      check_round_trip('{"creds":{"me":1},"keys":{"session":{"5511.0":' .. record
        .. "}}}")
    end)
  end)

  describe("of odd records", function()
    local lines = {}
    for _, name in ipairs { "exact.jsonl", "inexact.jsonl" } do
      for _, line in ipairs(fixture.lines(name)) do
        lines[#lines + 1] = line:match "^[ \t\r\n]*(.-)[ \t\r\n]*$"
      end
    end

    it("gives back every text as it was written", function()
      local members = {}
      for i, line in ipairs(lines) do members[i] = ('"%d":%s'):format(i, line) end
      local exported = check_round_trip('{"keys":{"t":{' .. table.concat(members,
        ",") .. "}}}")
      for _, line in ipairs(lines) do
        assert.truthy(exported:find(":" .. line, 1, true), line)
      end
    end)

    it("gives back every text inside the creds", function()
      check_round_trip('{"creds":{"all":[' .. table.concat(lines, ",") .. "]}}")
    end)

    -- All lines that are strings and stand for different bytes.
    local names, is_seen = {}, { [""] = true }
    for _, line in ipairs(lines) do
      local decoded = line:sub(1, 1) == '"' and record_text.decode(line)
      if decoded and not is_seen[decoded] then
        is_seen[decoded] = true
        names[#names + 1] = line
      end
    end

    it("takes every string as an id", function()
      assert.is_true(#names > 100)
      local members = { '"":0' }
      for i, name in ipairs(names) do members[i + 1] = name .. ":" .. i end
      check_round_trip('{"keys":{"t":{' .. table.concat(members, ",") .. "}}}")
    end)

    it("takes every string as a type", function()
      local members = { '"":{"a":0}' }
      for i, name in ipairs(names) do
        members[i + 1] = ('%s:{%s:%d,"":null}'):format(name, name, i)
      end
      check_round_trip('{"keys":{' .. table.concat(members, ",") .. "}}")
    end)

    it("takes types that look like keys of its own", function()
      local members = {}
      for i, kind in ipairs { "meta", "x}:creds", "x}:meta", "k:meta", "%7D", "%257D",
        "}",
          "index:0", "{s}", "t:a", "gen", "creds ", "Creds" } do
        members[i] = ('"%s":{"creds":%d,"ver":"x"," %s":{}}'):format(kind, i, kind)
      end
      check_round_trip('{"creds":{"a":1},"keys":{' .. table.concat(members, ",") .. "}}")
      assert.equal("s\n", tool.succeed { "sessions", "--redis", server.url })
    end)

    it("sorts by bytes, not by characters or escapes", function()
      import_text [[{"keys":{"t":{"\ud800":1,"\ue000":2,"😀":3,"Z":4,"a":5,"é":6,"":7,
        "\u0000":8,"10":9,"9":10,"\"":11,"\uffff":12}}}]]
      local ids = {}
      for id in export():match('"t":{(.*)}}}$'):gmatch '("[^,]*"):%d' do
        ids[#ids + 1] = id
      end
      assert.same({ '""', [["\u0000"]], [["\""]], '"10"', '"9"', '"Z"', '"a"', '"é"',
        [["\ud800"]], '"\238\128\128"', '"\239\191\191"', '"😀"' }, ids)
    end)

    it("keeps a record that is null apart from one that is absent", function()
      local text = '{"creds":{},"keys":{"t":{"a":null,"b":{"c":null}}}}'
      import_text(text)
      assert.equal(text, export())
    end)

    for _, text in ipairs { '{"keys":{"t":{"a":1}}}',
      '{"creds":null,"keys":{"t":{"a":1}}}',
        '{"keys":{"t":{"a":1},"u":{}},"creds":null}' } do
      it("takes a session without creds and says so: " .. text, function()
        assert.match("\nimported 1 records and no creds of session s: ",
          import_text(text))
        assert.equal('{"creds":null,"keys":{"t":{"a":1}}}', export())
      end)
    end

    it("takes a session without keys", function()
      import_text '{"creds":{"a":1.0}}'
      assert.equal('{"creds":{"a":1.0},"keys":{}}', export())
    end)

    it("keeps sessions apart whose ids look alike", function()
      local ids = { "a", "a}", "a}:k:t", "{a}", "a b", "A", "a*", "\255", "été", "-" }
      for i, id in ipairs(ids) do
        tool.succeed { "import", "--redis", server.url, "--session", id,
          temporary.file(('{"creds":{"n":%d},"keys":{"t":{"creds":%d}}}'):format(i, i)) }
      end
      for i, id in ipairs(ids) do
        assert.equal(('{"creds":{"n":%d},"keys":{"t":{"creds":%d}}}'):format(i, i),
          export(id))
      end
    end)
  end)

  describe("over a session that is there", function()
    local old = '{"creds":{"a":1},"keys":{"t":{"1":1,"2":2},"u":{"3":3}}}'

    before_each(function()
      import_text(old)
    end)

    it("is refused without --replace, and nothing changes", function()
      local before = everything()
      local outcome = tool.run { "import", fixture.path "small.json.gz", "--session", "s",
        "--redis", server.url }
      tool.check_failure({ status = outcome.status, err = outcome.err, out = "" }, 1,
        { "session s has 4 records", "--replace" })
      assert.same(before, everything())
      assert.equal(old, export())
    end)

    it("is refused also when there are creds alone, or one record alone", function()
      for _, text in ipairs { '{"creds":{"a":1}}', '{"keys":{"t":{"a":null}}}' } do
        server:command("FLUSHALL")
        import_text(text)
        local outcome = tool.run { "import", fixture.path "small.json.gz", "--session",
          "s",
          "--redis", server.url }
        assert.equal(1, outcome.status)
        assert.match("session s has 1 records", outcome.err)
      end
    end)

    it("removes with --replace what is not in the file", function()
      local new = '{"creds":{"b":2},"keys":{"t":{"2":20,"4":4},"v":{"5":5}}}'
      import_text(new, "--replace")
      assert.equal(new, export())
      assert.equal(0, server:command("EXISTS", "authstate:{s}:k:u"))
    end)

    it("removes with --replace the creds that are not in the file", function()
      import_text('{"keys":{"t":{"2":20}}}', "--replace")
      assert.equal('{"creds":null,"keys":{"t":{"2":20}}}', export())
    end)

    it("replaces with --replace a large session by a small one and back", function()
      local texts = {}
      for _, name in ipairs { "large", "small", "large" } do
        import(fixture.path(name .. ".json.gz"), "--replace")
        local exported = export()
        texts[name] = texts[name] or exported
        assert.equal(texts[name], exported)
        assert.equal(record_text.split(fixture.read(name .. ".json.gz")).records,
          record_text.split(exported).records)
      end
    end)

    it("takes --replace also for a session that is not there", function()
      tool.succeed { "import", fixture.path "small.json.gz", "--session", "new",
        "--replace", "--redis", server.url }
      assert.equal(478, record_text.split(export "new").records)
    end)

    it("does not overwrite what another process writes meanwhile", function()
      local other, key = server:connect(), "authstate:{s}:meta"
      server:command("CLIENT", "PAUSE", 20000, "WRITE")
      other:send { { "HINCRBY", key, "ver", 1 } }
      local importer = tool.start { "import", fixture.path "small.json.gz", "--session",
        "s",
        "--replace", "--redis", server.url }
      assert(clock.wait_for(function()
        return server:command("INFO", "clients"):find("blocked_clients:2", 1, true)
      end))
      server:command("CLIENT", "UNPAUSE")
      other:receive()
      other:close()
      assert.equal(1, finish(importer))
      assert.match("authstate import: the stored version is 2\n$", importer:errors())
      assert.equal(old, export())
    end)

    it("never mixes with what is written between its reads", function()
      local slow = proxy.start { server = server }
      slow:delay(15)
      local store = assert(authstate.open { redis = server.url })
      local file, late = temporary.file('{"creds":{"b":2},"keys":{"v":{"5":5}}}'), 0
      local mixed =
        '{"creds":{"a":1},"keys":{"late":{"x":1},"t":{"1":1,"2":2},"u":{"3":3}}}'
      repeat
        late = late + 1
        server:command("FLUSHALL")
        import_text(old)
        local monitor = server:connect()
        assert(monitor:command("MONITOR"))
        local importer = tool.start { "import", file, "--session", "s", "--replace",
          "--redis", slow.url }
        local reads, is_committed = 0
        repeat
          local line = monitor:receive()
          if line:find('"H%u+" "authstate:{s}') then reads = reads + 1 end
          is_committed = line:find('"EVALSHA"', 1, true)
        until reads == late or is_committed
        monitor:close()
        if not is_committed then
          assert(store:session("s").keys:set { late = { x = 1 } })
        end
        if finish(importer) == 0 then
          assert.equal('{"creds":{"b":2},"keys":{"v":{"5":5}}}', export())
        else
          assert.equal(mixed, export())
        end
      until is_committed
      store:close()
      slow:stop()
      assert.is_true(late > 5)
    end)

    it("may follow a delete", function()
      tool.succeed { "delete", "--session", "s", "--redis", server.url }
      import_text('{"creds":{"b":2},"keys":{"v":{"5":5}}}')
      assert.equal('{"creds":{"b":2},"keys":{"v":{"5":5}}}', export())
    end)

    it("shows a reader the old session or the new one, never a mix", function()
      local states = {}
      for _, name in ipairs { "large", "small" } do
        import(fixture.path(name .. ".json.gz"), "--replace")
        states[name] = watcher.name(export())
      end
      local seen = watcher.start(server.url, "s")
      for turn = 2, 7 do
        import(fixture.path((turn % 2 == 0 and "large" or "small") .. ".json.gz"),
          "--replace")
        seen:await(turn)
      end
      local saw, loads = seen:finish()
      assert.is_true(loads >= 7)
      for turn, state in ipairs(saw) do
        assert.equal(turn % 2 == 0 and states.large or states.small, state)
      end
      assert.equal(7, #saw)
    end)
  end)

  describe("of 30,000 records", function()
    local RECORDS, ROUNDS = 30000, 10
    local path, exported, expected

    -- The records of the large session again and again, under new ids.
    setup(function()
      local split = record_text.split(fixture.read "large.json.gz")
      local members, made, turn = {}, 0, 0
      while made < RECORDS do
        turn = turn + 1
        for kind, records in pairs(split.keys) do
          members[kind] = members[kind] or {}
          for id, record in pairs(records) do
            if made == RECORDS then break end
            made = made + 1
            table.insert(members[kind], ("%s:%s"):format(core.to_json(turn .. "/" .. id),
              record))
          end
        end
      end
      local types = {}
      for kind, list in pairs(members) do
        types[#types + 1] = ("%s:{%s}"):format(core.to_json(kind), table.concat(list,
          ","))
      end
      path = temporary.file(('{"creds":%s,"keys":{%s}}'):format(split.creds,
        table.concat(types, ",")), "session.json")
      expected = {}
      for kind, list in pairs(members) do expected[kind] = #list end
    end)

    local function start()
      return tool.start { "import", path, "--session", "s", "--redis", server.url }
    end

    -- How many records there are, seen in one step: all keys, without the code under
    -- test.
    local function count()
      local commands = { { "MULTI" }, { "HLEN", "authstate:{s}:creds" } }
      for kind in pairs(expected) do
        commands[#commands + 1] = { "HLEN", "authstate:{s}:k:" .. kind }
      end
      commands[#commands + 1] = { "EXEC" }
      local total = 0
      for _, length in ipairs(server:pipeline(commands)[#commands]) do
        total = total + length
      end
      return total
    end

    -- Looks on while `condition` does not hold; what was seen must be nothing or all.
    local function look_on(condition)
      local looks = 0
      repeat
        local total = count()
        if total ~= 0 and total ~= RECORDS + 1 then
          error(("%d of %d records are there"):format(total, RECORDS + 1))
        end
        looks = looks + 1
      until condition()
      return looks
    end

    -- Whether the import is being received by the server at this moment.
    local function is_arriving()
      for bytes in server:command("CLIENT", "LIST"):gmatch " qbuf=(%d+)" do
        if tonumber(bytes) > 16384 then return true end
      end
    end

    local whole_ms

    it("is one step for a reader", function()
      local started_ms, importer = clock.now_ms(), start()
      assert.is_true(look_on(function() return not importer:alive() end) > 20)
      whole_ms = clock.now_ms() - started_ms
      assert.equal(0, finish(importer))
      assert.equal(RECORDS + 1, count())
      exported = export()
      assert.same(core.split_session(io.open(path, "rb"):read "*a"),
        core.split_session(exported))
    end)

    it("is one step also when the importing process is killed in it", function()
      local dice = random.new()
      local applied = 0
      for round = 1, ROUNDS do
        server:command("FLUSHALL")
        local importer = start()
        -- Half of the rounds: at any time. The others: while the server receives it.
        local delay_ms = dice:fraction() * whole_ms
        if round % 2 == 0 then
          look_on(function() return is_arriving() or not importer:alive() end)
          delay_ms = dice:fraction() * 60
        end
        local kill_ms = clock.now_ms() + delay_ms
        look_on(function() return clock.now_ms() >= kill_ms end)
        importer:kill()
        look_on(function()
          return not server:command("CLIENT", "LIST"):find("cmd=evalsha", 1, true)
        end)
        local has_all = count() ~= 0
        applied = applied + (has_all and 1 or 0)
        assert.equal(has_all and "s\n" or "",
          tool.succeed { "sessions", "--redis", server.url })
        if not has_all then
          assert.equal(0, #server:command("KEYS", "authstate:{s}*"))
        elseif applied == 1 then
          assert.equal(exported, export())
        end
      end
      import(path, "--replace")
      assert.equal(exported, export())
    end)
  end)

  it("lets exactly one of two imports of a new session win", function()
    local small, large = fixture.path "small.json.gz", fixture.path "large.json.gz"
    for _ = 1, 4 do
      server:command("FLUSHALL")
      -- Both read that there is nothing, and then wait with their writes.
      server:command("CLIENT", "PAUSE", 20000, "WRITE")
      local importers = {}
      for i, path in ipairs { small, large } do
        importers[i] = tool.start { "import", path, "--session", "s", "--redis",
          server.url }
      end
      assert(clock.wait_for(function()
        return server:command("INFO", "clients"):find("blocked_clients:2", 1, true)
      end))
      server:command("CLIENT", "UNPAUSE")
      local won = {}
      for i, importer in ipairs(importers) do
        if finish(importer) == 0 then
          won[#won + 1] = i
        else
          assert.match("^authstate import: [^\n]+\n$", importer:errors())
        end
      end
      assert.equal(1, #won)
      assert.equal(won[1] == 1 and 478 or 2934, record_text.split(export()).records)
    end
  end)
end)
