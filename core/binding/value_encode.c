/* SPDX-License-Identifier: MIT */
/* From Lua to stored bytes. A table is read twice: once to see what it is (its kind of
 * keys, how many, which of them are well known), because the head comes first, and once
 * to write it. The C stack is at most AS_CODEC_MAX_LEVELS calls of write_table deep.
 *
 * While a table is written its current key and value are on the Lua stack, so that a
 * refusal can tell the path to what it refuses. No user code runs: accesses are raw, and
 * 64-bit integers are read through ffi.istype. */
#include "binding/value.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>

#include "binding/bytes.h"
#include "codec/cbor.h"
#include "codec/envelope.h"
#include "codec/json_writer.h"
#include "codec/names.h"
#include "codec/number.h"
#include "codec/utf8.h"

enum {
  TYPE_CDATA = 10, /* LuaJIT's lua_type of cdata, which lua.h does not name */
  PATH_BYTES = 256,
  STACK_PER_LEVEL = 8,
  WORD_BITS = 64,
  KNOWN_WORDS = AS_NAMES_MAX / WORD_BITS,
};

#define ACCEPTED "accepted are string, number, boolean, table, bytes and authstate.null"

typedef struct table_level {
  const void *table; /* its identity, to see cycles */
  int key;           /* stack index of the key being written, 0 for an array element */
  size_t element;    /* index of the array element being written */
} table_level;

typedef struct value_writer {
  lua_State *L;
  as_buffer *out;
  as_codec_error *error;
  int array_metatable; /* stack indexes */
  int bytes_metatable;
  int names;
  int depth;
  table_level levels[AS_CODEC_MAX_LEVELS];
} value_writer;

/* What the first reading of a table finds. */
typedef struct table_keys {
  size_t strings;
  size_t known_strings; /* of them, those with a bit in `known` */
  size_t indexes;
  size_t largest_index;
  uint64_t known[KNOWN_WORDS]; /* a bit for each well-known name */
  const char *other_type;      /* of a key that is neither */
} table_keys;

/* ---- refusals --------------------------------------------------------------------- */

typedef struct path {
  char text[PATH_BYTES];
  size_t length;
} path;

static void path_add(path *to, const char *text, size_t length) {
  size_t room = sizeof to->text - to->length;
  if (length > room) length = room;
  memcpy(to->text + to->length, text, length);
  to->length += length;
}

static bool is_identifier(as_slice name) {
  for (size_t i = 0; i < name.length; i++) {
    uint8_t c = name.data[i];
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!is_letter && (i == 0 || c < '0' || c > '9')) return false;
  }
  return name.length > 0;
}

/* As a Lua string; bytes that are no text appear as numbers. */
static void path_add_quoted(path *to, as_slice name) {
  bool is_text = as_utf8_check(name) == AS_UTF8_STRICT;
  path_add(to, "[\"", 2);
  for (size_t i = 0; i < name.length; i++) {
    char shown[8];
    uint8_t c = name.data[i];
    bool is_shown = c >= 0x20 && c != 0x7F && (c < 0x80 || is_text);
    const char *format = c == '"' || c == '\\' ? "\\%c" : is_shown ? "%c" : "\\%03d";
    int length = snprintf(shown, sizeof shown, format, c);
    path_add(to, shown, (size_t)length);
  }
  path_add(to, "\"]", 2);
}

static void path_add_name(path *to, as_slice name) {
  if (!is_identifier(name)) {
    path_add_quoted(to, name);
    return;
  }
  if (to->length > 0) path_add(to, ".", 1);
  path_add(to, (const char *)name.data, name.length);
}

static void path_add_index(path *to, size_t index) {
  char text[32];
  int length = snprintf(text, sizeof text, "[%zu]", index);
  path_add(to, text, (size_t)length);
}

static as_slice string_at(lua_State *L, int index) {
  size_t length;
  const char *text = lua_tolstring(L, index, &length);
  return as_slice_of(text, length);
}

/* The way to the value being written; a long one ends in dots. */
static void path_of(const value_writer *writer, path *out_path) {
  out_path->length = 0;
  for (int i = 0; i < writer->depth; i++) {
    const table_level *level = &writer->levels[i];
    if (level->key != 0) {
      path_add_name(out_path, string_at(writer->L, level->key));
    } else if (level->element != 0) {
      path_add_index(out_path, level->element);
    }
  }
  if (out_path->length == 0) path_add(out_path, "the value", strlen("the value"));
  if (out_path->length < sizeof out_path->text) return;
  memcpy(out_path->text + sizeof out_path->text - 3, "...", 3);
}

