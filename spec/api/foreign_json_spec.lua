-- SPDX-License-Identifier: MIT

-- Values that other programs wrote as plain JSON are read as they are.

local authstate = require "authstate"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"

describe("JSON that another program put in place of a value", function()
  local server, store, session

  local function put(id, text)
    server:command("HSET", "authstate:{s}:k:any", id, text)
  end

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
    session = store:session "s"
    assert(session:commit { creds = sample.creds(), keys = { any = { x = "y" } } })
  end)

  it("reads as bytes in every form of a Buffer", function()
    for form, text in pairs {
      base64 = '{"k":{"type":"Buffer","data":"AQL/"}}',
      array = '{"k":{"type":"Buffer","data":[1,2,255]}}',
      spaced = ' { "k" : { "data" : "AQL/" , "type" : "Buffer" } } ',
    } do
      put("x", text)
      local value = session.keys:get("any", { "x" }).x
      assert.is_true(authstate.is_bytes(value.k), form)
      assert.equal("\1\2\255", value.k:raw())
    end
  end)

  it("comes out of get_json exactly as it stands there", function()
    for _, text in ipairs {
      '{"k":{"type":"Buffer","data":[1,2,255]}}', ' { "a" : 1.0 }\n', '"\\/\\u0041"',
      "1E5",
      '{"a":1,"a":2}', "null", "[]", "{}", '"日本語"',
    } do
      put("x", text)
      assert.equal(text, session.keys:get_json("any", { "x" }).x)
      assert.equal(text, session:load_json().keys.any.x)
    end
  end)

  it("may be a whole account", function()
    for kind, records in pairs(sample.session("small").keys) do
      local command = { "HSET", "authstate:{s}:k:" .. kind }
      for id, text in pairs(records) do
        command[#command + 1] = id
        command[#command + 1] = text
      end
      server:command(unpack(command))
      server:command("HSET", "authstate:{s}:meta", "t:" .. kind, "1")
    end
    server:command("HSET", "authstate:{s}:creds", "creds", sample.creds_text())
    session.keys:set { any = { x = authstate.null } }
    local loaded = session:load_json()
    assert.equal(sample.creds_text(), loaded.creds)
    assert.same(sample.session("small").keys, loaded.keys)
    local own = store:session "own"
    own:commit_json(sample.text "small")
    assert.same(own:load().keys, session:load().keys)
    assert.same(own:load_creds(), session:load_creds())
  end)

  it("is packed when it is written again", function()
    local text, id = sample.record "session"
    server:command("HSET", "authstate:{s}:k:session", id, text)
    session.keys:set_json { session = session.keys:get_json("session", { id }) }
    local value = server:command("HGET", "authstate:{s}:k:session", id)
    assert.equal(0x80, value:byte())
    assert.equal(text, session.keys:get_json("session", { id })[id])
  end)

  it("is null, not absent, when it says null", function()
    put("x", "null")
    assert.equal(authstate.null, session.keys:get("any", { "x" }).x)
  end)
end)
