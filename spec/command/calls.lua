-- SPDX-License-Identifier: MIT

--- A good call of each command, or of each thing that a command does. The specs of bad
-- calls go through all of them, so a new command is covered by a line here.
--
-- In the words, URL is the server's and @name a path in the directory of `calls.files`.
-- `writes`: it changes the session `s` or makes `new`. `is_transaction`: it begins with a
-- transaction, which Redis refuses when its memory is full. `has_own_server`: takes no
-- --redis. `has_no_store`: opens none.
-- @module spec.command.calls

local lfs = require "lfs"

local calls = {}

calls.list = {
  { "import", "--session", "new", "@good.json", writes = true, is_transaction = true },
  { "import", "--session", "new", "@folder", writes = true, is_transaction = true },
  { "export", "--session", "s", is_transaction = true },
  { "export", "--session", "s", "@made", "--format", "baileys-multifile",
    is_transaction = true, prints_path = true },
  { "sessions" },
  { "get", "--session", "s", "pre-key", "1", is_transaction = true },
  { "get", "--session", "s", "creds", is_transaction = true },
  { "inspect" },
  { "inspect", "--session", "s", is_transaction = true },
  { "delete", "--session", "s", writes = true },
  { "rotate-keys", "--profile", "@keys.lua", writes = true },
  { "rotate-keys", "--profile", "@keys.lua", "--session", "s", writes = true },
  { "run", "@read.lua" },
  { "run", "@write.lua", writes = true },
  { "check", "@layout.lua", has_no_store = true },
  { "check", "@profile.lua", has_no_store = true },
  { "profile", "explain", "low-latency", has_no_store = true },
  { "profile", "compare", "default", "@profile.lua", "--rounds", "1", has_no_store = true,
    has_own_server = true },
  { "stats" },
  { "stats", "@stats.json", has_no_store = true },
  { "sim", "--seeds", "2", has_no_store = true },
  { "replay", "@trace.jsonl", has_no_store = true },
  { "demo", has_own_server = true },
}

--- Those that open a store.
calls.stores = {}
for _, call in ipairs(calls.list) do
  if not call.has_no_store then table.insert(calls.stores, call) end
end

local FILES = {
  ["good.json"] = '{"creds":{"a":1},"keys":{"pre-key":{"1":{"b":2}}}}',
  ["folder/creds.json"] = '{"a":1}',
  ["folder/pre-key-1.json"] = '{"b":2}',
  ["layout.lua"] = 'return require "authstate.layouts.typed"',
  ["trace.jsonl"] = '["get","session",["1"]]\n["set",{"session":["1"]}]\n',
  ["profile.lua"] = "return { options = { max_value_bytes = 4096 } }",
  ["keys.lua"] = "return { options = { encryption = { keys = { ('ab'):rep(32) }, "
    .. "primary = 1 } } }",
  ["stats.json"] = '{"uptime_ms":1,"wire":{"bytes_out":1,"bytes_in":2}}',
  ["read.lua"] = [[
    local store = ...
    local ids, message = store:sessions()
    if not ids then return nil, message end
    print(#ids)
  ]],
  ["write.lua"] = [[
    local store = ...
    local version, message = store:session("new").keys:set { t = { i = 1 } }
    if not version then return nil, message end
    print(version)
  ]],
}

--- Writes the files of the calls into a directory.
function calls.write_files(directory)
  lfs.mkdir(directory .. "/folder")
  for name, text in pairs(FILES) do
    local file = assert(io.open(directory .. "/" .. name, "wb"))
    assert(file:write(text))
    file:close()
  end
end

--- The words of a call with the paths of its files.
function calls.words(call, directory)
  local words = {}
  for i, word in ipairs(call) do words[i] = word:gsub("^@", directory .. "/") end
  return words
end

--- A call with more options, which come first behind the command.
function calls.with(words, ...)
  local all = { words[1], ... }
  for i = 2, #words do all[#all + 1] = words[i] end
  return all
end

local function list_into(lines, directory, prefix)
  for name in lfs.dir(directory) do
    if name ~= "." and name ~= ".." then
      local path = directory .. "/" .. name
      local found = lfs.symlinkattributes(path)
      lines[#lines + 1] = ("%s%s %s %s %d"):format(prefix, name, found.mode,
        found.permissions, found.mode == "file" and found.size or 0)
      if found.mode == "directory" then list_into(lines, path, prefix .. name .. "/") end
    end
  end
end

--- What stands in a directory, at any depth: one line for each file, with its size.
function calls.listing(directory)
  local lines = {}
  list_into(lines, directory, "")
  table.sort(lines)
  return table.concat(lines, "\n")
end

--- Its name in a spec.
function calls.name(call)
  return (table.concat(call, " "):gsub("@", ""))
end

return calls
