-- SPDX-License-Identifier: MIT

-- Bugs of a client, put between the engine and the server: the checker sees each of them
-- within a few seeds. Without them it sees nothing in the same seeds.

local core = require "authstate.core"
local dice = require "authstate.sim.dice"
local resp = require "authstate.sim.resp"
local server_scripts = require "authstate.server_scripts"
local sim = require "authstate.sim"

local MOST_SEEDS = 200

-- Puts `handle` in the place of what the server does with each request that has come.
-- handle(server, client, requests) -> list of the bytes of replies
local function intercept(world, handle)
  world.server.receive = function(self, client, bytes)
    local input, at, requests = client.input .. bytes, 1, {}
    while true do
      local request, place = resp.parse(input, at)
      if not request then break end
      requests[#requests + 1], at = request, place
    end
    client.input = input:sub(at)
    return handle(self, client, requests)
  end
end

-- The same for each request by itself. handle(server, client, request) -> bytes, ...
local function intercept_each(world, handle)
  intercept(world, function(server, client, requests)
    local replies = {}
    for _, request in ipairs(requests) do
      if client.is_dead then break end
      for _, reply in ipairs { handle(server, client, request) } do
        replies[#replies + 1] = reply
      end
    end
    return replies
  end)
end

local function answer(server, client, request)
  return resp.encode(server:request(client, request))
end

-- Whether a write comes again, on another connection than the first time.
local function resend_finder()
  local first_clients = {}
  return function(client, request)
    if request[1] ~= "EVALSHA" then return false end
    local name = table.concat(request, "\0")
    local first = first_clients[name]
    first_clients[name] = first or client
    return first ~= nil and first ~= client
  end
end

local plants = {}

plants["replies matched wrongly"] = function(world)
  intercept(world, function(server, client, requests)
    local replies, read = {}, nil
    for i, request in ipairs(requests) do
      if client.is_dead then break end
      replies[i] = answer(server, client, request)
      if request[1] == "HMGET" and not client.queue then
        if read then replies[read], replies[i] = replies[i], replies[read] end
        read = i
      end
    end
    return replies
  end)
end

plants["a retry dropped, and the next reply taken for its own"] = function(world)
  local is_resend = resend_finder()
  intercept_each(world, function(server, client, request)
    if is_resend(client, request) then return end
    return answer(server, client, request)
  end)
end

plants["a retry dropped, and taken for done"] = function(world)
  local is_resend = resend_finder()
  intercept_each(world, function(server, client, request)
    if is_resend(client, request) then
      return resp.encode { "again", "1790001000000000", "1" }
    end
    return answer(server, client, request)
  end)
end

plants["a retry sent twice"] = function(world)
  local is_resend = resend_finder()
  intercept_each(world, function(server, client, request)
    if is_resend(client, request) then
      return answer(server, client, request), answer(server, client, request)
    end
    return answer(server, client, request)
  end)
end

plants["no CLIENT KILL before the resend"] = function(world)
  intercept_each(world, function(server, client, request)
    if request[1] == "CLIENT" and request[2] == "KILL" then return resp.encode(1) end
    return answer(server, client, request)
  end)
end

-- What the server refused for now goes again by itself, behind what followed it.
plants["one operation retried alone"] = function(world)
  world.faults.means_ms.noscript = 30
  intercept(world, function(server, client, requests)
    local replies, refused = {}, {}
    for i, request in ipairs(requests) do
      replies[i] = answer(server, client, request)
      if request[1] == "EVALSHA" and replies[i]:find "^%-NOSCRIPT" then
        refused[#refused + 1] = i
      end
    end
    for _, i in ipairs(refused) do
      for _, source in ipairs(server_scripts.sources()) do
        server:request(client, { "SCRIPT", "LOAD", source })
      end
      replies[i] = answer(server, client, requests[i])
    end
    return replies
  end)
end

-- The server runs scripts that do not look at it, under the names of ours.
plants["no token"] = function(world)
  local sandbox = world.server.sandbox
  local load = sandbox.load
  sandbox.load = function(self, source)
    local digest, wrong = load(self, source)
    local careless, count = source:gsub("local token = check_token%b()", "local token")
    if count > 0 then
      local other = load(self, careless)
      self.chunks[digest] = self.chunks[other]
    end
    return digest, wrong
  end
end

plants["a write acknowledged that was not sent"] = function(world)
  local chance = dice.new(world.settings.seed, 77)
  intercept_each(world, function(server, client, request)
    if request[1] == "EVALSHA" and chance:chance(0.05) then
      return resp.encode { "ok", "1790001000000000", "1" }
    end
    return answer(server, client, request)
  end)
end

plants["a deadline that nobody watches"] = function(world)
  local late_ms = 50
  for _, store in ipairs(world.stores) do
    local driver = store.driver
    local perform = driver.perform
    driver.perform = function(self, request)
      request.deadline_ms = request.deadline_ms + late_ms
      return perform(self, request)
    end
  end
end

-- Bytes of a lost connection that the server did not let us end come when the session
-- takes writes again.
plants["no quarantine"] = function(world)
  world.faults.means_ms.reset, world.faults.latency_ms = 100, 15
end

-- The same with options that a store would not be given.
local ENGINES = { ["no quarantine"] = { quarantine_ms = 0 } }

-- Calls a function while all new engines are made with other options.
local function with_engines(changes, fn, ...)
  local engine = core.engine
  core.engine = function(config)
    for name, value in pairs(changes) do config[name] = value end
    return engine(config)
  end
  local is_whole, result = pcall(fn, ...)
  core.engine = engine
  return is_whole and result or error(result, 0)
end

-- What helps each to be seen soon.
local FAULTS = {
  ["no quarantine"] = {
    nokill = true, late = true, reset = true, delay = true, others = false,
  },
  ["no CLIENT KILL before the resend"] = {
    late = true, silence = true, reset = true, delay = true,
  },
  ["one operation retried alone"] = { noscript = true },
  ["a retry sent twice"] = { reset = true, delay = true },
  ["a retry dropped, and the next reply taken for its own"] = {
    reset = true, delay = true,
  },
  ["a retry dropped, and taken for done"] = { reset = true, delay = true },
  ["no token"] = { reset = true, delay = true },
}

describe("a planted bug", function()
  for name, plant in pairs(plants) do
    it("is seen: " .. name, function()
      local faults, is_seen = FAULTS[name] or {}, false
      for seed = 1, MOST_SEEDS do
        local report = with_engines(ENGINES[name] or {}, sim.run, {
          seed = seed, faults = faults,
          prepare = function(world)
            if name:find "retry" then world.faults.means_ms.reset = 100 end
            plant(world)
          end,
        })
        if report.violations[1] then
          is_seen = true
          if os.getenv "PLANTED" then
            print(name, seed, report.violations[1].sentence)
          end
          break
        end
      end
      assert.is_true(is_seen)
    end)
  end

  it("is what was seen: nothing is wrong without one", function()
    local none = { ["no faults named"] = {} }
    for name, faults in pairs(FAULTS) do none[name] = faults end
    for _, faults in pairs(none) do
      for seed = 1, 20 do
        local report = sim.run {
          seed = seed, faults = faults,
          prepare = function(world) intercept_each(world, answer) end,
        }
        assert.same({}, report.violations)
      end
    end
  end)
end)