static as_status refuse(const value_writer *writer, const char *what,
                        const char *accepted) {
  path place;
  path_of(writer, &place);
  return as_codec_error_set(writer->error, AS_ERR_UNSUPPORTED, 0,
                            "%.*s: %s cannot be stored; %s", (int)place.length,
                            place.text, what, accepted);
}

/* ---- scalars ---------------------------------------------------------------------- */

static as_status write_number(value_writer *writer, double value) {
  if (isfinite(value)) return as_cbor_write_number(writer->out, value);
  return refuse(writer, isnan(value) ? "NaN" : "an infinite number",
                "accepted are finite numbers");
}

/* A lone surrogate has no UTF-8: such a string is kept as JSON text under tag 262. */
static as_status write_surrogates(as_buffer *out, as_slice text) {
  AS_TRY(as_cbor_write_tag(out, AS_CBOR_TAG_JSON));
  AS_TRY(as_cbor_write_head(out, AS_CBOR_FIRST_BYTES, as_json_string_length(text)));
  return as_json_write_string(out, text);
}

static as_status write_string(value_writer *writer, int index, const char *what) {
  as_slice text = string_at(writer->L, index);
  switch (as_utf8_check(text)) {
    case AS_UTF8_STRICT:
      return as_cbor_write_text(writer->out, text);
    case AS_UTF8_SURROGATES:
      return write_surrogates(writer->out, text);
    default:
      return refuse(writer, what, "use authstate.bytes for other bytes than text");
  }
}

/* Calls ffi.istype(type, value at index). Without ffi there is no cdata. */
static bool is_ctype(lua_State *L, const char *type, int index) {
  int top = lua_gettop(L);
  bool is_type = false;
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  lua_getfield(L, -1, "ffi");
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "istype");
    lua_pushstring(L, type);
    lua_pushvalue(L, index);
    lua_call(L, 2, 1);
    is_type = lua_toboolean(L, -1);
  }
  lua_settop(L, top);
  return is_type;
}

static as_status write_cdata(value_writer *writer, int index) {
  const int64_t LIMIT = AS_NUMBER_MAX_INTEGER;
  bool is_signed = is_ctype(writer->L, "int64_t", index);
  if (!is_signed && !is_ctype(writer->L, "uint64_t", index)) {
    return refuse(writer, "a cdata", ACCEPTED);
  }
  int64_t integer;
  memcpy(&integer, lua_topointer(writer->L, index), sizeof integer);
  bool is_exact = is_signed ? integer >= -LIMIT && integer <= LIMIT
                            : (uint64_t)integer <= (uint64_t)LIMIT;
  if (is_exact) return as_cbor_write_number(writer->out, (double)integer);
  return refuse(writer, "a 64-bit integer beyond 2^53",
                "a number in JSON is a double: store it as a string");
}

static as_status write_userdata(value_writer *writer, int index) {
  lua_State *L = writer->L;
  bool is_bytes = lua_getmetatable(L, index) != 0;
  if (is_bytes) {
    is_bytes = lua_rawequal(L, -1, writer->bytes_metatable);
    lua_pop(L, 1);
  }
  if (!is_bytes) return refuse(writer, "a userdata", ACCEPTED);
  if (writer->depth == AS_CODEC_MAX_LEVELS) {
    return refuse(writer, "bytes below 256 tables", "accepted are at most 256 levels");
  }
  as_slice content = as_slice_of(lua_touserdata(L, index), lua_objlen(L, index));
  return as_cbor_write_bytes(writer->out, content);
}

static as_status write_light_userdata(value_writer *writer, int index) {
  if (lua_touserdata(writer->L, index) == NULL) return as_cbor_write_null(writer->out);
  return refuse(writer, "a lightuserdata", ACCEPTED);
}

/* ---- tables ----------------------------------------------------------------------- */

static as_status write_table(value_writer *writer, int table);

static as_status write_value(value_writer *writer, int index) {
  lua_State *L = writer->L;
  switch (lua_type(L, index)) {
    case LUA_TSTRING:
      return write_string(writer, index, "a string that is not UTF-8");
    case LUA_TNUMBER:
      return write_number(writer, lua_tonumber(L, index));
    case LUA_TBOOLEAN:
      return as_cbor_write_boolean(writer->out, lua_toboolean(L, index));
    case LUA_TTABLE:
      return write_table(writer, index);
    case LUA_TUSERDATA:
      return write_userdata(writer, index);
    case LUA_TLIGHTUSERDATA:
      return write_light_userdata(writer, index);
    case LUA_TFUNCTION:
      return refuse(writer, "a function", ACCEPTED);
    case LUA_TTHREAD:
      return refuse(writer, "a coroutine", ACCEPTED);
    case TYPE_CDATA:
      return write_cdata(writer, index);
    default:
      return refuse(writer, "nil", ACCEPTED);
  }
}

