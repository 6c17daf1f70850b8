/* SPDX-License-Identifier: MIT */
/* `bytes`: an immutable byte string as Lua sees it. A full userdata whose block is the
 * bytes, so `#b`, `b:raw()` and `ffi.cast("const uint8_t *", b)` need nothing else. It is
 * never equal to a string, and tostring never shows the content.
 *
 *   core.bytes(string) -> bytes             core.from_base64(text) -> bytes
 *   core.is_bytes(value) -> boolean         core.from_hex(text) -> bytes
 *   b:raw() -> string  #b  b == bytes  b:hex()  b:base64()  tostring(b) -> "bytes(32)" */
#ifndef AS_BINDING_BYTES_H
#define AS_BINDING_BYTES_H

#include <lua.h>

#include "base/slice.h"

/* Sets the functions above in the module table at the top of the stack and makes the
 * metatable, once per Lua state. */
void as_binding_bytes_open(lua_State *L);

/* Pushes the metatable, for as_bytes_new. */
void as_bytes_push_metatable(lua_State *L);

/* Pushes a new bytes object of `length` bytes, which the caller fills in at once: the
 * address is returned and lives as long as the object. `metatable` is a stack index. */
uint8_t *as_bytes_new(lua_State *L, size_t length, int metatable);

/* Pushes a copy of the slice. */
void as_bytes_push(lua_State *L, as_slice content);

/* True when the value is a bytes object; *out_content is its block, borrowed while the
 * object lives. */
bool as_bytes_test(lua_State *L, int index, as_slice *out_content);

#endif
