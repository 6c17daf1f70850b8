-- SPDX-License-Identifier: MIT
--- Where records lie in Redis: by name, each with the same three members.
--
--     form                                     "stored" or "json", see canonical.lua
--     put(server, session, texts)              stores a session that is not there yet
--     copy(server, from, to)                   the same once more, under another id
--     read(server, session, kind, ids)         list of stored bytes, false where absent
--
-- `server` is one of spec.support.redis_server. `texts` are the JSON texts of the
-- records, { creds, keys = { [type] = { [id] = text } } }, as JSON.stringify of Baileys'
-- BufferJSON wrote them. Reading is done here, by plain commands, and not by those who
-- are measured.

local authstate = require "authstate"
local session_file = require "authstate.session_file"

local PAGE = 500

local storages = {}

-- The name of a record in one flat space, as Baileys builds file names from it.
local function flat_name(kind, id)
  if kind == "creds" then return "creds" end
  return kind .. "-" .. id:gsub("/", "__"):gsub(":", "-")
end

-- Calls send(kind, id, text) for every record of a session.
local function each_record(texts, send)
  send("creds", "creds", texts.creds)
  for kind, records in pairs(texts.keys) do
    for id, text in pairs(records) do send(kind, id, text) end
  end
end

local function send_all(server, commands)
  for first = 1, #commands, PAGE do
    local page = { unpack(commands, first, math.min(first + PAGE - 1, #commands)) }
    for _, reply in ipairs(server:pipeline(page)) do
      if type(reply) == "table" then error(reply.err) end
    end
  end
end

-- One command with a name for each id, in pages.
local function read_names(server, head, names)
  local values = {}
  for first = 1, #names, PAGE do
    local command = { unpack(head) }
    for i = first, math.min(first + PAGE - 1, #names) do
      command[#command + 1] = names[i]
    end
    local page = assert(server:command(unpack(command)))
    for i, value in ipairs(page) do values[first + i - 1] = value end
  end
  return values
end

local function flat_names(prefix, kind, ids)
  local names = {}
  for i, id in ipairs(ids) do names[i] = prefix .. flat_name(kind, id) end
  return names
end

--- What authstate writes: its default layout, packed values.
storages.typed = {
  form = "stored",
  put = function(server, session, texts)
    local store = assert(authstate.open { redis = server.url, enable_cache = false })
    assert(store:session(session):commit_json(assert(session_file.compose(texts))))
    assert(store:close())
  end,
  copy = function(server, from, to)
    local head = ("authstate:{%s}:"):format(from)
    local commands = {}
    for _, key in ipairs(server:command("KEYS", head .. "*")) do
      local copied = ("authstate:{%s}:"):format(to) .. key:sub(#head + 1)
      commands[#commands + 1] = { "COPY", key, copied }
    end
    send_all(server, commands)
  end,
  read = function(server, session, kind, ids)
    return read_names(server, { "HMGET", ("authstate:{%s}:k:%s"):format(session, kind) },
      ids)
  end,
}

--- One hash a session, JSON text in its fields.
storages.hash = {
  form = "json",
  put = function(server, session, texts)
    local commands = {}
    each_record(texts, function(kind, id, text)
      commands[#commands + 1] =
        { "HSET", session .. ":auth", flat_name(kind, id), text }
    end)
    send_all(server, commands)
  end,
  read = function(server, session, kind, ids)
    return read_names(server, { "HMGET", session .. ":auth" }, flat_names("", kind, ids))
  end,
}

--- One string a record, JSON text in it.
storages.strings = {
  form = "json",
  put = function(server, session, texts)
    local commands = {}
    each_record(texts, function(kind, id, text)
      commands[#commands + 1] = { "SET", session .. ":" .. flat_name(kind, id), text }
    end)
    send_all(server, commands)
  end,
  read = function(server, session, kind, ids)
    return read_names(server, { "MGET" }, flat_names(session .. ":", kind, ids))
  end,
}

return storages