/* The place of a well-known name in the list, from 1, or 0. Two equal strings are one
 * object in Lua, so this compares addresses. */
static int name_rank(value_writer *writer, int key) {
  lua_pushvalue(writer->L, key);
  lua_rawget(writer->L, writer->names);
  int rank = (int)lua_tointeger(writer->L, -1);
  lua_pop(writer->L, 1);
  return rank;
}

static void note_string_key(value_writer *writer, table_keys *keys) {
  int rank = name_rank(writer, lua_gettop(writer->L));
  keys->strings++;
  if (rank == 0) return;
  keys->known[(rank - 1) / WORD_BITS] |= UINT64_C(1) << (rank - 1) % WORD_BITS;
  keys->known_strings++;
}

static void note_number_key(double number, table_keys *keys) {
  int64_t index;
  if (!as_number_is_integer(number, &index) || index < 1) {
    keys->other_type = "a number that is no index";
    return;
  }
  keys->indexes++;
  if ((size_t)index > keys->largest_index) keys->largest_index = (size_t)index;
}

static void read_keys(value_writer *writer, int table, table_keys *keys) {
  lua_State *L = writer->L;
  memset(keys, 0, sizeof *keys);
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    lua_pop(L, 1);
    int type = lua_type(L, -1);
    if (type == LUA_TSTRING) {
      note_string_key(writer, keys);
    } else if (type == LUA_TNUMBER) {
      note_number_key(lua_tonumber(L, -1), keys);
    } else {
      keys->other_type = lua_typename(L, type);
    }
  }
}

static bool has_array_metatable(value_writer *writer, int table) {
  if (!lua_getmetatable(writer->L, table)) return false;
  bool is_array = lua_rawequal(writer->L, -1, writer->array_metatable);
  lua_pop(writer->L, 1);
  return is_array;
}

static as_status check_keys(value_writer *writer, const table_keys *keys, bool is_array) {
  char what[64];
  if (keys->other_type != NULL) {
    snprintf(what, sizeof what, "a table with a key that is %s%s",
             keys->other_type[1] == ' ' ? "" : "a ", keys->other_type);
    return refuse(writer, what, "accepted are string keys, or 1 to n");
  }
  if (is_array && keys->strings > 0) {
    return refuse(writer, "an array with string keys", "accepted are the keys 1 to n");
  }
  if (keys->strings > 0 && keys->indexes > 0) {
    return refuse(writer, "a table with both string keys and indexes",
                  "accepted are either; write {[\"1\"] = ...} for a numeric name");
  }
  if (keys->indexes != keys->largest_index) {
    return refuse(
        writer, "a table with gaps between its indexes",
        "accepted are the keys 1 to n; write {[\"7\"] = ...} for a numeric name");
  }
  return AS_OK;
}

static as_status write_array(value_writer *writer, int table, size_t count) {
  table_level *level = &writer->levels[writer->depth - 1];
  AS_TRY(as_cbor_write_array(writer->out, count));
  for (size_t i = 1; i <= count; i++) {
    level->element = i;
    lua_rawgeti(writer->L, table, (int)i);
    AS_TRY(write_value(writer, lua_gettop(writer->L)));
    lua_pop(writer->L, 1);
  }
  return AS_OK;
}

/* Writes the key and the value that are the two uppermost on the stack. */
static as_status write_entry(value_writer *writer) {
  int value = lua_gettop(writer->L);
  writer->levels[writer->depth - 1].key = value - 1;
  AS_TRY(write_string(writer, value - 1, "a key that is not UTF-8"));
  return write_value(writer, value);
}

static as_status write_known_entries(value_writer *writer, int table,
                                     const table_keys *keys) {
  lua_State *L = writer->L;
  for (int word = 0; word < KNOWN_WORDS; word++) {
    /* The lowest bit that is set goes each time. */
    for (uint64_t bits = keys->known[word]; bits != 0; bits &= bits - 1) {
      int name = word * WORD_BITS + __builtin_ctzll(bits);
      lua_rawgeti(L, writer->names, name + 1);
      lua_pushvalue(L, -1);
      lua_rawget(L, table);
      AS_TRY(write_entry(writer));
      lua_pop(L, 2);
    }
  }
  return AS_OK;
}

