-- SPDX-License-Identifier: MIT

-- Profiles: what goes above what, what is told of a wrong one, with file and line, and
-- doc/profiles.md as it stands there.

local authstate = require "authstate"
local cjson = require "cjson"
local core = require "authstate.core"
local layers = require "authstate.option_layers"
local lfs = require "lfs"
local outcome = require "spec.api.outcome"
local process = require "spec.support.process"
local profile = require "authstate.profile"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local LUAJIT = os.getenv "LUAJIT" or "luajit"
local URL = "redis://127.0.0.1:1"
local MIB = 1024 * 1024

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- Writes files into a new directory: { [name] = text }. Its path.
local function write_files(files)
  local directory = temporary.directory()
  for name, text in pairs(files) do
    local folder = name:match "^(.*)/"
    if folder then lfs.mkdir(directory .. "/" .. folder) end
    local file = assert(io.open(directory .. "/" .. name, "wb"))
    assert(file:write(text))
    file:close()
  end
  return directory
end

-- A Lua table as text.
local function to_lua(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local parts = {}
  for name, each in pairs(value) do
    parts[#parts + 1] = ("[%q] = %s"):format(name, to_lua(each))
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- The options of a store that is given `above` and a chain of profiles, the lowest first.
local function opened(chain, above)
  local files = {}
  for i, options in ipairs(chain) do
    local extends = i > 1 and ('extends = "p%d.lua", '):format(i - 1) or ""
    files["p" .. i .. ".lua"] = ("return { %soptions = %s }"):format(extends,
      to_lua(options))
  end
  local given = layers.merge_tables(above, {
    profile = ("%s/p%d.lua"):format(write_files(files), #chain),
  })
  local store = assert(authstate.open(given))
  store:close()
  return store.options, store
end

-- What is wrong with a profile, in one line or more; {DIR} is the directory.
local function message_of(files, given)
  local directory = write_files(files)
  given = given or { redis = URL }
  given.profile = given.profile or directory .. "/p.lua"
  local message = outcome.raises(function() authstate.open(given) end)
  return message:gsub(directory:gsub("%p", "%%%0") .. "/", "")
end

-- ---- what goes above what -------------------------------------------------------------

-- The chain of profiles, the lowest first; what is given; what comes of it.
local MERGES = {
  { "nothing: the defaults", { {} }, { redis = URL }, { max_value_bytes = 8 * MIB } },
  { "a profile above a default", { { max_value_bytes = 2048 } },
    { redis = URL },
    { max_value_bytes = 2048, max_commit_bytes = 64 * MIB } },
  { "what is given above a profile", { { max_value_bytes = 2048 } },
    { redis = URL, max_value_bytes = 4096 }, { max_value_bytes = 4096 } },
  { "a profile above the one it extends",
    { { max_value_bytes = 2048, queue_max_operations = 1 }, { max_value_bytes = 4096 } },
    { redis = URL }, { max_value_bytes = 4096, queue_max_operations = 1 } },
  { "three profiles and what is given",
    { { prefix = "a:", queue_max_operations = 1, log_level = "error" },
      { prefix = "b:", queue_max_operations = 2 }, { prefix = "c:" } },
    { redis = URL, append_fsync = "always" },
    { prefix = "c:", queue_max_operations = 2, log_level = "error",
      append_fsync = "always" } },
  { "false above true", { { redis = { socket = { no_delay = true } } },
      { redis = { socket = { no_delay = false } } } }, { redis = {} },
    { redis = { socket = { no_delay = false, keep_alive = true } } } },
  { "tables deeply", {
      { redis = { database = 3, socket = { connect_timeout_ms = 1 } } },
      { redis = { socket = { command_timeout_ms = 2 } } },
      { redis = { socket = { command_timeout_ms = 3, no_delay = false } } } },
    { redis = { host = "h", socket = { no_delay = true } } },
    { redis = { host = "h", port = 6379, database = 3, socket = {
      connect_timeout_ms = 1, command_timeout_ms = 3, no_delay = true,
      keep_alive = true } } } },
  { "a URL above a database", { { redis = { database = 3 } } },
    { redis = "redis://h" }, { redis = { host = "h", database = 3 } } },
  { "a URL that says its database", { { redis = { database = 3 } } },
    { redis = "redis://h/0" }, { redis = { host = "h", database = 0 } } },
  { "a password above a URL", { { redis = "redis://app@h:7" } },
    { redis = { password = "p" } },
    { redis = { host = "h", port = 7, username = "app", password = "p" } } },
  { "a port above a host", { { redis = { host = "h", port = 7, password = "p" } } },
    { redis = { port = 8 } }, { redis = { host = "h", port = 8, password = "p" } } },
  { "a port above a socket", { { redis = "unix:///s" } }, { redis = { port = 8 } },
    { redis = { host = "127.0.0.1", port = 8, path = cjson.null } } },
  { "another server, without the password of the one below",
    { { redis = { url = "redis://a:7", username = "u", password = "p", database = 2,
      socket = { no_delay = false } } } },
    { redis = "redis://b" },
    { redis = { host = "b", port = 6379, database = 0, username = cjson.null,
      password = cjson.null, socket = { no_delay = false } } } },
  { "a socket above a URL", { { redis = { url = "redis://u:p@a:7/2" } } },
    { redis = { path = "/s" } },
    { redis = { path = "/s", host = cjson.null, database = 0, password = cjson.null } } },
  { "a server above a directory", { { data_dir = "/nowhere" } }, { redis = URL },
    { data_dir = cjson.null, redis = { port = 1 } } },
  { "an empty table above a directory: 127.0.0.1", { { data_dir = "/nowhere" } },
    { redis = {} },
    { data_dir = cjson.null, redis = { host = "127.0.0.1", port = 6379 } } },
  { "an empty table above a server: that server", { { redis = "redis://h:7" } },
    { redis = {} }, { redis = { host = "h", port = 7 } } },
  { "a server of a profile above a directory of what it extends",
    { { data_dir = "/nowhere" }, { redis = URL } }, {},
    { data_dir = cjson.null, redis = { port = 1 } } },
}

-- Checks that a table has what is wanted; null is for absent.
local function check_has(wanted, found, path)
  for name, value in pairs(wanted) do
    local where = path .. "." .. name
    if type(value) == "table" then
      assert.is_table(found[name], where)
      check_has(value, found[name], where)
    elseif value == cjson.null then
      assert.is_nil(found[name], where)
    else
      assert.equal(value, found[name], where)
    end
  end
end

describe("the options of a store are merged:", function()
  for _, case in ipairs(MERGES) do
    local name, chain, above, wanted = unpack(case)
    it(name, function()
      check_has(wanted, (opened(chain, above)), "options")
    end)
  end

  it("arrays are replaced, not merged", function()
    local below = { a = { 1, 2, 3 }, b = { x = 1 }, c = { 1 }, d = { x = { y = 1 } } }
    local above = { a = { 4 }, b = { 5 }, c = { x = 2 }, d = authstate.array {} }
    local merged = layers.merge(below, above, {})
    assert.same({ a = { 4 }, b = { 5 }, c = { x = 2 }, d = {} }, merged)
    assert.same({ 1, 2, 3 }, below.a)
  end)

  it("at random as one would by hand, leaf by leaf", function()
    local names = { "max_value_bytes", "max_commit_bytes", "queue_max_operations",
      "queue_max_bytes", "tombstone_ttl_ms" }
    local socket_names = { "connect_timeout_ms", "command_timeout_ms" }
    local dice = random.new()
    for _ = 1, 50 do
      local chain, wanted, wanted_socket = {}, {}, {}
      for i = 1, dice:integer(1, 5) do
        local options, socket = {}, {}
        for _, name in ipairs(names) do
          if dice:integer(1, 2) == 1 then
            options[name] = dice:integer(4096, 100000)
            wanted[name] = options[name]
          end
        end
        for _, name in ipairs(socket_names) do
          if dice:integer(1, 2) == 1 then
            socket[name] = dice:integer(1, 1000)
            wanted_socket[name] = socket[name]
          end
        end
        options.redis = { socket = socket }
        chain[i] = options
      end
      wanted.redis = { socket = wanted_socket }
      check_has(wanted, (opened(chain, { redis = URL })), "options")
    end
  end)

  it("what a store was given before is not touched", function()
    local given = { redis = { host = "h", socket = {} } }
    opened({ { redis = { socket = { no_delay = false } } } }, given)
    assert.same({ redis = { host = "h", socket = {} } }, given)
  end)

  it("and it is known which file says an option, and where", function()
    local _, store = opened({
      { prefix = "a:", queue_max_operations = 1, redis = { port = 7 } },
      { prefix = "b:", max_value_bytes = 2048 },
    }, { redis = URL, max_value_bytes = 4096 })
    local applied = store.profile
    assert.match("/p2%.lua$", applied:origin "prefix")
    assert.match("/p1%.lua$", applied:origin "queue_max_operations")
    assert.match("/p1%.lua:1: $", applied:place("queue_max_operations", 1))
    assert.is_nil(applied:origin "max_value_bytes")
    assert.is_nil(applied:origin "redis.port")
    assert.is_nil(applied:origin "max_commit_bytes")
    assert.equal("", applied:place "max_commit_bytes")
  end)
end)

-- ---- finding one ----------------------------------------------------------------------

describe("a profile", function()
  it("by default is default, which sets nothing", function()
    local store = assert(authstate.open { redis = URL })
    assert.equal("default", store.options.profile)
    assert.same({}, store.profile.options)
    assert.equal(1, #store.profile.chain)
    local other = assert(authstate.open { redis = URL, profile = "default" })
    assert.same(store.options, other.options)
  end)

  it("extends another by name, by a path relative to its file, or by a whole path",
    function()
      local directory = write_files {
        ["deep/p.lua"] = 'return { extends = "../base.lua", '
          .. 'options = { prefix = "p:" } }',
        ["deep/q.lua"] = 'return { extends = "./p.lua" }',
        ["base.lua"] = 'return { extends = "default", options = { log_level = "info" } }',
      }
      local whole = temporary.file(("return { extends = %q }"):format(directory
        .. "/deep/q.lua"), "whole.lua")
      for _, path in ipairs { directory .. "/deep/p.lua", directory .. "/deep/q.lua",
        whole } do
        local options = authstate.open({ redis = URL, profile = path }).options
        assert.same({ "p:", "info" }, { options.prefix, options.log_level })
      end
    end)

  it("of one's own is found by name in a folder of package.path", function()
    local directory = write_files {}
    lfs.mkdir(directory .. "/authstate")
    lfs.mkdir(directory .. "/authstate/profiles")
    for name, text in pairs {
      ["my-own"] = 'return { extends = "my_base", options = { prefix = "x:" } }',
      my_base = 'return { options = { log_level = "debug" } }',
    } do
      local path = ("%s/authstate/profiles/%s.lua"):format(directory, name)
      assert(core.write_file(path, text))
    end
    local old_path = package.path
    package.path = directory .. "/?.lua;" .. old_path
    finally(function() package.path = old_path end)
    local options = authstate.open({ redis = URL, profile = "my-own" }).options
    assert.same({ "x:", "debug" }, { options.prefix, options.log_level })
  end)

  it("may extend as many as sixteen, and no more", function()
    for _, case in ipairs { { 16, true }, { 17, false } } do
      local files = { ["p.lua"] = 'return { extends = "p2.lua" }' }
      for i = 2, case[1] - 1 do
        files["p" .. i .. ".lua"] = ('return { extends = "p%d.lua" }'):format(i + 1)
      end
      files["p" .. case[1] .. ".lua"] = "return { options = { prefix = 'deep:' } }"
      local path = write_files(files) .. "/p.lua"
      local is_open, store = pcall(authstate.open, { redis = URL, profile = path })
      assert.equal(case[2], is_open)
      if is_open then
        assert.equal("deep:", store.options.prefix)
      else
        assert.match("/p16%.lua:1: extends: more than 16 profiles", store)
      end
    end
  end)

  it("does not see what another one did with its env", function()
    local path = write_files {
      ["p.lua"] = 'return function(env) env.cores = 1 return { extends = "q.lua" } end',
      ["q.lua"] = "return function(env) return { options = "
        .. "{ queue_max_operations = env.cores + 1000 } } end",
    } .. "/p.lua"
    local options = authstate.open({ redis = URL, profile = path }).options
    assert.equal(1000 + core.cores(), options.queue_max_operations)
  end)

  it("gives its timeouts to the private server too, without naming a server", function()
    local path = temporary.file([[
      return { options = {
        open_timeout_ms = 20000, redis = { socket = { command_timeout_ms = 4321 } },
      } }]], "p.lua")
    local store = assert(authstate.open { profile = path,
      data_dir = temporary.directory() .. "/data" })
    finally(function() store:close() end)
    assert.equal(4321, store.server.socket.command_timeout_ms)
    assert.equal(2000, store.server.socket.connect_timeout_ms)
    assert.is_nil(store.options.redis)
    assert.is_true(store:ping())
    assert.is_true(store:close())
  end)
end)

-- ---- the environment ------------------------------------------------------------------

describe("the env of a profile", function()
  it("tells cores and memory as the system does", function()
    local env = profile.environment()
    local _, cores = process.run { "getconf", "_NPROCESSORS_ONLN" }
    assert.equal(tonumber(cores), env.cores)
    local kib = read("/proc/meminfo"):match "MemTotal:%s*(%d+) kB"
    assert.equal(tonumber(kib) * 1024, env.memory_bytes)
    assert.same({ "luajit", 1 }, { env.runtime, env.workers })
    assert.equal(os.getenv "PATH", env.getenv "PATH")
    assert.is_nil(env.getenv "NO_SUCH_VARIABLE_IS_SET")
  end)

  it("reaches the function of the profile, and all that it extends", function()
    local path = write_files {
      ["p.lua"] = [[return function(env)
        return { extends = "q.lua", options = {
          prefix = env.runtime .. env.workers .. ":" .. env.getenv("PATH"):sub(1, 1) } }
      end]],
      ["q.lua"] = [[return function(env)
        return { options = {
          queue_max_operations = env.cores, queue_max_bytes = env.memory_bytes / 4096 } }
      end]],
    } .. "/p.lua"
    local options = authstate.open({ redis = URL, profile = path }).options
    assert.equal("luajit1:" .. os.getenv("PATH"):sub(1, 1), options.prefix)
    assert.equal(core.cores(), options.queue_max_operations)
    assert.equal(core.memory_bytes() / 4096, options.queue_max_bytes)
  end)

  it("says openresty inside nginx, and how many workers there are", function()
    for workers, ngx in pairs { [1] = "{}", [6] =
      "{ worker = { count = function() return 6 end } }" } do
      local status, out, err = process.run { LUAJIT, "-e", ([[
        package.path, package.cpath, ngx = %q, %q, %s
        local env = require("authstate.profile").environment()
        print(env.runtime, env.workers)
      ]]):format(package.path, package.cpath, ngx) }
      assert.same({ 0, "openresty\t" .. workers .. "\n", "" }, { status, out, err })
    end
  end)

  it("misspelt is told, with the line", function()
    assert.equal('option "profile": p.lua:2: env has no core, did you mean "cores"?; '
      .. "it has: cores, getenv, memory_bytes, runtime, workers", (message_of {
        ["p.lua"] = "return function(env)\n  local n = env.core\n  return {}\nend",
      }))
  end)
end)

-- ---- what is wrong --------------------------------------------------------------------

-- The text of p.lua, and what is said of it: one line for each thing.
local MISTAKES = {
  { "an unknown option", "return { options = {\n  max_value_byte = 1 } }",
    'p.lua:2: unknown option "max_value_byte", did you mean "max_value_bytes"?' },
  { "a wrong type", 'return { options = {\n\n max_value_bytes = "8MB" } }',
    'p.lua:3: option "max_value_bytes": "8MB" must be a number' },
  { "a value out of range", "return { options = {\n queue_max_operations = 0,\n} }",
    'p.lua:2: option "queue_max_operations": 0 must be a whole number from 1 to '
      .. "10000000" },
  { "a value that is none of a few", 'return { options = {\n log_level = "warm" } }',
    'p.lua:2: option "log_level": "warm" must be one of "error", "warn", "info", '
      .. '"debug", "verbose", did you mean "warn"?' },
  { "an option that is not there yet", "return { options = {\n coherent = false } }",
    'p.lua:2: option "coherent": false is not there yet in this version; '
      .. "accepted now: true" },
  { "an option deep inside",
    "return { options = {\n redis = {\n  socket = {\n   no_delay = 1 } } } }",
    'p.lua:4: option "redis.socket.no_delay": 1 must be true or false' },
  { "an unknown option deep inside",
    "return { options = {\n redis = {\n  socket = {\n   connectTimeout = 1 } } } }",
    'p.lua:4: unknown option "redis.socket.connectTimeout", did you mean '
      .. '"connect_timeout_ms"?' },
  { "an option in brackets", 'return { options = {\n ["prefix"]\n = 5 } }',
    'p.lua:2: option "prefix": 5 must be a string' },
  { "an option that is assigned",
    "local o = {}\no.prefix = 'fine'\nif true then o.prefix = 5 end\n"
      .. "return { options = o }",
    'p.lua:3: option "prefix": 5 must be a string' },
  { "an option that the text does not write",
    "local o = {}\nfor _, n in ipairs { 'pre' .. 'fix' } do o[n] = 5 end\n"
      .. "return { options = o, why = {\n prefix = 'x' } }",
    'p.lua: option "prefix": 5 must be a string' },
  { "an option by its number", "return { options = {\n 'prefix' } }",
    'p.lua: unknown option "1"' },
  { "an option whose name stands in comments, strings and why too",
    "-- prefix = 5\n--[[\nprefix = 5 ]]\nlocal s = 'prefix = 5' .. [=[\nprefix = 5]]]=]\n"
      .. "return {\n why = {\n  prefix = 'x' },\n options = {\n  prefix = 5 } }",
    'p.lua:10: option "prefix": 5 must be a string' },
  { "an option that another table has too",
    "local a = {\n prefix = 'a' }\nreturn { a and nil, options = {\n prefix = 5 } }",
    'p.lua:4: option "prefix": 5 must be a string' },
  { "an option behind a shell line and \\z",
    "#!/bin/sh\nlocal s = 'it\\'s\\z\n   prefix'\nreturn { options = { prefix = #s } }",
    'p.lua:4: option "prefix": 10 must be a string' },
  { "a profile in a profile", "return { options = {\n profile = 'default' } }",
    'p.lua:2: option "profile": a profile cannot choose one; accepted: the field '
      .. "extends" },
  { "a prefix with braces", "return { options = {\n prefix = 'a{' } }",
    'p.lua:2: option "prefix": "a{" must have at most 128 bytes and no braces' },
  { "a server and a directory",
    "return { options = {\n redis = 'redis://h',\n data_dir = '/x' } }",
    'p.lua:3: options "redis" and "data_dir" exclude each other: data_dir is the '
      .. "directory of the private server" },
  { "a URL that is none", "return { options = {\n redis = 'h:6379' } }",
    'p.lua:2: option "redis": not a URL; accepted: '
      .. "redis://[[user]:password@]host[:port][/db], the same with rediss:// for TLS, "
      .. "or unix:///path[?db=0]" },
  { "a URL in a table that is none",
    "return { options = { redis = {\n url = 'ftp://h' } } }",
    'p.lua:2: option "redis": unknown scheme "ftp"; accepted: '
      .. "redis://[[user]:password@]host[:port][/db], the same with rediss:// for TLS, "
      .. "or unix:///path[?db=0]" },
  { "a redis that is neither", "return { options = {\n redis = 6379 } }",
    'p.lua:2: option "redis": 6379 must be a URL or a table' },
  { "a user without a password",
    "return { options = { redis = {\n username = 'app' } } }",
    'p.lua:2: option "redis": a user is given without a password; accepted: both, or '
      .. "neither; a password alone is written redis://:password@host" },
  { "a path that is too long",
    "return { options = { redis = {\n path = '/' .. ('x'):rep(107) } } }",
    'p.lua:2: option "redis": the socket path has 108 bytes, at most 107 are possible',
    {} },
  { "a layout that is not there", "return { options = {\n layout = 'typd' } }",
    'p.lua:2: option "layout": there is no layout "typd", did you mean "typed"?; '
      .. "accepted: hbinduni-hash, typed, or the path of a Lua file" },
  { "a field that profiles do not have", "return {\n option = {} }",
    'p.lua:2: unknown field "option", did you mean "options"?; accepted: extends, '
      .. "options, why" },
  { "a list", "return { 'x' }",
    'p.lua: unknown field "1"; accepted: extends, options, why' },
  { "options that are no table", "return {\n options = 'x' }",
    'p.lua:2: field "options": "x"; accepted: a table' },
  { "why that is no table", "return {\n why = 'x' }",
    'p.lua:2: field "why": "x"; accepted: a table' },
  { "extends that is no string", "return {\n extends = {} }",
    'p.lua:2: field "extends": a table; accepted: the name or the path of a profile' },
  { "a reason for no option", "return { why = {\n prefixx = 'x' } }",
    'p.lua:2: why "prefixx": there is no such option, did you mean "prefix"?' },
  { "a reason that is no sentence",
    "return { options = { prefix = 'p' },\n why = { prefix = true } }",
    'p.lua:2: why "prefix": true; accepted: a sentence' },
  { "a reason for what is not set",
    "return { options = {\n prefix = 'p' }, why = {\n log_level = 'x' } }",
    'p.lua:3: why "log_level": the profile does not set this option' },
  { "a syntax error", "return {\n options = {\n prefix = = 'x' } }",
    "option \"profile\": p.lua:3: unexpected symbol near '='" },
  { "an error while it is read", "\nlocal a = nil\nreturn a.b",
    "option \"profile\": p.lua:3: attempt to index local 'a' (a nil value)" },
  { "an error in its function", "return function(env)\n\n  error 'no' end",
    'option "profile": p.lua:3: no' },
  { "an error without a place", "return function(env) error('no', 0) end",
    'option "profile": p.lua: no' },
  { "nothing", "local a = 1", 'option "profile": p.lua returns nothing' },
  { "a number", "return 5", 'option "profile": p.lua returns 5; accepted: a table, or a '
      .. "function of env that returns one" },
  { "a function that returns nothing", "return function() end",
    'option "profile": the function of p.lua returns nil; accepted: a table, or a '
      .. "function of env that returns one" },
  { "bytecode", string.dump(function() return {} end),
    'option "profile": p.lua is bytecode; accepted: Lua source' },
  { "a profile that extends none", "return {\n extends = 'defualt' }",
    'p.lua:2: extends: there is no profile "defualt", did you mean "default"?; '
      .. "accepted: default, high-compression, high-throughput, low-latency, or the path "
      .. "of a Lua file" },
  { "a profile that extends no file", "return {\n extends = 'no.lua' }",
    "p.lua:2: extends: no.lua: No such file or directory" },
}

describe("of a wrong profile all is told, with file and line:", function()
  for _, case in ipairs(MISTAKES) do
    it(case[1], function()
      assert.equal(case[3], (message_of({ ["p.lua"] = case[2] }, case[4])))
    end)
  end

  it("each thing in a line of its own, of what it extends too, after what is wrong with "
    .. "what is given", function()
      assert.equal(table.concat({
        'option "max_value_bytes": 1 must be a whole number from 1024 to 268435456 bytes',
        'unknown option "zzz"',
        'p.lua:3: option "prefix": 1 must be a string',
        'p.lua:4: unknown option "zzz"',
        'base.lua:2: option "log_level": 3 must be a string',
        'base.lua:2: option "prefix": 2 must be a string',
      }, "\n"), (message_of({
        ["p.lua"] = 'return { extends = "base.lua",\n'
          .. "options = {\nprefix = 1,\nzzz = 2 } }",
        ["base.lua"] = "return { options = {\nprefix = 2, log_level = 3 } }",
      }, { redis = URL, max_value_bytes = 1, zzz = 1 })))
    end)

  it("a wrong value given above a right one is the caller's, in the old words", function()
    assert.equal('option "prefix": 5 must be a string', (message_of(
      { ["p.lua"] = "return { options = { prefix = 'p' } }" },
      { redis = URL, prefix = 5 })))
  end)

  it("an error in what it extends, and the line that extends it", function()
    assert.equal("p.lua:2: extends: base.lua:3: unexpected symbol near '<eof>'",
      (message_of {
        ["p.lua"] = 'return {\nextends = "base.lua" }', ["base.lua"] = "return {\n\n",
      }))
  end)

  it("a circle, with the way round", function()
    assert.equal("p.lua:1: extends: it goes round in a circle: p.lua -> p.lua",
      (message_of { ["p.lua"] = 'return { extends = "p.lua" }' }))
    assert.equal("d/../c.lua:2: extends: it goes round in a circle: "
      .. "b.lua -> d/../c.lua -> b.lua", (message_of {
        ["p.lua"] = 'return { extends = "b.lua" }',
        ["b.lua"] = 'return { extends = "d/../c.lua" }',
        ["c.lua"] = 'return {\nextends = "./b.lua" }', ["d/x"] = "",
      }))
  end)

  it("a path that is longer than messages of Lua show", function()
    local directory = write_files {}
    for _ = 1, 8 do
      directory = directory .. "/some-long-name"
      lfs.mkdir(directory)
    end
    local path = directory .. "/p.lua"
    for text, words in pairs {
      ["return {"] = ":1: unexpected symbol near '<eof>'",
      ["\nerror 'no'"] = ":2: no",
      ["return function() error 'no' end"] = ":1: no",
    } do
      assert(core.write_file(path, text))
      local given = { redis = URL, profile = path }
      local message = outcome.raises(function() authstate.open(given) end)
      assert.equal(('option "profile": %s%s'):format(path, words), message)
    end
  end)
end)

describe("a secret in a profile", function()
  local SECRET = "hunter2"

  for name, text in pairs {
    ["in a URL that is wrong"] = "options = { redis = 'redis://:hunter2@h:port' }",
    ["in a URL of a foreign scheme"] =
      "options = { redis = { url = 'http://:hunter2@h' } }",
    ["in a URL of another type"] = "options = { redis = { url = { 'hunter2' } } }",
    ["in keys that are not there yet"] = "options = { encryption = 'hunter2' }",
    ["in TLS that is no table"] = "options = { redis = { tls = 'hunter2' } }",
    ["in sentinels"] = "options = { redis = { sentinels = 'redis://:hunter2@h' } }",
    ["beside a mistake"] = "options = { redis = { password = 'hunter2', prt = 1 } }",
    ["beside a user"] = "options = { redis = { url = 'redis://u:hunter2@h', port = 0 } }",
    ["in a string without an end"] = "options = { redis = 'redis://:hunter2@h }",
    ["behind a missing comma"] = "options = { redis = { password = 'x' 'hunter2' } }",
    ["in a string with a quote"] = "options = { redis = 'redis://:x'hunter2@h' }",
    ["in a wrong escape"] = "options = { redis = 'redis://:hunter2\\q@h' }",
    ["that begins with a digit"] = "options = { redis = { password = 1hunter2 } }",
  } do
    it(name .. " does not come out", function()
      local message = message_of({ ["p.lua"] = "return { " .. text .. "\n}" }, {})
      assert.is_nil(message:find(SECRET, 1, true), message)
      assert.match("p.lua:%d", message)
      local path = temporary.file("return { " .. text .. "\n}", "p.lua")
      local checked = tool.run { "check", path }
      assert.is_nil((checked.out .. checked.err):find(SECRET, 1, true))
      assert.equal(1, checked.status)
    end)
  end

  it("that is right is not shown by check", function()
    local path = temporary.file("return { options = { redis = { url = 'redis://u:hunter2"
      .. "@h', socket = { no_delay = false } } } }", "p.lua")
    local said = tool.succeed { "check", path }
    assert.is_nil(said:find(SECRET, 1, true))
    assert.match("redis.url = the given value", said, 1, true)
  end)
end)

-- ---- the guide ------------------------------------------------------------------------

describe("doc/profiles.md", function()
  local text, directory = read "doc/profiles.md"
  local blocks = {}
  for block in text:gmatch "\n```lua\n(.-)```" do blocks[#blocks + 1] = block end

  local function run(...)
    local root = lfs.currentdir()
    return process.run {
      cwd = directory, env = {
        LUA_PATH = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;;",
        LUA_CPATH = root .. "/build/" .. (os.getenv "AUTHSTATE_BUILD" or "release")
          .. "/?.so;;",
      }, ...,
    }
  end

  before_each(function()
    directory = write_files {
      ["far.lua"] = blocks[1], ["small.lua"] = blocks[2], ["program.lua"] = blocks[3],
    }
  end)

  it("writes profiles that are right everywhere, and shows what check says", function()
    local status, out, err = run(tool.PROGRAM, "check", "small.lua")
    assert.same({ 0, "" }, { status, err })
    assert.equal(text:match "check small.lua\n\n```\n(.-)```", out)
  end)

  it("uses them in a program that prints what it says", function()
    local status, out, err = run(LUAJIT, "program.lua", directory .. "/state")
    local said = {}
    for line in blocks[3]:gmatch "%-%-> ([^\n]+)\n" do said[#said + 1] = line end
    assert.same({ 0, "" }, { status, err })
    assert.equal(table.concat(said, "\n") .. "\n", out)
  end)

  it("shows what is said of the same files with two mistakes", function()
    for name, change in pairs {
      ["small.lua"] = { "queue_max_bytes = queue", "queue_max_byte = queue" },
      ["far.lua"] = { "256 %* 1024", '"256k"' },
    } do
      local path = directory .. "/" .. name
      local changed, count = read(path):gsub(change[1], change[2])
      assert.equal(1, count)
      assert(core.write_file(path, changed))
    end
    local status, _, err = run(LUAJIT, "program.lua", directory .. "/state")
    local shown = text:match "\n    (program.lua:.-)\n\n":gsub("\n    ", "\n")
    assert.equal(1, status)
    assert.equal(shown, err:match "^[^:]*luajit[^:]*: (.-)\nstack traceback")
  end)
end)

-- ---- on a server ----------------------------------------------------------------------

describe("a store with a profile", function()
  local server, path

  setup(function()
    server = redis_server.start()
    path = write_files {
      ["p.lua"] = 'return { extends = "base.lua", options = { max_value_bytes = 2048 } }',
      ["base.lua"] = 'return { options = { prefix = "mine:", max_value_bytes = 4096 } }',
    } .. "/p.lua"
  end)

  teardown(function() server:stop() end)

  it("does as it says, but for what is given", function()
    local store = assert(authstate.open { redis = server.url, profile = path })
    assert(store:session("s").keys:set { t = { i = 1 } })
    assert.equal(1, server:command("EXISTS", "mine:{s}:k:t"))
    local large = { t = { i = ("x"):rep(3000) } }
    outcome.fails("too_large", store:session("s").keys:set(large))
    store:close()
    store = assert(authstate.open { redis = server.url, profile = path,
      max_value_bytes = 8192 })
    assert(store:session("s").keys:set(large))
    store:close()
  end)

  it("takes where the server is from the profile, a password included", function()
    local secured = redis_server.start { password = "hush" }
    finally(function() secured:stop() end)
    local own = temporary.file(([[return function(env)
      return { options = { redis = { url = %q, password = "hush" } } }
    end]]):format(secured.url), "own.lua")
    local store = assert(authstate.open { profile = own })
    assert.is_true(store:ping())
    store:close()
    -- Not to another server.
    store = assert(authstate.open { profile = own, redis = server.url })
    assert.is_nil(store.server.password)
    assert.is_true(store:ping())
    store:close()
  end)

  it("is opened by the command line with --profile", function()
    local store = assert(authstate.open { redis = server.url, prefix = "mine:" })
    assert(store:session("by-command").keys:set { t = { i = 1 } })
    store:close()
    local said = tool.succeed { "get", "--session", "by-command", "t", "i", "--redis",
      server.url, "--profile", path }
    assert.match("^i\t1 bytes\t", said)
    said = tool.succeed { "sessions", "--redis", server.url, "--profile", path }
    assert.match("by%-command\n", said)
    said = tool.succeed { "sessions", "--redis", server.url, "--profile", path,
      "--prefix", "other:" }
    assert.equal("", said)
  end)

  it("that is wrong is a wrong call of the command, file and line told", function()
    local wrong = temporary.file("return { options = {\n prefix = 1 } }", "wrong.lua")
    for given, words in pairs {
      [wrong] = wrong .. ':2: option "prefix": 1 must be a string',
      fast = 'option "profile": there is no profile "fast"; accepted: default, '
        .. "high-compression, high-throughput, low-latency, or the path of a Lua file",
      ["/no/file.lua"] = 'option "profile": /no/file.lua: No such file or directory',
    } do
      local ended = tool.run { "sessions", "--redis", server.url, "--profile", given }
      assert.same({ 2, "", "authstate sessions: " .. words .. "\n" },
        { ended.status, ended.out, ended.err })
    end
  end)

  it("says where a server is to the command line, and is overruled by it", function()
    local own = temporary.file(("return { options = { redis = %q } }"):format(server.url),
      "own.lua")
    assert.match("server +" .. server.url:gsub("%p", "%%%0"),
      tool.succeed { "inspect", "--profile", own })
    local ended = tool.run { "sessions", "--profile", own, "--redis", URL }
    assert.match("redis://127.0.0.1:1: Connection refused", ended.err, 1, true)
  end)
end)
