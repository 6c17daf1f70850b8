-- SPDX-License-Identifier: MIT

-- authstate check, of policies and preload rules.

local core = require "authstate.core"
local script = require "authstate.script"
local temporary = require "spec.support.temporary"
local tool = require "spec.command.tool"

local VICTIM = "evict names an entry that there is"
local REMOVE = "remove takes the entry out of every queue and heap"
local RAISES = "it raises no error"
local RECORD = "also is given a type and an id, both strings"
local MEMORY = "its memory has a bound"

-- Status, what was broken as { [rule] = example }, and the document.
local function check(name, ...)
  local ended = tool.run { "check", name, "--json", "--seed", "7", ... }
  local document = core.from_json(ended.out)
  assert.is_table(document, ended.err)
  local broken = {}
  for _, each in ipairs(document.broken) do broken[each.rule] = each.example end
  return ended.status, broken, document
end

-- A policy under FIFO with changes.
local function policy(changes)
  return temporary.file(([[
    return function(cache)
      local queue, policy = cache:queue(), {}
      function policy.insert(e) queue:push(e) end
      function policy.evict() return queue.oldest end
      function policy.remove(e) queue:remove(e) end
      %s
      return policy
    end]]):format(changes), "policy.lua")
end

local function rule(body)
  return temporary.file(("return function(options) %s end"):format(body), "rule.lua")
end

local FAULTY_POLICIES = {
  { "an endless loop in hit", "function policy.hit() while true do end end", RAISES,
    "did not come to an end" },
  { "an endless loop that catches errors", [[function policy.evict()
      while true do pcall(function() while true do end end) end
    end]], RAISES, "did not come to an end" },
  { "an endless loop in which it goes round a queue", [[function policy.evict()
      local e = queue.oldest
      while cache:entry(e).hits < 1000 do
        e = queue:newer(e)
        if e == 0 then e = queue.oldest end
      end
      return e
    end]], RAISES, "did not come to an end" },
  { "that remove does not unlink", "function policy.remove() end", REMOVE,
    "is still in one" },
  { "that remove does not unlink what was evicted", [[function policy.remove(e, why)
      if why ~= "evicted" then queue:remove(e) end
    end]], REMOVE, "removed because it was evicted" },
  { "that remove does not unlink from one of two", [[local other = cache:heap()
    function policy.hit(e) other:put(e, 1) end]], REMOVE, "is still in one" },
  { "an entry that is kept after its removal", [[local last = 0
    function policy.hit(e) last = e end
    function policy.evict() return last ~= 0 and last or queue.oldest end]], VICTIM,
    "it named" },
  { "a victim that never was", "function policy.evict() return 12345 end", VICTIM,
    "it named 12345" },
  { "no victim", "function policy.evict() end", VICTIM, "it named nil" },
  { "entries that are lost sight of", [[function policy.insert(e)
      if cache:entry(e).hits > 0 then queue:push(e) end
    end]], VICTIM, "it named 0, of " },
  { "a question for an entry that is gone", [[local last = 0
    function policy.hit(e)
      if last ~= 0 then last = cache:entry(last).hits end
      last = e
    end]], RAISES, "there is no entry" },
  { "an error", 'function policy.resize() error "oh" end', RAISES, "oh" },
  { "a hook that is none", "policy.evict = 5", RAISES, "field evict: 5; accepted" },
  { "too many structures", "function policy.hit() cache:queue() end", RAISES,
    "there are 16 already" },
}

local FAULTY_RULES = {
  { "an id that is none", "return { read = function(also) also(\"t\", 5) end }", RECORD,
    'it was given "t" and 5' },
  { "an endless loop", "return { read = function() while true do end end }", RAISES,
    "did not come to an end" },
  { "an error over an id of a strange form", [[return { read = function(also, kind, ids)
      for _, id in ipairs(ids) do also("session", id:match "^(.-)::") end
    end }]], RECORD, 'it was given "session" and nil' },
  { "memory without a bound", [[local known = {}
    return { read = function(_, kind, ids)
      for _, id in ipairs(ids) do known[kind .. id] = { id } end
    end }]], MEMORY, "it grew by" },
}

describe("check of a policy", function()
  for _, name in ipairs(script.names "policies") do
    it("finds nothing in " .. name, function()
      for _, seed in ipairs { "1", "2", "3" } do
        local ended = tool.run { "check", name, "--seed", seed, "--steps", "20000" }
        assert.equal(0, ended.status, ended.out .. ended.err)
        assert.match(("policy   %s: 20000 steps from seed %s, 0 of 3 rules broken\n$")
          :format(name, seed), ended.out)
      end
    end)
  end

  for _, fault in ipairs(FAULTY_POLICIES) do
    it("finds " .. fault[1], function()
      local status, broken, document = check(policy(fault[2]))
      assert.equal(1, status)
      assert.equal("policy", document.kind)
      assert.is_string(broken[fault[3]], core.to_json(broken))
      assert.is_not_nil(broken[fault[3]]:find(fault[4], 1, true), broken[fault[3]])
    end)
  end

  it("knows one by what it asks of the cache, and one that asks nothing", function()
    for _, text in ipairs {
      "return function(cache) local g = cache:ghost() error 'oh' end",
      "return function(cache) local e = cache:entry(1) end",
      "return function() return { evict = function() end } end",
    } do
      local _, broken, document = check(temporary.file(text, "some.lua"))
      assert.equal("policy", document.kind)
      assert.is_string(broken[RAISES])
    end
  end)
end)

describe("check of a preload rule", function()
  for _, name in ipairs(script.names "preload") do
    it("finds nothing in " .. name, function()
      local ended = tool.run { "check", name, "--seed", "3", "--steps", "20000" }
      assert.equal(0, ended.status, ended.out .. ended.err)
      assert.match(("preload  %s: 20000 steps from seed 3, 0 of 3 rules broken\n$")
        :format(name), ended.out)
    end)
  end

  for _, fault in ipairs(FAULTY_RULES) do
    it("finds " .. fault[1], function()
      local status, broken, document = check(rule(fault[2]), "--steps", "20000")
      assert.equal(1, status)
      assert.equal("preload", document.kind)
      assert.is_string(broken[fault[3]], core.to_json(broken))
      assert.is_not_nil(broken[fault[3]]:find(fault[4], 1, true), broken[fault[3]])
    end)
  end

  it("fails when it cannot be made", function()
    local ended = tool.run { "check", rule "return { read = 5 }" }
    assert.equal(1, ended.status)
    assert.match("field read: 5; accepted: a function", ended.err)
  end)
end)
