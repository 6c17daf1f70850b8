/* SPDX-License-Identifier: MIT */
#include "binding/codec.h"

#include <lauxlib.h>

#include "binding/bytes.h"
#include "binding/envelope.h"
#include "binding/type.h"
#include "binding/value.h"
#include "codec/session_text.h"

enum { DEFAULT_MAX_BYTES = 8 * 1024 * 1024 };

static const as_value_sealing DEFAULT_SEALING = {
    .serializer = AS_SERIALIZER_CBOR, .envelope = {.max_value_bytes = DEFAULT_MAX_BYTES}};

static size_t check_max_bytes(lua_State *L, int index) {
  lua_Number max_bytes = luaL_optnumber(L, index, DEFAULT_MAX_BYTES);
  luaL_argcheck(L, max_bytes >= 0 && max_bytes <= (lua_Number)(SIZE_MAX / 4), index,
                "a number of bytes expected");
  return (size_t)max_bytes;
}

static void push_slice(lua_State *L, as_slice slice) {
  lua_pushlstring(L, (const char *)slice.data, slice.length);
}

static void push_buffer(lua_State *L, const as_buffer *buffer) {
  push_slice(L, as_buffer_slice(buffer));
}

/* nil, message, code */
static int push_failure(lua_State *L, as_status status, const as_codec_error *error) {
  lua_pushnil(L);
  lua_pushstring(L, as_codec_error_text(error, status));
  lua_pushstring(L, as_status_code(status));
  return 3;
}

/* nil, message, offset */
static int push_text_failure(lua_State *L, as_status status,
                             const as_codec_error *error) {
  lua_pushnil(L);
  lua_pushstring(L, as_codec_error_text(error, status));
  lua_pushnumber(L, (lua_Number)error->offset);
  return 3;
}

static int encode(lua_State *L, const as_value_sealing *sealing) {
  as_codec_error error;
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_slice stored;
  as_status status = as_value_encode(L, 1, sealing, workspace, &stored, &error);
  if (status == AS_OK) push_slice(L, stored);
  as_workspace_release(workspace);
  return status == AS_OK ? 1 : push_failure(L, status, &error);
}

static int codec_encode(lua_State *L) {
  if (lua_gettop(L) == 1) return encode(L, &DEFAULT_SEALING);
  luaL_checkany(L, 1);
  as_value_sealing sealing = as_value_sealing_check(L, 3, check_max_bytes(L, 2));
  return encode(L, &sealing);
}

static int codec_decode(lua_State *L) {
  as_codec_error error;
  as_slice stored = as_string_check(L, 1);
  size_t max_bytes = lua_gettop(L) == 1 ? DEFAULT_MAX_BYTES : check_max_bytes(L, 2);
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_status status = as_value_push(L, workspace, stored, max_bytes, &error);
  as_workspace_release(workspace);
  return status == AS_OK ? 1 : push_failure(L, status, &error);
}

static int codec_json_encode(lua_State *L) {
  as_codec_error error;
  as_slice text = as_string_check(L, 1);
  as_value_sealing sealing = as_value_sealing_check(L, 3, check_max_bytes(L, 2));
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_slice stored;
  as_status status = as_value_encode_json(L, text, &sealing, workspace, &stored, &error);
  if (status == AS_OK) push_slice(L, stored);
  as_workspace_release(workspace);
  if (status == AS_OK) return 1;
  int count = push_failure(L, status, &error);
  if (status != AS_ERR_CORRUPT) return count;
  lua_pushnumber(L, (lua_Number)error.offset);
  return count + 1;
}

static int codec_json_decode(lua_State *L) {
  as_codec_error error;
  as_slice stored = as_string_check(L, 1);
  size_t max_bytes = check_max_bytes(L, 2);
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_status status = as_value_push_json(L, workspace, stored, max_bytes, &error);
  as_workspace_release(workspace);
  return status == AS_OK ? 1 : push_failure(L, status, &error);
}

/* The serializer of a value that a Lua script writes. */
static uint8_t check_serializer(lua_State *L, int index) {
  lua_Number code = luaL_checknumber(L, index);
  bool is_right = code >= AS_SERIALIZER_FIRST_SCRIPT && code <= AS_SERIALIZER_LAST_SCRIPT;
  luaL_argcheck(L, is_right, index, "a number from 4 to 15 expected");
  return (uint8_t)code;
}

static int codec_seal(lua_State *L) {
  as_codec_error error;
  as_slice payload = as_string_check(L, 1);
  uint8_t serializer = check_serializer(L, 2);
  as_value_sealing sealing = as_value_sealing_check(L, 4, check_max_bytes(L, 3));
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_status status = as_value_seal(L, payload, serializer, &sealing.envelope,
                                   &workspace->stored, &error);
  if (status == AS_OK) push_buffer(L, &workspace->stored);
  as_workspace_release(workspace);
  return status == AS_OK ? 1 : push_failure(L, status, &error);
}

