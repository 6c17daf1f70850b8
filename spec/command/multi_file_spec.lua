-- SPDX-License-Identifier: MIT

-- The directory of Baileys' useMultiFileAuthState: `import DIR` reads what Baileys wrote,
-- `export DIR` writes what Baileys reads, and between them not a byte changes.

local cjson = require "cjson"
local lfs = require "lfs"
local clock = require "spec.support.clock"
local fixture = require "spec.support.fixture"
local process = require "spec.support.process"
local random = require "spec.support.random"
local record_text = require "spec.command.record_text"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local FAILED, USAGE = 1, 2

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

-- A new directory with files of these names and contents.
local function directory_of(files)
  local path = temporary.directory()
  for name, text in pairs(files) do write(path .. "/" .. name, text) end
  return path
end

-- What Baileys wrote, see spec/fixtures/generate/multi-file.mjs.
local function unpack_fixture()
  local path = temporary.directory()
  local status, _, err = process.run { "tar", "-xzf", fixture.path "multi-file.tar.gz",
    "-C", path, env = { LD_PRELOAD = false } }
  assert(status == 0, err)
  return path
end

-- All that is at a path: { [path from there] = mode and bytes }.
local function everything_in(path, prefix, found)
  prefix, found = prefix or "", found or {}
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then
      local at = path .. "/" .. name
      local kind, mode = lfs.symlinkattributes(at, "mode"),
        lfs.symlinkattributes(at, "permissions")
      local bytes = ""
      if kind == "file" then bytes = io.open(at, "rb"):read "*a" end
      found[prefix .. name] = ("%s %s %s"):format(kind, mode, bytes)
      if kind == "directory" then everything_in(at, prefix .. name .. "/", found) end
    end
  end
  return found
end

-- The bytes of the files in a directory, by name.
local function files_in(path)
  local files = {}
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then
      files[name] = assert(io.open(path .. "/" .. name, "rb")):read "*a"
    end
  end
  return files
end

local function count(map)
  local total = 0
  for _ in pairs(map) do total = total + 1 end
  return total
end

