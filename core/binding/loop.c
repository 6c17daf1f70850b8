/* SPDX-License-Identifier: MIT */
#include "binding/loop.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "binding/engine.h"
#include "binding/type.h"
#include "io/loop.h"

static const char *const LOOP_TYPE = "authstate.loop";

typedef struct bound_loop {
  as_mem mem;
  as_loop *loop;  /* NULL once closed */
  int engine_ref; /* keeps the engine alive */
} bound_loop;

/* Copies a string field; raises when it does not fit. Absent: empty. */
static void copy_field(lua_State *L, const char *name, char *out, size_t size) {
  size_t length = 0;
  lua_getfield(L, 2, name);
  const char *text = luaL_optlstring(L, -1, "", &length);
  if (length >= size || memchr(text, '\0', length) != NULL)
    luaL_error(L, "%s must have at most %d bytes and no NUL", name, (int)size - 1);
  memcpy(out, text, length + 1);
  lua_pop(L, 1);
}

static bool boolean_field(lua_State *L, const char *name) {
  lua_getfield(L, 2, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static int loop_new(lua_State *L) {
  uint32_t connections;
  as_engine *engine = as_binding_engine_check(L, 1, &connections);
  luaL_checktype(L, 2, LUA_TTABLE);
  as_address address;
  memset(&address, 0, sizeof address);
  copy_field(L, "path", address.path, sizeof address.path);
  copy_field(L, "host", address.host, sizeof address.host);
  copy_field(L, "port", address.port, sizeof address.port);
  address.no_delay = boolean_field(L, "no_delay");
  address.keep_alive = boolean_field(L, "keep_alive");

  bound_loop *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  as_mem_init(&bound->mem);
  bound->engine_ref = LUA_NOREF;
  luaL_getmetatable(L, LOOP_TYPE);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, 1);
  bound->engine_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  as_status status =
      as_loop_new(&bound->mem, engine, connections, &address, &bound->loop);
  if (status != AS_OK) return as_binding_push_failure(L, status, as_slice_of("", 0));
  return 1;
}

/* loop:step(timeout_ms) -> how many connections were lost or could not be made */
static int loop_step(lua_State *L) {
  bound_loop *bound = luaL_checkudata(L, 1, LOOP_TYPE);
  luaL_argcheck(L, bound->loop != NULL, 1, "the loop is closed");
  lua_rawgeti(L, LUA_REGISTRYINDEX, bound->engine_ref);
  uint32_t connections;
  (void)as_binding_engine_check(L, -1, &connections); /* the loop borrows it */
  uint32_t losses = as_loop_losses(bound->loop);
  as_status status = as_loop_step(bound->loop, luaL_checknumber(L, 2));
  if (status != AS_OK)
    return as_binding_push_failure(L, status, as_slice_text(strerror(errno)));
  lua_pushnumber(L, as_loop_losses(bound->loop) - losses);
  return 1;
}

static int loop_close(lua_State *L) {
  bound_loop *bound = luaL_checkudata(L, 1, LOOP_TYPE);
  as_loop_del(bound->loop);
  bound->loop = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, bound->engine_ref);
  bound->engine_ref = LUA_NOREF;
  return 0;
}

static const luaL_Reg loop_methods[] = {
    {"step", loop_step},
    {"close", loop_close},
    {NULL, NULL},
};

void as_binding_loop_open(lua_State *L) {
  as_binding_new_type(L, LOOP_TYPE, loop_methods, loop_close);
  lua_pushcfunction(L, loop_new);
  lua_setfield(L, -2, "loop");
}
