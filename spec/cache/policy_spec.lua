-- SPDX-License-Identifier: MIT

-- What each policy keeps and what it lets go. Entries all count as one.

local cache = require "authstate.cache"
local random = require "spec.support.random"
local script = require "authstate.script"
local temporary = require "spec.support.temporary"

local SIEVE = [[
return function(cache)
  local queue, hand, policy = cache:queue(), 0, {}
  function policy.insert(e) queue:push(e) end
  function policy.hit(e) cache:entry(e).mark = 1 end
  function policy.evict()
    local e = hand ~= 0 and hand or queue.oldest
    while cache:entry(e).mark == 1 do
      cache:entry(e).mark = 0
      e = queue:newer(e)
      if e == 0 then e = queue.oldest end
    end
    hand = e
    return e
  end
  function policy.remove(e)
    if e == hand then hand = queue:newer(e) end
    queue:remove(e)
  end
  return policy
end
]]

local now_ms, near, number

local function new(policy, entries)
  now_ms = 0
  near = assert(cache.new {
    max_bytes = entries, unit_bytes = 1, policy = policy, seed = 1,
    now_ms = function() return now_ms end,
    log = function(_, message) error(message) end,
  })
  number = near:type_number "session"
end

local function has(id) return near:has(1, number, id, now_ms) end

-- Reads a record, which is admitted when it is not there. Whether it was.
local function read(id)
  now_ms = now_ms + 1
  if near:find(1, number, id, now_ms) then return true end
  near:admit(1, number, id, "value", 1, now_ms)
  return false
end

local function read_all(ids)
  for id in ids:gmatch "%S+" do read(id) end
end

