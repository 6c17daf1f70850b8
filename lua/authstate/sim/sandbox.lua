-- SPDX-License-Identifier: MIT
--- Runs the scripts of Redis on the model of it: their own text, in an environment like
-- the one that Redis gives them, where redis.call reaches the model.

local core = require "authstate.core"

local Sandbox = { __name = "authstate.sim.sandbox" }
Sandbox.__index = Sandbox

local sandbox = {}

local GLOBALS = {
  "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring",
  "type", "unpack", "xpcall", "setmetatable", "getmetatable", "rawget", "rawset",
  "rawequal", "math", "string", "table",
}

-- What a script passes to redis.call, as strings.
local function request_of(...)
  local request = { ... }
  for i = 1, select("#", ...) do
    local kind = type(request[i])
    if kind == "number" then
      request[i] = ("%.17g"):format(request[i])
    elseif kind ~= "string" then
      return nil
    end
  end
  return request[1] and request
end

local BAD_ARGUMENTS = {
  err = "ERR Lua redis lib command arguments must be strings or integers",
}

local function copy_globals()
  local copied = { bit = require "bit" }
  for _, name in ipairs(GLOBALS) do copied[name] = _G[name] end
  return copied
end

--- @param call function(request) -> reply: does a command for a script
function sandbox.new(call)
  local self = setmetatable({ chunks = {}, sources = {} }, Sandbox)
  local environment = copy_globals()
  local function pcall_command(...)
    local request = request_of(...)
    if not request then return BAD_ARGUMENTS end
    return call(request)
  end
  environment.redis = {
    pcall = pcall_command,
    call = function(...)
      local reply = pcall_command(...)
      if type(reply) == "table" and reply.err then error(reply, 0) end
      return reply
    end,
    error_reply = function(text)
      local words = text:gsub("^%-", "")
      return { err = words:find(" ", 1, true) and words or "ERR " .. words }
    end,
    status_reply = function(text) return { ok = text } end,
    acl_check_cmd = function() return true end,
    sha1hex = core.sha1_hex,
    log = function() end,
    LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  }
  self.environment = environment
  return self
end

--- The flags of the first line, `#!lua flags=a,b`.
-- @return set; nil without such a line
function sandbox.flags(source)
  local line = source:match "^#!lua([^\n]*)\n"
  if not line then return nil end
  local flags = {}
  for flag in (line:match "flags=(%S+)" or ""):gmatch "[^,]+" do flags[flag] = true end
  return flags
end

--- Takes a script in.
-- @return its digest; or nil and an error reply
function Sandbox:load(source)
  local digest = core.sha1_hex(source)
  if self.chunks[digest] then return digest end
  local chunk, message = loadstring((source:gsub("^#![^\n]*", "")), "@user_script")
  if not chunk then
    return nil, { err = "ERR Error compiling script (new function): " .. message }
  end
  self.chunks[digest] = {
    run = setfenv(chunk, self.environment), flags = sandbox.flags(source),
  }
  return digest
end

--- Forgets all scripts.
function Sandbox:flush()
  self.chunks = {}
end

--- What is known of a script: { flags = set, nil for one without a line of its own that
-- tells them }; nil when it is not here.
function Sandbox:find(digest)
  return self.chunks[digest:lower()]
end

-- What a script returns, as a reply.
local function reply_of(value)
  local kind = type(value)
  if kind == "number" then return value < 0 and math.ceil(value) or math.floor(value) end
  if kind == "string" then return value end
  if kind == "boolean" then return value and 1 or false end
  if kind ~= "table" then return false end
  if type(value.err) == "string" then return { err = value.err } end
  if type(value.ok) == "string" then return { ok = value.ok } end
  local list = {}
  for i, each in ipairs(value) do list[i] = reply_of(each) end
  return list
end

--- Runs a script that `find` gave.
-- @param script see `find`
-- @param keys list of strings
-- @param arguments list of strings
-- @return reply
function Sandbox:run(script, keys, arguments)
  local environment = self.environment
  environment.KEYS, environment.ARGV = keys, arguments
  local is_whole, result = pcall(script.run)
  if is_whole then return reply_of(result) end
  if type(result) == "table" and result.err then return { err = result.err } end
  return { err = "ERR " .. tostring(result):gsub("\n.*", "") }
end

return sandbox
