-- SPDX-License-Identifier: MIT
--- The driver of OpenResty is to come. So far this only tells whether the program runs
-- inside nginx, where the native driver would block the worker, and among how many.

local openresty = {}

--- Whether this is a Lua state of nginx.
function openresty.is_here()
  return rawget(_G, "ngx") ~= nil
end

--- How many worker processes nginx runs; 1 when it does not tell.
function openresty.worker_count()
  local worker = openresty.is_here() and rawget(_G, "ngx").worker
  return worker and worker.count and worker.count() or 1
end

return openresty