static int codec_open(lua_State *L) {
  as_codec_error error;
  as_envelope envelope;
  as_slice stored = as_string_check(L, 1);
  uint8_t serializer = check_serializer(L, 2);
  size_t max_bytes = check_max_bytes(L, 3);
  as_status status = as_envelope_open(stored, max_bytes, &envelope, &error);
  if (status != AS_OK) return push_failure(L, status, &error);
  if (envelope.serializer != serializer) {
    lua_pushboolean(L, 0);
    return 1;
  }
  as_envelope_state *state = as_envelope_state_take(L);
  if (envelope.is_packed) {
    status = as_envelope_unpack(&envelope, max_bytes, state, &error);
  }
  if (status == AS_OK) push_slice(L, envelope.payload);
  as_envelope_state_release(state);
  return status == AS_OK ? 1 : push_failure(L, status, &error);
}

static int codec_to_json(lua_State *L) {
  /* In the order of as_byte_form. */
  static const char *const FORMS[] = {"base64", "array", "object", NULL};
  as_codec_error error;
  luaL_checkany(L, 1);
  as_byte_form form = (as_byte_form)luaL_checkoption(L, 2, "base64", FORMS);
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_buffer_clear(&workspace->cbor);
  as_buffer_clear(&workspace->text);
  as_status status = as_value_encode_cbor(L, 1, workspace, &workspace->cbor, &error);
  if (status == AS_OK) {
    status = as_transcode_cbor(&workspace->transcoder, as_buffer_slice(&workspace->cbor),
                               form, &workspace->text, &error);
  }
  if (status == AS_OK) push_buffer(L, &workspace->text);
  as_workspace_release(workspace);
  return status == AS_OK ? 1 : push_failure(L, status, &error);
}

static int codec_from_json(lua_State *L) {
  as_codec_error error;
  as_slice text = as_string_check(L, 1);
  as_workspace *workspace = as_workspace_take_upvalue(L);
  as_status status = as_value_push_text(L, workspace, text, &error);
  as_workspace_release(workspace);
  return status == AS_OK ? 1 : push_text_failure(L, status, &error);
}

/* ---- split_session ---------------------------------------------------------------- */

/* A walk that frees itself when Lua raises. */
typedef struct session_walk {
  as_mem mem;
  as_session_text text;
} session_walk;

static int session_walk_collect(lua_State *L) {
  session_walk *walk = lua_touserdata(L, 1);
  as_session_text_free(&walk->text);
  return 0;
}

static session_walk *push_session_walk(lua_State *L, as_slice text) {
  session_walk *walk = lua_newuserdata(L, sizeof *walk);
  as_mem_init(&walk->mem);
  as_session_text_init(&walk->text, text, &walk->mem);
  if (luaL_newmetatable(L, "authstate.session_walk")) {
    lua_pushcfunction(L, session_walk_collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return walk;
}

/* Pushes keys[type], made if need be; `keys` is at the top of the stack. */
static void push_type_table(lua_State *L, as_slice type) {
  push_slice(L, type);
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);
  if (lua_istable(L, -1)) {
    lua_remove(L, -2);
    return;
  }
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_insert(L, -3);
  lua_rawset(L, -4);
}

/* Adds records to the session table and its keys table, the two uppermost. */
static as_status add_records(lua_State *L, session_walk *walk, as_codec_error *error) {
  as_session_record record;
  lua_Integer count = 0;
  for (;;) {
    AS_TRY(as_session_text_next(&walk->text, &record, error));
    if (record.kind == AS_SESSION_END) break;
    if (record.kind == AS_SESSION_CREDS) {
      push_slice(L, record.text);
      lua_setfield(L, -3, "creds");
      continue;
    }
    push_type_table(L, record.type);
    push_slice(L, record.id);
    push_slice(L, record.text);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    count++;
  }
  lua_pushinteger(L, count);
  lua_setfield(L, -3, "records");
  return AS_OK;
}

static int codec_split_session(lua_State *L) {
  as_codec_error error;
  as_slice text = as_string_check(L, 1);
  session_walk *walk = push_session_walk(L, text);
  lua_createtable(L, 0, 3);
  lua_newtable(L);
  as_status status = add_records(L, walk, &error);
  as_session_text_free(&walk->text);
  if (status != AS_OK) return push_text_failure(L, status, &error);
  lua_setfield(L, -2, "keys");
  return 1;
}

static const luaL_Reg FUNCTIONS[] = {
    {"encode", codec_encode},
    {"decode", codec_decode},
    {"json_encode", codec_json_encode},
    {"json_decode", codec_json_decode},
    {"seal", codec_seal},
    {"open", codec_open},
    {"to_json", codec_to_json},
    {"from_json", codec_from_json},
    {"split_session", codec_split_session},
    {NULL, NULL},
};

void as_binding_codec_open(lua_State *L) {
  as_binding_bytes_open(L);
  as_binding_value_open(L);
  as_binding_envelope_open(L);
  for (const luaL_Reg *function = FUNCTIONS; function->name != NULL; function++) {
    as_workspace_push_upvalues(L);
    lua_pushcclosure(L, function->func, 2);
    lua_setfield(L, -2, function->name);
  }
}
