-- SPDX-License-Identifier: MIT
--- Whether the program runs inside nginx, and among how many workers: what can be asked
-- without loading the driver.

local ngx = rawget(_G, "ngx") -- nil in a plain LuaJIT

local here = {}

--- Whether this is a Lua state of nginx.
function here.is_here()
  return ngx ~= nil
end

--- How many worker processes nginx runs; 1 when it does not tell.
function here.worker_count()
  local worker = ngx and ngx.worker
  return worker and worker.count and worker.count() or 1
end

return here
