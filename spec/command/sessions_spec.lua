-- SPDX-License-Identifier: MIT

-- `sessions` lists all there are, page after page, and nothing else.

local authstate = require "authstate"
local cjson = require "cjson"
local redis_server = require "spec.support.redis_server"
local tool = require "spec.command.tool"

local CREDS = '{"creds":{"a":1}}'

describe("sessions", function()
  local server, store

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url })
  end)

  after_each(function()
    store:close()
  end)

  local function run(...)
    return tool.succeed { "sessions", "--redis", server.url, ... }
  end

  local function create(id)
    assert(store:session(id):commit_json(CREDS))
  end

  it("prints nothing when there is none", function()
    assert.equal("", run())
    assert.equal('{"sessions":[]}\n', run "--json")
  end)

  it("lists 2,500 of them, each once, sorted by their bytes", function()
    local ids = {}
    for i = 1, 2500 do
      ids[i] = tostring(5511900000000 + i * 7919)
      create(ids[i])
    end
    table.sort(ids)
    assert.equal(table.concat(ids, "\n") .. "\n", run())
    assert.same(ids, cjson.decode(run "--json").sessions)
  end)

  it("lists those without creds too", function()
    assert(store:session("keys only"):commit_json '{"keys":{"t":{"a":1}}}')
    assert.equal("keys only\n", run())
  end)

  it("does not list what was deleted, and lists what was begun anew", function()
    for _, id in ipairs { "a", "b", "c" } do create(id) end
    assert(store:session("b"):delete())
    assert.equal("a\nc\n", run())
    local session = store:session "b"
    assert.is_nil(session:load())
    assert(session:commit_json(CREDS))
    assert.equal("a\nb\nc\n", run())
  end)

  it("does not list an entry of the index behind which there is nothing", function()
    create "a"
    for bucket = 0, 63 do
      server:command("ZADD", ("authstate:{index:%d}"):format(bucket), 1,
        "ghost" .. bucket)
    end
    assert.equal("a\n", run())
  end)

  it("lists those of its prefix alone", function()
    create "a"
    local other = assert(authstate.open { redis = server.url, prefix = "other:" })
    assert(other:session("b"):commit_json(CREDS))
    other:close()
    assert.equal("a\n", run())
    assert.equal("b\n", run("--prefix", "other:"))
    assert.equal("", run("--prefix", "oth"))
  end)

  it("keeps one line for each id, whatever is in it", function()
    local ids = { "\1", "a\nb", "a\\nb", "a}b", "{a}", "\195\169", "\255",
      ("x"):rep(512) }
    for _, id in ipairs(ids) do create(id) end
    assert.equal(table.concat({ "\\x01", "a\\x0ab", "a\\\\nb", "a}b", ("x"):rep(512),
      "{a}",
      "\195\169", "\255" }, "\n") .. "\n", run())
    assert.same({ "\1", "a\nb", "a\\nb", "a}b", ("x"):rep(512), "{a}", "\195\169",
      { hex = "ff" } }, cjson.decode(run "--json").sessions)
  end)
end)
