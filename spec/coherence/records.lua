-- SPDX-License-Identifier: MIT

--- The records that a storm is about: what they are called, where the layouts keep them,
-- and how their values tell which write made them.
-- @module spec.coherence.records

local records = { SESSIONS = { "s", "t" }, KINDS = { "pre-key", "session" } }

local IDS = { "1", "2", "3" }

-- As Node would name them: written down here, not asked of what is checked.
local PLACES = {
  typed = function(session, kind, id)
    return ("authstate:{%s}:k:%s"):format(session, kind), id
  end,
  ["hbinduni-hash"] = function(session, kind, id)
    return session .. ":auth", kind .. "-" .. id
  end,
}

--- All records.
-- @tparam string layout
-- @treturn table list of { name, session, kind, id, key, field }
function records.all(layout)
  local list = {}
  for _, session in ipairs(records.SESSIONS) do
    for _, kind in ipairs(records.KINDS) do
      for _, id in ipairs(IDS) do
        local key, field = PLACES[layout](session, kind, id)
        list[#list + 1] = {
          name = ("%s/%s/%s"):format(session, kind, id), session = session, kind = kind,
          id = id, key = key, field = field,
        }
      end
    end
  end
  return list
end

--- The value of a write. Stored in whatever form, its bytes tell the number.
function records.value(tag)
  return ("<tag:%d>"):format(tag)
end

--- The write that made a value; 0 for one that none made.
-- @param value as it is stored or read; nil: absent
-- @treturn number|boolean false for absent
function records.tag(value)
  if value == nil then return false end
  return tonumber(tostring(value):match "<tag:(%d+)>") or 0
end

return records
