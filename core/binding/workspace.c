/* SPDX-License-Identifier: MIT */
#include "binding/workspace.h"

#include <lauxlib.h>

#include "binding/value.h"

/* More than this is given back rather than kept for the next call. */
enum { MAX_KEPT_BYTES = 256 * 1024 };

/* Its address is the workspace's key in the registry. */
static const char WORKSPACE_KEY;

static const char *const WORKSPACE_TYPE = "authstate.workspace";

static int collect(lua_State *L) {
  as_workspace *workspace = lua_touserdata(L, 1);
  as_buffer_free(&workspace->stored);
  as_buffer_free(&workspace->text);
  as_buffer_free(&workspace->cbor);
  as_transcoder_free(&workspace->transcoder);
  return 0;
}

/* The strings are kept alive by the table of constants. */
static void note_names(lua_State *L, as_name_addresses *names) {
  memset(names, 0, sizeof *names);
  as_value_push_constants(L);
  for (int number = 0; number < AS_NAMES_COUNT; number++) {
    lua_rawgeti(L, -1, number + 1);
    const char *address = lua_tostring(L, -1);
    size_t slot = as_name_addresses_slot(address);
    while (names->slots[slot].address != NULL) slot = (slot + 1) % (2 * AS_NAMES_MAX);
    names->slots[slot].address = address;
    names->slots[slot].number = number;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static as_workspace *push_new(lua_State *L) {
  as_workspace *workspace = lua_newuserdata(L, sizeof *workspace);
  as_mem_init(&workspace->mem);
  as_buffer_init(&workspace->stored, &workspace->mem);
  as_buffer_init(&workspace->text, &workspace->mem);
  as_buffer_init(&workspace->cbor, &workspace->mem);
  as_transcoder_init(&workspace->transcoder, &workspace->mem);
  note_names(L, &workspace->names);
  workspace->is_taken = false;
  if (luaL_newmetatable(L, WORKSPACE_TYPE)) {
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  as_value_push_constants(L);
  lua_setfenv(L, -2);
  lua_pushlightuserdata(L, (void *)&WORKSPACE_KEY);
  lua_pushvalue(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  return workspace;
}

/* The workspace at the top of the stack. */
static as_workspace *take(lua_State *L, as_workspace *workspace) {
  lua_getfenv(L, -1);
  workspace->constants = lua_gettop(L);
  workspace->is_taken = true;
  as_buffer_clear(&workspace->stored);
  as_buffer_clear(&workspace->text);
  as_buffer_clear(&workspace->cbor);
  return workspace;
}

as_workspace *as_workspace_take(lua_State *L) {
  luaL_checkstack(L, 5, "taking the workspace");
  lua_pushlightuserdata(L, (void *)&WORKSPACE_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
  as_workspace *workspace = lua_touserdata(L, -1);
  if (workspace == NULL || workspace->is_taken) {
    lua_pop(L, 1);
    workspace = push_new(L);
  }
  return take(L, workspace);
}

as_workspace *as_workspace_take_upvalue(lua_State *L) {
  as_workspace *workspace = lua_touserdata(L, lua_upvalueindex(1));
  if (workspace->is_taken) return as_workspace_take(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  return take(L, workspace);
}

static void trim(as_buffer *buffer) {
  if (buffer->capacity > MAX_KEPT_BYTES) as_buffer_free(buffer);
}

void as_workspace_release(as_workspace *workspace) {
  trim(&workspace->stored);
  trim(&workspace->text);
  trim(&workspace->cbor);
  as_transcoder_trim(&workspace->transcoder);
  workspace->is_taken = false;
}
