-- SPDX-License-Identifier: MIT

--- One store with a near cache whose bytes go through a proxy, and somebody who writes to
-- the same server without it: what a case about reads and writes in flight needs. All
-- waiting is for something that happens; how long it takes decides nothing.
-- @module spec.coherence.world

local clock = require "spec.support.clock"
local proxy = require "spec.support.proxy"
local redis_server = require "spec.support.redis_server"

-- Who says this is the subscriber, and who says that a connection that data is read over.
local SUBSCRIBER, DATA = "SUBSCRIBE", "TRACKING"

local KIND = "pre-key"

-- How the records of a session look in each layout: the key, and the field of one.
local LAYOUTS = {
  typed = {
    place = function(session, kind, id)
      return "authstate:{" .. session .. "}:k:" .. kind, id
    end,
    meta = function(session) return "authstate:{" .. session .. "}:meta" end,
  },
  ["hbinduni-hash"] = {
    place = function(session, kind, id) return session .. ":auth", kind .. "-" .. id end,
    meta = function(session) return "authstate:{" .. session .. ":auth}:meta" end,
  },
}

local World = { __name = "world" }
World.__index = World

local world = {}

--- Starts the server and the proxy of many cases.
-- @treturn table `server`, `proxy`, to be given to `world.new`
function world.start()
  local server = redis_server.start()
  return {
    server = server,
    proxy = proxy.start { server = server, count = { SUBSCRIBER, DATA } },
  }
end

--- Opens a store on an empty server; session "s" has two records that are cached.
-- @param place what `start` gave
-- @param authstate the module, perhaps with a bug
-- @param layout name
-- @param options of `open`, besides; `is_direct` = true: not through the proxy
-- @treturn World
function world.new(place, authstate, layout, options)
  local given = {
    redis = place.proxy.url, layout = layout, enable_cache = true,
    log = function() end,
  }
  for name, value in pairs(options or {}) do given[name] = value end
  if given.is_direct then given.redis, given.is_direct = place.server.url, nil end
  place.proxy:pass()
  place.server:command("FLUSHALL")
  local self = setmetatable({
    authstate = authstate, server = place.server, proxy = place.proxy,
    layout = LAYOUTS[layout], layout_name = layout, store = assert(authstate.open(given)),
  }, World)
  self.session, self.barrier = self.store:session "s", self.store:session "barrier"
  self:set("a", "old")
  self:set("b", "other") -- the second write of a session waits for nobody
  assert(self.barrier.keys:set { tctoken = { x = 1 } })
  self:watch()
  self:keep "a"
  self:keep "b"
  return self
end

function World:close()
  self.proxy:pass()
  self.store:close()
end

-- ---- waiting --------------------------------------------------------------------------

--- Lets the store hear of the world until `predicate` says that it is so.
function World:await(predicate, what)
  local deadline_ms = clock.now_ms() + 10000
  while not predicate() do
    assert(clock.now_ms() < deadline_ms, what or "waited in vain")
    if self.is_in_task then
      self.authstate.sleep(1)
    else
      self.store:step()
      clock.sleep(1)
    end
  end
end

--- Does something in a task.
function World:run(fn)
  self.is_in_task = true
  self.authstate.run(fn)
  self.is_in_task = false
end

-- ---- the store ------------------------------------------------------------------------

function World:get(id)
  return assert(self.session.keys:get(KIND, { id }))[id]
end

function World:set(id, value, options)
  assert(self.session.keys:set({ [KIND] = { [id] = value } }, options))
end

-- Whether a read comes from the cache.
local function is_hit(self, session, kind, id)
  local before = self.store:stats().cache.hits
  assert(session.keys:get(kind, { id }))
  return self.store:stats().cache.hits > before
end

--- Whether a read comes from the cache.
function World:is_hit(id)
  return is_hit(self, self.session, KIND, id)
end

--- Reads a record until it comes from the cache.
function World:keep(id)
  self:await(function() return is_hit(self, self.session, KIND, id) end, "not cached")
end

--- The same for the record by which `sync` sees that all was told.
function World:watch()
  self:await(function() return is_hit(self, self.barrier, "tctoken", "x") end,
    "not cached")
end

-- ---- the server -----------------------------------------------------------------------

--- What somebody else writes, as Node would; returns when the server has handed out all
-- that it has to tell of it.
function World:write(id, text)
  local key, field = self.layout.place("s", KIND, id)
  assert(self.server:command("HSET", key, field, ('"%s"'):format(text)))
  self.server:command "PING"
end

--- The command that does so, for a pipeline.
function World:write_command(id, text)
  local key, field = self.layout.place("s", KIND, id)
  return { "HSET", key, field, ('"%s"'):format(text) }
end

--- Waits until the store was told all that the server has to tell so far. `watch` was
-- called before, since the last `sync`.
function World:sync()
  local key, field = self.layout.place("barrier", "tctoken", "x")
  assert(self.server:command("HSET", key, field, "1"))
  self:await(function()
    local found = self.store:stats().cache.types.tctoken
    return found.bytes == 0
  end, "nothing was told")
end

--- Takes a record out of the cache: somebody writes it.
function World:replace(id, text)
  self:write(id, text)
  self:sync()
  self:watch()
end

local function calls(self, command)
  local stats = self.server:command("INFO", "commandstats")
  return tonumber(stats:match("cmdstat_" .. command .. ":calls=(%d+)") or 0)
end

--- Starts a task that does something, and waits until the server has executed a command
-- of it.
-- @param command of Redis, in small letters
-- @param fn function
-- @return the task
function World:begin(command, fn)
  local before = calls(self, command)
  local task = self.authstate.spawn(fn)
  local deadline_ms = clock.now_ms() + 10000
  while calls(self, command) == before do
    assert(clock.now_ms() < deadline_ms, "the server did not execute " .. command)
    self.authstate.sleep(1)
  end
  return task
end

--- What a task has returned, when it has ended.
function World.result(_, task)
  local _, value = assert(task:wait(10000))
  return value
end

-- ---- holding --------------------------------------------------------------------------

--- What the server answers on the data connection waits in the proxy.
function World:hold()
  self.proxy:hold { direction = "reply", sent = DATA }
end

function World:release()
  self.proxy:release { sent = DATA }
end

--- Cuts the data connection.
function World:lose()
  self.proxy:cut { sent = DATA }
end

--- Lets the server end all connections but ours, and execute a command right behind
-- that, when nobody is there to be told.
function World:cut_data(command)
  self.losses = self.store:stats().cache.flushes.connection or 0
  self.server:pipeline {
    { "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes" }, command,
  }
end

--- Whether the store has noted what `cut_data` did.
function World:is_lost()
  return (self.store:stats().cache.flushes.connection or 0) > self.losses
end

--- What the server tells waits in the proxy.
function World:silence()
  self.proxy:hold { direction = "reply", sent = SUBSCRIBER }
end

return world
