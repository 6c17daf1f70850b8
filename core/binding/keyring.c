/* SPDX-License-Identifier: MIT */
#include "binding/keyring.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/type.h"
#include "binding/value.h"
#include "codec/keyring.h"
#include "io/random.h"

static const char *const KEYRING_TYPE = "authstate.keyring";

static const lua_Number DEFAULT_MAX_BYTES = 8.0 * 1024 * 1024;
static const lua_Number MAX_GENERATION = 9007199254740992.0; /* 2^53 */

typedef struct bound_keyring {
  as_mem mem;
  as_keyring ring;
  as_random_pool *random; /* where nonces come from */
} bound_keyring;

static bound_keyring *check_keyring(lua_State *L) {
  return luaL_checkudata(L, 1, KEYRING_TYPE);
}

/* session, generation, type, id from index 3 on. */
static as_record_place check_place(lua_State *L) {
  lua_Number generation = luaL_checknumber(L, 4);
  luaL_argcheck(L, generation >= 0 && generation <= MAX_GENERATION, 4,
                "a generation expected");
  as_record_place place = {
      .session = as_string_check(L, 3),
      .generation = (uint64_t)generation,
      .type = as_string_check(L, 5),
      .id = as_string_check(L, 6),
  };
  return place;
}

static size_t check_max_bytes(lua_State *L, int index) {
  lua_Number max_bytes = luaL_optnumber(L, index, DEFAULT_MAX_BYTES);
  luaL_argcheck(L, max_bytes >= 0 && max_bytes <= (lua_Number)(SIZE_MAX / 4), index,
                "a number of bytes expected");
  return (size_t)max_bytes;
}

/* nil, message, code */
static int push_failure(lua_State *L, as_status status, const as_codec_error *error) {
  lua_pushnil(L);
  lua_pushstring(L, as_codec_error_text(error, status));
  lua_pushstring(L, as_status_code(status));
  return 3;
}

static int keyring_close(lua_State *L) {
  bound_keyring *bound = check_keyring(L);
  as_keyring_free(&bound->ring);
  as_random_pool_del(bound->random);
  bound->random = NULL;
  return 0;
}

/* Adds the key whose id and bytes are the two uppermost on the stack. */
static void add_key(lua_State *L, bound_keyring *bound) {
  lua_Number id = lua_tonumber(L, -2);
  luaL_argcheck(L, lua_type(L, -2) == LUA_TNUMBER && id >= 0 && id < AS_KEYRING_IDS, 1,
                "an id from 0 to 255 expected");
  luaL_argcheck(L,
                lua_type(L, -1) == LUA_TSTRING && lua_objlen(L, -1) == AS_AEAD_KEY_BYTES,
                1, "keys of 32 bytes expected");
  const uint8_t *key = (const uint8_t *)lua_tostring(L, -1);
  as_status status = as_keyring_add(&bound->ring, (uint8_t)id, key);
  if (status != AS_OK) luaL_error(L, "AES-256-GCM: %s", as_status_sentence(status));
}

static int keyring_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer primary = luaL_checkinteger(L, 2);
  bool is_required = lua_toboolean(L, 3);
  bound_keyring *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  as_mem_init(&bound->mem);
  as_keyring_init(&bound->ring, &bound->mem);
  luaL_getmetatable(L, KEYRING_TYPE);
  lua_setmetatable(L, -2);
  lua_pushnil(L);
  while (lua_next(L, 1) != 0) {
    add_key(L, bound);
    lua_pop(L, 1);
  }
  bool is_there =
      primary >= 0 && primary < AS_KEYRING_IDS && bound->ring.keys[primary] != NULL;
  luaL_argcheck(L, is_there, 2, "the id of one of the keys expected");
  bound->ring.primary = (int)primary;
  bound->ring.is_required = is_required;
  bound->random = as_random_pool_new();
  return 1;
}

static int keyring_encrypt(lua_State *L) {
  as_codec_error error;
  uint8_t nonce[AS_AEAD_NONCE_BYTES];
  bound_keyring *bound = check_keyring(L);
  as_slice stored = as_string_check(L, 2);
  as_record_place place = check_place(L);
  if (as_random_pool_take(bound->random, nonce, sizeof nonce) != AS_OK)
    return luaL_error(L, "getrandom fails");
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_buffer *out = &workspace->stored;
  as_status status = as_keyring_encrypt(&bound->ring, &place, nonce, stored, out, &error);
  if (status == AS_OK) lua_pushlstring(L, (const char *)out->data, out->length);
  as_workspace_release(workspace);
  return status == AS_OK ? 1 : push_failure(L, status, &error);
}

/* The value that was encrypted is in workspace->stored, which reading leaves alone. */
static as_status push_decrypted(lua_State *L, bound_keyring *bound,
                                as_workspace *workspace, as_slice stored,
                                size_t max_bytes, as_value_pusher push,
                                as_codec_error *error) {
  as_slice value;
  as_record_place place = check_place(L);
  as_codec_error_clear(error);
  /* What is longer is refused before it is decrypted. */
  size_t room = stored.length <= max_bytes ? stored.length : 0;
  AS_TRY(as_buffer_reserve(&workspace->stored, room));
  AS_TRY(as_keyring_decrypt(&bound->ring, &place, stored, max_bytes,
                            workspace->stored.data, &value, error));
  return push(L, workspace, value, max_bytes, error);
}

static int open_value(lua_State *L, as_value_pusher push) {
  as_codec_error error;
  bound_keyring *bound = check_keyring(L);
  as_slice stored = as_string_check(L, 2);
  size_t max_bytes = check_max_bytes(L, 7);
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_status status = push_decrypted(L, bound, workspace, stored, max_bytes, push, &error);
  as_workspace_release(workspace);
  return status == AS_OK ? 1 : push_failure(L, status, &error);
}

static int keyring_decrypt(lua_State *L) {
  return open_value(L, as_value_push_raw);
}

static int keyring_decode(lua_State *L) {
  return open_value(L, as_value_push);
}

static int keyring_json_decode(lua_State *L) {
  return open_value(L, as_value_push_json);
}

static int keyring_key_id(lua_State *L) {
  int id = as_keyring_key_id(as_string_check(L, 2));
  if (id < 0) return 0;
  lua_pushinteger(L, id);
  return 1;
}

static const luaL_Reg METHODS[] = {
    {"encrypt", keyring_encrypt},
    {"decrypt", keyring_decrypt},
    {"decode", keyring_decode},
    {"json_decode", keyring_json_decode},
    {"key_id", keyring_key_id},
    {"close", keyring_close},
    {NULL, NULL},
};

/* The methods have the upvalues of as_workspace_take_upvalue. */
static void set_methods(lua_State *L) {
  for (const luaL_Reg *method = METHODS; method->name != NULL; method++) {
    as_workspace_push_upvalues(L);
    lua_pushcclosure(L, method->func, 2);
    lua_setfield(L, -2, method->name);
  }
}

void as_binding_keyring_open(lua_State *L) {
  as_binding_new_type(L, KEYRING_TYPE, METHODS, keyring_close);
  luaL_getmetatable(L, KEYRING_TYPE);
  lua_getfield(L, -1, "__index");
  set_methods(L);
  lua_pop(L, 2);
  lua_pushcfunction(L, keyring_new);
  lua_setfield(L, -2, "keyring");
}
