-- SPDX-License-Identifier: MIT
--- authstate run: a Lua script of the user's, with a store ready.
--
-- The script is a chunk whose arguments are the store and the words behind SCRIPT. What
-- it returns decides: nothing, nil alone or any value but false is done; `nil, message`
-- and `false, message`, as a failed call returns them, failed. An error is told in one
-- line that begins with the place in the script. The store is closed whatever happens,
-- also when the script calls os.exit.

local authstate = require "authstate"
local core = require "authstate.core"
local failure = require "authstate.failure"

local FAILED = 1

-- ---- reading the script ---------------------------------------------------------------

local function read_file(path)
  local file, reason = io.open(path, "rb")
  if not file then return nil, reason end
  local text
  text, reason = file:read "*a"
  file:close()
  if not text then return nil, path .. ": " .. reason end
  return text
end

local function read_script(path)
  if path ~= "-" then return read_file(path) end
  local text, reason = io.stdin:read "*a"
  if not text then return nil, "standard input: " .. reason end
  return text
end

-- Also behind a byte order mark and a first line for the shell, which LuaJIT passes over.
local function is_bytecode(text)
  return text:gsub("^\239\187\191", ""):gsub("^#[^\n]*\n", ""):sub(1, 1) == "\27"
end

-- The script as a function and its name in messages; or nil and a sentence.
local function load_script(path)
  local text, reason = read_script(path)
  if not text then return nil, reason end
  local name = path == "-" and "stdin" or path
  if is_bytecode(text) then
    return nil, name .. " is LuaJIT bytecode, which is not run, because nothing checks "
      .. "it and another LuaJIT reads it as something else; give the Lua source"
  end
  local chunk
  chunk, reason = load(text, (path == "-" and "=" or "@") .. name, "t")
  if not chunk then return nil, reason end
  return chunk, name
end

-- ---- what the script finds ------------------------------------------------------------

-- Finds modules beside the script, before those of LuaJIT's search path. (A directory in
-- package.path could not have ; or ? in its name.)
local function new_searcher(directory)
  return function(name)
    local base, tried = directory .. "/" .. name:gsub("%.", "/"), {}
    for _, tail in ipairs { ".lua", "/init.lua" } do
      local file = io.open(base .. tail, "rb")
      if file then
        file:close()
        local chunk, message = loadfile(base .. tail, "t")
        if not chunk then error(message, 0) end
        return chunk
      end
      tried[#tried + 1] = ("\n\tno file '%s'"):format(base .. tail)
    end
    return table.concat(tried)
  end
end

-- Makes the script's surroundings; the function takes them away again.
local function prepare(context, path, words)
  local directory = path:match "^(.*)/[^/]*$" or "."
  if directory == "" then directory = "/" end
  local old_arg, old_exit = _G.arg, os.exit
  _G.arg = { [0] = path, unpack(words) }
  -- luacheck: push ignore 122
  os.exit = function(status, ...)
    if type(status) ~= "boolean" and status ~= nil and not tonumber(status) then
      error(("exit: %s is no status; accepted: a number, true, false")
        :format(failure.show(status)), 2)
    end
    return context.exit(status, ...)
  end
  table.insert(package.loaders, 2, new_searcher(directory))
  return function()
    _G.arg, os.exit = old_arg, old_exit
    table.remove(package.loaders, 2)
  end
  -- luacheck: pop
end

-- ---- how it ends ----------------------------------------------------------------------

-- On one line.
local function one_line(text)
  return (text:gsub("%s*\n%s*", "; "))
end

local function text_of(value)
  if type(value) == "string" or type(value) == "number" then return tostring(value) end
  local has_text = type(value) == "table" and (getmetatable(value) or {}).__tostring
  if has_text then return tostring(value) end
  return ("a %s and no message"):format(type(value))
end

-- Where in the script we are: of all functions that are being called the innermost that
-- stands in it. "name:line: ", or "name: " when none does.
local function place_in(name)
  local level = 2
  while true do
    local frame = debug.getinfo(level, "Sl")
    if not frame then return name .. ": " end
    if frame.source:sub(2) == name and frame.currentline > 0 then
      return ("%s:%d: "):format(name, frame.currentline)
    end
    level = level + 1
  end
end

local function new_handler(context, name)
  return function(raised)
    if context.is_interrupt(raised) then return { interrupt = raised } end
    local text = text_of(raised)
    if text:sub(1, #name + 1) ~= name .. ":" then text = place_in(name) .. text end
    text = one_line(text)
    if context.options.traceback then text = debug.traceback(text, 2) end
    return { message = text, status = FAILED }
  end
end

local function pack(...)
  return { n = select("#", ...), ... }
end

-- What the script returned: true; or nil and a sentence.
local function judge(context, name, returned)
  local value, message = returned[2], returned[3]
  if not value and (message ~= nil or value == false) then
    if message == nil then return nil, name .. " returned false" end
    return nil, one_line(text_of(message))
  end
  if not context.options.json or value == nil then return true end
  local is_json, text, reason = pcall(core.to_json, value)
  if not is_json or not text then
    return nil, ("%s returned what cannot be JSON: %s"):format(name,
      is_json and reason or text)
  end
  context.report:document(value)
  return true
end

local function run(context)
  local path, words = context.arguments[1], { unpack(context.arguments, 2) }
  local chunk, name = load_script(path)
  if not chunk then return nil, name end
  local store = context.open_as_told()
  local restore = prepare(context, path, words)
  local returned = pack(xpcall(function() return chunk(store, unpack(words)) end,
    new_handler(context, name)))
  restore()
  if returned[1] then return judge(context, name, returned) end
  local raised = returned[2]
  if type(raised) ~= "table" then -- the handler could not do its work
    raised = {
      message = name .. ": a stack overflow, or an error that cannot be told",
      status = FAILED,
    }
  end
  error(raised.interrupt or raised, 0)
end

-- So that require "authstate" is this one, whatever stands beside the script.
package.loaded.authstate = authstate

return {
  summary = "a Lua script of yours, which gets a store and the arguments",
  usage = "run [--redis URL] [--traceback] SCRIPT [ARGUMENTS]",
  positional = { min = 1, max = math.huge, names = "SCRIPT", ends_options = true },
  options = {
    { name = "traceback", sentence = "after an error, print also who called whom" },
  },
  run = run,
}