static as_status write_other_entries(value_writer *writer, int table) {
  lua_State *L = writer->L;
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    if (name_rank(writer, lua_gettop(L) - 1) == 0) AS_TRY(write_entry(writer));
    lua_pop(L, 1);
  }
  return AS_OK;
}

static as_status write_object(value_writer *writer, int table, const table_keys *keys) {
  AS_TRY(as_cbor_write_map(writer->out, keys->strings));
  AS_TRY(write_known_entries(writer, table, keys));
  if (keys->known_strings == keys->strings) return AS_OK;
  return write_other_entries(writer, table);
}

static as_status enter_table(value_writer *writer, int table) {
  const void *identity = lua_topointer(writer->L, table);
  for (int i = 0; i < writer->depth; i++) {
    if (writer->levels[i].table == identity) {
      return refuse(writer, "a cycle", "a table must not contain itself");
    }
  }
  if (writer->depth == AS_CODEC_MAX_LEVELS) {
    return refuse(writer, "a table below 256 tables", "accepted are at most 256 levels");
  }
  if (!lua_checkstack(writer->L, STACK_PER_LEVEL)) return AS_ERR_OOM;
  writer->levels[writer->depth++] = (table_level){identity, 0, 0};
  return AS_OK;
}

static as_status write_table(value_writer *writer, int table) {
  table_keys keys;
  AS_TRY(enter_table(writer, table));
  read_keys(writer, table, &keys);
  bool is_array = has_array_metatable(writer, table);
  AS_TRY(check_keys(writer, &keys, is_array));
  AS_TRY(is_array || keys.indexes > 0 ? write_array(writer, table, keys.indexes)
                                      : write_object(writer, table, &keys));
  writer->depth--;
  return AS_OK;
}

/* ---- entry points ----------------------------------------------------------------- */

as_status as_value_encode_cbor(lua_State *L, int index, as_buffer *out,
                               as_codec_error *error) {
  value_writer writer;
  as_codec_error_clear(error);
  if (!lua_checkstack(L, LUA_MINSTACK)) return AS_ERR_OOM;
  int top = lua_gettop(L);
  size_t start = out->length;
  int value = index > 0 ? index : top + 1 + index;
  writer.L = L;
  writer.out = out;
  writer.error = error;
  writer.depth = 0;
  as_value_push_array_metatable(L);
  as_bytes_push_metatable(L);
  as_value_push_names(L);
  writer.array_metatable = top + 1;
  writer.bytes_metatable = top + 2;
  writer.names = top + 3;
  as_status status = write_value(&writer, value);
  if (status != AS_OK) out->length = start;
  lua_settop(L, top);
  return status;
}

/* Seals a payload that does not lie in `out`. */
static as_status seal(lua_State *L, const as_value_sealing *sealing, as_slice payload,
                      as_buffer *out, as_codec_error *error) {
  const as_sealing *envelope = &sealing->envelope;
  if (envelope->compressor == NULL) {
    return as_envelope_seal(envelope, sealing->serializer, payload, NULL, out, error);
  }
  as_envelope_state *state = as_envelope_state_take(L);
  as_status status =
      as_envelope_seal(envelope, sealing->serializer, payload, state, out, error);
  as_envelope_state_release(state);
  lua_pop(L, 1);
  return status;
}

as_status as_value_encode(lua_State *L, int index, const as_value_sealing *sealing,
                          as_workspace *workspace, as_buffer *out,
                          as_codec_error *error) {
  as_buffer *payload = &workspace->cbor;
  as_buffer_clear(payload);
  AS_TRY(as_value_encode_cbor(L, index, payload, error));
  if (sealing->serializer == AS_SERIALIZER_JSON) {
    payload = &workspace->text;
    as_buffer_clear(payload);
    AS_TRY(as_transcode_cbor(as_buffer_slice(&workspace->cbor), AS_BYTE_FORM_BASE64,
                             payload, error));
  }
  return seal(L, sealing, as_buffer_slice(payload), out, error);
}

as_status as_value_encode_json(lua_State *L, as_slice json,
                               const as_value_sealing *sealing, as_workspace *workspace,
                               as_buffer *out, as_codec_error *error) {
  as_codec_error_clear(error);
  if (sealing->serializer == AS_SERIALIZER_JSON) {
    AS_TRY(as_transcode_json_check(json, error));
    return seal(L, sealing, json, out, error);
  }
  as_buffer *payload = &workspace->cbor;
  as_buffer_clear(payload);
  AS_TRY(as_transcode_json_exact(&workspace->transcoder, json, payload, error));
  return seal(L, sealing, as_buffer_slice(payload), out, error);
}
