-- SPDX-License-Identifier: MIT

-- authstate stats: figures of a server, and of a program that has written them.

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

describe("authstate stats", function()
  local server

  setup(function() server = redis_server.start {} end)
  teardown(function() server:stop() end)

  local function written(change)
    server:command "FLUSHALL"
    local store = assert(authstate.open { redis = server.url, enable_metrics = true })
    local session = store:session "5511999999999"
    assert(session.keys:set { ["pre-key"] = { ["1"] = { a = 1 } } })
    for _ = 1, 5 do assert(session.keys:get("pre-key", { "1" })) end
    assert(session:delete())
    assert.is_nil((session.keys:get("pre-key", { "1" })))
    local stats = store:stats()
    store:close()
    if change then change(stats) end
    return authstate.to_json(stats), stats
  end

  it("tells what the server says of itself, and how soon it answers", function()
    server:command "FLUSHALL"
    local told = authstate.from_json(tool.succeed {
      "stats", "--redis", server.url, "--json" })
    assert.equal(server.url, told.server.server)
    assert.match("^%d+%.%d+", told.server.redis_version)
    assert.equal("noeviction", told.server.maxmemory_policy)
    assert.is_true(told.server.used_memory_bytes > 0)
    assert.is_true(told.server.ping.p50_ms > 0)
    assert.is_true(told.server.ping.p50_ms <= told.server.ping.max_ms)
    assert.equal(21, told.own.operations.ping.count)
    assert.equal(0, told.server.sessions)
    tool.succeed { "import", "--redis", server.url, "--session", "s",
      temporary.file('{"creds":{"a":1},"keys":{}}', "s.json") }
    assert.match("\nsessions +1\n", tool.succeed { "stats", "--redis", server.url })
    local lines = tool.succeed { "stats", "--redis", server.url }
    assert.match("\nmaxmemory%-policy +noeviction\n", lines)
    assert.match("\nping +[%d.]+ ms, at most [%d.]+ ms\n", lines)
  end)

  it("says what a server does not tell", function()
    local guarded = redis_server.start {}
    guarded:command("ACL", "SETUSER", "default", "-info")
    local lines = tool.succeed { "stats", "--redis", guarded.url }
    assert.match("\nmemory +not told\n", lines)
    guarded:stop()
  end)

  it("prints figures that a program has written, and never a session", function()
    local text = written()
    local path = temporary.file(text, "stats.json")
    local lines = tool.succeed { "stats", path }
    assert.match("\n  get +6 +1 +[%d.]+ ms +[%d.]+ ms\n", lines)
    assert.match("\nerror fenced +1\n", lines)
    assert.is_nil(lines:find("5511999999999", 1, true))
    assert.same(authstate.from_json(text),
      authstate.from_json(tool.succeed { "stats", path, "--json" }))
  end)

  it("prints what left the cache, and why", function()
    local path = temporary.file(written(function(stats)
      stats.cache.evictions, stats.cache.invalidations, stats.cache.refused = 3, 4, 5
    end), "stats.json")
    assert.match("\nleft the cache +3 evicted, 4 invalidated; 5 refused\n",
      tool.succeed { "stats", path })
  end)

  it("reads them from standard input", function()
    local path = temporary.file(written(), "stats.json")
    local ended = tool.run_in_shell(('"$@" <%s'):format(path), { "stats", "-" })
    assert.same({ 0, "" }, { ended.status, ended.err })
    assert.match("\nwire +", ended.out)
  end)

  it("reads those of another version, and of a program that counts nothing", function()
    local path = temporary.file(written(function(stats)
      stats.cache, stats.codec, stats.operations, stats.news = nil, nil, nil, { 1 }
    end), "stats.json")
    local lines = tool.succeed { "stats", path }
    assert.match("\ncalls +none; enable_metrics counts them\n", lines)
    assert.match("\ncache +0 entries", lines)
  end)

  it("says what is wrong with a file", function()
    for text, words in pairs {
      ["{"] = "JSON", ["[]"] = "no figures of store:stats", ["{}"] = "no figures",
    } do
      local ended = tool.run { "stats", temporary.file(text, "bad.json") }
      assert.same({ 1, "" }, { ended.status, ended.out })
      assert.match(words, ended.err)
    end
    local ended = tool.run { "stats", "/no/file.json" }
    assert.equal(1, ended.status)
    assert.match("/no/file.json: No such file", ended.err)
  end)

  it("takes a file or a server, not both", function()
    local ended = tool.run { "stats", "file.json", "--redis", server.url }
    assert.equal(2, ended.status)
    assert.match("%-%-redis: .* is a file of figures", ended.err)
  end)
end)
