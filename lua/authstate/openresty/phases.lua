-- SPDX-License-Identifier: MIT
--- Where in nginx a call can wait, and what is said where it cannot.

local core = require "authstate.core"

local get_phase = ngx.get_phase

local phases = {}

local YIELDABLE = {
  rewrite = true, server_rewrite = true, access = true, content = true, timer = true,
  ssl_cert = true, ssl_session_fetch = true, ssl_client_hello = true, preread = true,
}

-- Directives whose names differ from what get_phase calls them.
local DIRECTIVES = {
  init = "init_by_lua", init_worker = "init_worker_by_lua",
  ssl_session_store = "ssl_session_store_by_lua", exit_worker = "exit_worker_by_lua",
}

--- Why a call cannot wait here; nil when it can.
function phases.complaint()
  local phase = get_phase()
  if not YIELDABLE[phase] then
    return ("%s cannot wait, so nothing can be asked of Redis there; accepted: "
      .. "rewrite_by_lua, access_by_lua, content_by_lua, and timers, such as "
      .. "ngx.timer.at(0, function(premature) ... end)")
      :format(DIRECTIVES[phase] or phase .. "_by_lua")
  end
  if not core.is_yieldable() then
    return "this is called by a function in C (require, table.sort, string.gsub, ...), "
      .. "where nothing can wait; accepted: a call from the handler itself"
  end
end

--- Whether the phase is one in which a call may wait.
function phases.may_wait()
  return YIELDABLE[get_phase()]
end

--- Whether a call can wait here.
function phases.can_wait()
  return YIELDABLE[get_phase()] and core.is_yieldable()
end

return phases
