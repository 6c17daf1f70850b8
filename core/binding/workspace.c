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
  as_buffer_free(&workspace->members);
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
    while (names->slots[slot].address != NULL) slot = (slot + 1) % AS_NAMES_SLOTS;
    names->slots[slot].address = address;
    names->slots[slot].number = number;
    lua_pop(L, 1);
  }
  lua_rawgeti(L, -1, AS_CONSTANT_ARRAY_METATABLE);
  lua_rawgeti(L, -2, AS_CONSTANT_BYTES_METATABLE);
  names->array_metatable = lua_topointer(L, -2);
  names->bytes_metatable = lua_topointer(L, -1);
  lua_pop(L, 3);
}

static as_workspace *push_new(lua_State *L) {
  as_workspace *workspace = lua_newuserdata(L, sizeof *workspace);
  as_mem_init(&workspace->mem);
  as_buffer_init(&workspace->stored, &workspace->mem);
  as_buffer_init(&workspace->text, &workspace->mem);
  as_buffer_init(&workspace->cbor, &workspace->mem);
  as_buffer_init(&workspace->members, &workspace->mem);
  as_transcoder_init(&workspace->transcoder, &workspace->mem);
  note_names(L, &workspace->names);
  workspace->is_taken = false;
  if (luaL_newmetatable(L, WORKSPACE_TYPE)) {
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_pushlightuserdata(L, (void *)&WORKSPACE_KEY);
  lua_pushvalue(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  return workspace;
}

static as_workspace *take(as_workspace *workspace, int constants) {
  workspace->constants = constants;
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
  as_value_push_constants(L);
  return take(workspace, lua_gettop(L));
}

void as_workspace_push_upvalues(lua_State *L) {
  as_workspace *workspace = as_workspace_take(L);
  as_workspace_release(workspace);
}

as_workspace *as_workspace_take_upvalue(lua_State *L) {
  as_workspace *workspace = lua_touserdata(L, lua_upvalueindex(1));
  if (workspace->is_taken) return as_workspace_take(L);
  return take(workspace, lua_upvalueindex(2));
}

/* Usually the memory is little and kept. */
void as_workspace_release(as_workspace *workspace) {
  if (workspace->mem.used_bytes > MAX_KEPT_BYTES) {
    as_buffer_free(&workspace->stored);
    as_buffer_free(&workspace->text);
    as_buffer_free(&workspace->cbor);
    as_buffer_free(&workspace->members);
    as_transcoder_trim(&workspace->transcoder);
  }
  workspace->is_taken = false;
}
