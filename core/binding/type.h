/* SPDX-License-Identifier: MIT */
#ifndef AS_BINDING_TYPE_H
#define AS_BINDING_TYPE_H

#include <lauxlib.h>
#include <lua.h>

/* Registers a userdata type: metatable `name` with __name, __gc, and __index = a table of
 * its own with the methods. The stack is left as it was. */
void as_binding_new_type(lua_State *L, const char *name, const luaL_Reg *methods,
                         lua_CFunction collect);

#endif
