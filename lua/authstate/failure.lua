-- SPDX-License-Identifier: MIT
--- How the API says no: `nil, message, code, details` for what the world did, and
-- `error(message, level)` for what the caller did.
--
-- Codes: see CODES. Details: `{ sent, applied = "no"|"maybe"|"yes", retry, node,
-- elapsed_ms, session, type, id, owner, epoch }`; what does not apply is absent.
-- @module authstate.failure

local failure = {}

--- All codes, in the order of AS_ERROR_MAP (core/base/error.h). doc/errors.md says of
-- each what happened, whether it took effect, and what to do.
failure.CODES = {
  "timeout", "unavailable", "overloaded", "auth", "denied", "readonly", "oom", "loading",
  "cluster_down", "disk", "corrupt", "fenced", "held", "lease_lost", "conflict",
  "not_durable", "too_large", "wrong_type", "unsupported", "cancelled", "closed",
  "server",
}

local IS_CODE = {}
for _, code in ipairs(failure.CODES) do IS_CODE[code] = true end

-- After these the same call may succeed later.
local RETRY = {
  timeout = true, unavailable = true, overloaded = true, loading = true,
  cluster_down = true, oom = true, disk = true, readonly = true, held = true,
}

--- The four values of a failed call.
-- @param code string, one of CODES
-- @param message string
-- @param details table, taken over; `sent`, `applied` and `retry` get defaults
-- @return nil, message, code, details
-- @local
function failure.new(code, message, details)
  assert(IS_CODE[code], code)
  details = details or {}
  if details.sent == nil then details.sent = false end
  if details.applied == nil then details.applied = "no" end
  if details.retry == nil then details.retry = RETRY[code] or false end
  return nil, message, code, details
end

local CONTROL_ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

--- Text of a value in a message: strings quoted and cut, anything else by its type.
-- @local
function failure.show(value)
  local kind = type(value)
  if kind == "table" or kind == "function" then return "a " .. kind end
  if kind ~= "string" then return tostring(value) end
  local text = #value > 60 and value:sub(1, 60) .. "..." or value
  text = text:gsub('[\\"]', "\\%0"):gsub("%c", function(control)
    return CONTROL_ESCAPES[control] or ("\\x%02x"):format(control:byte())
  end)
  return '"' .. text .. '"'
end

--- A record in a message: its type, as it is but for control characters, and its id.
-- @local
function failure.record(kind, id)
  return failure.show(kind):sub(2, -2) .. " " .. failure.show(id)
end

return failure
