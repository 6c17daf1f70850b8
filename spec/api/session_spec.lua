-- SPDX-License-Identifier: MIT

local authstate = require "authstate"
local clock = require "spec.support.clock"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"
local actor = require "spec.api.actor"
local outcome = require "spec.api.outcome"
local sample = require "spec.api.sample"
local stored = require "spec.api.stored"

local fails, is_absent = outcome.fails, outcome.is_absent

local CREDS_KEY = "authstate:{s}:creds"

-- Makes creds of its own once everybody may begin.
local RACER = [[
  local creds = authstate.from_json(io.open(arg[2]):read "*a")
  creds.registrationId = tonumber(arg[3])
  store:ping()
  await(arg[4])
  local made = 0
  local got, created = session:load_or_create(function()
    made = made + 1
    return creds
  end)
  if not got then error(created) end
  report(created, got.registrationId, made, authstate.to_json(got))
]]

describe("a session", function()
  local server, store, session

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url })
    session = store:session "s"
  end)

  after_each(function()
    store:close()
  end)

  describe("that Redis does not have", function()
    it("has no creds: nil, and no message", function()
      is_absent(session:load_creds())
      is_absent(session:load_creds_json())
      is_absent(session:load())
      is_absent(session:load_json())
      is_absent(store:session_info "s")
    end)

    it("has no keys: empty tables", function()
      assert.same({}, session.keys:get("pre-key", { "1", "2" }))
      assert.same({}, session.keys:get_json("pre-key", { "1" }))
      assert.same({}, session.keys:list "pre-key")
      assert.equal(0, session.keys:count "pre-key")
      assert.same({}, session.keys:types())
    end)

    it("is left alone by reads: nothing is written", function()
      session:load_creds()
      session.keys:get("pre-key", { "1" })
      session:load()
      assert.equal(0, server:command("DBSIZE"))
    end)
  end)

  describe("that cannot be read", function()
    it("is an error, never absent: `make` is not called", function()
      local calls = 0
      local function make()
        calls = calls + 1
        return sample.creds()
      end
      local function ask() return session:load_or_create(make) end

      server:command("HSET", CREDS_KEY, "creds", "\128\255")
      fails("corrupt", ask())
      server:command("DEL", CREDS_KEY)
      server:command("SET", CREDS_KEY, "a string")
      fails("wrong_type", ask())
      server:command("DEL", CREDS_KEY)
      server:command("SET", "authstate:{s}:meta", "a string")
      fails("wrong_type", ask())
      server:command("DEL", "authstate:{s}:meta")
      server:pause()
      fails("timeout", session:load_or_create(make, { timeout_ms = 50 }))
      server:resume()
      local dead = authstate.open {
        redis = { url = "redis://127.0.0.1:1", socket = { connect_timeout_ms = 50 } },
      }
      fails("unavailable", dead:session("s"):load_or_create(make))
      dead:close()

      assert.equal(0, calls)
      assert.equal(0, server:command("DBSIZE"))
    end)
  end)

  describe("load_or_create", function()
    it("makes the creds when there are none", function()
      local creds, created =
        session:load_or_create(function() return sample.creds(77) end)
      assert.is_true(created)
      assert.equal(77, creds.registrationId)
      local seen = assert(store:session("s"):load_creds())
      assert.equal(77, seen.registrationId)
      assert.equal(1, stored.version(server, "s"))
    end)

    it("reads them when there are some: make is not called", function()
      session:save_creds(sample.creds(5))
      local creds, created = store:session("s"):load_or_create(function()
        error "make is called"
      end)
      assert.is_false(created)
      assert.equal(5, creds.registrationId)
      assert.equal(1, stored.version(server, "s"))
    end)

    it("gives back the very creds that make returned", function()
      local minted = sample.creds()
      local creds = session:load_or_create(function() return minted end)
      assert.equal(minted, creds)
    end)

    it("does not count the time of make against the deadline", function()
      local creds, created = session:load_or_create(function()
        clock.sleep(1200)
        return sample.creds()
      end, { timeout_ms = 1000 })
      assert.is_table(creds, created)
      assert.is_true(created)
    end)

    it("makes creds for a session that has only keys", function()
      session.keys:set_json { ["pre-key"] = { ["1"] = (sample.record "pre-key") } }
      local creds, created = store:session("s"):load_or_create(sample.creds)
      assert.is_true(created)
      assert.is_table(creds)
      assert.equal(1, session.keys:count "pre-key")
    end)

    it("passes on what make raises, and writes nothing", function()
      assert.error_matches(function()
        session:load_or_create(function() error "no entropy" end)
      end, "no entropy")
      assert.equal(0, server:command("DBSIZE"))
    end)

    it("gives the creds of the one who was first while make ran", function()
      local creds, created = session:load_or_create(function()
        assert(store:session("s"):save_creds(sample.creds(1)))
        return sample.creds(2)
      end)
      assert.is_false(created)
      assert.equal(1, creds.registrationId)
      assert.equal(1, stored.version(server, "s"))
    end)

    for _, racers in ipairs { 2, 3, 5, 8 } do
      it(("lets exactly one of %d processes create"):format(racers), function()
        local creds_path = temporary.file(sample.creds_text())
        local go_path = temporary.directory() .. "/go"
        local actors = {}
        for i = 1, racers do
          actors[i] = actor.start(server.url, RACER, creds_path, tostring(i), go_path)
        end
        for i = 1, racers do actors[i]:await "ready" end
        io.open(go_path, "w"):close()
        local winners, ids, texts = 0, {}, {}
        for i = 1, racers do
          local created, id, made, text = unpack(actors[i]:finish())
          if created == "true" then
            winners = winners + 1
            assert.equal(tostring(i), id)
            assert.equal("1", made)
          end
          ids[id], texts[text] = true, true
        end
        assert.equal(1, winners)
        assert.is_nil(next(ids, (next(ids))), "not all have the same creds")
        assert.is_nil(next(texts, (next(texts))), "not all have the same creds")
        assert.equal(1, stored.version(server, "s"))
      end)
    end
  end)

  describe("save_creds", function()
    it("writes them: another handle reads the same", function()
      local creds = sample.creds()
      creds.nextPreKeyId = 814
      assert.equal(1, session:save_creds(creds))
      creds.nextPreKeyId = 815
      assert.equal(2, session:save_creds(creds))
      local seen, version = store:session("s"):load_creds()
      assert.same(authstate.to_json(creds), authstate.to_json(seen))
      assert.equal(2, version)
    end)

    it("replaces creds of another identity when told so, as it does anyway", function()
      session:save_creds(sample.creds(1))
      assert.equal(2, session:save_creds(sample.creds(2), { replace = true }))
    end)

    it("hands out Buffers as bytes and base64 text as text", function()
      session:save_creds(sample.creds())
      local creds = session:load_creds()
      assert.is_true(authstate.is_bytes(creds.noiseKey.private))
      assert.equal(32, #creds.noiseKey.private)
      assert.equal("string", type(creds.advSecretKey))
    end)

    it("notes whether the account is registered", function()
      local creds = sample.creds()
      for _, registered in ipairs { false, true, false } do
        creds.registered = registered
        session:save_creds(creds)
        assert.equal(registered, store:session_info("s").registered)
      end
      creds.registered = nil
      session:save_creds(creds)
      assert.is_nil(store:session_info("s").registered)
    end)
  end)

  it("gives each caller a table of its own", function()
    session:save_creds(sample.creds(1))
    local creds = session:load_creds()
    creds.registrationId = 99
    creds.noiseKey.private = nil
    local again = session:load_creds()
    assert.equal(1, again.registrationId)
    assert.equal(32, #again.noiseKey.private)
  end)

  describe("last_commit", function()
    it("is nothing before the first write", function()
      local seq, applied = session:last_commit()
      assert.is_nil(seq)
      assert.is_nil(applied)
    end)

    it("numbers the writes of a session and says what became of the last", function()
      for n = 1, 3 do
        session:save_creds(sample.creds(n))
        assert.same({ n, "yes" }, { session:last_commit() })
      end
      fails("conflict", session:commit { creds = sample.creds(), expect = 99 })
      assert.equal(3, tonumber((session:last_commit())))
      session:save_creds(sample.creds(4))
      assert.same({ 4, "yes" }, { session:last_commit() })
    end)

    it("is the same for all handles of the session in a store", function()
      session:save_creds(sample.creds())
      store:session("s").keys:set { ["lid-mapping"] = { a = "b" } }
      assert.same({ 2, "yes" }, { session:last_commit() })
    end)
  end)
end)
