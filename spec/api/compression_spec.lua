-- SPDX-License-Identifier: MIT

-- What a store compresses, and what stores read that compress otherwise.

local authstate = require "authstate"
local batch = require "authstate.batch"
local core = require "authstate.core"
local fails = require("spec.api.outcome").fails
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

-- Text that every compressor makes much smaller, and packing does not.
local LONG = ("a long text that comes again and again; "):rep(30)

-- By the option: the bits of the header.
local CODES = { lz4 = 1, zstd = 2, gzip = 3, [1] = 3, [9] = 3 }

local function code_of(bytes)
  return math.floor(bytes:byte(1) / 32) % 4
end

describe("compression", function()
  local server, stores

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    stores = {}
  end)

  after_each(function()
    for _, each in ipairs(stores) do each:close() end
  end)

  local function open(options)
    options.redis = server.url
    stores[#stores + 1] = assert(authstate.open(options))
    return stores[#stores]
  end

  local function field(kind, id)
    return server:command("HGET", "authstate:{s}:k:" .. kind, id)
  end

  local function creds_bytes()
    return server:command("HGET", "authstate:{s}:creds", "creds")
  end

  for how, code in pairs(CODES) do
    it(("by %s is done by every way of writing"):format(tostring(how)), function()
      local store = open { compression = how }
      local session = store:session "s"
      local creds = sample.creds()
      creds.note = LONG
      assert.is_true(select(2, session:load_or_create(function() return creds end)))
      assert.equal(code, code_of(creds_bytes()))
      creds.note = LONG .. "."
      assert(session:save_creds(creds))
      assert.equal(code, code_of(creds_bytes()))
      assert(session.keys:set { x = { a = { LONG } } })
      assert(session.keys:set_json { x = { b = '["' .. LONG .. '"]' } })
      assert(session:commit { keys = { x = { c = { LONG } } } })
      assert(session:commit_json('{"keys":{"x":{"d":["' .. LONG .. '"]}}}'))
      local filled = batch.new(session:batch_context())
      assert(filled:set_session({ keys = { x = { e = '["' .. LONG .. '"]' } } },
        function() end))
      assert(session:commit_batch(store:begin("s", nil, 1), filled, {}))
      for id in ("abcde"):gmatch "." do
        local bytes = field("x", id)
        assert.equal(code, code_of(bytes), id)
        assert.is_true(#bytes < #LONG / 3, id)
      end
      local found = assert(session.keys:get("x", { "a", "b", "c", "d", "e" }))
      for id, value in pairs(found) do
        assert.same({ LONG }, value, id)
      end
      assert.same(creds, session:load_creds())
    end)

    it(("by %s is done by plain writes too"):format(tostring(how)), function()
      local session = open({ compression = how, writes = "plain" }):session "s"
      assert(session.keys:set { x = { a = { LONG } } })
      for _, id in ipairs { "b", "c", "d" } do
        assert(session.keys:set { x = { [id] = { LONG } } })
        assert.equal(code, code_of(field("x", id)), id)
        assert.same({ [id] = { LONG } }, session.keys:get("x", { id }))
      end
    end)
  end

  it("by a number is that level of gzip", function()
    local text, sizes = sample.text "small", {}
    for _, how in ipairs { 1, 6, 9, "gzip" } do
      assert(open({ compression = how }):session("s").keys:set { x = { a = { text } } })
      sizes[how] = #field("x", "a")
    end
    assert.is_true(sizes[1] > sizes[6] and sizes[6] > sizes[9])
    assert.equal(sizes[6], sizes.gzip)
  end)

  it("is off unless it is asked for", function()
    assert(open({}):session("s").keys:set { x = { a = { LONG } } })
    assert.equal(0, code_of(field("x", "a")))
  end)

  it("is not done in a layout of plain JSON, and a warning says so", function()
    local warnings = {}
    local store = open {
      compression = "zstd", serializer = "json", layout = "hbinduni-hash",
      log = function(level, message)
        warnings[#warnings + 1] = level .. " " .. message
      end,
    }
    assert(store:session("s").keys:set { session = { a = { x = LONG } } })
    assert.equal('{"x":"' .. LONG .. '"}', server:command("HGET", "s:auth", "session-a"))
    assert.equal(1, #warnings)
    assert.match("^warn the layout \"hbinduni%-hash\" keeps plain JSON.*no effect",
      warnings[1])
  end)

  it("leaves alone what it would not make smaller by the least gain", function()
    local value = { core.bytes(LONG:sub(1, 200)) }
    local plain = #core.encode(value)
    local sizes = {}
    for _, gain in ipairs { 1, 30, 60, 90, 120, 150, 180 } do
      local session = open({ compression = "gzip", compression_min_gain_bytes = gain })
        :session "s"
      assert(session.keys:set { x = { a = value } })
      local bytes = field("x", "a")
      sizes[#sizes + 1] = #bytes
      if code_of(bytes) == 0 then
        assert.equal(plain, #bytes)
      else
        assert.is_true(plain - #bytes >= gain)
      end
    end
    assert.is_true(sizes[1] < plain)
    assert.equal(plain, sizes[#sizes])
  end)

  it("wants a share of the value to be gained, however large it is", function()
    -- Random bytes, and a tenth that is none.
    local random = ("x"):rep(18):gsub(".", function() return core.random(250) end)
    local value = { core.bytes(random .. ("x"):rep(500)) }
    for percent, code in pairs { [5] = 3, [20] = 0 } do
      local session = open({
        compression = "gzip", compression_min_gain_percent = percent,
      }):session "s"
      assert(session.keys:set { x = { a = value } })
      assert.equal(code, code_of(field("x", "a")), percent)
    end
  end)

  it("begins at a size, which each type may have for itself", function()
    local value = { LONG:sub(1, 400) }
    local store = open {
      compression = "zstd", compression_threshold_bytes = { y = 300, z = 500 },
    }
    local session = store:session "s"
    assert(session.keys:set {
      x = { a = value, b = { LONG:sub(1, 85) } },
      y = { a = value, b = { LONG:sub(1, 290) } },
      z = { a = value, b = { LONG:sub(1, 600) } },
    })
    local function codes(kind)
      return { code_of(field(kind, "a")), code_of(field(kind, "b")) }
    end
    assert.same({ 2, 0 }, codes "x")
    assert.same({ 2, 0 }, codes "y")
    assert.same({ 0, 2 }, codes "z")
    local uniform = open({ compression = "zstd", compression_threshold_bytes = 500 })
    session = uniform:session "s"
    assert(session.keys:set { x = { a = value }, session = { b = { LONG:sub(1, 600) } } })
    assert.equal(0, code_of(field("x", "a")))
    assert.equal(2, code_of(field("session", "b")))
  end)

  it("does not try packed sessions, which it would not make smaller", function()
    local session = open({ compression = "zstd" }):session "s"
    local text = '{"x":"' .. LONG .. '"}'
    assert(session.keys:set_json { session = { a = text }, other = { a = text } })
    assert.equal(0, code_of(field("session", "a")))
    assert.equal(2, code_of(field("other", "a")))
    session = open({ compression = "zstd", serializer = "json" }):session "s"
    assert(session.keys:set_json { session = { a = text } })
    assert.equal(2, code_of(field("session", "a")))
  end)

  it("never makes a real session larger, and gives it back exactly", function()
    local wanted = sample.session "small"
    local plain = open({}):session "plain"
    assert(plain:commit_json(sample.text "small"))
    for how in pairs(CODES) do
      server:command("DEL", "authstate:{s}:meta")
      local session = open({ compression = how }):session "s"
      assert(session:commit_json(sample.text "small"))
      local loaded = assert(session:load_json())
      assert.equal(wanted.creds, loaded.creds)
      assert.same(wanted.keys, loaded.keys)
      local count = 0
      for kind in pairs(wanted.keys) do
        local before = stored.hash(server, "authstate:{plain}:k:" .. kind)
        for id, bytes in pairs(stored.hash(server, "authstate:{s}:k:" .. kind)) do
          assert.is_true(#bytes <= #before[id])
          if code_of(bytes) > 0 then count = count + 1 end
        end
      end
      assert.is_true(count > 0)
    end
  end)

  it("may be another one in each of several stores, which read each other", function()
    local options = {
      {}, { compression = "lz4" }, { compression = "zstd" }, { compression = "gzip" },
      { compression = "lz4", serializer = "json" }, { serializer = "json" },
    }
    local kinds, sessions = { "x", "session" }, {}
    for i, each in ipairs(options) do
      sessions[i] = open(each):session "s"
      for _, kind in ipairs(kinds) do
        assert(sessions[i].keys:set_json { [kind] = {
          [tostring(i)] = ('{"n":%d,"note":"%s"}'):format(i, LONG:rep(5)),
        } })
      end
    end
    local seen = {}
    for i in ipairs(options) do seen[field("x", tostring(i)):byte(1)] = true end
    for _, header in ipairs { 0x80, 0xa0, 0xc0, 0xe0, 0xa1, 0x81 } do
      assert.is_true(seen[header], header)
    end
    for _, session in ipairs(sessions) do
      for _, kind in ipairs(kinds) do
        local ids = {}
        for i in ipairs(options) do ids[i] = tostring(i) end
        local texts = assert(session.keys:get_json(kind, ids))
        local values = assert(session.keys:get(kind, ids))
        for i, id in ipairs(ids) do
          assert.equal(('{"n":%d,"note":"%s"}'):format(i, LONG:rep(5)), texts[id])
          assert.same({ n = i, note = LONG:rep(5) }, values[id])
        end
      end
      assert.same(session:load().keys, sessions[1]:load().keys)
    end
  end)

  it("is bounded by max_value_bytes, before and after", function()
    local session = open({ compression = "gzip", max_value_bytes = 4000 }):session "s"
    fails("too_large", session.keys:set { x = { a = { ("a "):rep(2000) } } })
    assert(session.keys:set { x = { a = { ("a "):rep(1950) } } })
    assert.is_true(#field("x", "a") < 100)
    local narrow = open({ max_value_bytes = 3900 }):session "s"
    local message = fails("corrupt", narrow.keys:get("x", { "a" }))
    assert.match("unpacks to 39%d%d bytes, more than max_value_bytes %(3900%)", message)
  end)
end)