describe("a directory of Baileys", function()
  local server

  setup(function()
    server = redis_server.start { config = { ["enable-debug-command"] = "yes" } }
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

  local function export(path, ...)
    return tool.succeed { "export", path, "--session", "s", "--redis", server.url, ... }
  end

  local function export_text(session)
    return tool.succeed { "export", "--session", session or "s", "--redis", server.url }
  end

  -- Runs what must fail and change nothing in Redis nor in a directory.
  local function check_refusal(words, directory, status, expected)
    local digest = server:command("DEBUG", "DIGEST")
    local before = everything_in(directory)
    local outcome = tool.run(words)
    tool.check_failure(outcome, status, expected)
    assert.equal(digest, server:command("DEBUG", "DIGEST"))
    assert.same(before, everything_in(directory))
  end

  describe("that Baileys wrote", function()
    local directory

    setup(function()
      directory = unpack_fixture()
    end)

    it("comes out as the same files with the same bytes", function()
      import(directory)
      local out = temporary.directory() .. "/out"
      export(out)
      local expected = files_in(directory)
      assert.equal(492, count(expected))
      assert.same(expected, files_in(out))
    end)

    it("gives every record under the id that Baileys knows it by", function()
      import(directory)
      local exported = record_text.split(export_text())
      local small = record_text.split(fixture.read "small.json.gz")
      assert.equal(small.creds, exported.creds)
      for kind, records in pairs(small.keys) do
        for id, text in pairs(records) do
          assert.equal(text, exported.keys[kind][id], kind .. " " .. id)
        end
      end
      -- Baileys was given these besides.
      local odd = {
        { "session", "5511900000009-12.0" }, -- had a colon
        { "session", "5511900000009_128.99" },
        { "sender-key", "5511900000009-1612345678@g.us::5521980000685::0" },
        { "sender-key", "a--b@g.us::100000000031676_1::3" },
        { "sender-key", "without colons" },
        { "sender-key-memory", "status@broadcast" },
        { "app-state-sync-key", "Ab/+/9cD" },
        { "app-state-sync-key", "//++AAAA" },
        { "device-list", "a__b" }, -- had a slash
        { "lid-mapping", "Padaria São João 🥖" },
        { "lid-mapping", "\239\191\189 and nothing" }, -- had a lone surrogate
        { "lid-mapping", "日本語" },
        { "tctoken", "__other" },
      }
      for _, name in ipairs(odd) do
        assert.truthy(exported.keys[name[1]][name[2]], table.concat(name, " "))
      end
      assert.equal(small.records + #odd, exported.records)
    end)

    it("is imported in one step that says what it did", function()
      local said = import(directory)
      assert.match("^import +491 of 491\nimported 491 records and the creds of session "
        .. "s: %d+%.%d KiB of JSON, %d+%.%d KiB stored, in one step of %d+ ms\n$", said)
      local function commits()
        local stats = server:command("INFO", "commandstats")
        return tonumber(stats:match "evalsha:calls=(%d+)")
      end
      local before = commits()
      import(directory, "--replace")
      assert.equal(before + 1, commits())
    end)

    it("tells programs what it did", function()
      local told = cjson.decode(import(directory, "--json"))
      local bytes = 0
      for _, text in pairs(files_in(directory)) do bytes = bytes + #text end
      assert.same({ "s", 491, true, 0, 0, bytes }, { told.session, told.records,
        told.creds, told.skipped, told.replaced, told.json_bytes })
    end)

    it("may have a slash behind its name, or be the present one", function()
      import(directory .. "/")
      local exported = export_text()
      server:command("FLUSHALL")
      tool.succeed { "import", ".", "--session", "s", "--redis", server.url,
        cwd = directory }
      assert.equal(exported, export_text())
    end)

    it("replaces a session only with --replace", function()
      import_text '{"creds":{"a":1},"keys":{"pre-key":{"odd":1},"t":{"i":1}}}'
      check_refusal({ "import", directory, "--session", "s", "--redis", server.url },
        directory, FAILED, { "session s has 3 records", "--replace" })
      import(directory, "--replace")
      assert.equal(492, cjson.decode(tool.succeed { "delete", "--session", "s", "--json",
        "--redis", server.url }).records)
    end)
  end)

  describe("with other files", function()
    it("gives back the texts of files that no JSON.stringify wrote", function()
      local files = { ["creds.json"] = ' {"a" : 1.0}\n' }
      local number = 0
      for _, name in ipairs { "exact.jsonl", "inexact.jsonl" } do
        for _, line in ipairs(fixture.lines(name)) do
          number = number + 1
          files[("pre-key-%d.json"):format(number)] = line
        end
      end
      files["session-a.json"] = '\n\t{ "x":\r"y" } \n'
      local out = temporary.directory() .. "/out"
      import(directory_of(files))
      export(out)
      assert.is_true(number > 200)
      assert.same(files, files_in(out))
    end)

    it("splits a name by the longest type that it begins with", function()
      import(directory_of {
        ["sender-key-memory-1@g.us.json"] = "1", ["sender-key-memory.json"] = "2",
        ["app-state-sync-version-app-state-sync-key-1.json"] = "3",
        ["session-session-1.json"] = "4", ["pre-key-.json"] = "5",
        ["tctoken-__index.json"] = "6", ["tctoken-a.json.json"] = "7",
        ["sender-key-a---b--c.json"] = "8", ["sender-key-a--b.json"] = "9",
      })
      assert.same({
        ["app-state-sync-version"] = { ["app-state-sync-key-1"] = "3" },
        ["pre-key"] = { [""] = "5" },
        ["sender-key"] = { memory = "2", ["a-::b::c"] = "8", ["a--b"] = "9" },
        ["sender-key-memory"] = { ["1@g.us"] = "1" },
        session = { ["session-1"] = "4" },
        tctoken = { __index = "6", ["a.json"] = "7" },
      }, record_text.split(export_text()).keys)
    end)

    it("may have no creds, which is said", function()
      local path = directory_of { ["pre-key-1.json"] = "{}" }
      assert.match("imported 1 records and no creds of session s: ", import(path))
      assert.equal('{"creds":null,"keys":{"pre-key":{"1":{}}}}\n', export_text())
      assert.is_false(cjson.decode(import(path, "--replace", "--json")).creds)
    end)

    it("may have creds alone", function()
      import(directory_of { ["creds.json"] = '{"a":1}' })
      assert.equal('{"creds":{"a":1},"keys":{}}\n', export_text())
    end)

    it("leaves out with --skip-unknown what is no record, and counts it", function()
      local path = directory_of { ["creds.json"] = '{"a":1}', ["pre-key-1.json"] = "1",
        ["notes.txt"] = "x", ["t-1.json"] = "no JSON", ["creds.json.bak"] = "" }
      assert(lfs.mkdir(path .. "/media"))
      assert.match("\nskipped  4 files of other names\n$", import(path, "--skip-unknown"))
      assert.equal('{"creds":{"a":1},"keys":{"pre-key":{"1":1}}}\n', export_text())
      local told = cjson.decode(import(path, "--skip-unknown", "--replace", "--json"))
      assert.same({ 4, 1 }, { told.skipped, told.records })
    end)

    it("says nothing of skipped files when there are none", function()
      local said = import(directory_of { ["creds.json"] = "{}" }, "--skip-unknown")
      assert.falsy(said:find("skip", 1, true), said)
    end)
  end)

  describe("is not imported:", function()
    -- Name, files, words of the complaint (DIR is the directory), more arguments.
    local cases = {
      { "a file of another name", { ["creds.json"] = "{}", ["notes.txt"] = "1" },
        { "DIR/notes.txt: neither creds.json nor <type>-<id>.json of a known type;",
          "--skip-unknown" } },
      { "several files of other names",
        { ["creds.json"] = "{}", ["b.json"] = "1", ["a"] = "1", [".c"] = "1" },
        { "DIR/.c: neither", "(nor are 2 others)" } },
      { "a type that Baileys does not have", { ["prekey-1.json"] = "1" },
        { "DIR/prekey-1.json: neither" } },
      { "a type without an id", { ["session.json"] = "1" },
        { "DIR/session.json: neither" } },
      { "a record without .json", { ["session-a"] = "1" }, { "DIR/session-a: neither" } },
      { "a name that is not UTF-8", { ["session-\255.json"] = "1" },
        { "DIR/session-\255.json: neither" } },
      { "a surrogate in a name, which Node cannot write",
        { ["session-\237\160\189.json"] = "1" },
        { "DIR/session-\237\160\189.json: neither" } },
      { "a line feed in a name", { ["a\nb"] = "1" }, { "DIR/a\\x0ab: neither" } },
      { "an empty file", { ["creds.json"] = "{}", ["pre-key-1.json"] = "" },
        { "DIR/pre-key-1.json: not JSON at byte 0" } },
      { "empty creds", { ["creds.json"] = "", ["pre-key-1.json"] = "1" },
        { "DIR/creds.json: not JSON at byte 0" } },
      { "a file that ends early", { ["pre-key-1.json"] = '{"a":[1,2' },
        { "DIR/pre-key-1.json: not JSON at byte 9" } },
      { "a file with something behind", { ["pre-key-1.json"] = '{"a":1}}' },
        { "DIR/pre-key-1.json: not JSON at byte 7" } },
      { "a file with a byte order mark", { ["pre-key-1.json"] = "\239\187\1911" },
        { "DIR/pre-key-1.json: not JSON at byte 0" } },
      { "creds that are no object", { ["creds.json"] = ' [{"a":1}]' },
        { "DIR/creds.json: not creds at byte 1", "an object is expected" } },
      { "creds that are null", { ["creds.json"] = "null" },
        { "DIR/creds.json: not creds at byte 0" } },
      { "two files of one record",
        { ["sender-key-a--b--0.json"] = "1", ["sender-key-a::b::0.json"] = "1" },
        { "DIR/sender-key-a--b--0.json", "DIR/sender-key-a::b::0.json",
          'sender-key "a::b::0"' } },
      { "two files of one record, others skipped",
        { ["session-a-b.json"] = "1", ["session-a:b.json"] = "1" },
        { "DIR/session-a-b.json", "DIR/session-a:b.json" }, "--skip-unknown" },
      { "an empty directory", {}, { "DIR: no session" } },
      { "a directory with other files alone", { ["notes.txt"] = "1" },
        { "DIR: no session" }, "--skip-unknown" },
      { "a record of 9 MiB",
        { ["pre-key-1.json"] = '"' .. ("-"):rep(9 * 1024 * 1024) .. '"' },
        { 'pre-key "1"', "max_value_bytes" } },
    }

    for _, case in ipairs(cases) do
      it(case[1], function()
        local directory, words = directory_of(case[2]), {}
        for i, word in ipairs(case[3]) do words[i] = word:gsub("^DIR", directory) end
        import_text '{"creds":{"a":1},"keys":{"t":{"i":1}}}'
        check_refusal({ "import", directory, "--session", "s", "--redis", server.url,
          "--replace", case[4] }, directory, FAILED, words)
      end)
    end

    it("a directory in the place of a record", function()
      local directory = directory_of { ["creds.json"] = "{}" }
      assert(lfs.mkdir(directory .. "/session-a.json"))
      check_refusal({ "import", directory, "--session", "s", "--redis", server.url },
        directory, FAILED, { directory .. "/session-a.json: Is a directory" })
    end)

    it("a file, when --skip-unknown is given, which is for directories", function()
      local path = temporary.file('{"creds":{}}', "session.json")
      check_refusal({ "import", path, "--session", "s", "--redis", server.url,
        "--skip-unknown" }, path:match "^(.*)/", USAGE, { "--skip-unknown", path })
    end)
  end)

  describe("that is exported", function()
    it("gives the same session when it is imported again", function()
      import(fixture.path "small.json.gz")
      local out = temporary.directory() .. "/out"
      export(out)
      tool.succeed { "import", out, "--session", "again", "--redis", server.url }
      assert.equal(export_text "s", export_text "again")
    end)

    it("lets nobody else in", function()
      import(fixture.path "small.json.gz")
      local parent = temporary.directory()
      export(parent .. "/out")
      local found = everything_in(parent)
      assert.match("^directory rwx%-%-%-%-%-%- ", found.out)
      found.out = nil
      for name, about in pairs(found) do
        assert.match("^file rw%-%-%-%-%-%-%- ", about, name)
      end
      assert.equal(479, count(found))
    end)

    it("is told in a line for people and a document for programs", function()
      import_text '{"creds":{"a":1},"keys":{"pre-key":{"1":2}}}'
      local out = temporary.directory() .. "/out"
      assert.equal("export   2 of 2\nexported 1 records and the creds of session s to "
        .. out .. ": 8 B of JSON\n", export(out))
      assert.same({ session = "s", records = 1, creds = true, directory = out .. "2",
        json_bytes = 8, lossy_names = 0 }, cjson.decode(export(out .. "2", "--json")))
    end)

    it("may be asked for by its format", function()
      import_text '{"creds":{"a":1}}'
      local out = temporary.directory() .. "/out"
      export(out, "--format", "baileys-multifile")
      assert.same({ ["creds.json"] = '{"a":1}' }, files_in(out))
    end)

    it("may take the place of an empty one, wherever its name leads", function()
      import_text '{"creds":{"a":1}}'
      local parent = temporary.directory()
      assert(lfs.mkdir(parent .. "/empty"))
      assert(lfs.link("empty", parent .. "/link", true))
      for _, words in ipairs { { parent .. "/empty" }, { parent .. "/link" },
        { parent .. "/new///" }, { "relative", cwd = parent },
        { "./empty/../relative2/", cwd = parent } } do
        tool.succeed { "export", words[1], "--session", "s", "--redis", server.url,
          cwd = words.cwd }
        local path = words.cwd and parent .. "/" .. words[1] or words[1]
        assert.same({ ["creds.json"] = '{"a":1}' }, files_in(path))
        os.remove(parent .. "/empty/creds.json")
      end
      assert.equal("link", lfs.symlinkattributes(parent .. "/link", "mode"))
      assert.same({}, files_in(parent .. "/empty"))
      -- Beside these two there are three directories with a file each.
      assert.equal(2 + 2 * 3, count(everything_in(parent)))
    end)

    it("has no creds.json when the session has no creds, which is said", function()
      import_text '{"keys":{"pre-key":{"1":null}}}'
      local out = temporary.directory() .. "/out"
      assert.match("exported 1 records and no creds of session s", export(out))
      assert.same({ ["pre-key-1.json"] = "null" }, files_in(out))
    end)

    it("names the files as Baileys does, and says which names are lossy", function()
      import_text([[{"creds":{"a":1},"keys":{"session":{"55:1.0":1,"a/b":2,"\ud83d x":3,
        "日本":4},"sender-key":{"g::1::0":5,"g-:b":6},"weird":{"x":7},
        "app-state-sync-key":{"a/+":8,"a:":9},"tctoken":{"__index":10},
        "sender-key-memory":{"":11}}}]])
      local out = temporary.directory() .. "/out"
      assert.match("\n6 of them cannot be told by their file names: Baileys finds them, "
        .. "an import of the directory would not\n$", export(out))
      assert.same({ ["creds.json"] = '{"a":1}', ["session-55-1.0.json"] = "1",
        ["session-a__b.json"] = "2", ["session-\239\191\189 x.json"] = "3",
        ["session-日本.json"] = "4", ["sender-key-g--1--0.json"] = "5",
        ["sender-key-g--b.json"] = "6", ["weird-x.json"] = "7",
        ["app-state-sync-key-a__+.json"] = "8", ["app-state-sync-key-a-.json"] = "9",
        ["tctoken-__index.json"] = "10", ["sender-key-memory-.json"] = "11",
      }, files_in(out))
      assert.equal(6, cjson.decode(export(out .. "2", "--json")).lossy_names)
    end)

    it("may have file names of 255 bytes, counted as the file system counts", function()
      local id = ("é"):rep(121)
      import_text(('{"keys":{"session":{"%s":1}}}'):format(id))
      local out = temporary.directory() .. "/out"
      export(out)
      local name = next(files_in(out))
      assert.equal("session-" .. id .. ".json", name)
      assert.equal(255, #name)
    end)
  end)

  describe("is not exported", function()
    local session = '{"creds":{"a":1},"keys":{"pre-key":{"1":2}}}'

    -- Name, session, words; OUT is a directory that is not there.
    for _, case in ipairs {
      { "with two ids that give one file name",
        '{"keys":{"session":{"a:b":1,"a-b":2}}}',
        { 'session "a-b"', 'session "a:b"', "session-a-b.json" } },
      { "with two types that give one file name",
        '{"keys":{"sender-key":{"memory-x":1},"sender-key-memory":{"x":2}}}',
        { 'sender-key "memory-x"', 'sender-key-memory "x"' } },
      { "with two lone surrogates that Node writes alike",
        [[{"keys":{"session":{"\ud800":1,"\ud801":2}}}]], { "session " } },
      { "with a name of 256 bytes",
        ('{"keys":{"session":{"%s":1}}}'):format(("x"):rep(243)),
        { 'session "xxxx', "256 bytes", "255" } },
      { "with a NUL in an id", [[{"keys":{"session":{"a\u0000b":1}}}]],
        { 'session "a\\x00b"', "NUL" } },
    } do
      it(case[1], function()
        import_text(case[2])
        local parent = temporary.directory()
        check_refusal({ "export", parent .. "/out", "--session", "s", "--redis",
          server.url }, parent, FAILED, case[3])
      end)
    end

    it("with an id that is not UTF-8", function()
      import_text(session)
      server:command("HSET", "authstate:{s}:k:pre-key", "\255", "1")
      local parent = temporary.directory()
      check_refusal({ "export", parent .. "/out", "--session", "s", "--redis",
        server.url }, parent, FAILED, { "pre-key", "not UTF-8" })
    end)

    -- Name, path in a directory that has `file` and `full/file`, words, exit status, more
    -- arguments.
    for _, case in ipairs {
      { "over a directory that is not empty", "full", { "full: not empty" }, FAILED },
      { "over a file", "file", { "file: Not a directory" }, FAILED },
      { "under a file", "file/out", { "file/out: Not a directory" }, FAILED },
      { "into a directory that is not there", "no/out",
        { "there is no directory ", "/no" }, FAILED },
      { "over a link to nowhere", "link", { "link: ", "Not a directory" }, FAILED },
      { "under a name that is too long", ("x"):rep(256), { "File name too long" },
        FAILED },
      { "as JSON", "out", { "--format json" }, USAGE, { "--format", "json" } },
      { "in a form that is not known", "out", { '"multifile"', "baileys-multifile" },
        USAGE, { "--format", "multifile" } },
      { "twice", "out", { 'unexpected argument "b"' }, USAGE, { "b" } },
    } do
      it(case[1], function()
        import_text(session)
        local parent = directory_of { file = "x" }
        assert(lfs.mkdir(parent .. "/full"))
        write(parent .. "/full/file", "x")
        assert(lfs.link("nowhere", parent .. "/link", true))
        check_refusal({ "export", parent .. "/" .. case[2], "--session", "s", "--redis",
          server.url, unpack(case[5] or {}) }, parent, case[4], case[3])
      end)
    end

    it("without a directory", function()
      import_text(session)
      local parent = temporary.directory()
      check_refusal({ "export", "--format", "baileys-multifile", "--session", "s",
        "--redis", server.url, cwd = parent }, parent, USAGE,
        { "--format baileys-multifile needs DIR" })
      check_refusal({ "export", "", "--session", "s", "--redis", server.url,
        cwd = parent }, parent, USAGE, { "DIR is empty" })
    end)

    it("when there is no session", function()
      local parent = temporary.directory()
      check_refusal({ "export", parent .. "/out", "--session", "s", "--redis",
        server.url }, parent, FAILED, { "there is no session s" })
    end)

    it("when a record is damaged", function()
      import_text(session)
      server:command("HSET", "authstate:{s}:k:pre-key", "2", "garbage")
      local parent = temporary.directory()
      check_refusal({ "export", parent .. "/out", "--session", "s", "--redis",
        server.url }, parent, FAILED, { 'pre-key "2"' })
    end)

    it("where nothing may be written", function()
      import_text(session)
      local parent = temporary.directory()
      assert.equal(0, os.execute(("chmod 500 '%s'"):format(parent)))
      -- Root may write everywhere, unless it gives up that right.
      local outcome = tool.run_in_shell('[ "$(id -u)" -ne 0 ] || exec setpriv '
        .. '--bounding-set=-dac_override,-dac_read_search "$@"; exec "$@"',
        { "export", parent .. "/out", "--session", "s", "--redis", server.url })
      tool.check_failure(outcome, FAILED, { parent .. "/out: ", "Permission denied" })
      assert.same({}, everything_in(parent))
    end)

    it("when a file of it cannot be written, and what was written goes", function()
      import(fixture.path "small.json.gz")
      local parent = temporary.directory()
      -- No file above 4 KiB; the first larger one is somewhere in the middle.
      local outcome = tool.run_in_shell('trap "" XFSZ; ulimit -f 8; exec "$@"',
        { "export", parent .. "/out", "--session", "s", "--redis", server.url })
      tool.check_failure(outcome, FAILED, { parent .. "/out: cannot write ",
        "app-state-sync-version-critical_unblock_low.json: File too large" })
      assert.same({}, everything_in(parent))
    end)

    it("when it is interrupted, and what was written goes", function()
      import(fixture.path "large.json.gz")
      local parent = temporary.directory()
      local exporter = tool.start { "export", parent .. "/out", "--session", "s",
        "--redis", server.url }
      assert(clock.wait_for(function() return count(everything_in(parent)) > 10 end))
      exporter:signal("INT")
      assert.equal(FAILED, exporter:wait())
      assert.equal("authstate export: interrupted\n", exporter:errors())
      assert.same({}, everything_in(parent))
    end)
  end)

  describe("whose export is killed", function()
    local ROUNDS = 24
    local parent, whole, took_ms

    before_each(function()
      import(fixture.path "small.json.gz")
      parent = temporary.directory()
      local started_ms = clock.now_ms()
      export(parent .. "/whole")
      took_ms = clock.now_ms() - started_ms
      whole = files_in(parent .. "/whole")
    end)

    -- The directory that is being written, under the name it has meanwhile.
    local function draft()
      for name in lfs.dir(parent) do
        if name:find "^%.authstate%-export%-%x+$" then return parent .. "/" .. name end
      end
      return nil
    end

    local function written()
      local path, total = draft(), 0
      if not path or not lfs.attributes(path) then return 0 end
      for name in lfs.dir(path) do
        if name ~= "." and name ~= ".." then total = total + 1 end
      end
      return total
    end

    local function remove(path)
      for name in pairs(files_in(path)) do os.remove(path .. "/" .. name) end
      assert(os.remove(path))
    end

    it("is there as a whole or not at all", function()
      local dice, cut = random.new(), 0
      for round = 1, ROUNDS do
        local out = ("%s/%d"):format(parent, round)
        local exporter = tool.start { "export", out, "--session", "s", "--redis",
          server.url }
        -- Half of the rounds: at any time. The others: when so many files are there.
        if round % 2 == 0 then
          local limit = dice:integer(1, 479)
          clock.wait_for(function()
            return not exporter:alive() or written() >= limit or lfs.attributes(out)
          end)
        else
          local kill_ms = clock.now_ms() + dice:fraction() * took_ms * 1.2
          clock.wait_for(function() return clock.now_ms() >= kill_ms end)
        end
        exporter:kill()
        if lfs.attributes(out) then
          assert.same(whole, files_in(out))
          assert.falsy(draft())
        elseif draft() then
          cut = cut + 1
          remove(draft())
        end
        assert.falsy(draft())
      end
      assert.is_true(cut > 0)
      export(parent .. "/last")
      assert.same(whole, files_in(parent .. "/last"))
    end)
  end)
end)
