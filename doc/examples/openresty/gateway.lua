-- SPDX-License-Identifier: MIT
--- The gateway of nginx.conf: sessions as JSON over HTTP.
--
-- Records go through as the texts that the client wrote (`get_json`, `commit_json`), so
-- what a Node library stored comes back byte for byte.

local authstate = require "authstate"

local Gateway = {}
Gateway.__index = Gateway

local gateway = {}

-- Handles are kept: one that knows its session reads in one step.
local MAX_HANDLES = 10000

-- How often a worker says what it has done, for /metrics and /status.
local PUBLISH_S = 1

-- What a failure is in HTTP; all others are 500.
local STATUS = {
  unavailable = 503, timeout = 504, overloaded = 503, loading = 503, cancelled = 503,
  closed = 503, conflict = 409, fenced = 409, too_large = 413,
}

--- @param options of authstate.open
function gateway.new(options)
  return setmetatable({
    store = assert(authstate.open(options)), handles = {}, handle_count = 0,
  }, Gateway)
end

--- For init_worker_by_lua.
function Gateway:start_worker()
  assert(self.store:on_worker_start())
  ngx.timer.every(PUBLISH_S, function() self:publish() end)
end

-- ---- answers --------------------------------------------------------------------------

local function quote(text)
  return authstate.to_json(text)
end

local function answer(status, text)
  ngx.status = status
  ngx.header.content_length = #text
  ngx.print(text)
end

local function fail(status, code, message)
  answer(status, ('{"error":%s,"message":%s}\n'):format(quote(code), quote(message)))
end

local function refuse(message)
  fail(400, "bad_request", message)
end

