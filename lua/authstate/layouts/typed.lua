-- SPDX-License-Identifier: MIT
--- The default layout: one hash a type, all of a session in one slot.
--
--   <prefix>{<session>}:creds       HASH, field "creds"
--   <prefix>{<session>}:k:<type>    HASH, field <id>
--   <prefix>{<session>}:meta        HASH, see server/prelude.lua
--
-- Counting and listing a type is one command, field names are short, and types and ids of
-- any name are safe: in a key a type is written with % and } as %25 and %7D, so that the
-- session's id ends at the last }. (Else session `a` with a type `x}:meta` would be the
-- meta of session `a}:k:x`.)

local ESCAPES = { ["%"] = "%25", ["}"] = "%7D" }
local UNESCAPES = { ["%25"] = "%", ["%7D"] = "}" }

-- Keys that are kept, so that they are not made anew for each record.
local MAX_KNOWN = 4096

local function escape_type(kind)
  return (kind:gsub("[%%}]", ESCAPES))
end

local function unescape_type(text)
  return (text:gsub("%%[27][5D]", UNESCAPES))
end

-- Characters that mean something in a glob-style pattern of SCAN.
local function escape_glob(text)
  return (text:gsub("[%*%?%[%]\\%^%-]", "\\%0"))
end

--- @param options { prefix = string }
-- @return a layout, see "Layout" in doc/interfaces.md
return function(options)
  local prefix = options.prefix
  local layout = { atomic = "slot", form = "base64", hash_key = true }

  local function base(session)
    return prefix .. "{" .. session .. "}:"
  end

  -- The keys of the sessions that were asked for lately, by session and type.
  local known, count = {}, 0

  local function make_key(session, kind)
    if count >= MAX_KNOWN then known, count = {}, 0 end
    local keys = known[session]
    if not keys then
      keys = {}
      known[session] = keys
    end
    local key = base(session) .. "k:" .. escape_type(kind)
    keys[kind], count = key, count + 1
    return key
  end

  function layout.key(session, kind, id)
    if kind == "creds" and id == "creds" then return base(session) .. "creds", "creds" end
    local keys = known[session]
    return keys and keys[kind] or make_key(session, kind), id
  end

  function layout.meta_key(session)
    return base(session) .. "meta"
  end

  function layout.parse(key, field)
    if key:sub(1, #prefix + 1) ~= prefix .. "{" then return nil end
    local session, rest = key:sub(#prefix + 2):match("^(.+)}:([^}]*)$")
    if not session then return nil end
    if rest == "creds" then return session, "creds", "creds" end
    if rest:sub(1, 2) ~= "k:" then return nil end
    return session, unescape_type(rest:sub(3)), field
  end

  function layout.scope(session)
    return { match = escape_glob(base(session)) .. "*" }
  end

  layout.session_match = escape_glob(prefix) .. "{*}:meta"

  return layout
end
