-- SPDX-License-Identifier: MIT

--- What must hold while reads and writes are in flight, one case or more for each rule of
-- near caches (sections 3 and 4 of the protocol), and bugs that break the rule:
--
--   { rule, says, run = function(world), options = of `open`, plants = { plant, ... } }
--
-- `run` raises when a read gave what it must not; with each of the plants it does. A
-- plant is what `planted` takes, with a name.
-- @module spec.coherence.cases

local clock = require "spec.support.clock"

local COHERENCE, WRITER = "authstate.coherence", "authstate.writer"
local SCRIPTS, READ = "authstate.server_scripts", "authstate.cached_read"

local cases = {}

local function case(fields) cases[#cases + 1] = fields end

local function expect(wanted, found, what)
  if wanted ~= found then
    error(("%s: wanted %s, got %s"):format(what, tostring(wanted), tostring(found)), 0)
  end
end

-- ---- 4.2: what is written is watched again --------------------------------------------

-- The texts of our scripts without their last command but the answer.
local NO_EXISTS = {
  SCRIPTS, [[local source = file:read("*a")]],
  [[local source = file:read("*a"):gsub('call_on_keys%("EXISTS", 1%)', "")]],
}

-- The same command, but by itself, when the script has answered.
local EXISTS_BEHIND = {
  WRITER, [[  near:end_write(ticket, is_whole and written_generation(replies) or nil)]],
  [[
  for _, group in ipairs(batch.groups) do
    self.store:perform(call, { commands = { { "EXISTS", group.key } } })
  end
  near:end_write(ticket, is_whole and written_generation(replies) or nil)]],
}

case {
  rule = "4.2", says = "a key that was written is watched again",
  run = function(world)
    world:set("b", "mine")
    world:replace("a", "foreign")
    expect("foreign", world:get "a", "what was written behind an own write")
  end,
  plants = { { name = "no EXISTS in the script", NO_EXISTS } },
}

case {
  rule = "4.2", says = "it is from the moment of the write on, not from its answer on",
  run = function(world)
    world:hold()
    local task = world:begin("evalsha", function() world:set("a", "mine") end)
    world:write("a", "foreign")
    world:sync()
    world:release()
    world:result(task)
    world:watch()
    expect("foreign", world:get "a", "what was written behind an own write in flight")
  end,
  plants = {
    { name = "no EXISTS in the script", NO_EXISTS },
    { name = "EXISTS goes behind the script, by itself", NO_EXISTS, EXISTS_BEHIND },
    { name = "an invalidation does not mark a write in flight", {
      COHERENCE, [[
    return stream ~= 0 and place.writes == 0 and self:is_unmarked(epoch, mark, place)
]], "    return stream ~= 0 and place.writes == 0\n",
    } },
  },
}

case {
  rule = "4.2", says = "a plain write is watched again, too",
  options = { writes = "plain" },
  run = function(world)
    world:set("b", "mine")
    world:replace("a", "foreign")
    expect("foreign", world:get "a", "what was written behind a plain write")
  end,
  plants = {
    {
      -- Of what is sent, since these words are made in C: another command with as many
      -- keys that changes nothing and reads nothing.
      name = "no EXISTS in the transaction",
      damage = { from = "$6\r\nEXISTS\r\n", to = "$4\r\nHDEL\r\n" },
    },
  },
}

case {
  rule = "4.2", says = "a write of unknown outcome takes what it may have changed",
  run = function(world)
    world:hold()
    local task = world:begin("evalsha", function()
      local done, _, code = world.session.keys:set({ ["pre-key"] = { a = "mine" } },
        { timeout_ms = 200 })
      expect(nil, done, "the write")
      expect("timeout", code, "its code")
    end)
    world:result(task)
    world:release()
    world:watch()
    expect("mine", world:get "a", "after a write that was done, and not answered")
  end,
  plants = {
    { name = "what a failed write has withheld is served again", {
      COHERENCE, [[
  drop_place(self, place, "invalidated")
  return false]], [[
  for e = 1, self.cache.core.slots - 1 do
    local entry = self.cache.core.entries[e]
    entry.state = entry.state % 128 -- without AS_CACHE_WITHHELD
  end
  return false]],
    } },
  },
}

case {
  rule = "4.2", says = "a write that was refused is not taken for one that was done",
  run = function(world)
    local done, _, code = world.session.keys:set({ ["pre-key"] = { a = "mine" } },
      { expect = 77 })
    expect(nil, done, "the write")
    expect("conflict", code, "its code")
    world:watch()
    expect("old", world:get "a", "after a write that was refused")
  end,
  plants = {
    { name = "a refused write is taken for one that was done", {
      WRITER, [[is_whole and written_generation(replies) or nil)]],
      [[ticket.record.known)]],
    } },
  },
}

