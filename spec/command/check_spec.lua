-- SPDX-License-Identifier: MIT

-- `check` tells what is wrong with a layout, with an example.

local cjson = require "cjson"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

-- A layout as it should be, and a change that breaks it.
local TEXT = [[
local make = require "authstate.layouts.typed"
return function(options)
  local layout = make(options)
  local key, parse, scope = layout.key, layout.parse, layout.scope
  local meta_key = layout.meta_key
  %s
  return layout
end
]]

-- The rule that is broken, and how.
local BROKEN = {
  ["key returns a key and a field"] =
    "function layout.key(s, t, i) return (key(s, t, i)) end",
  ["the same record is always in the same place"] =
    [[local n = 0
      function layout.key(s, t, i)
        n = n + 1
        local k, f = key(s, t, i)
        return k, f .. n
      end]],
  ["key does not depend on the id"] =
    "function layout.key(s, t, i) local k, f = key(s, t, i) return k .. #i, f end",
  ["the keys of a session share a slot"] =
    "function layout.meta_key(s) return 'meta:' .. s end",
  ["creds, records and meta are in different places"] =
    "function layout.meta_key(s) return (key(s, 'creds', 'creds')) end",
  ["parse undoes key"] =
    [[function layout.parse(k, f)
        local s, t, i = parse(k, f)
        return s and s:upper(), t, i
      end]],
  ["parse does not take meta for a record"] =
    [[function layout.parse(k, f)
        local s, t, i = parse(k, f)
        if s then return s, t, i end
        return 'a', 'b', 'c'
      end]],
  ["scope names all of a session"] =
    "function layout.scope(s) return { keys = { (key(s, 'creds', 'creds')) } } end",
  ["sessions do not reach into each other"] =
    [[function layout.key(s, t, i) return key(s:sub(1, 1), t, i) end
      function layout.meta_key(s) return meta_key(s:sub(1, 1)) end]],
  ["session_match finds the session"] = "layout.session_match = 'x*'",
  ["it raises no error"] =
    [[function layout.key(s, t, i)
        if i == '' then error 'no id' end
        return key(s, t, i)
      end]],
}

describe("check", function()
  local function broken_by(change)
    local path = temporary.file(TEXT:format(change), "layout.lua")
    local outcome = tool.run { "check", path, "--json", "--seed", "7" }
    assert.equal("", outcome.err)
    local document, rules = cjson.decode(outcome.out), {}
    for _, each in ipairs(document.broken) do rules[each.rule] = each.example end
    return outcome.status, rules, document
  end

  for rule, change in pairs(BROKEN) do
    it("sees that it does not hold that " .. rule, function()
      local status, rules = broken_by(change)
      assert.equal(1, status)
      assert.is_string(rules[rule])
    end)
  end

  it("finds an endless loop, also one that LuaJIT would compile", function()
    local status, rules = broken_by "function layout.scope() while true do end end"
    assert.equal(1, status)
    assert.match("did not come to an end", rules["it raises no error"])
    local path = temporary.file("while true do end", "endless.lua")
    tool.check_failure(tool.run { "check", path }, 1, { "did not come to an end" })
  end)

  it("finds a glob that a session's id reaches out of", function()
    local status, rules = broken_by [[
      function layout.scope(s) return { match = 'authstate:{' .. s .. '}:*' } end
    ]]
    assert.equal(1, status)
    assert.is_string(rules["scope names all of a session"])
  end)

  for _, name in ipairs { "typed", "hbinduni-hash" } do
    it("finds nothing in " .. name .. ", from any seed", function()
      local said = tool.succeed { "check", name, "--steps", "20000" }
      assert.match("\nlayout   " .. name:gsub("%-", "%%-")
        .. ": 20000 steps from seed %d+, 0 of 11 rules broken\n$", said)
    end)
  end

  it("does the same again from the same seed", function()
    local change = BROKEN["parse undoes key"]
    local _, first = broken_by(change)
    local _, second, document = broken_by(change)
    assert.same(first, second)
    assert.equal(7, document.seed)
    assert.equal(5000, document.steps)
  end)

  it("notes the ids that do not come back from their fields", function()
    local said = tool.succeed { "check", "hbinduni-hash", "--seed", "1" }
    assert.match("\nnote     the ids of %d+ of 5000 records do not come back", said)
    assert.falsy(tool.succeed({ "check", "typed", "--seed", "1" }):find "note")
  end)

  it("takes no number of steps and no seed that are none", function()
    for _, option in ipairs { "--steps", "--seed" } do
      for _, value in ipairs { "0", "-1", "x", "1.5", "1e3", "99999999999" } do
        tool.check_failure(tool.run { "check", "typed", option, value }, 2,
          { option .. ': "' .. value .. '"', "a whole number from 1 to" })
      end
    end
  end)
end)
