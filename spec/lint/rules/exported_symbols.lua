-- SPDX-License-Identifier: MIT
-- The core shares a process with other libraries: it gives out only what is listed here.

local objects = require "spec.lint.objects"

-- FFI is where authstate_... is called from.
local ALLOWED = {
  authstate_cache_delete = "core/binding/cache.c",
  authstate_cache_expired = "core/binding/cache.c",
  authstate_cache_find = "core/binding/cache.c",
  authstate_cache_hit = "core/binding/cache.c",
  authstate_cache_first = "core/binding/cache.c",
  authstate_cache_ghost_add = "core/binding/cache.c",
  authstate_cache_ghost_has = "core/binding/cache.c",
  authstate_cache_ghost_remove = "core/binding/cache.c",
  authstate_cache_has = "core/binding/cache.c",
  authstate_cache_has_expired = "core/binding/cache.c",
  authstate_cache_heap_has = "core/binding/cache.c",
  authstate_cache_heap_put = "core/binding/cache.c",
  authstate_cache_heap_remove = "core/binding/cache.c",
  authstate_cache_id = "core/binding/cache.c",
  authstate_cache_id_length = "core/binding/cache.c",
  authstate_cache_insert = "core/binding/cache.c",
  authstate_cache_new_ghost = "core/binding/cache.c",
  authstate_cache_new_heap = "core/binding/cache.c",
  authstate_cache_new_queue = "core/binding/cache.c",
  authstate_cache_new_sketch = "core/binding/cache.c",
  authstate_cache_peek = "core/binding/cache.c",
  authstate_cache_places = "core/binding/cache.c",
  authstate_cache_queue_has = "core/binding/cache.c",
  authstate_cache_queue_newer = "core/binding/cache.c",
  authstate_cache_queue_older = "core/binding/cache.c",
  authstate_cache_queue_push = "core/binding/cache.c",
  authstate_cache_queue_remove = "core/binding/cache.c",
  authstate_cache_queue_touch = "core/binding/cache.c",
  authstate_cache_release = "core/binding/cache.c",
  authstate_cache_replace = "core/binding/cache.c",
  authstate_cache_retire = "core/binding/cache.c",
  authstate_cache_set_expiry = "core/binding/cache.c",
  authstate_cache_set_types = "core/binding/cache.c",
  authstate_cache_sketch_add = "core/binding/cache.c",
  authstate_cache_sketch_count = "core/binding/cache.c",
  authstate_cache_used_bytes = "core/binding/cache.c",
  authstate_cache_value = "core/binding/cache.c",
  authstate_cache_value_length = "core/binding/cache.c",
  authstate_cache_withhold = "core/binding/cache.c",
  authstate_histogram_add = "core/binding/histogram.c",
  authstate_histogram_count = "core/binding/histogram.c",
  authstate_histogram_quantile = "core/binding/histogram.c",
  authstate_latest_ms = "core/binding/ffi.c",
  authstate_lookout_next = "core/binding/lookout.c",
  authstate_now_ms = "core/binding/ffi.c",
  authstate_read = "core/binding/ffi.c",
  authstate_set = "core/binding/ffi.c",
  luaopen_authstate_core = "core/binding/core.c",
}

local rule = { why = "core.so exports what is listed in this rule, and nothing else." }

-- Where a name is defined.
local function place_of(where, name)
  for _, symbol in ipairs(objects.symbols(where)) do
    if symbol.name == name and symbol.class ~= "U" then
      return symbol.path, symbol.line
    end
  end
end

function rule.check(where, complain)
  local exported = {}
  for _, name in ipairs(objects.exported(where)) do
    exported[name] = true
    if not ALLOWED[name] then
      local path, line = place_of(where, name)
      complain(path or "core", line or 1, name .. " is exported: hide it, or list it in "
        .. "spec/lint/rules/exported_symbols.lua")
    end
  end
  for name, path in pairs(ALLOWED) do
    if not exported[name] then complain(path, 1, name .. " is not exported") end
  end
end

return rule