-- ---- 4.3 (a): what is being written ---------------------------------------------------

for _, each in ipairs {
  { says = "what is being written is not served", value = "mine", wanted = "mine",
    plant = {
      name = "what is being written is served",
      { "authstate.cache", "  library.authstate_cache_withhold(self.core, e)\n", "" },
    } },
  { says = "what is being deleted is not served", value = nil, wanted = nil,
    plant = {
      name = "what is being deleted is served",
      { COHERENCE,
        "      withhold_all(self, record, group.deleted_kinds, group.deletes, 1)\n", "" },
    } },
} do
  case {
    rule = "4.3 (a)", says = each.says,
    run = function(world)
      world:hold()
      local writing = world:begin("evalsha", function()
        world:set("a", each.value or world.authstate.null)
      end)
      local reading = world.authstate.spawn(function() return world:get "a" end)
      world.authstate.sleep(1)
      world:release()
      expect(each.wanted, world:result(reading), "while an own write was in flight")
      world:result(writing)
    end,
    plants = { each.plant },
  }
end

-- ---- 4.3 (b): what marks a read in flight ---------------------------------------------

-- A read of "a" that was executed, and whose answer waits.
local function begin_read(world)
  world:hold()
  return world:begin("hmget", function() return world:get "a" end)
end

case {
  rule = "4.2", says = "what others write is heard of",
  run = function(world)
    world:replace("a", "foreign")
    expect("foreign", world:get "a", "what somebody has written")
  end,
  plants = {
    { name = "what others write is not heard of", {
      COHERENCE, [[    drop_place(self, place, "invalidated")
  end
end]], [[    if place.key:find "barrier" then drop_place(self, place, "invalidated") end
  end
end]],
    } },
  },
}

case {
  rule = "4.3 (b)", says = "a read in flight is not kept when the key was invalidated",
  run = function(world)
    world:replace("a", "first")
    local reading = begin_read(world)
    world:write("a", "second")
    world:sync()
    world:release()
    world:result(reading)
    world:watch()
    expect("second", world:get "a", "what was written while a read was in flight")
  end,
  plants = {
    { name = "an invalidation does not mark a read in flight", {
      COHERENCE, [[
local function drop_place(self, place, why)
  place.mark = place.mark + 1
]], "local function drop_place(self, place, why)\n",
    } },
  },
}

-- The growth of a mark by an own write, and what looks at writes in flight besides.
local NO_WRITE_MARKS = {
  COHERENCE, "place.mark, place.writes = place.mark + 1, place.writes + 1",
  "place.writes = place.writes + 1",
}

case {
  rule = "4.3 (b)", says = "a read in flight is not kept when the key is being written",
  run = function(world)
    world:replace("a", "first")
    world:hold()
    local reading = world:begin("hmget", function()
      world:get "a"
      return world:get "a" -- before anybody else goes on
    end)
    local writing = world:begin("evalsha", function() world:set("a", "mine") end)
    world:release()
    expect("mine", world:result(reading), "behind an own write")
    world:result(writing)
  end,
  plants = {
    { name = "an own write does not mark a read in flight", NO_WRITE_MARKS, {
      COHERENCE, [[self:is_unmarked(epoch, mark, place) and place.writes == 0 and
    place.record.writes == 0]], [[self:is_unmarked(epoch, mark, place)]],
    } },
  },
}

case {
  rule = "4.3 (b)", says = "a read in flight is not kept when its connection is lost",
  run = function(world)
    world:replace("a", "first")
    local reading = begin_read(world)
    world:lose()
    world:release()
    expect("first", world:result(reading), "a read whose connection was lost")
    world:watch()
    world:cut_data(world:write_command("a", "second"))
    world:await(function() return world:is_lost() end)
    world:watch()
    expect("second", world:get "a", "what was written while nobody watched")
  end,
  plants = {
    { name = "a lost connection does not mark what is in flight", {
      COHERENCE, [[function on.lost(self, stream)
  self.epoch = self.epoch + 1
  for _, record in pairs(self.records) do
    if record.stream == stream then
      drop_record(self, record, "flushed")]], [[function on.lost(self, stream)
  for _, record in pairs(self.records) do
    if record.stream == stream then
      self.cache:drop(record.number, "flushed")
      record.generation, record.known = nil, nil]],
    } },
  },
}

-- ---- 4.3 (c): what a read may join ----------------------------------------------------

