/* SPDX-License-Identifier: MIT */
#ifndef AS_BINDING_TYPE_H
#define AS_BINDING_TYPE_H

#include <lauxlib.h>
#include <lua.h>

#include "base/slice.h"

/* Registers a userdata type: metatable `name` with __name, __gc, and __index = a table of
 * its own with the methods. The stack is left as it was. */
void as_binding_new_type(lua_State *L, const char *name, const luaL_Reg *methods,
                         lua_CFunction collect);

/* The string that an argument must be, borrowed from it. Only a string: lua_tolstring
 * would also take a number, and change it. */
static inline as_slice as_string_check(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TSTRING) luaL_checktype(L, index, LUA_TSTRING);
  size_t length;
  const char *text = lua_tolstring(L, index, &length);
  return as_slice_of(text, length);
}

#endif
