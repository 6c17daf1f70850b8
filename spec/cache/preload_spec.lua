-- SPDX-License-Identifier: MIT

local preload = require "authstate.preload"
local temporary = require "spec.support.temporary"

local log

local function new(name, options)
  log = {}
  options = options or {}
  options.log = function(...) log[#log + 1] = { ... } end
  return assert(preload.new(name, options))
end

local function rule_file(body)
  return temporary.file("return function(options) " .. body .. " end", "rule.lua")
end

local function everything() return true end

-- What a rule adds to a read, as "type id" behind one another.
local function extra(rule, kind, ids, session, is_wanted)
  if type(ids) == "string" then ids = { ids } end
  local words = {}
  for _, record in ipairs(rule:extra(kind, ids, session or 1, is_wanted or everything)) do
    words[#words + 1] = record[1] .. " " .. record[2]
  end
  return table.concat(words, ", ")
end

describe("a preload rule", function()
  it("adds to a read what it names, each once, not what is read anyway", function()
    local rule = new(rule_file [[
      return { read = function(also, kind, ids)
        also(kind, ids[2])
        also(kind, "x")
        also(kind, "x")
        also("other", ids[1])
      end }]])
    assert.equal("session x, other a", extra(rule, "session", { "a", "b" }))
  end)

  it("is told whether what it names will be read", function()
    local rule = new(rule_file [[
      return { read = function(also)
        answers = { also("t", "1"), also("t", "1"), also("t", "2"), also("t", "3"),
          also("t", "4") }
      end }]], { preload_limit = 2 })
    assert.equal("t 1, t 3", extra(rule, "session", "a", 1,
      function(_, id) return id ~= "2" end))
    assert.same({ true, false, false, true, false }, _G.answers)
    _G.answers = nil
  end)

  it("adds at most preload_limit records, 32 by default", function()
    local body = [[return { read = function(also)
      for i = 1, 100 do also("t", tostring(i)) end
    end }]]
    for limit, count in pairs { [0] = 0, [3] = 3, [200] = 100 } do
      local rule = new(rule_file(body), { preload_limit = limit })
      assert.equal(count, #rule:extra("session", { "a" }, 1, everything))
    end
    assert.equal(32, #new(rule_file(body)):extra("session", { "a" }, 1, everything))
  end)

  it("is given the options, the session, and what became of what it added", function()
    local rule = new(rule_file [[
      seen = { options.preload_limit }
      return {
        read = function(_, _, _, session) table.insert(seen, session) end,
        seen = function(kind, id, is_useful)
          table.insert(seen, kind .. " " .. id .. " " .. tostring(is_useful))
        end,
      }]], { preload_limit = 7 })
    extra(rule, "session", "a", 42)
    rule:note_fate("session", "a", true)
    assert.same({ 7, 42, "session a true" }, _G.seen)
    _G.seen = nil
  end)

  it("may have no hook at all", function()
    local rule = new(rule_file "return {}")
    assert.equal("", extra(rule, "session", "a"))
    rule:note_fate("session", "a", true)
    assert.same({}, log)
  end)

  it("that fails is reported once and asked no more", function()
    for body, sentence in pairs {
      ['return { read = function() error "oh" end }'] = "read: .*oh",
      ["return { read = function(also) also(5, \"a\") end }"] =
        "also: type: 5; accepted: a string",
      ["return { read = function(also) also(\"t\") end }"] =
        "also: id: nil; accepted: a string",
      ["return { read = function(also) also(\"creds\", \"creds\") end }"] =
        'also: type: "creds" names the credentials',
      ['return { seen = function() error "oh" end }'] = "seen: .*oh",
    } do
      local rule = new(rule_file(body))
      for _ = 1, 3 do
        assert.equal("", extra(rule, "session", "a"))
        rule:note_fate("session", "a", false)
      end
      assert.equal(1, #log)
      assert.equal("error", log[1][1])
      assert.match(sentence, log[1][2])
      assert.match("nothing is preloaded any more$", log[1][2])
    end
  end)

  it("that makes no sense is refused", function()
    for text, sentence in pairs {
      ["return 5"] = "returns 5; accepted: a function of the options",
      ["return function() return 5 end"] = "returns 5; accepted: a table",
      ["return function() return { read = 5 } end"] =
        "field read: 5; accepted: a function",
      ["return function() return { seen = 5 } end"] =
        "field seen: 5; accepted: a function",
      ['return function() error "oh" end'] = "oh",
    } do
      local rule, message = preload.new(temporary.file(text, "rule.lua"), {})
      assert.is_nil(rule)
      assert.is_not_nil(message:find(sentence, 1, true), message)
    end
    local _, message = preload.new("sgnal", {})
    assert.match('there is no preload rule "sgnal", did you mean "signal"%?', message)
  end)
end)

describe("the rule signal", function()
  local rule

  before_each(function() rule = new "signal" end)

  it("reads an identity key and the session of the address together", function()
    assert.equal("session 5511.0", extra(rule, "identity-key", "5511.0"))
    assert.equal("identity-key 5511.0", extra(rule, "session", "5511.0"))
  end)

  it("reads the next pre-key with an identity key, once it knows the last", function()
    extra(rule, "pre-key", "12")
    assert.equal("session a.0, pre-key 13", extra(rule, "identity-key", "a.0"))
    rule:note_fate("pre-key", "13", true)
    assert.equal("session b.0, pre-key 14", extra(rule, "identity-key", "b.0"))
  end)

  it("reads devices and first session of a contact with the mapping", function()
    assert.equal("device-list 5511, session 5511.0", extra(rule, "lid-mapping", "5511"))
  end)

  it("reads one's own sender key and the members' sessions with a group's memory",
    function()
      extra(rule, "sender-key", "g1@g.us::5521::0")
      extra(rule, "sender-key", "g1@g.us::99_1::3")
      extra(rule, "sender-key-memory", "g2@g.us")
      extra(rule, "sender-key", "g2@g.us::5511::12")
      assert.equal("sender-key g1@g.us::5511::12, session 99_1.3, session 5521.0",
        extra(rule, "sender-key-memory", "g1@g.us"))
    end)

  it("leaves a guess that is of no use, and tries it again later", function()
    local tried = 0
    for i = 1, 400 do
      if extra(rule, "session", i .. ".0") ~= "" then tried = tried + 1 end
      rule:note_fate("identity-key", i .. ".0", false)
    end
    assert.is_true(tried > 30 and tried < 200, tried)
    local useful = 0
    for i = 1, 400 do
      if extra(rule, "session", i .. ".0") ~= "" then useful = useful + 1 end
      rule:note_fate("identity-key", i .. ".0", true)
    end
    assert.is_true(useful > 300, useful)
  end)

  it("is not misled by ids that it does not know", function()
    for _, kind in ipairs { "sender-key", "pre-key", "session", "sender-key-memory",
      "identity-key", "lid-mapping", "tctoken" } do
      for _, id in ipairs { "", "::", "a::b", "::::", "-1", "x", "1e999", "nan" } do
        extra(rule, kind, id)
      end
    end
    assert.same({}, log)
  end)
end)

describe("the rule learned", function()
  local rule

  before_each(function() rule = new "learned" end)

  local function read_both(from, to, count)
    for i = 1, count do
      extra(rule, from, "id" .. i)
      extra(rule, to, "id" .. i)
    end
  end

  it("learns that one type follows another with the same id", function()
    assert.equal("", extra(rule, "identity-key", "new"))
    read_both("identity-key", "session", 5)
    assert.match("session new", extra(rule, "identity-key", "new"))
  end)

  it("learns what stands behind an id, and which number comes next", function()
    for i = 1, 5 do
      extra(rule, "contact", "id" .. i)
      extra(rule, "session", "id" .. i .. ".0")
      extra(rule, "pre-key", tostring(i))
    end
    assert.match("session new%.0", extra(rule, "contact", "new"))
    assert.match("pre%-key 6", extra(rule, "session", "new.0"))
  end)

  it("learns which record follows which, in each session for itself", function()
    for i = 1, 5 do
      extra(rule, "t", "a", 1)
      extra(rule, "u", "other" .. i, 2)
      extra(rule, "t", "b", 1)
    end
    assert.match("t b", extra(rule, "t", "a"))
    assert.not_match("other", extra(rule, "t", "a"))
  end)

  it("goes on with what is of use, and leaves what is not", function()
    read_both("identity-key", "session", 5)
    for i = 6, 60 do
      assert.match("session id" .. i, extra(rule, "identity-key", "id" .. i))
      rule:note_fate("session", "id" .. i, true)
    end
    local tried = 0
    for i = 61, 1500 do
      if extra(rule, "identity-key", "id" .. i):find "session" then
        tried = tried + 1
        rule:note_fate("session", "id" .. i, false)
      end
    end
    assert.is_true(tried < 600, tried)
  end)

  it("keeps its memory within bounds", function()
    local function bytes()
      collectgarbage()
      collectgarbage()
      return collectgarbage "count" * 1024
    end
    local function fill(first)
      for i = first, first + 60000 do
        extra(rule, "t" .. i % 5, ("some id %d"):format(i), i % 9000)
        rule:note_fate("t0", ("some id %d"):format(i), false)
      end
    end
    local empty = bytes() -- what other specs hold is not the rule's
    fill(1)
    local before = bytes()
    fill(100000)
    fill(200000)
    assert.is_true(bytes() < before + 4e6, bytes() - before)
    assert.is_true(before < empty + 3e7, before - empty)
  end)
end)
