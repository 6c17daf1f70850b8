-- SPDX-License-Identifier: MIT

-- Wrong calls, broken files, servers that are not there: each command fails with its
-- status and one sentence, and changes nothing.

local calls = require "spec.command.calls"
local cjson = require "cjson"
local clock = require "spec.support.clock"
local command_line = require "authstate.command"
local fixture = require "spec.support.fixture"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local FAILED, USAGE = 1, 2
local MIB = 1024 * 1024

-- In the arguments: URL is the server's, @name a file of these.
local packed = io.open(fixture.path "small.json.gz", "rb"):read "*a"
local FILES = {
  ["good.json"] = '{"creds":{"a":1},"keys":{"t":{"i":2}}}',
  ["empty.json"] = "",
  ["cut.json.gz"] = packed:sub(1, 1000),
  ["cut-trailer.json.gz"] = packed:sub(1, -2),
  ["head.json.gz"] = packed:sub(1, 2),
  ["damaged.json.gz"] = packed:sub(1, 500) .. ("X"):rep(9) .. packed:sub(510),
  ["checksum.json.gz"] = packed:sub(1, -8) .. "???" .. packed:sub(-4),
  ["array.json"] = "[]",
  ["nothing.json"] = '{"creds":null,"keys":{}}',
  ["text.json"] = '"creds"',
  ["null.json"] = "null",
  ["other.json"] = '{"creds":{},"session":{}}',
  ["creds-number.json"] = '{"creds":1}',
  ["creds-array.json"] = '{"creds":[]}',
  ["keys-array.json"] = '{"keys":[]}',
  ["type-number.json"] = '{"keys":{"t":1}}',
  ["type-null.json"] = '{"keys":{"t":null}}',
  ["type-twice.json"] = '{"keys":{"t":{"a":1},"u":{},"t":{"b":1}}}',
  ["type-twice-escaped.json"] = '{"keys":{"t":{"a":1},"\\u0074":{"b":1}}}',
  ["id-twice.json"] = '{"keys":{"t":{"a":1,"a":1}}}',
  ["creds-twice.json"] = '{"creds":{},"creds":{}}',
  ["two.json"] = "{}{}",
  ["type-creds.json"] = '{"keys":{"creds":{"a":1}}}',
  ["large-record.json"] = '{"keys":{"t":{"large":"' .. ("!"):rep(9 * MIB) .. '"}}}',
  ["large-creds.json"] = '{"creds":{"a":"' .. ("!"):rep(9 * MIB) .. '"}}',
}

local LONG_ID = ("a"):rep(513)