-- What stands in a path. (ngx.unescape_uri makes a blank of a plus.)
local function unescape(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- Whether JSON can name it: an answer names the records that were found.
local function is_text(name)
  return type(name) == "string" and (pcall(quote, name))
end

-- ---- sessions -------------------------------------------------------------------------

local function handle_of(self, id)
  local handle = self.handles[id]
  if handle then return handle end
  if self.handle_count == MAX_HANDLES then self.handles, self.handle_count = {}, 0 end
  handle = self.store:session(id)
  self.handles[id], self.handle_count = handle, self.handle_count + 1
  return handle
end

-- Asks a session. True and the result; or nil after the failure was answered.
local function ask(self, id, call)
  local result, message, code = call(handle_of(self, id))
  if result ~= nil or not message then return true, result end
  fail(STATUS[code] or 500, code, message)
end

-- The same for reads. When the session was deleted and made anew, a handle that looks
-- afresh is asked once more.
local function read(self, id, call)
  return ask(self, id, function(session)
    local result, message, code = call(session)
    if code ~= "fenced" then return result, message, code end
    self.handles[id] = nil
    return call(handle_of(self, id))
  end)
end

-- The body of the request, wherever nginx has put it.
local function read_body()
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if body then return body end
  local path = ngx.req.get_body_file()
  if not path then return "" end
  local file = assert(io.open(path, "rb"))
  body = file:read "*a"
  file:close()
  return body
end

-- Writes. After a delete a late writer is `fenced`; who means to begin anew says so by
-- `?anew=1`. A text that is no session is the client's mistake, which the call raises,
-- with the place of the call before it.
local function commit(self, id, text)
  local is_fine, is_done, version = pcall(ask, self, id, function(session)
    if ngx.var.arg_anew == "1" then
      local creds, message, code = session:load_creds()
      if creds == nil and message then return nil, message, code end
    end
    return session:commit_json(text)
  end)
  if not is_fine then
    refuse((tostring(is_done):gsub("^.-:%d+: ", "")))
  elseif is_done then
    answer(200, ('{"version":%d}\n'):format(version))
  end
end

local function get_creds(self, id)
  local is_done, text = read(self, id, function(session)
    return session:load_creds_json()
  end)
  if not is_done then return end
  if text then answer(200, text) else fail(404, "absent", "there is no such session") end
end

-- All ids that the query names, however many (0): one that were left out would look as if
-- it were absent. nginx bounds the query (large_client_header_buffers).
local function ids_of_query()
  local ids = ngx.req.get_uri_args(0).id
  if type(ids) ~= "table" then ids = { ids } end
  for _, id in ipairs(ids) do
    if not is_text(id) then return nil, "an id must be UTF-8: ?id=1&id=2" end
  end
  if not ids[1] then return nil, "the query must name ids: ?id=1&id=2" end
  return ids
end

local function get_keys(self, id, kind)
  if kind == "creds" then return refuse "the credentials are at /creds" end
  local ids, message = ids_of_query()
  if not ids then return refuse(message) end
  local is_done, found = read(self, id, function(session)
    return session.keys:get_json(kind, ids)
  end)
  if not is_done then return end
  local parts = {}
  for key, text in pairs(found) do parts[#parts + 1] = quote(key) .. ":" .. text end
  answer(200, "{" .. table.concat(parts, ",") .. "}")
end

-- The body must be JSON by itself: else it could end the keys, and bring creds.
local function put_keys(self, id)
  local body = read_body()
  local parsed, message = authstate.from_json(body)
  if parsed == nil then return refuse(message) end
  commit(self, id, '{"keys":' .. body .. "}")
end

local function post_commit(self, id)
  commit(self, id, read_body())
end

-- By what follows the id. nginx leaves the body of an answer to HEAD out.
local ROUTES = {
  { "^/creds$", { GET = get_creds, HEAD = get_creds } },
  { "^/keys/([^/]+)$", { GET = get_keys, HEAD = get_keys } },
  { "^/keys$", { PUT = put_keys } },
  { "^/commit$", { POST = post_commit } },
}

local function refuse_method(methods)
  local names = {}
  for name in pairs(methods) do names[#names + 1] = name end
  table.sort(names)
  ngx.header.allow = table.concat(names, ", ")
  fail(405, "bad_request", "accepted: " .. ngx.header.allow)
end

--- Answers a request.
function Gateway:serve()
  local path = ngx.var.request_uri:match "^[^?]*"
  local id, rest = path:match "^/sessions/([^/]+)(/.*)$"
  if not id then return fail(404, "absent", "accepted: /sessions/ID/...") end
  id = unescape(id)
  if #id > 512 or id:sub(1, 1) == "}" then return refuse "this is no session id" end
  for _, route in ipairs(ROUTES) do
    local word = rest:match(route[1])
    local call = word and route[2][ngx.req.get_method()]
    if call then return call(self, id, unescape(word)) end
    if word then return refuse_method(route[2]) end
  end
  fail(404, "absent", "nothing is here")
end

-- ---- statistics -----------------------------------------------------------------------

-- Lines of Prometheus for one worker: { name, labels, value }.
local function list_metrics(stats)
  local lines = {
    { "authstate_queued_operations", "", stats.queued.operations },
    { "authstate_connections", "", stats.pool.busy },
    { "authstate_reconnects_total", "", stats.pool.reconnects },
    { "authstate_sent_bytes_total", "", stats.wire.bytes_out },
    { "authstate_received_bytes_total", "", stats.wire.bytes_in },
    { "authstate_batches_total", "", stats.batch.count },
    { "authstate_memory_bytes", "", stats.memory_bytes },
    { "authstate_cache_hits_total", "", stats.cache.hits },
    { "authstate_cache_misses_total", "", stats.cache.misses },
    { "authstate_cache_evictions_total", "", stats.cache.evictions },
    { "authstate_cache_invalidations_total", "", stats.cache.invalidations },
    { "authstate_cache_entries", "", stats.cache.entries },
    { "authstate_cache_bytes", "", stats.cache.bytes },
  }
  for name, operation in pairs(stats.operations or {}) do
    local label = ('operation="%s",'):format(name)
    lines[#lines + 1] = { "authstate_operations_total", label, operation.count }
    lines[#lines + 1] = { "authstate_operation_errors_total", label, operation.errors }
    lines[#lines + 1] =
      { "authstate_operation_p99_seconds", label, (operation.p99_ms or 0) / 1000 }
  end
  return lines
end

--- Lets the other workers know what this one has done.
function Gateway:publish()
  local stats = self.store:stats()
  if not stats then return end
  local texts = {}
  for _, line in ipairs(list_metrics(stats)) do
    texts[#texts + 1] = ('%s{%sworker="%d"} %.17g'):format(line[1], line[2],
      ngx.worker.id(), line[3])
  end
  ngx.shared.gateway_stats:set(ngx.worker.id(), table.concat(texts, "\n"))
end

-- The lines of all workers, ordered so that those of one name stand together.
local function gather(self)
  self:publish()
  local lines = {}
  for id = 0, ngx.worker.count() - 1 do
    local text = ngx.shared.gateway_stats:get(id) or ""
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  end
  table.sort(lines)
  return lines
end

--- Text for Prometheus, of all workers.
function Gateway:print_metrics()
  local lines, last = {}, nil
  for _, line in ipairs(gather(self)) do
    local name = line:match "^[%w_]+"
    if name ~= last then
      local kind = name:find "_total$" and "counter" or "gauge"
      lines[#lines + 1] = ("# TYPE %s %s"):format(name, kind)
      last = name
    end
    lines[#lines + 1] = line
  end
  answer(200, table.concat(lines, "\n") .. "\n")
end

--- The same as a page, and whether Redis answers.
function Gateway:print_status()
  local is_there, message = self.store:ping { timeout_ms = 500 }
  local rows = {}
  for _, line in ipairs(gather(self)) do
    local what, value = line:match "^(.*) (%S+)$"
    what = what:gsub('[&<>"]', { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" })
    rows[#rows + 1] = ("<tr><td>%s</td><td>%s</td></tr>"):format(what, value)
  end
  answer(is_there and 200 or 503, ([[<!doctype html>
<title>gateway</title>
<h1>%s</h1>
<table>
%s
</table>
]]):format(is_there and "Redis answers" or "Redis does not answer: "
    .. message:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }),
    table.concat(rows, "\n")))
end

return gateway
