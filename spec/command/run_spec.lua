-- SPDX-License-Identifier: MIT

-- `run` gives a script of the user's a store, and closes it whatever the script does.

local cjson = require "cjson"
local clock = require "spec.support.clock"
local fixture = require "spec.support.fixture"
local lfs = require "lfs"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

describe("run", function()
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

  -- Runs a script's text, from a file, with the options before it and arguments behind.
  local function run(text, words, before)
    local path = temporary.file(text, "script.lua")
    local call = { "run", "--redis", server.url, unpack(before or {}) }
    call[#call + 1] = path
    for _, word in ipairs(words or {}) do call[#call + 1] = word end
    local outcome = tool.run(call)
    outcome.path = path
    return outcome
  end

  local function succeed(...)
    local outcome = run(...)
    assert.equal("", outcome.err)
    assert.equal(0, outcome.status)
    return outcome.out
  end

  local function check_failure(outcome, words)
    tool.check_failure({
      status = outcome.status, out = outcome.out,
      err = outcome.err:gsub("script%.lua:", "script:"),
    }, 1, words)
  end

  describe("gives a script", function()
    it("a store that is ready", function()
      local out = succeed [[
        local store = ...
        assert(store:ping())
        local session = store:session "s"
        assert(session:commit { creds = { a = 1 }, keys = { t = { i = 2 } } })
        print(session.keys:get("t", { "i" }).i)
      ]]
      assert.equal("2\n", out)
      assert.equal("s\n", tool.succeed { "sessions", "--redis", server.url })
    end)

    it("the store that the options name", function()
      succeed("assert((...):session('s').keys:set { t = { i = 1 } })", {},
        { "--prefix", "p:" })
      assert.equal("s\n", tool.succeed { "sessions", "--redis", server.url, "--prefix",
        "p:" })
    end)

    it("a private server when none is named, and shuts it down", function()
      local directory = temporary.directory() .. "/state"
      local path = temporary.file("local store = ...; assert(store:ping())")
      assert.equal("", tool.succeed { "run", "--data-dir", directory, path })
      assert.equal("directory", lfs.attributes(directory, "mode"))
      assert.is_nil(lfs.attributes(directory .. "/redis.sock"))
    end)

    it("all words behind its name as they stand", function()
      local words = { "--json", "-x", "--", "--help", "", "a b", "--redis", "\255",
        "--traceback" }
      local out = succeed([[
        local store, first = ...
        io.write(select("#", ...) - 1, "|", first, "|")
        for _, word in ipairs { select(2, ...) } do io.write(word, "|") end
      ]], words)
      assert.equal("9|--json|" .. table.concat(words, "|") .. "|", out)
    end)

    it("no words where there are none", function()
      assert.equal("1\tnil\n",
        succeed "local store, file = ...; print(select('#', ...), file)")
    end)

    it("the global arg, as the interpreter does", function()
      local path = temporary.file(
        "for i = 0, #arg do print(i, arg[i]) end print(arg[-1], table.maxn(arg))")
      assert.equal(("0\t%s\n1\ta\n2\t--b\nnil\t2\n"):format(path),
        tool.succeed { "run", "--redis", server.url, path, "a", "--b" })
    end)

    it("the same authstate as the store is of", function()
      assert.equal("true\n", succeed [[
        local authstate = require "authstate"
        local session = (...):session "s"
        assert(session.keys:set { t = { i = authstate.bytes "x" } })
        print(authstate.is_bytes(session.keys:get("t", { "i" }).i))
      ]])
    end)

    it("modules that lie beside it, wherever it is called from", function()
      local directory = temporary.directory() .. "/odd ;?name"
      lfs.mkdir(directory)
      lfs.mkdir(directory .. "/deep")
      local function put(name, text)
        local file = assert(io.open(directory .. "/" .. name, "w"))
        file:write(text)
        file:close()
      end
      put("main.lua", "print(require('near')(), require('deep.down'), require 'deep')")
      put("near.lua", "local name = ... return function() return name end")
      put("deep/down.lua", "return ...")
      put("deep/init.lua", "return 'init of ' .. ...")
      put("authstate.lua", "return 'another'")
      local expected = "near\tdeep.down\tinit of deep\n"
      assert.equal(expected, tool.succeed { "run", "--redis", server.url,
        directory .. "/main.lua" })
      assert.equal(expected, tool.succeed { "run", "--redis", server.url, "main.lua",
        cwd = directory })
      put("main.lua", "print(type(require 'authstate'))")
      assert.equal("table\n", tool.succeed { "run", "--redis", server.url, "main.lua",
        cwd = directory })
    end)

    it("no bytecode among the modules that lie beside it", function()
      local directory = temporary.directory()
      for name, text in pairs {
        ["main.lua"] = "require 'code'", ["code.lua"] = string.dump(function() end),
      } do
        local file = assert(io.open(directory .. "/" .. name, "wb"))
        file:write(text)
        file:close()
      end
      local outcome = tool.run { "run", "--redis", server.url, "main.lua",
        cwd = directory }
      assert.equal(1, outcome.status)
      assert.match("^authstate run: main.lua:1: [^\n]+\n$", outcome.err)
    end)

    it("calls that wait, also in its coroutines", function()
      assert.equal("1 2 3 \n", succeed [[
        local session = (...):session "s"
        local workers = {}
        for i = 1, 3 do
          workers[i] = coroutine.wrap(function()
            assert(session.keys:set { t = { [tostring(i)] = i } })
            coroutine.yield()
            return session.keys:get("t", { tostring(i) })[tostring(i)]
          end)
          workers[i]()
        end
        for i = 1, 3 do io.write(workers[i](), " ") end
        print()
      ]])
    end)

    it("its text also from standard input", function()
      assert.equal("-\ta\n", tool.succeed { "run", "--redis", server.url, "-", "a",
        stdin = "#!/usr/bin/env authstate\nlocal _, word = ... print(arg[0], word)" })
    end)
  end)

  it("takes a script whose name begins with - behind --", function()
    local directory = temporary.directory()
    local file = assert(io.open(directory .. "/--help", "w"))
    file:write "print('mine', ...)"
    file:close()
    assert.match("^mine\ttable: %S+\t%-%-\n$", tool.succeed { "run", "--redis",
      server.url, "--", "--help", "--", cwd = directory })
  end)

  it("takes a script with a first line for the shell", function()
    local outcome = run "#!/usr/bin/env -S authstate run\nerror 'here'"
    check_failure(outcome, { outcome.path:gsub("%.lua$", "") .. ":2: here" })
  end)

  -- ---- how it ends ------------------------------------------------------------------

  describe("is done when the script", function()
    for name, text in pairs {
      ["is empty"] = "", ["returns nothing"] = "return", ["returns true"] = "return true",
      ["returns nil alone: absent"] = "return (...):session('s'):load_creds()",
      ["returns a table"] = "return { a = 1 }", ["returns a number"] = "return 0",
      ["returns a text"] = "return 'text'",
      ["returns a value and more"] = "return 1, 'message'",
      ["closes the store"] = "assert((...):close()) assert((...):close())",
      ["ends the process"] = "os.exit(0)", ["ends it by default"] = "os.exit()",
      ["ends it with true"] = "os.exit(true)",
    } do
      it(name, function()
        assert.equal("", succeed(text))
      end)
    end
  end)

  describe("with --json prints as a document", function()
    for text, expected in pairs {
      ["return { a = 1, b = 'x' }"] = { a = 1, b = "x" }, ["return 1"] = 1,
      ["return 'x', 'y'"] = "x", ["return true"] = true,
      ["return require('authstate').null"] = cjson.null,
      ["return require('authstate').array {}"] = {},
      ["return (...):sessions()"] = {},
    } do
      it("what it gets from " .. text, function()
        assert.same(expected, cjson.decode(succeed(text, {}, { "--json" })))
      end)
    end

    it("nothing when nothing is returned", function()
      assert.equal("", succeed("return", {}, { "--json" }))
      assert.equal("", succeed("return nil", {}, { "--json" }))
      assert.equal("said\n", succeed("print 'said'", {}, { "--json" }))
    end)

    it("bytes as Baileys writes them", function()
      assert.equal('{"type":"Buffer","data":"eA=="}\n',
        succeed("return require('authstate').bytes 'x'", {}, { "--json" }))
    end)

    it("no value that cannot be JSON", function()
      for _, text in ipairs { "return { a = print }", "return print", "return 0/0",
        "return '\\255'", "local t = {} t.t = t return t" } do
        check_failure(run(text, {}, { "--json" }), { "script.lua returned what cannot be "
          .. "JSON: " })
      end
    end)
  end)

  describe("fails with the script's own message when it returns", function()
    for text, expected in pairs {
      ["return nil, 'no luck'"] = "no luck", ["return false, 'no luck'"] = "no luck",
      ["return nil, 7"] = "7", ["return nil, 'a\\n  b'"] = "a; b",
      ["return nil, setmetatable({}, { __tostring = function() return 'own' end })"] =
        "own",
      ["return nil, {}"] = "a table and no message",
      ["return false"] = "script.lua returned false",
      ["local store = ...; store:close() return store:ping()"] = "the store is closed",
    } do
      it(text:gsub("\n", "\\n"), function()
        for _, options in ipairs { {}, { "--json" } } do
          check_failure(run(text, {}, options), { expected })
        end
      end)
    end
  end)

  describe("tells an error in one line, with its place in the script:", function()
    for text, expected in pairs {
      ["\nerror 'boom'"] = ":2: boom",
      ["\n\nlocal x; x.y = 1"] = ":3: attempt to index local 'x' (a nil value)",
      ["\nassert(nil, 'boom')"] = ":2: boom",
      ["\nassert(false)"] = ":2: assertion failed!",
      ["\nerror('two\\nlines', 0)"] = ":2: two; lines",
      ["\nerror {}"] = ":2: a table and no message",
      ["\nerror()"] = ":2: a nil and no message",
      ["\nerror(setmetatable({}, { __tostring = function() return 'own' end }))"] =
        ":2: own",
      ["\n(...):session ''"] = ":2: session id: ",
      ["\nlocal _ = (...):session('s').keys:get(1, {})"] = ":2: type: 1 is no key type",
      ["local function f()\n  error 'deep'\nend\nf()"] = ":2: deep",
      ["local function f()\n  return 1 + f()\nend\nf()"] = "stack overflow",
      ["\ncoroutine.wrap(function()\n  error 'inside'\nend)()"] = ":3: inside",
      ["\nrequire 'no.such.module'"] = ":2: module 'no.such.module' not found",
      ["\nerror(setmetatable({}, { __tostring = error }))"] = "script: ",
      ["\nos.exit 'x'"] = ':2: exit: "x" is no status',
    } do
      it(text:gsub("\n", "\\n"), function()
        local outcome = run(text)
        check_failure(outcome, { "authstate run: "
          .. outcome.path:gsub("%.lua$", "") .. ":", expected })
      end)
    end

    it("one in a module beside it, and where the script called it", function()
      local directory = temporary.directory()
      for name, text in pairs {
        ["main.lua"] = "\nrequire('near').f()",
        ["near.lua"] = "return { f = function()\n\nerror 'far' end }",
        ["bad.lua"] = "\nrequire 'worse'", ["worse.lua"] = "\n\n\n+",
      } do
        local file = assert(io.open(directory .. "/" .. name, "w"))
        file:write(text)
        file:close()
      end
      local outcome = tool.run { "run", "--redis", server.url, "main.lua",
        cwd = directory }
      assert.equal("authstate run: main.lua:2: ./near.lua:3: far\n", outcome.err)
      outcome = tool.run { "run", "--redis", server.url, "bad.lua", cwd = directory }
      assert.match("^authstate run: bad.lua:2: ./worse.lua:4: unexpected symbol "
        .. "[^\n]+\n$", outcome.err)
    end)

    it("who called whom only with --traceback", function()
      local text = "local function f()\n  error 'boom'\nend\nlocal x = f()\nreturn x"
      local outcome = run(text, {}, { "--traceback" })
      assert.equal(1, outcome.status)
      local path = outcome.path:gsub("%p", "%%%0")
      assert.match(("^authstate run: %s:2: boom\nstack traceback:\n.*\n\t%s:4: "):format(
        path, path), outcome.err)
    end)
  end)

  describe("refuses before it connects", function()
    local function refuse(words, expected, stdin)
      local outcome = tool.run { "run", "--redis", "redis://127.0.0.1:1", stdin = stdin,
        unpack(words) }
      outcome.err = outcome.err:gsub("%.lua:", ":")
      tool.check_failure(outcome, 1, expected)
    end

    it("a script that is missing, or no file", function()
      refuse({ "/no/script" }, { "/no/script: No such file or directory" })
      refuse({ "/tmp" }, { "/tmp: Is a directory" })
    end)

    it("a script that is no Lua, naming file and line", function()
      refuse({ temporary.file("\n\nreturn return", "bad") }, { "/bad:3: " })
      refuse({ "-" }, { "stdin:2: " }, "\n+")
    end)

    it("bytecode, and says why", function()
      for _, text in ipairs { string.dump(function() end), "\27LJ", "\27" } do
        local path = temporary.file(text, "code.ljbc")
        refuse({ path }, { path .. " is LuaJIT bytecode", "give the Lua source" })
        refuse({ "-" }, { "stdin is LuaJIT bytecode" }, text)
      end
      refuse({ temporary.file("#!x\n" .. string.dump(function() end), "code") },
        { "/code is LuaJIT bytecode" })
    end)
  end)

  -- ---- the store is closed ----------------------------------------------------------

  describe("shuts the private server down", function()
    for name, case in pairs {
      ["after an error"] = { "error 'boom'", 1 },
      ["after an error that is no text"] = { "error {}", 1 },
      ["after os.exit"] = { "os.exit(3)", 3 },
      ["after os.exit in a coroutine"] =
        { "coroutine.wrap(function() os.exit(4) end)()", 4 },
      ["after os.exit in a protected call"] =
        { "pcall(os.exit, false)", 1 },
      ["after a failed call"] = { "return nil, 'no'", 1 },
      ["when the script has closed it"] = { "(...):close() return true", 0 },
      ["when the script has forgotten it"] =
        { "local store = ...; assert(store:ping()) store = nil collectgarbage()", 0 },
    } do
      it(name, function()
        local directory = temporary.directory() .. "/state"
        local outcome = tool.run { "run", "--data-dir", directory,
          temporary.file("assert((...):ping()); " .. case[1]) }
        assert.equal(case[2], outcome.status, outcome.err)
        assert.equal("directory", lfs.attributes(directory, "mode"))
        assert.is_nil(lfs.attributes(directory .. "/redis.sock"))
      end)
    end

    it("when it is interrupted, also in a protected call", function()
      for _, text in ipairs {
        "while true do assert(store:ping()) end",
        "assert(pcall(function() while true do assert(store:ping()) end end))",
        "coroutine.wrap(function() while true do assert(store:ping()) end end)()",
      } do
        local directory = temporary.directory() .. "/state"
        local started = tool.start { "run", "--data-dir", directory,
          temporary.file("local store = ... print 'on' io.flush() " .. text, "x.lua") }
        assert(clock.wait_for(function() return started:output() == "on\n" end))
        started:signal "INT"
        assert.equal(1, started:wait())
        started:kill()
        assert.match("^authstate run: [^\n]*interrupted!?\n$", started:errors())
        assert.is_nil(lfs.attributes(directory .. "/redis.sock"))
      end
    end)
  end)

  it("writes out what the script printed before os.exit", function()
    local outcome = run "io.write 'said' os.exit(3)"
    assert.same({ 3, "said", "" }, { outcome.status, outcome.out, outcome.err })
  end)

  it("says when what the script printed cannot be written", function()
    for _, text in ipairs { "print 'said'", "print 'said' os.exit(0)" } do
      local outcome = tool.run_in_shell('exec "$@" >/dev/full',
        { "run", "--redis", server.url, temporary.file(text) })
      tool.check_failure(outcome, 1, { "standard output: No space left on device" })
    end
  end)

  it("runs the program of the README", function()
    local file = assert(io.open "README.md")
    local program = file:read("*a"):match "```lua\n(.-)```"
    file:close()
    program = program:gsub("authstate%.open %b{}", "...")
    assert.match("^bytes%(32%)\tnil\n", succeed(program))
  end)

  it("has time for a session of thousands of records", function()
    local out = succeed([[
      local store, path = ...
      local file = assert(io.popen("gzip -dc " .. path))
      local text = file:read "*a"
      file:close()
      local session = store:session "s"
      assert(session:commit_json(text))
      print(assert(session.keys:count "sender-key"))
    ]], { lfs.currentdir() .. "/" .. fixture.path "large.json.gz" })
    assert.equal("896\n", out)
  end)
end)