-- name, arguments, exit status, words that stand in stderr.
local CASES = {
  { "an unknown command", { "imprt" }, USAGE, { '"imprt"', 'did you mean "import"?' } },
  { "an unknown command like none", { "xyzzy" }, USAGE, { '"xyzzy"', "--help" } },
  { "an option for a command", { "--json" }, USAGE, { '"--json"' } },
  { "an empty command", { "" }, USAGE, { 'unknown command ""' } },

  { "an unknown option", { "import", "@good.json", "--session", "s", "--replce" }, USAGE,
    { "import", '"--replce"', 'did you mean "--replace"?' } },
  { "an option of another command", { "export", "--session", "s", "--reveal" }, USAGE,
    { "export", '"--reveal"' } },
  { "a short option", { "sessions", "-j" }, USAGE, { '"-j"' } },
  { "an option twice", { "get", "--session", "s", "--session=t", "a", "b" }, USAGE,
    { "get", "--session", "twice" } },
  { "a switch twice", { "sessions", "--json", "--json" }, USAGE, { "--json", "twice" } },
  { "a switch with a value", { "sessions", "--json=yes" }, USAGE, { "--json",
    "no value" } },
  { "a missing value", { "delete", "--session" }, USAGE, { "--session",
    "needs a value" } },
  { "a value that is not accepted", { "export", "--session", "s", "--format", "jsn" },
    USAGE, { "--format", '"jsn"', 'did you mean "json"?' } },
  { "a fault that demo does not know", { "demo", "--fault", "droop" }, USAGE,
    { "--fault", '"droop"', 'did you mean "drop"?' } },
  { "an argument too many", { "sessions", "s" }, USAGE, { 'unexpected argument "s"' } },
  { "options behind --", { "sessions", "--", "--json" }, USAGE, { '"--json"' } },
  { "a file too many", { "import", "@good.json", "b", "--session", "s" }, USAGE,
    { 'unexpected argument "b"' } },

  { "import without a file", { "import", "--session", "s" }, USAGE,
    { "FILE is required" } },
  { "get without a type", { "get", "--session", "s" }, USAGE,
    { "TYPE ID... is required" } },
  { "get without an id", { "get", "--session", "s", "pre-key" }, USAGE,
    { "TYPE ID... is required" } },
  { "delete with an argument", { "delete", "--session", "s", "t" }, USAGE,
    { 'unexpected argument "t"' } },
  { "inspect with an argument", { "inspect", "s" }, USAGE,
    { 'unexpected argument "s"' } },
  { "run without a script", { "run" }, USAGE, { "SCRIPT is required" } },
  { "run without a script behind its options", { "run", "--traceback", "--" }, USAGE,
    { "SCRIPT is required" } },

  { "an empty session id", { "export", "--session", "", "--redis", "URL" }, USAGE,
    { "--session", '""', "1 to 512 bytes" } },
  { "a session id of 513 bytes", { "delete", "--session", LONG_ID, "--redis", "URL" },
    USAGE,
    { "--session", '"aaaa', "1 to 512 bytes" } },
  { "a session id that begins with }",
    { "import", "@good.json", "--session", "}s", "--redis", "URL" }, USAGE,
    { "--session", '"}s"', "begin with }" } },
  { "an id beginning with } for get", { "get", "a", "b", "--session=}", "--redis",
    "URL" },
    USAGE, { "--session", '"}"' } },

  { "a file that is missing", { "import", "/no/file", "--session", "n", "--redis",
    "URL" },
    FAILED, { "/no/file: No such file or directory" } },
  { "a file that is missing, for the private server",
    { "import", "/no/file", "--session", "n" },
    FAILED, { "/no/file: No such file or directory" } },
  { "a script that is missing", { "run", "/no/script" }, FAILED,
    { "/no/script: No such file or directory" } },
  { "a script that is a directory", { "run", "/tmp" }, FAILED,
    { "/tmp: Is a directory" } },
  { "a script that is no Lua", { "run", "@good.json" }, FAILED, { "@good.json:1: " } },
  { "demo's file missing", { "demo", "/no/file" }, FAILED,
    { "/no/file: No such file or directory" } },
  { "demo's trace missing", { "demo", "--trace", "/no/trace" }, FAILED,
    { "/no/trace: No such file or directory" } },
  { "demo's file without creds", { "demo", "@type-null.json" }, FAILED,
    { "@type-null.json", "at byte 13" } },
  { "demo on a given server", { "demo", "--redis", "URL" }, USAGE, { "--redis" } },

  { "a URL that is none", { "sessions", "--redis", "localhost" }, USAGE,
    { "not a URL", "redis://", "unix:///path" } },
  { "a URL of another scheme", { "sessions", "--redis", "http://h" }, USAGE,
    { '"http"' } },
  { "a port that is none", { "sessions", "--redis", "redis://u:hush@h:x" }, USAGE,
    { "the port is not a number" } },
  { "a port that is too high", { "sessions", "--redis", "redis://h:65536" }, USAGE,
    { "1 to 65535" } },
  { "a relative socket path", { "sessions", "--redis", "unix://redis.sock" }, USAGE,
    { "begins with /" } },
  { "a socket path too long", { "sessions", "--redis", "unix:///" .. LONG_ID }, USAGE,
    { "107" } },
  { "a port that is none, of TLS", { "sessions", "--redis", "rediss://h:x" }, USAGE,
    { "the port is not a number" } },
  { "a server and a directory", { "sessions", "--redis", "URL", "--data-dir", "/tmp/x" },
    USAGE, { '"redis"', '"data_dir"', "exclude" } },
  { "a prefix with braces", { "sessions", "--prefix", "a{", "--redis", "URL" }, USAGE,
    { '"prefix"', '"a{"' } },

  { "nobody on the socket", { "sessions", "--redis", "unix:///nowhere/redis.sock" },
    FAILED,
    { "unix:///nowhere/redis.sock: No such file or directory" } },
  { "nobody on the port", { "export", "--session", "s", "--redis",
    "redis://127.0.0.1:1" },
    FAILED, { "redis://127.0.0.1:1: Connection refused" } },
  { "a host that is not known",
    { "delete", "--session", "s", "--redis", "redis://no.such.host.invalid" }, FAILED,
    { "redis://no.such.host.invalid:6379" } },
  { "a database that is not there", { "sessions", "--redis", "URL?db=99" }, FAILED,
    { "out of range" } },

  { "export of no session", { "export", "--session", "nobody", "--redis", "URL" }, FAILED,
    { "there is no session nobody" } },
  { "get from no session", { "get", "pre-key", "1", "--session", "nobody", "--redis",
    "URL" },
    FAILED, { "session nobody has no pre-key 1" } },
  { "get of creds from no session",
    { "get", "creds", "--session", "nobody", "--redis", "URL" }, FAILED,
    { "session nobody has no creds" } },
  { "inspect of no session", { "inspect", "--session", "nobody", "--redis", "URL" },
    FAILED, { "there is no session nobody" } },
  { "delete of no session", { "delete", "--session", "nobody", "--redis", "URL" }, FAILED,
    { "there is no session nobody" } },
  { "get of no record", { "get", "t", "j", "--session", "s", "--redis", "URL" }, FAILED,
    { "session s has no t j" } },
  { "a control character in a type", { "get", "\27[31m", "j", "--session", "s", "--redis",
    "URL" }, FAILED, { "session s has no \\x1b[31m j" } },

  { "get of a damaged value", { "get", "t", "bad", "--session", "damaged", "--redis",
    "URL" },
    FAILED, { 't "bad"', "not JSON at byte 0" } },
  { "export with a damaged value", { "export", "--session", "damaged", "--redis", "URL" },
    FAILED, { 't "bad"', "not JSON at byte 0" } },
  { "export of a damaged value to a directory", { "export", "@made", "--format",
    "baileys-multifile", "--session", "damaged", "--redis", "URL" },
    FAILED, { 't "bad"', "not JSON at byte 0" } },
  { "inspect of a damaged value", { "inspect", "--session", "damaged", "--redis", "URL" },
    FAILED, { 't "bad"', "not JSON at byte 0" } },
}

