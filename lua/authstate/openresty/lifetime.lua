-- SPDX-License-Identifier: MIT
--- How long what runs in the background may stay: as long as the Lua state, which ends
-- with the worker, or with lua_code_cache off with the request it was made for. nginx
-- waits for all timers, so they must end before.

local bell = require "authstate.openresty.bell"
local core = require "authstate.core"
local process = require "authstate.process"
local prompt_timer = require "authstate.openresty.prompt_timer"

local lifetime = {}

--- How often one looks, in ms, who was not told that he must go.
lifetime.LOOK_MS = 2000

--- How long connections stay open that nobody uses, when they must go.
lifetime.LINGER_MS = 300

-- Whether the Lua state outlives this request. One that was made in the worker, and has
-- served one request only, may be that request's own (lua_code_cache off).
local is_lasting = false
local first_request
local was_made_in = process.number()
local was_made_for_worker = ngx.get_phase() == "init_worker"

local function request_name()
  local var = ngx.var
  return var.pid .. ":" .. var.connection .. ":" .. var.connection_requests
end

local watched = {} -- bells of those who must know that the worker leaves
local is_watching = false

local function ring_all()
  for _, each in pairs(watched) do bell.ring_once(each) end
end

-- What is rung for in a timer that was fired early waits for the next event of nginx,
-- which may be long in coming; so another timer rings.
local function watch(premature)
  if premature then
    prompt_timer.at(0, ring_all)
  else
    is_watching = prompt_timer.at(bell.LONG_S, watch)
  end
end

-- nginx fires pending timers early in a worker that leaves.
local function note_lasting()
  is_lasting = true
  is_watching = prompt_timer.at(bell.LONG_S, watch)
end

--- Looks whether there is a second request, or anything else that only a lasting Lua
-- state sees. To be called before each use.
function lifetime.note_use()
  if is_watching then return end
  if is_lasting or was_made_for_worker or was_made_in ~= process.number() or
     ngx.get_phase() == "init_worker" then
    note_lasting()
  elseif ngx.get_phase() ~= "timer" then
    local is_told, name = pcall(request_name)
    if not is_told then return end
    first_request = first_request or name
    if name ~= first_request then note_lasting() end
  end
end

-- Notes of the process, not of the Lua state.
local IS_USED = "AUTHSTATE_USED_BY_" .. ngx.config.subsystem:upper()
local IS_WARNED = "AUTHSTATE_HAS_WARNED"

local noted_in -- the process in which this Lua state was noted
local is_first -- what was found then

--- A Lua state begins to use authstate. Warns, once in a worker, when another one has
-- done so. No effect when it has been noted.
-- @return whether none has: one behind another serves a single request
function lifetime.note_state()
  if noted_in == process.number() then return is_first end
  noted_in, is_first = process.number(), core.is_first(IS_USED)
  if is_first or not core.is_first(IS_WARNED) then return is_first end
  ngx.log(ngx.WARN, "authstate: lua_code_cache is off: each request loads all code and ",
    "makes connections of its own; for development only")
  return is_first
end

--- Whether what nobody uses must go.
function lifetime.must_go()
  return not is_lasting or ngx.worker.exiting()
end

--- Notes whose bell is rung when the worker begins to leave.
-- @param who any key
-- @param its_bell nil: nobody's any more
function lifetime.watch(who, its_bell)
  watched[who] = its_bell
end

return lifetime
