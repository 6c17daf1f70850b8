-- SPDX-License-Identifier: MIT
--- The functions of the core that are called once per key: LuaJIT calls them without the
-- cost of a C API call. What they are is told by the core itself (core/binding/ffi.h).

local core = require "authstate.core"
local ffi = require "ffi"

local core_ffi = {}

ffi.cdef(core.declarations)

-- A struct can be declared once in a Lua state, though modules may be loaded again.
local is_declared = pcall(ffi.typeof, "authstate_cache")
if not is_declared then ffi.cdef(core.cache_structs) end
ffi.cdef(core.cache_declarations)

-- A module that `require` has loaded is not in ffi.C; loading the same file again gives
-- the instance that is there.
core_ffi.library = ffi.load(assert(package.searchpath("authstate.core", package.cpath)))

local engine_pointer = ffi.typeof "authstate_engine *"
local hash_pointer = ffi.typeof "authstate_hash *"

--- An engine as the library wants it.
-- @param address engine:address()
function core_ffi.engine(address)
  return ffi.cast(engine_pointer, address)
end

--- A hash as the library wants it.
-- @param address lane:hash(key)
function core_ffi.hash(address)
  return ffi.cast(hash_pointer, address)
end

local histograms_pointer = ffi.typeof "authstate_histograms *"

--- Histograms as the library wants them.
-- @param address histograms:address()
function core_ffi.histograms(address)
  return ffi.cast(histograms_pointer, address)
end

local lookout_pointer = ffi.typeof "authstate_lookout *"

--- A lookout as the library wants it.
-- @param address lookout:address()
function core_ffi.lookout(address)
  return ffi.cast(lookout_pointer, address)
end

local cache_pointer = ffi.typeof "authstate_cache *"

--- A cache as the library wants it, and as policies see it.
-- @param address cache:address()
function core_ffi.cache(address)
  return ffi.cast(cache_pointer, address)
end

--- Gives methods to a struct. Those that it was given first in this Lua state stay.
-- @param name such as "authstate_cache"
-- @param methods table, or a function of the struct and a name
function core_ffi.give_methods(name, methods)
  pcall(ffi.metatype, name, { __index = methods })
end

--- A copy of bytes, as a string.
core_ffi.string = ffi.string

local mark_pointer = ffi.typeof "uint32_t **"

--- What core.process_mark() holds: an array of one number.
function core_ffi.process_mark(page)
  return ffi.cast(mark_pointer, page)[0]
end

return core_ffi
