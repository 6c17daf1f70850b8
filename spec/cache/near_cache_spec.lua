-- SPDX-License-Identifier: MIT

local cache = require "authstate.cache"
local random = require "spec.support.random"
local script = require "authstate.script"
local temporary = require "spec.support.temporary"

local now_ms, near, log

local function new(options)
  log = {}
  options.max_bytes = options.max_bytes or 1e6
  options.now_ms = function() return now_ms end
  options.log = function(level, message, fields)
    log[#log + 1] = { level, message, fields }
  end
  near = assert(cache.new(options))
  return near
end

local function find(id, type_name, session)
  return near:find(session or 1, near:type_number(type_name or "session"), id, now_ms)
end

local function admit(id, bytes, source, type_name, session)
  return near:admit(session or 1, near:type_number(type_name or "session"), id, bytes, 1,
    now_ms, source)
end

-- The bytes of a record; false: absent; nil: not in the cache.
local function look(id, type_name, session)
  local e = find(id, type_name, session)
  if not e then return nil end
  return near:bytes(e) or false
end

-- The path of a script: FIFO with changes, which may use `cache`, `options`,
-- `queue` and `policy`.
local function policy_file(changes)
  return temporary.file(([[
    return function(cache, options)
      local queue, policy = cache:queue(), {}
      function policy.insert(e) queue:push(e) end
      function policy.hit() end
      function policy.evict() return queue.oldest end
      function policy.remove(e) queue:remove(e) end
      %s
      return policy
    end]]):format(changes), ".lua")
end

before_each(function() now_ms = 1000 end)

after_each(function()
  if not near then return end
  assert.is_true(near.object:validate())
  near:close()
  near = nil
end)

describe("the near cache", function()
  it("finds what was admitted, and knows of what Redis says does not exist", function()
    new {}
    assert.is_nil(look "a")
    assert.is_not_nil(admit("a", "value"))
    admit("b", nil)
    admit("", "\0\255")
    assert.equal("value", look "a")
    assert.is_false(look "b")
    assert.equal("\0\255", look "")
    assert.is_true(near:entry(find "b").absent)
  end)

  it("keeps sessions and types apart", function()
    new {}
    admit("a", "one")
    admit("a", "two", nil, "pre-key")
    admit("a", "three", nil, "session", 2)
    assert.same({ "one", "two", "three" },
      { look "a", look("a", "pre-key"), look("a", "session", 2) })
    assert.is_nil(look("a", "pre-key", 2))
  end)

  it("has the last value that was admitted", function()
    new {}
    local e = admit("a", "value")
    assert.equal(e, admit("a", ("x"):rep(1000)))
    assert.equal(("x"):rep(1000), look "a")
    admit("a", nil)
    assert.is_false(look "a")
    admit("a", "back")
    assert.equal("back", look "a")
    assert.equal(1, near:stats().entries)
  end)

  it("counts by type what it served and what it did not", function()
    new {}
    admit("a", "value")
    look "a"
    look "a"
    look "b"
    look("c", "pre-key")
    local stats = near:stats()
    assert.same({ 2, 2, 0.5 }, { stats.hits, stats.misses, stats.hit_ratio })
    assert.same({ hits = 2, misses = 1, bytes = near:entry(1).size_bytes },
      stats.types.session)
    assert.same({ hits = 0, misses = 1, bytes = 0 }, stats.types["pre-key"])
  end)

  it("serves nothing that was sent for longer ago than the time to live", function()
    new { ttl_ms = 100 }
    near:admit(1, near:type_number "session", "a", "value", 1, 950)
    assert.equal("value", look "a")
    now_ms = 1049
    assert.equal("value", look "a")
    now_ms = 1050
    assert.is_nil(look "a")
    assert.equal(1, near:stats().entries)
    admit("b", "value") -- those that have expired leave as others come
    assert.equal(1, near:stats().entries)
    assert.equal("value", look "b")
  end)

  it("has a time to live for each type, or none", function()
    new { ttl_ms = { session = 100 } }
    admit("a", "value")
    admit("a", "value", nil, "pre-key")
    now_ms = 1e9
    assert.is_nil(look "a")
    assert.equal("value", look("a", "pre-key"))
  end)

  it("lets a record live from its last write on", function()
    new { ttl_ms = 100 }
    admit("a", "value")
    now_ms = 1090
    admit("a", "newer", "write")
    now_ms = 1150
    assert.equal("newer", look "a")
    now_ms = 1190
    assert.is_nil(look "a")
    assert.is_not_nil(admit("a", "again"))
    assert.equal("again", look "a")
  end)

  it("does so however long the clock has run", function()
    for _, began_ms in ipairs { 2 ^ 31 - 50, 2 ^ 32 - 50, 2 ^ 33, 1e12 + 0.5 } do
      now_ms = began_ms
      new { ttl_ms = { session = 100 } }
      admit("a", "value")
      admit("stays", "value", nil, "pre-key")
      now_ms = began_ms + 60
      admit("b", "value")
      now_ms = began_ms + 99
      assert.same({ "value", "value" }, { look "a", look "b" })
      now_ms = began_ms + 100
      assert.same({ "nil", "value" }, { tostring(look "a"), look "b" })
      admit("c", "value") -- "a" leaves
      assert.equal(3, near:stats().entries)
      now_ms = began_ms + 2 ^ 34
      assert.same({ "nil", "nil" }, { tostring(look "b"), tostring(look "c") })
      admit("d", "value")
      assert.equal(2, near:stats().entries)
      now_ms = now_ms + 99
      assert.same({ "value", "value" }, { look "d", look("stays", "pre-key") })
      assert.is_true(near.object:validate())
      near:close()
    end
    near = nil
  end)

  it("knows when an entry was used and came, however long the clock has run", function()
    new {}
    for _, began_ms in ipairs { 0, 2 ^ 32 - 1, 2 ^ 32, 2 ^ 45 + 3 } do
      now_ms = began_ms
      local e = admit("id" .. began_ms, "value")
      now_ms = began_ms + 7
      look("id" .. began_ms)
      assert.same({ began_ms, began_ms + 7 },
        { near:entry(e).inserted_ms, near:entry(e).last_used_ms })
    end
    now_ms = 2 ^ 60
    assert.equal(2 ^ 48 - 1, near:entry(admit("late", "value")).inserted_ms)
    assert.has_error(function() return near:entry(1).used_ms end,
      "an entry has no field used_ms")
  end)

  it("does not keep what has an id of more than 65,535 bytes", function()
    new {}
    local id = ("x"):rep(65535)
    assert.is_not_nil(admit(id, "value"))
    assert.is_nil(admit(id .. "x", "value"))
    assert.same({ "value", "nil" }, { look(id), tostring(look(id .. "x")) })
    assert.equal(id, near:id(1))
  end)

  it("does not serve what is being written, until it is admitted again", function()
    new {}
    local e = admit("a", "old")
    assert.is_false(near:withhold(1, near:type_number "session", "b"))
    assert.is_true(near:withhold(1, near:type_number "session", "a"))
    assert.is_nil(look "a")
    assert.is_false(near:has(1, near:type_number "session", "a", now_ms))
    assert.equal(e, admit("a", "new", "write"))
    assert.equal("new", look "a")
    assert.is_true(near:has(1, near:type_number "session", "a", now_ms))
  end)

  it("removes one record, a type of a session, a session, and all", function()
    new {}
    local function fill()
      for session = 1, 3 do
        for _, name in ipairs { "session", "pre-key" } do
          for i = 1, 5 do admit("id" .. i, "value", nil, name, session) end
        end
      end
    end
    local session, pre_key = near:type_number "session", near:type_number "pre-key"
    fill()
    assert.is_true(near:remove(1, session, "id1", "deleted"))
    assert.is_false(near:remove(1, session, "id1", "deleted"))
    assert.equal(5, near:drop(2, "invalidated", pre_key))
    assert.equal(9, near:drop(1, "deleted"))
    assert.equal(0, near:drop(9, "deleted"))
    assert.same({ nil, "value", "value" }, { look("id2", "pre-key", 2) or nil,
      look("id2", "session", 2), look("id2", "session", 3) })
    assert.equal(15, near:flush "connection_lost")
    assert.equal(0, near:stats().entries)
    fill()
    local stats = near:stats()
    assert.same({ 30, 15, { connection_lost = 1 } },
      { stats.entries, stats.invalidations, stats.flushes })
  end)

  it("refuses what it could not hold alone, and drops the old value of it", function()
    new { max_bytes = 20000 }
    admit("a", "value")
    assert.is_nil(admit("b", ("x"):rep(20001)))
    assert.is_nil(admit("a", ("x"):rep(20001)))
    assert.is_nil(look "a")
    assert.equal(2, near:stats().refused)
  end)

  it("with no room for anything holds nothing, and works", function()
    new { max_bytes = 0 }
    for i = 1, 100 do assert.is_nil(admit("id" .. i, "value")) end
    assert.equal(0, near:stats().entries)
    assert.same({}, log)
  end)

  it("tells what became of records that were brought beside others", function()
    local fates = {}
    new { max_bytes = 3, unit_bytes = 1 }
    function near.on_fate(...) fates[#fates + 1] = { ... } end
    for _, id in ipairs { "a", "b", "c" } do admit(id, "value", "preload") end
    look "a"
    look "a"
    near:remove(1, near:type_number "session", "b", "deleted")
    near:flush "closing"
    assert.same({ { "session", "a", true, 1 }, { "session", "b", false, 1 },
      { "session", "c", false, 1 } }, fates)
    assert.same({ useful = 1, wasted = 2 }, near:stats().preload)
  end)

  it("counts for hits of an entry the read that brought it, no write and no preload",
    function()
      new {}
      for _, source in ipairs { "read", "write", "preload" } do
        local e = admit(source, "value", source)
        assert.equal(source == "read" and 1 or 0, near:entry(e).hits)
        look(source)
        assert.equal(source == "read" and 2 or 1, near:entry(e).hits)
      end
    end)

  it("says why there is no such policy", function()
    local made, message, code = cache.new { max_bytes = 1, policy = "lur" }
    assert.is_nil(made)
    assert.equal("unsupported", code)
    assert.match('there is no policy "lur"; accepted: fifo, gdsf, lfu, lru, s3fifo, '
      .. "sieve, tinylfu, or", message)
  end)
end)

-- ---- every policy --------------------------------------------------------------------

-- 6,000 random reads, writes, removals and changes of the bound.
local function live(dice, policy)
  new { max_bytes = 40000, policy = policy, ttl_ms = { session = 300 }, seed = 1 }
  local stored, names = {}, { "session", "pre-key", "sender-key" }
  for step = 1, 6000 do
    now_ms = now_ms + 1
    local type_name, session = names[dice:integer(1, 3)], dice:integer(1, 2)
    local id = "id" .. math.min(dice:integer(1, 300), dice:integer(1, 300))
    local name = type_name .. session .. id
    local chance = dice:integer(1, 100)
    if chance <= 80 then
      local value = look(id, type_name, session)
      if value ~= nil then
        assert.equal(stored[name] or false, value)
      else
        local source = dice:integer(1, 4) == 1 and "preload" or "read"
        admit(id, stored[name], source, type_name, session)
      end
    elseif chance <= 94 then
      stored[name] = dice:bytes(dice:integer(0, 400))
      admit(id, stored[name], "write", type_name, session)
    elseif chance <= 97 then
      stored[name] = nil
      near:remove(session, near:type_number(type_name), id, "deleted")
    elseif chance == 98 then
      near:drop(session, "invalidated", near:type_number(type_name))
    elseif chance == 99 then
      near:resize(dice:integer(20000, 60000))
    else
      near:withhold(session, near:type_number(type_name), id)
    end
    assert.is_true(near:stats().bytes <= near.core.capacity_bytes)
    if step % 20 == 0 then assert.is_true(near.object:validate()) end
  end
end

for _, policy in ipairs(script.names "policies") do
  describe("the near cache under " .. policy, function()
    it("never serves an old value and stays below its bound", function()
      live(random.new(), policy)
      assert.same({}, log)
      assert.is_true(near:stats().hits > 100, near:stats().hits)
    end)

    it("takes over what another policy had, and hands it over", function()
      new { policy = "fifo" }
      local value = ("x"):rep(200)
      for i = 1, 100 do admit("id" .. i, value) end
      assert.is_true(near:set_policy(policy))
      assert.is_true(near:set_policy "sieve")
      assert.is_true(near:set_policy(policy))
      for i = 1, 100 do assert.equal(value, look("id" .. i)) end
      near:resize(20000)
      assert.is_true(near:stats().entries < 100 and near:stats().entries > 10)
      assert.same({}, log)
    end)
  end)
end

-- ---- policies that fail --------------------------------------------------------------

local FAULTS = {
  { "that raises as it is made", 'error "oh"', "oh" },
  { "whose insert raises", 'function policy.insert() error "oh" end', "insert: .*oh" },
  { "whose hit raises", 'function policy.hit() error "oh" end', "hit: .*oh" },
  { "whose evict raises", 'function policy.evict() error "oh" end', "evict: .*oh" },
  { "whose evict names nothing", "function policy.evict() end", "returned nil" },
  { "whose evict names 0", "function policy.evict() return 0 end", "returned 0, which" },
  { "whose evict names half an entry", "function policy.evict() return 1.5 end",
    "returned 1.5" },
  { "whose evict names one that is gone", "function policy.evict() return 1000 end",
    "returned 1000" },
  { "whose evict names NaN", "function policy.evict() return 0 / 0 end",
    "returned %-?nan" },
  { "whose evict names a text", 'function policy.evict() return "1" end', "returned 1" },
  { "whose remove raises", 'function policy.remove() error "oh" end', "remove: .*oh" },
  { "that keeps what is removed", "function policy.remove() end",
    "remove: entry %d+ is still in a queue or heap" },
  { "that asks for entries that there are not",
    "function policy.hit() return cache:entry(5000) end", "hit: there is no entry 5000" },
}

describe("the near cache under a policy", function()
  for _, fault in ipairs(FAULTS) do
    it(fault[1] .. " says so once, and goes on under lru with all it has", function()
      local path = policy_file(fault[2])
      new { max_bytes = 20, unit_bytes = 1 }
      for i = 1, 20 do admit("id" .. i, "value") end
      near:set_policy(path)
      for round = 1, 3 do
        look "id20"
        for i = 1, 3 do admit(("more%d.%d"):format(round, i), "value") end
        near:remove(1, near:type_number "session", "more1.1", "deleted")
      end
      assert.equal(1, #log)
      assert.equal("error", log[1][1])
      assert.match('^policy "' .. path:gsub("%p", "%%%0") .. '": ', log[1][2])
      assert.match(fault[3], log[1][2])
      assert.match("; the cache goes on under lru$", log[1][2])
      assert.equal("lru", near.policy_name)
      assert.equal("value", look "id20")
      assert.is_true(near:stats().entries >= 18)
    end)
  end

  it("is told why each entry goes", function()
    _G.whys = {}
    local ttl_ms = { ["pre-key"] = 1 }
    new { max_bytes = 3, unit_bytes = 1, ttl_ms = ttl_ms, policy = policy_file [[
      local remove = policy.remove
      function policy.remove(e, why)
        table.insert(whys, why)
        remove(e)
      end]] }
    for i = 1, 4 do admit("id" .. i, "value") end
    near:remove(1, near:type_number "session", "id2", "deleted")
    near:drop(1, "invalidated")
    admit("a", "value", nil, "pre-key")
    now_ms = now_ms + 1
    admit("b", "value")
    near:flush "closing"
    assert.same({ "evicted", "deleted", "invalidated", "invalidated", "expired",
      "flushed" }, _G.whys)
    _G.whys = nil
  end)

  it("is told of what has expired also when it comes anew, amid many others", function()
    _G.ids = {}
    new { ttl_ms = 10, policy = policy_file [[
      local remove = policy.remove
      function policy.remove(e, why)
        ids[#ids + 1] = why
        remove(e)
      end]] }
    for i = 1, 200 do admit("id" .. i, "value", "preload") end
    now_ms = now_ms + 10
    assert.is_not_nil(admit("id200", "newer"))
    assert.equal("newer", look "id200")
    -- 64 at most leave at once, and this one.
    assert.equal(136, near:stats().entries)
    assert.equal(65, #_G.ids)
    assert.equal("expired", _G.ids[65])
    assert.same({ useful = 0, wasted = 65 }, near:stats().preload)
    _G.ids = nil
  end)

  it("may refuse the newcomer", function()
    new { max_bytes = 2, unit_bytes = 1,
      policy = policy_file "function policy.evict() return queue.newest end" }
    admit("a", "value")
    admit("b", "value")
    assert.is_nil(admit("c", "value"))
    assert.same({ "value", "value", nil }, { look "a", look "b", look "c" })
    assert.same({ 1, 0 }, { near:stats().refused, near:stats().evictions })
  end)

  it("sees the cache's numbers, the names of types, and its own mark and rank", function()
    _G.seen = {}
    new { max_bytes = 5, unit_bytes = 1, policy = policy_file [[
      function policy.hit(e)
        local entry = cache:entry(e)
        seen = { cache.capacity_bytes, cache.used_bytes, cache.count, cache.now_ms,
          options.types[entry.type], entry.session, entry.size_bytes, entry.hits,
          entry.cost, entry.last_used_ms, entry.inserted_ms, entry.absent,
          entry.preloaded, entry.mark, entry.rank }
        entry.mark, entry.rank = 7, 0.5
      end
      function policy.resize(capacity_bytes) seen = capacity_bytes end]] }
    near:admit(3, near:type_number "pre-key", "1", nil, 2.5, now_ms)
    now_ms = 1005
    look("1", "pre-key", 3)
    assert.same({ 5, 1, 1, 1005, "pre-key", 3, 1, 2, 2.5, 1005, 1000, true, false, 0, 0 },
      _G.seen)
    look("1", "pre-key", 3)
    assert.same({ 7, 0.5 }, { _G.seen[14], _G.seen[15] })
    near:resize(4)
    assert.equal(4, _G.seen)
    _G.seen = nil
  end)

  it("that returns no table, or no function for a hook, is refused", function()
    for text, sentence in pairs {
      ["return 5"] = "returns 5; accepted: a function of the cache",
      ["return function() return 5 end"] = "returns 5; accepted: a table",
      ["return function() return { evict = 1 } end"] =
        "field insert: nil; accepted: a function",
      ["return function() local function f() end "
        .. "return { insert = f, evict = f, remove = f, hit = 1 } end"] =
        "field hit: 1; accepted: a function",
    } do
      local made, message = cache.new { max_bytes = 1,
        policy = temporary.file(text, ".lua") }
      assert.is_nil(made)
      assert.is_not_nil(message:find(sentence, 1, true), message)
    end
  end)
end)
