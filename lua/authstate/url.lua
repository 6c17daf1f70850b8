-- SPDX-License-Identifier: MIT
--- The URL of a Redis server: `redis://[[user]:password@]host[:port][/db]`, the same with
-- `rediss` under TLS, and `unix://[[user]:password@]/path[?db=0]`. Percent-encoding is
-- undone (RFC 3986, 2.1).

local url = {}

local ACCEPTED = "redis://[[user]:password@]host[:port][/db], the same with rediss:// "
  .. "for TLS, or unix:///path[?db=0]"

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- An empty part counts as absent.
local function part(text)
  if text and text ~= "" then return decode(text) end
end

local function split_user(text)
  local authority, rest = text:match("^([^@/]*)@(.*)$")
  if not authority then return nil, nil, text end
  local user, password = authority:match("^([^:]*):(.*)$")
  return part(user or authority), part(password), rest
end

local function parse_database(text)
  if text == "" then return 0 end
  return tonumber(text:match("^%d+$"))
end

local function parse_unix(text)
  local user, password, rest = split_user(text)
  local path, query = rest:match("^([^?]*)%??(.*)$")
  if path:sub(1, 1) ~= "/" then return nil, "the path of a unix socket begins with /" end
  local database = parse_database(query:match("^db=(.+)$") or query)
  if not database then return nil, "after the path only ?db=NUMBER is known" end
  return {
    path = decode(path), username = user, password = password, database = database,
  }
end

local function parse_tcp(text)
  local user, password, rest = split_user(text)
  -- What follows would be shown as the name of the host.
  if rest:find("@", 1, true) then
    return nil, "an @ or a / in the user or the password is written %40 or %2F"
  end
  local location, database_text = rest:match("^([^/?]*)/?(.*)$")
  local host, port = location:match("^%[(.-)%]:?(%d*)$")
  if not host then host, port = location:match("^([^:]*):?(%d*)$") end
  if not host then return nil, "the port is not a number" end
  local database = parse_database(database_text)
  if not database then return nil, "the database is not a number" end
  port = port == "" and 6379 or tonumber(port)
  if port < 1 or port > 65535 then return nil, "the port is not in 1 to 65535" end
  return {
    host = part(host) or "127.0.0.1", port = port,
    username = user, password = password, database = database,
  }
end

local function parse_tls(text)
  local parsed, reason = parse_tcp(text)
  if not parsed then return nil, reason end
  parsed.tls = {}
  return parsed
end

local PARSERS = { redis = parse_tcp, rediss = parse_tls, unix = parse_unix }

--- Parses a URL.
-- @return { path | host, port, username, password, database, tls } with database 0 by
--   default, port 6379, host 127.0.0.1, and tls = {} for TLS; or nil and a sentence that
--   says what is accepted. Neither user nor password stands in it.
function url.parse(text)
  local scheme, rest = text:match("^(%a[%w+.-]*)://(.*)$")
  if not scheme then return nil, "not a URL; accepted: " .. ACCEPTED end
  scheme = scheme:lower()
  local parse = PARSERS[scheme]
  if not parse then
    return nil, ('unknown scheme "%s"; accepted: %s'):format(scheme, ACCEPTED)
  end
  local parsed, reason = parse(rest)
  if not parsed then return nil, reason .. "; accepted: " .. ACCEPTED end
  return parsed
end

--- A server as it may be shown: without user and password.
function url.show(server)
  local database = server.database ~= 0 and server.database or nil
  if server.path then
    return "unix://" .. server.path .. (database and "?db=" .. database or "")
  end
  local host = server.host:find(":", 1, true) and "[" .. server.host .. "]" or server.host
  local scheme = server.tls and "rediss://" or "redis://"
  return scheme .. host .. ":" .. server.port .. (database and "/" .. database or "")
end

return url
