-- SPDX-License-Identifier: MIT

--- A real nginx with the Lua module, in its own temporary directory, on a free port of
-- 127.0.0.1. It dies with the spec process.
-- @module spec.support.nginx

local http = require "socket.http"
local lfs = require "lfs"
local ltn12 = require "ltn12"

local clock = require "spec.support.clock"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis_server"
local temporary = require "spec.support.temporary"

local START_TIMEOUT_MS = 20000
local STOP_TIMEOUT_MS = 20000
local ATTEMPTS = 5

local CONFIG = [[
${user}
daemon off;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log ${level};
worker_processes ${workers};
worker_rlimit_nofile 16384;
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
events { worker_connections ${connections}; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  keepalive_requests 1000000000;
  lua_package_path '${root}/lua/?.lua;${root}/lua/?/init.lua;${root}/?.lua;;';
  lua_package_cpath '${root}/build/${flavour}/?.so;;';
  ${http}
  server {
    listen 127.0.0.1:${port};
    ${server}
  }
}
]]

local Server = { __name = "nginx" }
Server.__index = Server

local nginx = {}

local function write_config(self)
  local places = {
    user = self.is_root and "user root;" or "",
    root = lfs.currentdir(),
    flavour = os.getenv "AUTHSTATE_BUILD" or "release",
    directory = self.directory, port = self.port,
    connections = self.options.connections or 4096,
    workers = self.options.workers or 1, level = self.options.level or "info",
    http = self.options.http or "", server = self.options.server or "",
  }
  -- In one step: nginx may be reading it, for the reload before.
  local path = self.config_path .. ".new"
  local file = assert(io.open(path, "w"))
  assert(file:write((CONFIG:gsub("%${(%w+)}", places))))
  file:close()
  assert(os.rename(path, self.config_path))
end

local function is_root()
  local _, out = process.run { "id", "-u" }
  return tonumber(out) == 0
end

local function launch(self)
  write_config(self)
  self.process = process.start {
    os.getenv "NGINX" or "nginx", "-p", self.directory, "-c", self.config_path,
    env = self.options.env,
  }
  clock.wait_for(function()
    return not self.process:alive() or self:get "/nothing-is-here"
  end, START_TIMEOUT_MS)
  return self.process:alive()
end

--- Starts nginx and waits until it answers. The fields `url`, `port` and `directory` may
-- be read.
-- @tparam table options `server` (text of the server block), `http` (text of the http
-- block), `workers` (default 1), `connections` (of each, default 4096), `level` (of the
-- error log, default info), `env`
-- @treturn Server
function nginx.start(options)
  local self
  for _ = 1, ATTEMPTS do
    local directory = temporary.directory()
    self = setmetatable({
      options = options, directory = directory, port = redis_server.free_port(),
      config_path = directory .. "/nginx.conf", is_root = is_root(),
    }, Server)
    self.url = "http://127.0.0.1:" .. self.port
    if launch(self) then return self end
    self.process:kill()
    if not self:log():find("Address already in use", 1, true) then break end
  end
  error("nginx did not start:\n" .. self.process:errors() .. self:log(), 2)
end

--- What nginx has logged.
-- @treturn string
function Server:log()
  local file = io.open(self.directory .. "/error.log", "rb")
  if not file then return "" end
  local text = file:read "*a"
  file:close()
  return text
end

--- One request, on a connection of its own.
-- @tparam string path with the query
-- @tparam[opt] table request `method`, `body`, `headers`
-- @treturn ?number status; nil, with the reason, when there was no answer
-- @treturn string body
-- @treturn table headers
function Server:request(path, request)
  request = request or {}
  local parts, headers = {}, {}
  for name, value in pairs(request.headers or {}) do headers[name] = value end
  if request.body then headers["content-length"] = #request.body end
  local is_fine, status, answered = http.request {
    url = self.url .. path, method = request.method or "GET", headers = headers,
    source = request.body and ltn12.source.string(request.body),
    sink = ltn12.sink.table(parts),
  }
  if not is_fine then return nil, status end
  return status, table.concat(parts), answered
end

--- GET of a path, as `request`.
function Server:get(path)
  return self:request(path)
end

--- The process ids of the workers that run, old ones of a reload included.
-- @treturn table list of numbers
function Server:workers()
  local _, out = process.run { "pgrep", "-P", tostring(self.process:pid()) }
  local ids = {}
  for id in out:gmatch "%d+" do ids[#ids + 1] = tonumber(id) end
  return ids
end

--- Changes options and reads the configuration anew, as `nginx -s reload`.
-- @tparam[opt] table options those that change
function Server:reload(options)
  for name, value in pairs(options or {}) do self.options[name] = value end
  write_config(self)
  self.process:signal "HUP"
end

--- Ends nginx as `nginx -s quit`: what is accepted is answered.
-- @treturn ?number exit status; nil when it goes on
function Server:quit()
  self.process:signal "QUIT"
  return self.process:wait(STOP_TIMEOUT_MS)
end

--- Kills nginx and its workers.
function Server:kill()
  return self.process:kill()
end

return nginx
