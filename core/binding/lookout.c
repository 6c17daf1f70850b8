/* SPDX-License-Identifier: MIT */
#include "binding/lookout.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "binding/ffi.h"
#include "binding/type.h"
#include "io/directory.h"
#include "io/lookout.h"

#define AS_EXPORT __attribute__((visibility("default")))

static const char *const LOOKOUT_TYPE = "authstate.lookout";
static const char *const DESCRIPTORS_TYPE = "authstate.descriptors";
static const char *const DESCRIPTORS = "/proc/self/fd";

enum { RECEIVE_BYTES = 16 * 1024 };

static int push_failure(lua_State *L, int failure) {
  lua_pushnil(L);
  lua_pushstring(L, strerror(failure));
  return 2;
}

static as_lookout *check(lua_State *L) {
  return luaL_checkudata(L, 1, LOOKOUT_TYPE);
}

static int lookout_new(lua_State *L) {
  as_lookout *lookout = lua_newuserdata(L, sizeof *lookout);
  lookout->epoll_fd = -1;
  luaL_getmetatable(L, LOOKOUT_TYPE);
  lua_setmetatable(L, -2);
  int failure = as_lookout_open(lookout);
  return failure == 0 ? 1 : push_failure(L, failure);
}

static int lookout_add(lua_State *L) {
  static const char *const events[] = {"bytes", "end", NULL};
  as_lookout *lookout = check(L);
  int fd = luaL_checkint(L, 2);
  int event = luaL_checkoption(L, 3, NULL, events);
  int failure = as_lookout_add(lookout, fd, (as_lookout_event)event);
  if (failure != 0) return push_failure(L, failure);
  lua_pushboolean(L, 1);
  return 1;
}

static int lookout_remove(lua_State *L) {
  as_lookout_remove(check(L), luaL_checkint(L, 2));
  return 0;
}

static int lookout_receive(lua_State *L) {
  char block[RECEIVE_BYTES];
  int failure;
  (void)check(L);
  long length = as_lookout_receive(luaL_checkint(L, 2), block, sizeof block, &failure);
  if (length >= 0) {
    lua_pushlstring(L, block, (size_t)length);
    return 1;
  }
  if (failure != 0) return push_failure(L, failure);
  lua_pushnil(L);
  lua_pushliteral(L, "the server closed the connection");
  return 2;
}

static int lookout_address(lua_State *L) {
  lua_pushlightuserdata(L, check(L));
  return 1;
}

static int lookout_close(lua_State *L) {
  as_lookout_close(check(L));
  return 0;
}

/* A userdata, so that a Lua error amid the listing does not leave the stream open. */
static int descriptors_close(lua_State *L) {
  as_directory_close(luaL_checkudata(L, 1, DESCRIPTORS_TYPE));
  return 0;
}

static int marked_sockets(lua_State *L) {
  as_directory_reader *reader = lua_newuserdata(L, sizeof *reader);
  reader->stream = NULL;
  luaL_getmetatable(L, DESCRIPTORS_TYPE);
  lua_setmetatable(L, -2);
  int failure = as_directory_open(reader, DESCRIPTORS);
  if (failure != 0) return push_failure(L, failure);
  lua_newtable(L);
  const char *name;
  for (int count = 0; (name = as_directory_next(reader, &failure)) != NULL;) {
    int fd = atoi(name);
    if (!as_lookout_is_marked(fd)) continue;
    lua_pushinteger(L, fd);
    lua_rawseti(L, -2, ++count);
  }
  as_directory_close(reader);
  return failure == 0 ? 1 : push_failure(L, failure);
}

static int is_marked(lua_State *L) {
  lua_pushboolean(L, as_lookout_is_marked(luaL_checkint(L, 1)));
  return 1;
}

static const luaL_Reg lookout_methods[] = {
    {"add", lookout_add},         {"remove", lookout_remove},
    {"receive", lookout_receive}, {"address", lookout_address},
    {"close", lookout_close},     {NULL, NULL},
};

void as_binding_lookout_open(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  as_binding_new_type(L, LOOKOUT_TYPE, lookout_methods, lookout_close);
  as_binding_new_type(L, DESCRIPTORS_TYPE, none, descriptors_close);
  lua_pushcfunction(L, lookout_new);
  lua_setfield(L, -2, "lookout");
  lua_pushcfunction(L, marked_sockets);
  lua_setfield(L, -2, "marked_sockets");
  lua_pushcfunction(L, is_marked);
  lua_setfield(L, -2, "is_marked");
}

/* ---- through FFI ------------------------------------------------------------------- */

AS_EXPORT int32_t authstate_lookout_next(authstate_lookout *lookout) {
  return as_lookout_next((const as_lookout *)(const void *)lookout);
}
