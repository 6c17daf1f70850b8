-- SPDX-License-Identifier: MIT
--- What the Node package of hbinduni writes, read and written in place: one hash for each
-- session, JSON texts as Baileys' BufferJSON writes them.
--
--   <session>:auth    HASH, fields "creds" and <type>-<id>, in the id each "/" written as
--                     "__" and each ":" as "-"
--
-- `meta`, which Node does not have, lies beside: <prefix>{<session>:auth}:meta.

local baileys_names = require "authstate.baileys_names"

local SUFFIX = ":auth"

--- @param options { prefix = string }
return function(options)
  local layout = { atomic = "key", form = "base64", envelope = false, hash_key = true }

  function layout.key(session, kind, id)
    if kind == "creds" then return session .. SUFFIX, "creds" end
    return session .. SUFFIX, kind .. "-" .. baileys_names.fix(id)
  end

  function layout.parse(key, field)
    local session = key:match("^(.+)" .. SUFFIX .. "$")
    if not session then return nil end
    if field == "creds" then return session, "creds", "creds" end
    local kind, id = baileys_names.parse(field)
    if kind then return session, kind, id end
  end

  function layout.scope(session)
    return { keys = { session .. SUFFIX } }
  end

  function layout.meta_key(session)
    return ("%s{%s%s}:meta"):format(options.prefix, session, SUFFIX)
  end

  layout.session_match = "*" .. SUFFIX

  return layout
end
