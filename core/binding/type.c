/* SPDX-License-Identifier: MIT */
#include "binding/type.h"

void as_binding_new_type(lua_State *L, const char *name, const luaL_Reg *methods,
                         lua_CFunction collect) {
  luaL_newmetatable(L, name);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, collect);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  for (const luaL_Reg *each = methods; each->name != NULL; each++) {
    lua_pushcfunction(L, each->func);
    lua_setfield(L, -2, each->name);
  }
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
