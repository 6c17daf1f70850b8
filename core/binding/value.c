/* SPDX-License-Identifier: MIT */
/* From stored bytes to Lua: a sink that keeps the open tables on the Lua stack, for an
 * object with the key of the member being read above it:
 *
 *   ... constants | table key table key table ... value
 *
 * Foreign JSON and text kept whole are first made CBOR structure in the workspace. */
#include "binding/value.h"

#include <lauxlib.h>

#include "binding/bytes.h"
#include "codec/envelope.h"
#include "codec/names.h"

/* Their addresses are keys in the registry. */
static const char ARRAY_METATABLE_KEY, CONSTANTS_KEY;

/* Room on the Lua stack is made for so many levels together; a level takes two slots.
 * Callers have made room for the first. */
enum { LEVELS_AT_ONCE = 4, STACK_ROOM = LUA_MINSTACK + 2 * LEVELS_AT_ONCE };

typedef enum table_kind { ARRAY, OBJECT, RECORD } table_kind;

typedef struct table_level {
  int index; /* of the last element, for arrays; on the stack, for records */
  table_kind kind;
} table_level;

typedef struct lua_sink {
  as_sink sink;
  lua_State *L;
  int constants; /* stack index */
  int depth;
  table_level levels[AS_CODEC_MAX_LEVELS];
} lua_sink;

