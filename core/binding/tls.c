/* SPDX-License-Identifier: MIT */
#include "binding/tls.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/type.h"

static const char *const TLS_TYPE = "authstate.tls";

typedef struct bound_tls {
  as_mem mem;
  as_tls *tls;
} bound_tls;

/* A text of the table at index 1, which keeps it; NULL when absent. */
static const char *text_field(lua_State *L, const char *name, size_t max) {
  size_t length = 0;
  lua_getfield(L, 1, name);
  const char *text = luaL_optlstring(L, -1, NULL, &length);
  if (length > max || (length > 0 && memchr(text, '\0', length) != NULL))
    luaL_error(L, "tls: %s must have at most %d bytes and no NUL", name, (int)max);
  lua_pop(L, 1);
  return text;
}

static int tls_new(lua_State *L) {
  enum { MAX_PATH = 4095 };
  luaL_checktype(L, 1, LUA_TTABLE);
  as_tls_config config = {
      .ca = text_field(L, "ca", MAX_PATH),
      .cert = text_field(L, "cert", MAX_PATH),
      .key = text_field(L, "key", MAX_PATH),
      .server_name = text_field(L, "server_name", AS_TLS_MAX_NAME),
  };
  lua_getfield(L, 1, "insecure");
  config.is_insecure = lua_toboolean(L, -1);
  bound_tls *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  as_mem_init(&bound->mem);
  luaL_getmetatable(L, TLS_TYPE);
  lua_setmetatable(L, -2);
  char reason[AS_TLS_REASON_SIZE];
  const char *part;
  as_status status = as_tls_new(&bound->mem, &config, &bound->tls, &part, reason);
  if (status == AS_OK) return 1;
  lua_pushnil(L);
  lua_pushstring(L, status == AS_ERR_OOM ? as_status_sentence(status) : reason);
  lua_pushstring(L, part);
  return 3;
}

static int tls_collect(lua_State *L) {
  bound_tls *bound = luaL_checkudata(L, 1, TLS_TYPE);
  as_tls_del(bound->tls);
  bound->tls = NULL;
  return 0;
}

const as_tls *as_binding_tls_check(lua_State *L, int index) {
  const bound_tls *bound = luaL_checkudata(L, index, TLS_TYPE);
  return bound->tls;
}

void as_binding_tls_open(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  as_binding_new_type(L, TLS_TYPE, none, tls_collect);
  lua_pushcfunction(L, tls_new);
  lua_setfield(L, -2, "tls");
}
