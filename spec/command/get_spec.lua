-- SPDX-License-Identifier: MIT

-- `get` tells what is stored without telling the secrets, unless it is asked to.

local authstate = require "authstate"
local cjson = require "cjson"
local fixture = require "spec.support.fixture"
local process = require "spec.support.process"
local record_text = require "spec.command.record_text"
local redis_server = require "spec.support.redis_server"
local tool = require "spec.command.tool"

describe("get", function()
  local server, session, split

  setup(function()
    server = redis_server.start()
    session = assert(authstate.open { redis = server.url }):session "s"
    tool.succeed { "import", fixture.path "small.json.gz", "--session", "s", "--redis",
      server.url }
    split = record_text.split(fixture.read "small.json.gz")
  end)

  teardown(function()
    session.store:close()
    server:stop()
  end)

  local function run(...)
    return tool.run { "get", "--session", "s", "--redis", server.url, ... }
  end

  local function succeed(...)
    return tool.succeed { "get", "--session", "s", "--redis", server.url, ... }
  end

  local function ids_of(kind)
    local ids = {}
    for id in pairs(split.keys[kind]) do ids[#ids + 1] = id end
    table.sort(ids)
    return ids
  end

  local function fingerprint(text)
    local _, digest = process.run { "sha256sum", stdin = text }
    return digest:sub(1, 16)
  end

  describe("without --reveal", function()
    it("prints size and fingerprint of each record, one a line, as asked", function()
      local texts = split.keys["pre-key"]
      local expected = {}
      for i, id in ipairs { "76", "74", "75", "74" } do
        expected[i] = ("%s\t%d bytes\tsha256 %s\n"):format(id, #texts[id],
          fingerprint(texts[id]))
      end
      assert.equal(table.concat(expected), succeed("pre-key", "76", "74", "75", "74"))
    end)

    it("prints those of the creds", function()
      local line = ("creds\t%d bytes\tsha256 %s\n"):format(#split.creds,
        fingerprint(split.creds))
      assert.equal(line, succeed "creds")
      assert.equal(line, succeed("creds", "creds"))
    end)

    it("prints the same for programs", function()
      local text = split.keys["pre-key"]["74"]
      assert.same({
        session = "s", type = "pre-key",
        records = { { id = "74", bytes = #text, sha256 = fingerprint(text) } },
      }, cjson.decode(succeed("pre-key", "74", "--json")))
    end)

    it("prints no key material of any record, in any form", function()
      local texts = { split.creds }
      for _, records in pairs(split.keys) do
        for _, text in pairs(records) do texts[#texts + 1] = text end
      end
      local secrets = {}
      for encoded in table.concat(texts, "\n"):gmatch "[%w+/]+=?=?" do
        if #encoded >= 20 then
          secrets[#secrets + 1] = encoded:lower()
          local bytes = #encoded % 4 == 0 and authstate.from_base64(encoded)
          if bytes then secrets[#secrets + 1] = bytes:hex() end
        end
      end
      assert.is_true(#secrets > 2000)

      local function find_secret(option)
        local said = { succeed("creds", option) }
        for kind in pairs(split.keys) do
          said[#said + 1] = succeed(option, kind, unpack(ids_of(kind)))
        end
        said = table.concat(said):lower()
        for _, secret in ipairs(secrets) do
          if said:find(secret, 1, true) then return secret end
        end
      end
      assert.is_nil(find_secret "--prefix=authstate:")
      assert.is_nil(find_secret "--json")
      assert.is_string(find_secret "--reveal")
    end)
  end)

  describe("with --reveal", function()
    it("prints the records exactly", function()
      local texts = split.keys.session
      local ids, expected = ids_of "session", {}
      for i, id in ipairs(ids) do expected[i] = id .. "\t" .. texts[id] .. "\n" end
      assert.equal(table.concat(expected), succeed("session", "--reveal", unpack(ids)))
      assert.equal("creds\t" .. split.creds .. "\n", succeed("creds", "--reveal"))
    end)

    it("puts the text into the document for programs", function()
      local document = cjson.decode(succeed("pre-key", "74", "--reveal", "--json"))
      assert.equal(split.keys["pre-key"]["74"], document.records[1].record)
    end)
  end)

  it("tells a record that is null from one that is absent", function()
    assert(session.keys:set_json { odd = { null = "null" } })
    assert.equal("null\tnull\n", succeed("odd", "null", "--reveal"))
  end)

  it("prints what is there, and fails for what is not", function()
    local outcome = run("pre-key", "nobody", "74", "no one")
    assert.equal(1, outcome.status)
    assert.match("^74\t164 bytes\tsha256 %x+\n$", outcome.out)
    assert.equal("authstate get: session s has no pre-key nobody, no one\n", outcome.err)
    outcome = run("pre-key", "nobody", "74", "--json")
    assert.equal(1, outcome.status)
    assert.equal(1, #cjson.decode(outcome.out).records)
  end)

  it("does not take the creds for a key type, or another id for the creds", function()
    local outcome = run("creds", "else")
    tool.check_failure(outcome, 1, { "session s has no creds else" })
  end)

  describe("of odd ids", function()
    local ODD = { "a\nb", "a\tb", "\27[31m", "\\n", "\255\254", "été", "--json", "" }
    local SHOWN = { "a\\x0ab", "a\\x09b", "\\x1b[31m", "\\\\n", "\255\254", "été",
      "--json",
      "" }

    setup(function()
      local records = {}
      for i, id in ipairs(ODD) do records[id] = tostring(i) end
      assert(session.keys:set_json { ["t\1"] = records, ["\255"] = { x = "1" } })
    end)

    it("keeps one line for each and lets no control character through", function()
      local expected = {}
      for i, shown in ipairs(SHOWN) do expected[i] = shown .. "\t" .. i .. "\n" end
      assert.equal(table.concat(expected), succeed("--reveal", "t\1", "--", unpack(ODD)))
    end)

    it("gives programs an id that is no UTF-8 as digits", function()
      local document = cjson.decode(succeed("--json", "t\1", "--", unpack(ODD)))
      assert.equal("t\1", document.type)
      for i, id in ipairs(ODD) do
        local expected = id == "\255\254" and { hex = "fffe" } or id
        assert.same(expected, document.records[i].id)
      end
    end)

    it("takes a type that is no UTF-8", function()
      assert.match("^x\t1 bytes", succeed("\255", "x"))
      assert.same({ hex = "ff" }, cjson.decode(succeed("\255", "x", "--json")).type)
    end)

    it("takes a session that is no UTF-8", function()
      local words = { "--redis", server.url, "--json", "--session", "\255s" }
      local imported = cjson.decode(tool.succeed {
        "import", fixture.path "small.json.gz", unpack(words) })
      assert.same({ hex = "ff73" }, imported.session)
      assert.same({ hex = "ff73" },
        cjson.decode(tool.succeed { "get", "pre-key", "74", unpack(words) }).session)
      assert.same({ hex = "ff73" },
        cjson.decode(tool.succeed { "delete", unpack(words) }).session)
    end)

    it("makes export say which it cannot write", function()
      tool.check_failure(tool.run { "export", "--session", "s", "--redis", server.url },
        1,
        { "UTF-8" })
    end)
  end)
end)