-- Damaged credentials.
for _, words in ipairs { { "export" }, { "get", "creds" }, { "inspect" },
  { "import", "--replace", "@good.json" } } do
  CASES[#CASES + 1] = { words[1] .. " of damaged creds",
    { words[1], "--session", "broken", "--redis", "URL", unpack(words, 2) }, FAILED,
    { 'creds "creds": not JSON at byte 0' } }
end

-- A key of another type, for each command that comes across it.
for _, case in ipairs { { "x", "meta" }, { "y", "k:t" }, { "z", "creds" } } do
  local session, key = case[1], ("authstate:{%s}:%s"):format(case[1], case[2])
  local words = { '"' .. key .. '"', "another type" }
  local function add(command, ...)
    CASES[#CASES + 1] = { ("%s over a %s of another type"):format(command, case[2]),
      { command, "--session", session, "--redis", "URL", ... }, FAILED, words }
  end
  add("export")
  add("inspect")
  add("import", "--replace", "@good.json")
  if session ~= "z" then
    add("get", "t", "i")
    add("delete")
  else
    add("get", "creds")
  end
end
for _, name in ipairs { "sessions", "inspect" } do
  CASES[#CASES + 1] = { name .. " over an index of another type",
    { name, "--prefix", "other:", "--redis", "URL" }, FAILED, { '"other:{index:7}"' } }
