-- SPDX-License-Identifier: MIT
--- authstate rotate-keys: encrypts anew what is not under the primary key; see
-- rotation.lua.

local core = require "authstate.core"
local report = require "authstate.report"
local rotation = require "authstate.rotation"
local store = require "authstate.store"

local COUNTS = { "rewritten", "already", "failed", "left" }

-- How many failures are named at most.
local MAX_NAMED = 100

-- Whether there are keys. A store that is given a server does no I/O, so this is known
-- before a private one is started.
local function check_keys(context)
  local is_open, somewhere = pcall(store.open, {
    redis = {}, profile = context.options.profile, layout = context.options.layout,
    enable_cache = false,
  })
  if not is_open then context.misuse(somewhere) end
  local has_keys = somewhere.keyring ~= nil
  somewhere:close()
  if not has_keys then
    context.misuse('there are no keys: the option "encryption" is missing; name a '
      .. "profile that sets it, --profile FILE")
  end
end

-- The store, and the sessions to go through; or nil and a sentence.
local function choose(context)
  if context.options.session then
    local session = context.session()
    return session.store, { session.id }
  end
  local opened = context.open()
  local ids, message = rotation.sessions(opened)
  if not ids then return nil, message end
  return opened, ids
end

local function print_session(context, id, done)
  if done.rewritten + done.failed + done.left == 0 then return end
  context.report:line("session %s: %d rewritten, %d already, %d failed, %d left",
    report.id(id), done.rewritten, done.already, done.failed, done.left)
  for i = 1, math.min(#done.failures, MAX_NAMED) do
    context.report:line("  %s", report.id(rotation.describe(done.failures[i])))
  end
end

local function add(total, done)
  for _, name in ipairs(COUNTS) do total[name] = total[name] + done[name] end
  for _, each in ipairs(done.failures) do
    if #total.failures == MAX_NAMED then break end
    table.insert(total.failures, rotation.document(each, report.json_id))
  end
end

local function finish(context, total)
  context.report:line("%d sessions under key id %d: %d records rewritten, %d already, %d "
    .. "failed, %d left", total.sessions, total.primary, total.rewritten, total.already,
    total.failed, total.left)
  context.report:document(total)
  if total.failed > 0 then
    return nil, ("%d records cannot be opened, and are as they were"):format(total.failed)
  elseif total.left > 0 then
    return nil, ("%d records were written under another key all the time; run it again "
      .. "when every program has the new primary key"):format(total.left)
  end
  return true
end

local function run(context)
  check_keys(context)
  local opened, ids = choose(context)
  if not opened then return nil, ids end
  local total = {
    primary = opened.options.encryption.primary, sessions = 0, rewritten = 0, already = 0,
    failed = 0, left = 0, failures = core.array {},
  }
  for i, id in ipairs(ids) do
    local done, message = rotation.rotate(opened, id)
    if not done and message then return nil, message end
    if not done and context.options.session then
      return nil, ("there is no session %s"):format(report.id(id))
    end
    if done then
      total.sessions = total.sessions + 1
      add(total, done)
      print_session(context, id, done)
    end
    context.report:progress("rotate", i, #ids)
  end
  return finish(context, total)
end

return {
  summary = "encrypts anew what is not under the primary key; may be run again",
  usage = "rotate-keys --profile FILE [--session S] [--redis URL]",
  options = {
    { name = "session", value = "S", sentence = "id of the only session; else all" },
  },
  run = run,
}