static void push_registered(lua_State *L, const char *key) {
  lua_pushlightuserdata(L, (void *)key);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

static void push_array_metatable(lua_State *L) {
  push_registered(L, &ARRAY_METATABLE_KEY);
}

void as_value_push_constants(lua_State *L) {
  push_registered(L, &CONSTANTS_KEY);
}

static void push_slice(lua_State *L, as_slice text) {
  lua_pushlstring(L, text.length > 0 ? (const char *)text.data : "", text.length);
}

/* ---- the sink ---------------------------------------------------------------------- */

/* Stores the value on the stack in the table below it. */
static as_status settle(lua_sink *to) {
  if (to->depth == 0) return AS_OK;
  table_level *level = &to->levels[to->depth - 1];
  if (level->kind == OBJECT) {
    lua_rawset(to->L, -3);
  } else if (level->kind == ARRAY) {
    lua_rawseti(to->L, -2, ++level->index);
  } /* what a record is made of stays on the stack */
  return AS_OK;
}

static as_status open_table(as_sink *sink, bool is_object, size_t count) {
  lua_sink *to = (lua_sink *)sink;
  lua_State *L = to->L;
  if (to->depth % LEVELS_AT_ONCE == LEVELS_AT_ONCE - 1 &&
      !lua_checkstack(L, STACK_ROOM)) {
    return AS_ERR_OOM;
  }
  lua_createtable(L, is_object ? 0 : (int)count, is_object ? (int)count : 0);
  if (!is_object) {
    lua_rawgeti(L, to->constants, AS_CONSTANT_ARRAY_METATABLE);
    lua_setmetatable(L, -2);
  }
  to->levels[to->depth++] = (table_level){0, is_object ? OBJECT : ARRAY};
  return AS_OK;
}

static as_status close_table(as_sink *sink, bool is_object) {
  lua_sink *to = (lua_sink *)sink;
  (void)is_object;
  to->depth--;
  return settle(to);
}

/* Calls the function that makes the record, with its values. */
static as_status open_record(as_sink *sink, as_sink_record record) {
  lua_sink *to = (lua_sink *)sink;
  if (!lua_checkstack(to->L, STACK_ROOM)) return AS_ERR_OOM;
  lua_rawgeti(to->L, to->constants, AS_CONSTANT_MAKE_RECORD + (int)record);
  to->levels[to->depth++] = (table_level){lua_gettop(to->L), RECORD};
  return AS_OK;
}

static as_status close_record(as_sink *sink, as_sink_record record) {
  lua_sink *to = (lua_sink *)sink;
  int function = to->levels[--to->depth].index;
  (void)record;
  lua_call(to->L, lua_gettop(to->L) - function, 1);
  return settle(to);
}

static as_status push_name(as_sink *sink, int name) {
  lua_sink *to = (lua_sink *)sink;
  lua_rawgeti(to->L, to->constants, name + 1);
  return AS_OK;
}

static as_status push_key(as_sink *sink, as_slice text) {
  push_slice(((lua_sink *)sink)->L, text);
  return AS_OK;
}

static as_status push_text(as_sink *sink, as_slice text) {
  push_slice(((lua_sink *)sink)->L, text);
  return settle((lua_sink *)sink);
}

static as_status push_bytes(as_sink *sink, as_slice bytes, as_byte_form form) {
  lua_sink *to = (lua_sink *)sink;
  (void)form;
  uint8_t *block = lua_newuserdata(to->L, bytes.length);
  lua_rawgeti(to->L, to->constants, AS_CONSTANT_BYTES_METATABLE);
  lua_setmetatable(to->L, -2);
  if (bytes.length > 0) memcpy(block, bytes.data, bytes.length);
  return settle(to);
}

/* Strings that Lua has need not be looked for among all that it has. */
static as_status push_few_digits(as_sink *sink, unsigned number) {
  lua_sink *to = (lua_sink *)sink;
  lua_rawgeti(to->L, to->constants, AS_CONSTANT_DIGITS + (int)number);
  return settle(to);
}

static as_status push_number(as_sink *sink, double number) {
  lua_pushnumber(((lua_sink *)sink)->L, number);
  return settle((lua_sink *)sink);
}

static as_status push_word(as_sink *sink, as_tree_kind kind) {
  lua_sink *to = (lua_sink *)sink;
  if (kind == AS_TREE_NULL) {
    lua_pushlightuserdata(to->L, NULL);
  } else {
    lua_pushboolean(to->L, kind == AS_TREE_TRUE);
  }
  return settle(to);
}

static void lua_sink_init(lua_sink *to, lua_State *L, const as_workspace *workspace) {
  static const as_sink_calls CALLS = {
      .open = open_table,
      .close = close_table,
      .name = push_name,
      .key = push_key,
      .text = push_text,
      .bytes = push_bytes,
      .number = push_number,
      .word = push_word,
      .few_digits = push_few_digits,
      .open_record = open_record,
      .close_record = close_record,
      .wants_byte_maps = true,
  };
  to->sink.calls = &CALLS;
  to->L = L;
  to->depth = 0;
  to->constants = workspace->constants;
}

/* ---- values ------------------------------------------------------------------------ */

/* What fails leaves a part of the value on the stack: the caller clears up. */
static as_status push_cbor(lua_State *L, as_workspace *workspace, as_slice cbor,
                           as_unpack_trust trust, as_codec_error *error) {
  lua_sink to;
  lua_sink_init(&to, L, workspace);
  return as_unpack(&workspace->transcoder.unpacker, cbor, trust, &to.sink, error);
}

static as_status push_text_value(lua_State *L, as_workspace *workspace, as_slice json,
                                 as_codec_error *error) {
  as_buffer *cbor = &workspace->cbor;
  as_buffer_clear(cbor);
  AS_TRY(as_transcode_json_structure(&workspace->transcoder, json, cbor, error));
  return push_cbor(L, workspace, as_buffer_slice(cbor), AS_UNPACK_STRUCTURE, error);
}

static as_status push_payload(lua_State *L, as_workspace *workspace, as_slice cbor,
                              as_codec_error *error) {
  as_slice json;
  AS_TRY(as_transcode_find_whole(cbor, &json, error));
  if (json.data != NULL) return push_text_value(L, workspace, json, error);
  return push_cbor(L, workspace, cbor, AS_UNPACK_STORED, error);
}

as_status as_value_push_text(lua_State *L, as_workspace *workspace, as_slice json,
                             as_codec_error *error) {
  int top = lua_gettop(L);
  as_status status = push_text_value(L, workspace, json, error);
  if (status != AS_OK) lua_settop(L, top);
  return status;
}

static as_status push_envelope(lua_State *L, as_workspace *workspace,
                               const as_envelope *envelope, as_codec_error *error) {
  switch (envelope->serializer) {
    case AS_SERIALIZER_CBOR:
      return push_payload(L, workspace, envelope->payload, error);
    case AS_SERIALIZER_JSON:
      return push_text_value(L, workspace, envelope->payload, error);
    default:
      return as_envelope_refuse_serializer(envelope, error);
  }
}

static as_status push_cbor_as_json(lua_State *L, as_workspace *workspace, as_slice cbor,
                                   as_codec_error *error) {
  as_buffer_clear(&workspace->text);
  AS_TRY(as_transcode_cbor(&workspace->transcoder, cbor, AS_BYTE_FORM_BASE64,
                           &workspace->text, error));
  push_slice(L, as_buffer_slice(&workspace->text));
  return AS_OK;
}

static as_status push_envelope_as_json(lua_State *L, as_workspace *workspace,
                                       const as_envelope *envelope,
                                       as_codec_error *error) {
  switch (envelope->serializer) {
    case AS_SERIALIZER_CBOR:
      return push_cbor_as_json(L, workspace, envelope->payload, error);
    case AS_SERIALIZER_JSON:
      AS_TRY(as_transcode_json_check(envelope->payload, error));
      push_slice(L, envelope->payload);
      return AS_OK;
    default:
      return as_envelope_refuse_serializer(envelope, error);
  }
}

typedef as_status (*push_opened)(lua_State *L, as_workspace *workspace,
                                 const as_envelope *envelope, as_codec_error *error);

/* Leaves the state below the value. */
static as_status push_packed(lua_State *L, as_workspace *workspace, as_envelope *envelope,
                             size_t max_value_bytes, push_opened push,
                             as_codec_error *error) {
  as_envelope_state *state = as_envelope_state_take(L);
  as_status status = as_envelope_unpack(envelope, max_value_bytes, state, error);
  if (status == AS_OK) status = push(L, workspace, envelope, error);
  as_envelope_state_release(state);
  if (status == AS_OK) lua_remove(L, -2);
  return status;
}

static as_status push_stored(lua_State *L, as_workspace *workspace, as_slice stored,
                             size_t max_value_bytes, push_opened push,
                             as_codec_error *error) {
  as_envelope envelope;
  AS_TRY(as_envelope_open(stored, max_value_bytes, &envelope, error));
  int top = lua_gettop(L);
  as_status status = envelope.is_packed ? push_packed(L, workspace, &envelope,
                                                      max_value_bytes, push, error)
                                        : push(L, workspace, &envelope, error);
  if (status != AS_OK) lua_settop(L, top);
  return status;
}

as_status as_value_push(lua_State *L, as_workspace *workspace, as_slice stored,
                        size_t max_value_bytes, as_codec_error *error) {
  as_slice payload;
  if (!as_envelope_open_plain(stored, max_value_bytes, &payload)) {
    return push_stored(L, workspace, stored, max_value_bytes, push_envelope, error);
  }
  char digits[AS_DIGITS_ROOM];
  size_t count = as_unpack_digits(payload, digits);
  if (count > 0) {
    lua_pushlstring(L, digits, count);
    return AS_OK;
  }
  int top = lua_gettop(L);
  as_codec_error_clear(error);
  as_status status = push_payload(L, workspace, payload, error);
  if (status != AS_OK) lua_settop(L, top);
  return status;
}

as_status as_value_push_json(lua_State *L, as_workspace *workspace, as_slice stored,
                             size_t max_value_bytes, as_codec_error *error) {
  return push_stored(L, workspace, stored, max_value_bytes, push_envelope_as_json, error);
}

as_status as_value_push_raw(lua_State *L, as_workspace *workspace, as_slice stored,
                            size_t max_value_bytes, as_codec_error *error) {
  (void)workspace;
  (void)max_value_bytes;
  (void)error;
  lua_pushlstring(L, (const char *)stored.data, stored.length);
  return AS_OK;
}

/* array(t) -> t, now an array */
static int value_array(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  push_array_metatable(L);
  lua_setmetatable(L, 1);
  return 1;
}

/* A table made by Lua code, from a template, with all that it contains, takes half of the
 * time of one that is made member by member through the C API. Interpreted: a trace would
 * be left at once, for C. */
static const char MAKE_RECORDS[] =
    "local function state(registration_id, public, private, remote, previous_counter,\n"
    "    root, base, base_type, closed, used, created, identity, chains)\n"
    "  return {\n"
    "    registrationId = registration_id,\n"
    "    currentRatchet = {\n"
    "      ephemeralKeyPair = { pubKey = public, privKey = private },\n"
    "      lastRemoteEphemeralKey = remote, previousCounter = previous_counter,\n"
    "      rootKey = root,\n"
    "    },\n"
    "    indexInfo = {\n"
    "      baseKey = base, baseKeyType = base_type, closed = closed, used = used,\n"
    "      created = created, remoteIdentityKey = identity,\n"
    "    },\n"
    "    _chains = chains,\n"
    "  }\n"
    "end\n"
    "local function chain(counter, key, type)\n"
    "  return {\n"
    "    chainKey = { counter = counter, key = key }, chainType = type,\n"
    "    messageKeys = {},\n"
    "  }\n"
    "end\n"
    "local function closed_chain(counter, type)\n"
    "  return {\n"
    "    chainKey = { counter = counter }, chainType = type, messageKeys = {},\n"
    "  }\n"
    "end\n"
    "for _, make in ipairs { state, chain, closed_chain } do jit.off(make) end\n"
    "return state, chain, closed_chain\n";

static void make_records(lua_State *L) {
  enum { RECORDS = AS_RECORD_CLOSED_CHAIN + 1 };
  int constants = lua_gettop(L);
  if (luaL_loadbuffer(L, MAKE_RECORDS, sizeof MAKE_RECORDS - 1, "=authstate.records")) {
    lua_error(L);
  }
  lua_call(L, 0, RECORDS);
  for (int record = RECORDS - 1; record >= 0; record--) {
    lua_rawseti(L, constants, AS_CONSTANT_MAKE_RECORD + record);
  }
}

static void make_constants(lua_State *L) {
  lua_createtable(L, AS_CONSTANTS_COUNT, 0);
  for (int i = 0; i < AS_NAMES_COUNT; i++) {
    push_slice(L, as_names_at((size_t)i));
    lua_rawseti(L, -2, i + 1);
  }
  push_array_metatable(L);
  lua_rawseti(L, -2, AS_CONSTANT_ARRAY_METATABLE);
  as_bytes_push_metatable(L);
  lua_rawseti(L, -2, AS_CONSTANT_BYTES_METATABLE);
  make_records(L);
  for (int number = 0; number < AS_SINK_FEW_DIGITS; number++) {
    char digits[AS_DIGITS_ROOM];
    lua_pushlstring(L, digits, as_digits_write((uint64_t)number, digits));
    lua_rawseti(L, -2, AS_CONSTANT_DIGITS + number);
  }
}

static void make_array_metatable(lua_State *L) {
  lua_newtable(L);
  lua_pushliteral(L, "authstate.array");
  lua_setfield(L, -2, "__name");
}

/* Runs `make`, which pushes one value, unless the registry has the key already. */
static void register_once(lua_State *L, const char *key, void (*make)(lua_State *)) {
  push_registered(L, key);
  bool is_there = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (is_there) return;
  lua_pushlightuserdata(L, (void *)key);
  make(L);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

void as_binding_value_open(lua_State *L) {
  register_once(L, &ARRAY_METATABLE_KEY, make_array_metatable);
  register_once(L, &CONSTANTS_KEY, make_constants);
  push_array_metatable(L);
  lua_setfield(L, -2, "array_mt");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  lua_pushcfunction(L, value_array);
  lua_setfield(L, -2, "array");
}