end

-- Files that cannot be imported.
for _, case in ipairs {
  { "empty.json", "not JSON at byte 0" },
  { "cut.json.gz", "truncated" }, { "cut-trailer.json.gz", "truncated" },
  { "head.json.gz", "truncated" }, { "damaged.json.gz", "damaged" },
  { "checksum.json.gz", "damaged" },
  { "nothing.json", "neither creds nor records" },
  { "array.json", "at byte 0", "an object" }, { "text.json", "at byte 0" },
  { "null.json", "at byte 0" }, { "other.json", "at byte 12", "creds or keys" },
  { "creds-number.json", "at byte 9" }, { "creds-array.json", "at byte 9" },
  { "keys-array.json", "at byte 8" }, { "type-number.json", "at byte 13" },
  { "type-null.json", "at byte 13" }, { "type-twice.json", "at byte 28",
    "each type once" },
  { "type-twice-escaped.json", "at byte 21", "each type once" },
  { "id-twice.json", "at byte 20", "once" }, { "creds-twice.json", "at byte 12", "once" },
  { "two.json", "at byte 2" }, { "type-creds.json", '"creds"' },
} do
  local words = { "@" .. case[1], unpack(case, 2) }
  CASES[#CASES + 1] = { "import of " .. case[1],
    { "import", "@" .. case[1], "--session", "n", "--redis", "URL" }, FAILED, words }
end
for _, case in ipairs { { "large-record.json", 't "large"' }, { "large-creds.json",
  "creds" } } do
  CASES[#CASES + 1] = { "import of " .. case[1],
    { "import", "@" .. case[1], "--session", "n", "--redis", "URL" }, FAILED,
    { case[2], "max_value_bytes (8388608)" } }
end

-- ---- the same for all commands ------------------------------------------------------

