-- SPDX-License-Identifier: MIT

-- `check` tells what is wrong with a layout, a serializer or a profile, with an example.

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

  it("tells a profile from a layout by what the file returns", function()
    for text, words in pairs {
      ["return {}"] = "\nprofile  ",
      ["return { options = { prefix = 'p:' } }"] = '\nsets     prefix = "p:"\nprofile ',
      ["return function() return { options = {} } end"] = "\nprofile  ",
      ["return function(env) return { why = {}, extends = env and 'default' } end"] =
        "\nprofile  ",
      ['return require "authstate.layouts.typed"'] = "\nlayout   ",
    } do
      local said = tool.succeed { "check", temporary.file(text, "script.lua") }
      assert.truthy(said:find(words, 1, true), said)
    end
    assert.match("\nprofile  default: ", tool.succeed { "check", "default" })
    -- Those that come to no result: by what they ask for.
    for text, words in pairs {
      ["return function(env) return env.cores < nil end"] = "profile  ",
      ["return function(options) return #options.prefix end"] =
        "returns 10; accepted: a table",
      ["return { key = print }"] = "returns a table; accepted: a function of the options",
      ["return 5"] = "returns 5; accepted: a function of the options",
    } do
      local ended = tool.run { "check", temporary.file(text, "script.lua") }
      assert.equal(1, ended.status)
      assert.truthy((ended.out .. ended.err):find(words, 1, true), ended.err)
    end
  end)

  it("names the scripts that there are", function()
    tool.check_failure(tool.run { "check", "defualt" }, 1, {
      'no layout, policy, preload rule, profile or serializer "defualt", did you mean '
        .. '"default"?; accepted: cbor, default, fifo, gdsf, hbinduni-hash, '
        .. "high-compression, high-throughput, json, learned, lfu, low-latency, lru, "
        .. "s3fifo, sieve, signal, tinylfu, typed, or the path of a Lua file" })
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

-- A profile that is a function of env, and what is said of it: the sentence, and a part
-- of the environment in which it is so.
local WRONG_PROFILES = {
  { "not on a small machine",
    "return { options = { queue_max_bytes = math.floor(env.memory_bytes / 2 ^ 15) } }",
    ':2: option "queue_max_bytes": 2048 must be', "memory_bytes 67108864," },
  { "not on a large one",
    "return { options = {\n queue_max_bytes = env.memory_bytes } }",
    ':3: option "queue_max_bytes": 3220967424 must be', "memory_bytes 3220967424," },
  { "not with memory that is no power of two",
    "return { options = { queue_max_bytes = env.memory_bytes / 2 ^ 13 } }",
    ':2: option "queue_max_bytes": ', "memory_bytes 1" },
  { "not with one core",
    "return { options = { queue_max_operations = env.cores - 1 } }",
    ':2: option "queue_max_operations": 0 must be', "cores 1," },
  { "not with 256 cores",
    "return { options = { queue_max_operations = env.cores > 255 and 0 or 1 } }",
    ':2: option "queue_max_operations": 0 must be', "cores 256," },
  { "not with 64 workers",
    "return { options = { queue_max_operations = 64 - env.workers } }",
    ':2: option "queue_max_operations": 0 must be', "workers 64," },
  { "not inside nginx", "if env.runtime == 'openresty' then return 5 end return {}",
    "returns 5; accepted: a table", "runtime openresty," },
  { "not without a variable",
    "return { options = { prefix = 'wa' .. env.getenv 'NAME' } }",
    ":2: attempt to concatenate", "getenv answers nil" },
  { "not with nonsense in a variable",
    "return { options = { max_value_bytes = tonumber(env.getenv 'MAX' or 2048) } }",
    ':2: option "max_value_bytes": ', "getenv answers nonsense" },
  { "no end on a large machine",
    "if env.cores > 200 then while true do pcall(error) end end return {}",
    "it did not come to an end", "cores 256," },
  { "no end that is hidden behind pcall",
    "while true do pcall(function() while true do end end) end return env.cores",
    "it did not come to an end", nil },
  { "an unknown option in one environment",
    "return { options = {\n prefixx = env.cores == 7 and 1 or env.cores == 8 or nil } }",
    ':3: unknown option "prefixx", did you mean "prefix"?', "cores 8," },
  { "a layout that is not there", "return { options = {\n layout = 'typd' } }",
    ':3: option "layout": there is no layout "typd"', "cores 1," },
  { "a reason for what it never sets",
    "return { options = {}, why = {\n prefix = 'x' } }",
    ':3: why "prefix": the profile sets this option nowhere', nil },
}

describe("check of a profile", function()
  local function check(text, ...)
    local path = temporary.file("return function(env)\n" .. text .. "\nend", "p.lua")
    local outcome = tool.run { "check", path, "--json", ... }
    return outcome, path
  end

  for _, case in ipairs(WRONG_PROFILES) do
    local name, text, sentence, environment = unpack(case, 1, 4)
    it("finds " .. name, function()
      local outcome = check(text)
      assert.equal(1, outcome.status)
      if outcome.out == "" then -- it did not get as far as that
        assert.truthy(outcome.err:find(sentence, 1, true), outcome.err)
        return
      end
      local document, found = cjson.decode(outcome.out), false
      for _, each in ipairs(document.broken) do
        local where = each.environment or ""
        found = found or each.example:find(sentence, 1, true) and
          (not environment or where:find(environment, 1, true))
      end
      assert.truthy(found, outcome.out)
    end)
  end

  it("finds nothing in one that looks at all there is, and tells what it sets and why",
    function()
      local outcome, path = check [[
        local name = env.getenv "NAME" or ""
        return {
          options = {
            queue_max_operations = env.cores * 100 + env.workers,
            queue_max_bytes = math.max(4096,
              math.floor(env.memory_bytes / 2 ^ 14 / env.workers) * 32),
            append_fsync = env.runtime == "luajit" and "always" or nil,
            prefix = #name > 0 and #name < 9 and "named:" or "unnamed:",
          },
          why = {
            queue_max_bytes = "a\27[31m\255", append_fsync = "one at a time",
          },
        }]]
      assert.equal("", outcome.err)
      assert.equal(0, outcome.status)
      local document, sets = cjson.decode(outcome.out), {}
      for _, each in ipairs(document.sets) do
        assert.equal(path, each.profile)
        sets[each.option] = { each.values, each.environments, each.why }
      end
      assert.same({ script = path, kind = "profile", environments = 7830, refused = 0,
        broken = {}, sets = document.sets }, document)
      assert.same({
        append_fsync = { '"always"', 870, "one at a time" },
        prefix = { '"unnamed:" or "named:"', 7830 },
        queue_max_bytes = { "4096 to 2147483648", 7830, "a\27[31m\\xff" },
        queue_max_operations = { "101 to 25664", 7830 },
      }, sets)
    end)

  it("shows control characters of a reason as such", function()
    local path = temporary.file("return { options = { prefix = 'p' }, "
      .. "why = { prefix = 'a\\27[31m' } }", "p.lua")
    assert.match("\nsets     prefix = \"p\": a\\x1b[31m\n",
      tool.succeed { "check", path }, 1, true)
  end)

  it("takes a wrong string of a variable for the variable's fault", function()
    local path = temporary.file([[
      return function(env)
        return { options = {
          redis = { url = env.getenv "URL", socket = { no_delay = false } },
          layout = env.getenv "LAYOUT",
        } }
      end]], "p.lua")
    local said = tool.succeed { "check", path }
    assert.match("sets     redis.socket.no_delay = false\n", said)
    assert.match("note     3915 environments were refused for what a variable holds",
      said)
  end)

  it("looks at what a profile extends too", function()
    local base = temporary.file("return function(env)\n return { options = {\n"
      .. " queue_max_operations = env.cores } } end", "base.lua")
    local path = temporary.file(("return { extends = %q, options = { prefix = 'p' } }")
      :format(base), "p.lua")
    assert.match(("check    7830 of 7830\nsets     prefix = \"p\"\n"
      .. "sets     queue_max_operations = 1 to 256, from %s\nprofile  %s: 7830 "
      .. "environments, 0 things wrong\n"):format(base, path):gsub("%p", "%%%0"),
      tool.succeed { "check", path })
  end)

  it("takes no steps and no seed", function()
    for _, option in ipairs { "--steps", "--seed" } do
      local ended = tool.run { "check", "default", option, "7" }
      assert.same({ 2, "", ("authstate check: %s: default is a profile, which is always "
        .. "tried in the same environments; accepted with a layout or serializer\n")
        :format(option) }, { ended.status, ended.out, ended.err })
    end
  end)
end)

-- A serializer as it should be, and one line that breaks it.
local SERIALIZER = [[
local authstate = require "authstate"
local made = { name = "typed-json", code = 9 }
function made.encode(value, kind) return kind .. ":" .. authstate.to_json(value) end
function made.decode(text, kind) return authstate.from_json(text:sub(#kind + 2)) end
local encode, decode = made.encode, made.decode
%s
return made
]]

local BROKEN_SERIALIZERS = {
  ["encode gives a string"] = "function made.encode() return 5 end",
  ["encode leaves the value as it is"] = [[function made.encode(value, kind)
    local text = encode(value, kind)
    if type(value) == "table" and value[1] == nil then value.seen = true end
    return text
  end]],
  ["decode undoes encode"] = [[function made.decode(text, kind)
    return decode(text:gsub("0", "1"), kind)
  end]],
  ["it raises no error"] = "function made.decode() while true do end end",
}

describe("check of a serializer", function()
  local function check(change)
    local path = temporary.file(SERIALIZER:format(change), "serializer.lua")
    return tool.run { "check", path, "--json", "--seed", "7", "--steps", "300" }, path
  end

  it("finds nothing to complain about in a right one", function()
    local ended, path = check ""
    local document = cjson.decode(ended.out)
    assert.equal(0, ended.status)
    assert.equal("serializer", document.kind)
    assert.equal(path, document.script)
    assert.same({}, document.broken)
  end)

  for rule, change in pairs(BROKEN_SERIALIZERS) do
    it("sees that it does not hold that " .. rule, function()
      local ended, rules = check(change), {}
      for _, each in ipairs(cjson.decode(ended.out).broken) do
        rules[each.rule] = each.example
      end
      assert.equal(1, ended.status)
      assert.is_string(rules[rule])
    end)
  end

  it("refuses what cannot be one, and those that are built in", function()
    for change, words in pairs {
      ["made.code = 3"] = "field code: 3; accepted: a whole number from 4 to 15",
      ["made.name = 'a b'"] = 'field name: "a b"; accepted: a word',
      ["made.decode = nil"] = "field decode: nil; accepted: a function",
    } do
      local ended = check(change)
      assert.equal(1, ended.status)
      assert.truthy(ended.err:find(words, 1, true), ended.err)
    end
    assert.match("cbor is built in", tool.run({ "check", "cbor" }).err, 1, true)
  end)
end)
