-- SPDX-License-Identifier: MIT
--- The driver of OpenResty is to come. So far this only tells whether the program runs
-- inside nginx, where the native driver would block the worker.

local openresty = {}

--- Whether this is a Lua state of nginx.
function openresty.is_here()
  return rawget(_G, "ngx") ~= nil
end

return openresty
