/* SPDX-License-Identifier: MIT */
#include "binding/loop.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "binding/engine.h"
#include "binding/tls.h"
#include "binding/type.h"

static const char *const LOOP_TYPE = "authstate.loop";

/* Copies a string field of the table at index 3; raises when it does not fit. Absent:
 * empty. */
static void copy_field(lua_State *L, const char *name, char *out, size_t size) {
  size_t length = 0;
  lua_getfield(L, 3, name);
  const char *text = luaL_optlstring(L, -1, "", &length);
  if (length >= size || memchr(text, '\0', length) != NULL)
    luaL_error(L, "%s must have at most %d bytes and no NUL", name, (int)size - 1);
  memcpy(out, text, length + 1);
  lua_pop(L, 1);
}

static bool boolean_field(lua_State *L, const char *name) {
  lua_getfield(L, 3, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static as_bound_loop *check_loop(lua_State *L) {
  as_bound_loop *bound = luaL_checkudata(L, 1, LOOP_TYPE);
  luaL_argcheck(L, bound->loop != NULL, 1, "the loop is closed");
  return bound;
}

static int loop_new(lua_State *L) {
  as_bound_loop *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  as_mem_init(&bound->mem);
  luaL_getmetatable(L, LOOP_TYPE);
  lua_setmetatable(L, -2);
  as_status status = as_loop_new(&bound->mem, &bound->loop);
  if (status != AS_OK) return as_binding_push_failure(L, status, as_slice_of("", 0));
  return 1;
}

/* The TLS of an address, left on the stack; NULL, and nil, for none. */
static const as_tls *push_tls(lua_State *L) {
  lua_getfield(L, 3, "tls");
  return lua_isnil(L, -1) ? NULL : as_binding_tls_check(L, -1);
}

/* The environment table of the engine keeps the loop, so it can always be detached, and
 * the TLS of its connections. */
static int loop_attach(lua_State *L) {
  as_bound_loop *bound = check_loop(L);
  as_bound_engine *engine = as_binding_engine_check(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_argcheck(L, engine->home == NULL, 2, "the engine is attached");
  as_address address;
  memset(&address, 0, sizeof address);
  copy_field(L, "path", address.path, sizeof address.path);
  copy_field(L, "host", address.host, sizeof address.host);
  copy_field(L, "port", address.port, sizeof address.port);
  address.no_delay = boolean_field(L, "no_delay");
  address.keep_alive = boolean_field(L, "keep_alive");
  address.tls = push_tls(L);
  as_status status = as_loop_attach(bound->loop, engine->engine, engine->connections,
                                    &address, &engine->member);
  if (status != AS_OK) return as_binding_push_failure(L, status, as_slice_of("", 0));
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, 2);
  lua_setfenv(L, 2);
  engine->home = bound;
  lua_pushboolean(L, 1);
  return 1;
}

/* The member that an engine is; raises when it is none. */
static uint32_t check_member(lua_State *L, const as_bound_loop *bound) {
  const as_bound_engine *engine = as_binding_engine_check(L, 2);
  luaL_argcheck(L, engine->home == bound, 2, "the engine is not attached");
  return engine->member;
}

static int push_turn(lua_State *L, as_status status) {
  if (status != AS_OK)
    return as_binding_push_failure(L, status, as_slice_text(strerror(errno)));
  lua_pushboolean(L, 1);
  return 1;
}

static int loop_step(lua_State *L) {
  return push_turn(L, as_loop_step(check_loop(L)->loop, luaL_checknumber(L, 2)));
}

static int loop_wait_one(lua_State *L) {
  as_bound_loop *bound = check_loop(L);
  uint32_t member = check_member(L, bound);
  double timeout_ms = luaL_checknumber(L, 3);
  if (as_loop_wait_one(bound->loop, member, timeout_ms)) return push_turn(L, AS_OK);
  return push_turn(L, as_loop_step(bound->loop, timeout_ms));
}

static int loop_losses(lua_State *L) {
  as_bound_loop *bound = check_loop(L);
  lua_pushnumber(L, as_loop_losses(bound->loop, check_member(L, bound)));
  return 1;
}

static int loop_looked_ms(lua_State *L) {
  lua_pushnumber(L, as_loop_looked_ms(check_loop(L)->loop));
  return 1;
}

static int loop_fd(lua_State *L) {
  lua_pushinteger(L, as_loop_fd(check_loop(L)->loop));
  return 1;
}

static int loop_deadline_ms(lua_State *L) {
  lua_pushnumber(L, as_loop_deadline_ms(check_loop(L)->loop));
  return 1;
}

static int loop_close(lua_State *L) {
  as_bound_loop *bound = luaL_checkudata(L, 1, LOOP_TYPE);
  as_loop_del(bound->loop);
  bound->loop = NULL;
  return 0;
}

static const luaL_Reg loop_methods[] = {
    {"attach", loop_attach},
    {"step", loop_step},
    {"wait_one", loop_wait_one},
    {"losses", loop_losses},
    {"fd", loop_fd},
    {"deadline_ms", loop_deadline_ms},
    {"close", loop_close},
    {"looked_ms", loop_looked_ms},
    {NULL, NULL},
};

void as_binding_loop_open(lua_State *L) {
  as_binding_new_type(L, LOOP_TYPE, loop_methods, loop_close);
  lua_pushcfunction(L, loop_new);
  lua_setfield(L, -2, "loop");
}
