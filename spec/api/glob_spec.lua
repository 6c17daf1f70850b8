-- SPDX-License-Identifier: MIT

-- Globs mean what they mean to Redis.

local glob = require "authstate.glob"
local random = require "spec.support.random"
local redis_server = require "spec.support.redis_server"

describe("a glob", function()
  local server

  setup(function()
    server = redis_server.start()
  end)

  teardown(function()
    server:stop()
  end)

  local PARTS = { "a", "b", "ab", "*", "?", "[ab]", "[^a]", "[a-c]", "[c-a]", "\\", "\\*",
    "[", "]", "-", "^", "[]", "[^]", "[a", "[a-", "\\[", "**", "[\\]]", "\0" }
  local TEXTS = { "a", "b", "c", "ab", "*", "?", "[", "]", "-", "^", "\\", "\0" }

  local function build(dice, parts, most)
    local text = {}
    for i = 1, dice:integer(0, most) do text[i] = parts[dice:integer(1, #parts)] end
    return table.concat(text)
  end

  it("matches what Redis matches, of random patterns and keys", function()
    local dice = random.new()
    for _ = 1, 300 do
      server:command("FLUSHALL")
      local texts = {}
      for i = 1, 20 do
        texts[i] = build(dice, TEXTS, 5)
        server:command("SET", texts[i], "1")
      end
      local pattern = build(dice, PARTS, 5)
      local found = {}
      for _, key in ipairs(server:command("KEYS", pattern)) do found[key] = true end
      for _, text in ipairs(texts) do
        assert.equal(found[text] or false, glob.matches(pattern, text),
          ("%q %q"):format(pattern, text))
      end
    end
  end)

  it("that was made of a text matches that text alone", function()
    local dice = random.new()
    for _ = 1, 2000 do
      local text, other = build(dice, PARTS, 5), build(dice, PARTS, 5)
      assert.is_true(glob.matches(glob.escape(text), text))
      assert.equal(text == other, glob.matches(glob.escape(text), other))
    end
  end)
end)
