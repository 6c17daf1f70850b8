-- SPDX-License-Identifier: MIT
--- authstate get: what is stored of some records: size and fingerprint, or with --reveal
-- the JSON text. Key material is printed only with --reveal.

local core = require "authstate.core"
local report = require "authstate.report"

local FINGERPRINT_DIGITS = 16

-- { [id] = text }; the creds are the type "creds" without an id.
local function read(session, kind, ids)
  if kind ~= "creds" then return session.keys:get_json(kind, ids) end
  local creds, message, code = session:load_creds_json()
  if creds == nil and message then return nil, message, code end
  return { creds = creds }
end

local function describe(context, id, text)
  local fingerprint = core.sha256_hex(text):sub(1, FINGERPRINT_DIGITS)
  if context.options.reveal then
    context.report:line("%s\t%s", report.id(id), text)
  else
    context.report:line("%s\t%d bytes\tsha256 %s", report.id(id), #text, fingerprint)
  end
  return {
    id = report.json_id(id), bytes = #text, sha256 = fingerprint,
    record = context.options.reveal and text or nil,
  }
end

local function run(context)
  local words = context.arguments
  local kind, ids = words[1], { unpack(words, 2) }
  if kind == "creds" and #ids == 0 then ids = { "creds" } end
  if #ids == 0 then return context.misuse "TYPE ID... is required" end
  local session = context.session()
  local found, message = read(session, kind, ids)
  if not found then return nil, message end
  local absent, described = {}, core.array {}
  for _, id in ipairs(ids) do
    if found[id] then
      described[#described + 1] = describe(context, id, found[id])
    else
      absent[#absent + 1] = report.id(id)
    end
  end
  context.report:document {
    session = report.json_id(session.id), type = report.json_id(kind),
    records = described,
  }
  if #absent > 0 then
    return nil, ("session %s has no %s %s"):format(report.id(session.id), report.id(kind),
      table.concat(absent, ", "))
  end
  return true
end

return {
  summary = "size and fingerprint of records; with --reveal their JSON text",
  usage = "get --session S TYPE ID... [--reveal] [--redis URL]",
  positional = { min = 1, max = math.huge, names = "TYPE ID..." },
  options = {
    { name = "session", value = "S", required = true, sentence = "id of the session" },
    { name = "reveal", sentence = "print the records themselves, secrets included" },
  },
  run = run,
}