-- Which of some records are there, in order.
local function held(ids)
  local list = {}
  for id in ids:gmatch "%S+" do
    if has(id) then list[#list + 1] = id end
  end
  return table.concat(list, " ")
end

local function hit_ratio(reads, next_id)
  local hits = 0
  for i = 1, reads do
    if read(next_id(i)) then hits = hits + 1 end
  end
  return hits / reads
end

after_each(function()
  assert.is_true(near.object:validate())
  near:close()
end)

describe("lru", function()
  it("lets go what was not read for the longest time", function()
    new("lru", 3)
    read_all "a b c a d"
    assert.equal("a c d", held "a b c d")
    read_all "c e"
    assert.equal("c d e", held "a b c d e")
  end)
end)

describe("fifo", function()
  it("lets go what came first, read or not", function()
    new("fifo", 3)
    read_all "a b c a a d"
    assert.equal("b c d", held "a b c d")
  end)
end)

describe("lfu", function()
  it("lets go what was read least often, of equals the one read first", function()
    new("lfu", 3)
    read_all "a a b b c c c d"
    assert.equal("a b c", held "a b c d") -- d has fewest
    near:remove(1, number, "a", "deleted")
    read_all "d d e"
    assert.equal("b c d", held "b c d e")
    read_all "e e e"
    assert.equal("b c d", held "b c d e") -- each came anew, with one read
  end)
end)

describe("sieve", function()
  it("runs as it is printed where policies are described", function()
    new(temporary.file(SIEVE, "printed.lua"), 4)
    read_all "a b c d a c e"
    assert.equal("a c d e", held "a b c d e")
    local file = assert(io.open("lua/authstate/policies/sieve.lua"))
    local shipped = file:read "*a"
    file:close()
    assert.equal(SIEVE, shipped:match "\n(return function.*)$")
  end)

  it("spares once what was read, from the oldest on, and does not reorder", function()
    new("sieve", 4)
    read_all "a b c d a c e"
    assert.equal("a c d e", held "a b c d e")
    read_all "f" -- the hand goes on at c, which is spared
    assert.equal("a c e f", held "a c d e f")
    read_all "e g" -- e is spared, f goes
    assert.equal("a c e g", held "a c e f g")
  end)
end)

describe("s3fifo", function()
  it("lets one-time reads through and keeps what was read twice while it was small",
    function()
      new("s3fifo", 20)
      read_all "a a a b b b"
      for i = 1, 100 do read("once" .. i) end
      assert.equal("a b", held "a b")
    end)

  it("takes back into the main queue what left a short while ago", function()
    new("s3fifo", 10)
    for i = 1, 12 do read("id" .. i) end
    assert.is_false(has "id1")
    read "id1"
    for i = 1, 30 do read("once" .. i) end
    assert.is_true(has "id1")
    assert.is_false(has "id12")
  end)
end)

describe("tinylfu", function()
  it("keeps what is read often while others come once", function()
    new("tinylfu", 100)
    for _ = 1, 20 do
      for i = 1, 50 do read("often" .. i) end
      for i = 1, 60 do read("some" .. i) end
    end
    for i = 1, 5000 do
      read("once" .. i)
      if i % 100 == 0 then
        for j = 1, 50 do read("often" .. j) end
      end
    end
    local count = 0
    for i = 1, 50 do count = count + (has("often" .. i) and 1 or 0) end
    assert.is_true(count >= 48, count)
  end)

  it("does not take a burst of reads for many uses, nor a write for one", function()
    new("tinylfu", 50)
    for _ = 1, 6 do
      for i = 1, 45 do read("used" .. i) end
      for i = 1, 60 do read("between" .. i) end
    end
    for i = 1, 200 do
      for _ = 1, 10 do read("burst" .. i) end
      for _ = 1, 10 do
        near:admit(1, number, "write" .. i, "value", 1, now_ms, "write")
      end
    end
    local count = 0
    for i = 1, 45 do count = count + (has("used" .. i) and 1 or 0) end
    assert.is_true(count >= 30, count)
  end)

  it("has a larger window where what was read last is read next", function()
    -- Each record is read a few times within 240 others, and never again.
    local dice = random.new(3)
    local function recent(i) return "id" .. math.floor(i / 4) - dice:integer(0, 240) end
    new("lru", 400)
    local lru = hit_ratio(20000, recent)
    near:close()
    new("tinylfu", 400)
    local first = hit_ratio(20000, recent)
    hit_ratio(300000, recent)
    local later = hit_ratio(20000, recent)
    assert.is_true(later > first + 0.1, ("%f %f %f"):format(first, later, lru))
    assert.is_true(later > 0.95 * lru, ("%f %f %f"):format(first, later, lru))
  end)
end)

describe("gdsf", function()
  it("lets go what is large for what it is worth, and what is read no more", function()
    now_ms = 0
    near = assert(cache.new { max_bytes = 20000, policy = "gdsf",
      now_ms = function() return now_ms end })
    number = near:type_number "session"
    near:admit(1, number, "large", ("x"):rep(9000), 1, 0)
    near:admit(1, number, "costly", ("x"):rep(4000), 50, 0)
    for i = 1, 40 do near:admit(1, number, "small" .. i, ("x"):rep(100), 1, 0) end
    assert.is_false(has "large")
    assert.is_true(has "costly")
    for i = 41, 20000 do near:admit(1, number, "small" .. i, ("x"):rep(100), 1, 0) end
    assert.is_false(has "costly")
  end)
end)

describe("every policy", function()
  for _, policy in ipairs(script.names "policies") do
    it("is named after what it is, and short: " .. policy, function()
      new(policy, 10)
      local file = assert(io.open("lua/authstate/policies/" .. policy .. ".lua"))
      local count = 0
      for line in file:lines() do
        count = count + (line:find "^%s*%-%-" and 0 or 1)
      end
      file:close()
      assert.is_true(count <= 90, count)
    end)

    it("keeps most of what fits: " .. policy, function()
      new(policy, 100)
      for _ = 1, 5 do
        for i = 1, 95 do read("id" .. i) end
      end
      local hits = 0
      for i = 1, 95 do hits = hits + (read("id" .. i) and 1 or 0) end
      assert.equal(95, hits)
    end)
  end
end)