-- Reads of one record join the one that is in flight, whatever came meanwhile.
local JOINS_ALL = {
  READ, "  local record = near:record(handle.id)\n", [[
  local name, scheduler = kind .. "\0" .. ids[1], require "authstate.scheduler"
  near.joined = near.joined or {}
  local other = near.joined[name]
  if other then
    while not other.found do scheduler.sleep(1) end
    return other.found
  end
  local mine = {}
  near.joined[name] = mine
  local record = near:record(handle.id)
]],
}
local JOINS_END = {
  READ, [[  if not is_open then return nil, message, code, details end
  if not ids[2] ]], [[  mine.found, near.joined[name] = found, nil
  if not is_open then return nil, message, code, details end
  if not ids[2] ]],
}
local NO_QUICK_READS = {
  "authstate.quick_way", "if near.rule or not is_single(ids) then", "if true then",
}
local JOINS = {
  name = "a read joins whatever read is in flight", JOINS_ALL, JOINS_END, NO_QUICK_READS,
}

case {
  rule = "4.3 (c)", says = "a read does not join one that was invalidated in flight",
  run = function(world)
    world:replace("a", "first")
    local first = begin_read(world)
    world:write("a", "second")
    world:sync()
    local second = world.authstate.spawn(function() return world:get "a" end)
    world.authstate.sleep(1)
    world:release()
    world:result(first)
    expect("second", world:result(second), "a read behind what was told")
  end,
  plants = { JOINS },
}

case {
  rule = "4.3 (c)", says = "a read does not join one that an own write came behind",
  run = function(world)
    world:replace("a", "first")
    local first = begin_read(world)
    local writing = world:begin("evalsha", function() world:set("a", "mine") end)
    local second = world.authstate.spawn(function() return world:get "a" end)
    world.authstate.sleep(1)
    world:release()
    world:result(first)
    world:result(writing)
    expect("mine", world:result(second), "a read behind an own write")
  end,
  plants = { JOINS },
}

-- ---- 4.3 (d): several writes in flight ------------------------------------------------

case {
  rule = "4.3 (d)", says = "a write is not kept while a later one is in flight",
  options = { writes = "plain" },
  run = function(world)
    world:hold()
    local first = world:begin("exec", function()
      world:set("a", "one")
      return world:get "a" -- before the other one goes on
    end)
    local second = world:begin("exec", function() world:set("a", "two") end)
    world:release()
    expect("two", world:result(first), "behind the second of two own writes")
    world:result(second)
  end,
  plants = {
    { name = "a write is kept while a later one is in flight", NO_WRITE_MARKS, {
      COHERENCE, "return stream ~= 0 and place.writes == 0 and self",
      "return stream ~= 0 and self",
    } },
  },
}

-- ---- 4.3 (e): a flush -----------------------------------------------------------------

-- All goes, and nothing in flight is marked.
local FLUSH_WITHOUT_MARKS = {
  COHERENCE, [[
  self.epoch = self.epoch + 1
  for _, record in pairs(self.records) do drop_record(self, record, "flushed") end]], [[
  for _, record in pairs(self.records) do
    self.cache:drop(record.number, "flushed")
    record.generation, record.known = nil, nil
  end]],
}

case {
  rule = "4.3 (e)", says = "a read in flight is not kept when all was flushed",
  run = function(world)
    world:replace("a", "first")
    local reading = begin_read(world)
    local before = world.store:stats().cache.flushes.flushed or 0
    world.server:command "FLUSHALL"
    world:await(function()
      return (world.store:stats().cache.flushes.flushed or 0) > before
    end)
    world:release()
    world:result(reading)
    -- Nothing of "barrier" is left either, but it can be watched as what is not there.
    assert(world.barrier:load_creds() == nil)
    world:watch()
    local found, _, code = world.session.keys:get("pre-key", { "a" })
    expect(nil, found and found.a, "after FLUSHALL")
    expect("fenced", code, "its code")
  end,
  plants = { { name = "a flush does not mark what is in flight", FLUSH_WITHOUT_MARKS } },
}

case {
  rule = "4.3 (e)", says = "a write in flight is not kept when the subscriber was lost",
  run = function(world)
    world:hold()
    local writing = world:begin("evalsha", function() world:set("a", "mine") end)
    local before = world.store:stats().cache.flushes.subscriber or 0
    world.server:pipeline {
      { "CLIENT", "KILL", "TYPE", "pubsub" }, world:write_command("a", "foreign"),
    }
    world:await(function()
      return (world.store:stats().cache.flushes.subscriber or 0) > before
    end)
    world:release()
    world:result(writing)
    world:watch()
    expect("foreign", world:get "a", "what was written while nobody watched")
  end,
  plants = { { name = "a flush does not mark what is in flight", FLUSH_WITHOUT_MARKS } },
}