local function add(name, words, expected)
  CASES[#CASES + 1] = { name, words, USAGE, expected }
end

-- A value that an option takes.
local function value_of(row)
  return row.values and row.values[1] or "x"
end

-- A name with a letter left out that is still nearest to it.
local function misspell(name)
  return name:sub(1, -3) .. name:sub(-1)
end

local function add_option_cases(name, row)
  local option = "--" .. row.name
  add(("%s: %s misspelt"):format(name, option), { name, "--" .. misspell(row.name) },
    { name .. ": ", '"--' .. misspell(row.name) .. '"', 'did you mean "' .. option })
  add(("%s: -%s"):format(name, row.name), { name, "-" .. row.name },
    { name .. ": ", '"-' .. row.name .. '"' })
  if not row.value then
    add(("%s: %s twice"):format(name, option), { name, option, option },
      { name .. ": ", option .. " is given twice" })
    add(("%s: %s with a value"):format(name, option), { name, option .. "=yes" },
      { name .. ": ", option .. " takes no value" })
    return
  end
  add(("%s: %s twice"):format(name, option),
    { name, option, value_of(row), option .. "=" .. value_of(row) },
    { name .. ": ", option .. " is given twice" })
  add(("%s: %s without its value"):format(name, option), { name, option },
    { name .. ": ", option .. " needs a value: " .. row.value })
  if row.values then
    add(("%s: %s with a value that it does not know"):format(name, option),
      { name, option, "xyzzy" },
      { name .. ": ", option .. ': "xyzzy"', table.concat(row.values, ", ") })
  end
end

for _, name in ipairs(command_line.names()) do
  add(name .. ": an unknown option", { name, "--xyzzy" },
    { name .. ": ", 'unknown option "--xyzzy"' })
  for _, row in ipairs(command_line.options_of(name)) do add_option_cases(name, row) end
  for _, row in ipairs(command_line.options_of(name)) do
    if row.required then
      add(("%s without --%s"):format(name, row.name), { name, "--redis", "URL" },
        { name .. ": ", ("--%s %s is required"):format(row.name, row.value) })
    end
  end
end

-- The words without an option and its value; nil when it is not among them.
local function without(words, option)
  local rest, has_option = {}, false
  for i, word in ipairs(words) do
    if word == option then
      has_option = true
    elseif words[i - 1] ~= option then
      rest[#rest + 1] = word
    end
  end
  return has_option and rest or nil
end

local BAD_URLS = {
  { "localhost", "not a URL" }, { "", "not a URL" }, { "http://h", '"http"' },
  { "redis://u:hush@h:x", "the port is not a number" }, { "redis://h:0", "1 to 65535" },
  { "redis://h/x", "the database is not a number" }, { "rediss://h:x", "number" },
  { "unix://redis.sock", "begins with /" }, { "unix:///" .. ("x"):rep(107), "107" },
}

local BAD_IDS = { "", LONG_ID, "}s", "}" }

for _, call in ipairs(calls.list) do
  local name = calls.name(call)
  local anonymous = without(call, "--session")
  for _, id in ipairs(anonymous and BAD_IDS or {}) do
    for _, place in ipairs { "--prefix=p", "--redis=URL" } do
      add(("%s: the session id %s, %s"):format(name, id:sub(1, 5), place),
        calls.with(anonymous, place, "--session", id),
        { call[1] .. ": --session: ", "1 to 512 bytes" })
    end
  end
  local takes_url = not call.has_own_server and not call.has_no_store
  for _, case in ipairs(takes_url and BAD_URLS or {}) do
    add(("%s: the URL %s"):format(name, case[1]:sub(1, 20)),
      calls.with(call, "--redis", case[1]), { call[1] .. ": ", case[2] })
  end
  if takes_url then
    add(name .. ": a server and a directory",
      calls.with(call, "--redis", "URL", "--data-dir", "/tmp/x"),
      { '"redis"', '"data_dir"', "exclude" })
  end
  for _, prefix in ipairs { "a{", "}", ("x"):rep(129) } do
    local place = takes_url and "--redis=URL" or "--json"
    add(("%s: the prefix %s"):format(name, prefix:sub(1, 5)),
      calls.with(call, place, "--prefix", prefix), { '"prefix"', "no braces" })
  end
end

describe("a bad call", function()
  local server, directory, home

  local function fill(words)
    local filled = {}
    for i, word in ipairs(words) do
      filled[i] = word:gsub("^URL", server.url):gsub("=URL$", "=" .. server.url)
        :gsub("^@", directory .. "/")
    end
    return filled
  end

  setup(function()
    server = redis_server.start { config = { ["enable-debug-command"] = "yes" } }
    directory, home = temporary.directory(), temporary.directory()
    calls.write_files(directory)
    for name, text in pairs(FILES) do
      local file = assert(io.open(directory .. "/" .. name, "wb"))
      assert(file:write(text))
      file:close()
    end
    tool.succeed(fill { "import", "@good.json", "--session", "s", "--redis", "URL" })
    for _, command in ipairs {
      { "SET", "authstate:{x}:meta", "1" },
      { "HSET", "authstate:{y}:meta", "gen", "1", "ver", "1", "t:t", "1" },
      { "SET", "authstate:{y}:k:t", "1" },
      { "HSET", "authstate:{z}:meta", "gen", "1", "ver", "1" },
      { "SET", "authstate:{z}:creds", "1" },
      { "HSET", "authstate:{damaged}:meta", "gen", "1", "ver", "1", "t:t", "1" },
      { "HSET", "authstate:{damaged}:k:t", "bad", "garbage" },
      { "HSET", "authstate:{broken}:meta", "gen", "1", "ver", "1" },
      { "HSET", "authstate:{broken}:creds", "creds", "garbage" },
      { "SET", "other:{index:7}", "1" },
    } do
      assert(server:command(unpack(command)))
    end
  end)

  teardown(function()
    server:stop()
  end)

  -- Runs what must change nothing in Redis, and make no file: not where it is called, not
  -- at home, not beside its files.
  local function run_without_effect(words)
    local before, listing =
      server:command("DEBUG", "DIGEST"), calls.listing(directory)
    words.cwd, words.env = home, { HOME = home, TMPDIR = home }
    local outcome = tool.run(words)
    assert.equal(before, server:command("DEBUG", "DIGEST"))
    assert.equal("", calls.listing(home))
    assert.equal(listing, calls.listing(directory))
    return outcome
  end

  it("of every command is tried here", function()
    local covered, listed = {}, {}
    for _, call in ipairs(calls.list) do covered[call[1]] = true end
    for name in tool.succeed({ "--help" }):gmatch "\n  ([%l-]+) " do
      listed[#listed + 1] = name
      assert.is_true(covered[name], name .. " has no line in spec/command/calls.lua")
    end
    assert.same(command_line.names(), listed)
  end)

  it("of every option is tried here: the help knows no other", function()
    for _, name in ipairs(command_line.names()) do
      local known, listed = {}, {}
      for i, row in ipairs(command_line.options_of(name)) do known[i] = row.name end
      local help = tool.succeed { name, "--help" }
      for option in help:gmatch "\n  %-%-([%l-]+) " do
        listed[#listed + 1] = option
      end
      assert.same(known, listed)
    end
  end)

  describe("fails decently:", function()
    for _, case in ipairs(CASES) do
      it(case[1], function()
        tool.check_failure(run_without_effect(fill(case[2])), case[3], fill(case[4]))
      end)
    end

    it("no command at all, with the help on stderr", function()
      local outcome = tool.run {}
      assert.equal(USAGE, outcome.status)
      assert.equal("", outcome.out)
      assert.match("^usage: authstate COMMAND", outcome.err)
    end)
  end)

  it("says of a value over 8 MiB how large it is", function()
    local large = ("1"):rep(9 * MIB)
    server:command("HSET", "authstate:{large}:meta", "gen", "1", "ver", "1", "t:t", "1")
    server:command("HSET", "authstate:{large}:k:t", "large", large)
    for _, words in ipairs { { "get", "t", "large" }, { "export" }, { "inspect" } } do
      tool.check_failure(tool.run { words[1], "--session", "large", "--redis", server.url,
        unpack(words, 2) }, FAILED, { 't "large"', "9437184 bytes", "max_value_bytes" })
    end
    server:command("DEL", "authstate:{large}:meta", "authstate:{large}:k:t")
  end)

  it("never says a password", function()
    for _, url in ipairs { "redis://u:hush@h:x", "redis://u:hush@127.0.0.1:1",
        "redis://:hush@h:99999", "unix://u:hush@redis.sock",
          "unix://u:hush@/nowhere.sock",
        "rediss://u:hush@h", "rediss://u:hush@127.0.0.1:1", "redis://:p@hush@h",
          "redis://hush@h", "http://u:hush@h" } do
      local outcome = tool.run { "sessions", "--redis", url }
      assert.not_equal(0, outcome.status)
      assert.falsy(outcome.err:find("hush", 1, true), outcome.err)
    end
  end)

  it("says of a wrong password which server refused it", function()
    local guarded = redis_server.start { password = "right", tcp = true }
    for _, secret in ipairs { "", ":hush@" } do
      local outcome = tool.run { "sessions", "--redis",
        ("redis://%s127.0.0.1:%d"):format(secret, guarded.port) }
      tool.check_failure(outcome, FAILED,
        { "redis://127.0.0.1:" .. guarded.port .. ": " })
      assert.falsy(outcome.err:find("hush", 1, true), outcome.err)
    end
    guarded:stop()
  end)

  it("gives up on a server that does not answer within the connect timeout", function()
    local silent = redis_server.start()
    silent:pause()
    local started_ms = clock.now_ms()
    local outcome = tool.run { "sessions", "--redis", silent.url }
    tool.check_failure(outcome, FAILED, { silent.url .. ": " })
    assert.is_true(clock.now_ms() - started_ms < 4800)
    silent:resume()
    silent:stop()
  end)

  -- ---- files that are no JSON -------------------------------------------------------

  -- Behind a record these mean something: where the mistake is then.
  local MOVED = { ["1,5"] = 2, ["null,"] = 5 }

  it("names the file and the byte for every text that is no JSON", function()
    local path = directory .. "/invalid-record.json"
    local cases = cjson.decode(fixture.read "invalid.json")
    assert.is_true(#cases > 170)
    for _, case in ipairs(cases) do
      local text, offset = case.text, MOVED[case.text] or case.offset
      -- A closing bracket would close what stands around the record: put it in the other.
      local is_brace = text:sub(offset + 1, offset + 1) == "}"
      local head = '{"creds":{"a":1},"keys":{"t":{"good":1,"i":'
        .. (is_brace and "[" or "")
      local tail = (is_brace and "]" or "") .. "}}}"
      local is_cut = offset == #text and not MOVED[text]
      local file = assert(io.open(path, "wb"))
      file:write(head, text, is_cut and "" or tail)
      file:close()
      local outcome = tool.run { "import", path, "--session", "n", "--redis", server.url }
      tool.check_failure(outcome, FAILED, { path .. ": not JSON at byte "
        .. #head + offset .. ":" })
    end
    assert.equal(0, #server:command("KEYS", "authstate:{n}*"))
  end)

  it("imports nothing of a file that ends anywhere", function()
    local path = directory .. "/cut-anywhere.json"
    local whole = fixture.read "small.json.gz"
    local keys_at = whole:find('"keys"', 1, true)
    -- The creds, some records of the first type, and the end.
    local text = whole:sub(1, keys_at + 4000):match "^(.*}),\"%d+\":" .. "}}}"
    local before = server:command("DEBUG", "DIGEST")
    for length = 0, #text - 1, 97 do
      local file = assert(io.open(path, "wb"))
      file:write(text:sub(1, length))
      file:close()
      tool.check_failure(tool.run { "import", path, "--session", "s", "--replace",
        "--redis", server.url }, FAILED,
          { path .. ": not JSON at byte " .. length .. ":" })
    end
    assert.equal(before, server:command("DEBUG", "DIGEST"))
  end)

  -- ---- where it writes to -----------------------------------------------------------

  it("fails when its output cannot be written", function()
    for _, words in ipairs {
      { "--help" }, { "--version" }, { "import", "--help" },
      { "import", fixture.path "small.json.gz", "--session", "full" },
      { "sessions" }, { "sessions", "--json" },
      { "export", "--session", "s" }, { "export", "--session", "full" },
      { "get", "t", "i", "--session", "s" }, { "get", "creds", "--reveal", "--session",
        "full" },
      { "delete", "--session", "full" },
    } do
      if words[2] ~= "--help" and words[1]:sub(1, 2) ~= "--" then
        words[#words + 1] = "--redis=" .. server.url
      end
      local outcome = tool.run_in_shell('exec "$@" >/dev/full', words)
      tool.check_failure(outcome, FAILED, { "standard output: No space left on device" })
    end
  end)

  -- ---- the same calls done well -----------------------------------------------------

  it("differs from a good one, which tells programs in JSON what it did", function()
    local function json(command, ...)
      return cjson.decode(tool.succeed { command, "--redis", server.url, "--prefix", "j:",
        "--json", ... })
    end
    local imported = json("import", fixture.path "small.json.gz", "--session", "j")
    assert.equal("j", imported.session)
    assert.equal(478, imported.records)
    assert.is_true(imported.creds)
    assert.equal(139, json("export", "--session", "j").creds.registrationId)
    assert.same({ sessions = { "j" } }, json "sessions")
    local described = json("get", "pre-key", "74", "75", "--session", "j")
    assert.equal(2, #described.records)
    assert.same({ "74", 164 }, { described.records[1].id, described.records[1].bytes })
    local deleted = json("delete", "--session", "j")
    assert.same({ "j", 479 }, { deleted.session, deleted.records })
    assert.same({ sessions = {} }, json "sessions")
  end)
end)