-- ---- generations ----------------------------------------------------------------------

case {
  rule = "3.4", says = "nothing is served of a session whose generation is in doubt",
  run = function(world)
    -- Of a key that is not there nothing is told when the session goes, but of its meta.
    world:set("a", world.authstate.null)
    world:set("b", world.authstate.null)
    world:await(function()
      local before = world.store:stats().cache.hits
      assert(world.session.keys:get("identity-key", { "x" }))
      return world.store:stats().cache.hits > before
    end)
    local other = assert(world.authstate.open {
      redis = world.server.url, layout = world.layout_name,
    })
    assert(other:session("s"):delete())
    other:close()
    world:sync()
    world:watch()
    local found, _, code = world.session.keys:get("identity-key", { "x" })
    expect(nil, found, "a read of the session that was deleted")
    expect("fenced", code, "its code")
  end,
  plants = {
    { name = "a change of meta brings no doubt", {
      COHERENCE, "place.mark, place.generation = place.mark + 1, nil",
      "place.mark = place.mark + 1",
    } },
  },
}

-- ---- 4.4 to 4.6: losses, silence, and what was received -------------------------------

case {
  rule = "4.4", says = "what was read over a lost connection goes",
  run = function(world)
    world:cut_data(world:write_command("a", "second"))
    world:await(function() return world:is_lost() end)
    world:watch()
    expect("second", world:get "a", "what was written while nobody watched")
  end,
  plants = {
    { name = "a lost connection is not noted",
      { COHERENCE, "    if record.stream == stream then\n", "    if false then\n" } },
  },
}

case {
  rule = "4.5", says = "nothing is served for longer than a check while nobody answers",
  run = function(world)
    world:silence()
    world:write("a", "second")
    clock.sleep(1050)
    expect("second", world:get "a", "a second after the subscriber fell silent")
  end,
  plants = {
    { name = "all is served while nobody answers", {
      COHERENCE, "  self.serves, self.turned_ms = is_live, looked_ms or now_ms\n",
      "  self.serves, self.turned_ms = self.serves or is_live, now_ms\n",
    } },
  },
}

case {
  rule = "4.5", says = "the time to live counts from when a read was sent",
  options = { cache_ttl_ms = 1000 },
  run = function(world)
    world:replace("a", "first")
    local sent_ms = clock.now_ms()
    local reading = begin_read(world)
    clock.sleep(800)
    world:release()
    world:result(reading)
    world:keep "b" -- it is served now
    while clock.now_ms() < sent_ms + 1100 do world.authstate.sleep(1) end
    expect(false, world:is_hit "a", "a read of what was sent for 1100 ms ago is a hit")
  end,
  plants = {
    { name = "the time to live counts from when the answer came", {
      COHERENCE, "values[i] or nil, 1, ticket.sent_ms,",
      "values[i] or nil, 1, clock.now_ms(),",
    }, {
      COHERENCE, "stored, 1, sent_ms, \"read\")", "stored, 1, clock.now_ms(), \"read\")",
    } },
  },
}

-- Who looks at what has come only while the loop turns anyway. A reader that never waits
-- gives the loop no turn: with this bug it would read the same for ever.
local NO_PUMP = {
  name = "nobody looks at what has come before a hit",
  { COHERENCE, "coherence.PUMP_GAP_MS = 5", "coherence.PUMP_GAP_MS = math.huge" },
  { COHERENCE, "return self.driver:pump(now_ms) and self.serves",
    "return self.serves or self.driver:pump(now_ms) and self.serves" },
}

case {
  rule = "4.6", says = "outside of tasks what has come is looked at before each read",
  options = { is_direct = true }, is_blocking = true,
  run = function(world)
    for i = 1, 20 do
      world:write("a", tostring(i))
      expect(tostring(i), world:get "a", "the read behind what was received")
      world:keep "a"
    end
  end,
  plants = { NO_PUMP },
}

case {
  rule = "4.6", says = "in a task that has not waited for long it is, too",
  options = { is_direct = true },
  run = function(world)
    for i = 1, 5 do
      world:write("a", tostring(i))
      clock.sleep(15) -- 5 ms, and the steps of the coarse clock
      expect(tostring(i), world:get "a", "the read behind what was received")
      world:keep "a"
    end
  end,
  plants = { NO_PUMP },
}

--- A plant by its name.
function cases.plant(name)
  for _, each in ipairs(cases) do
    for _, plant in ipairs(each.plants) do
      if plant.name == name then return plant end
    end
  end
  error("there is no plant " .. name)
end

return cases
