/* SPDX-License-Identifier: MIT */
/* From stored bytes to Lua. One loop reads CBOR items and keeps the open tables on the
 * Lua stack, for a map with the key of the entry being read above it:
 *
 *   ... array_mt bytes_mt | table key table key table ... value
 *
 * Foreign JSON and text kept whole are first made CBOR structure in the workspace. */
#include "binding/value.h"

#include <lauxlib.h>

#include "binding/bytes.h"
#include "codec/byte_map.h"
#include "codec/cbor.h"
#include "codec/envelope.h"
#include "codec/jsontext.h"
#include "codec/names.h"
#include "codec/utf8.h"

/* Their addresses are keys in the registry. */
static const char ARRAY_METATABLE_KEY, NAMES_KEY;

typedef struct table_level {
  size_t left; /* entries still to come, the one being read included */
  int index;   /* of the last element, for arrays */
  bool is_map;
} table_level;

typedef struct value_builder {
  lua_State *L;
  as_cbor_reader reader;
  int array_metatable; /* stack indexes */
  int bytes_metatable;
  bool is_stored; /* text comes from outside: is it UTF-8? */
  as_slice name;  /* the key last read */
  int depth;
  table_level levels[AS_CODEC_MAX_LEVELS];
} value_builder;

static void push_registered(lua_State *L, const char *key) {
  lua_pushlightuserdata(L, (void *)key);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

void as_value_push_array_metatable(lua_State *L) {
  push_registered(L, &ARRAY_METATABLE_KEY);
}

void as_value_push_names(lua_State *L) {
  push_registered(L, &NAMES_KEY);
}

static void push_slice(lua_State *L, as_slice text) {
  lua_pushlstring(L, text.length > 0 ? (const char *)text.data : "", text.length);
}

static as_status check_level(const value_builder *builder, size_t offset) {
  if (builder->depth < AS_CODEC_MAX_LEVELS) return AS_OK;
  return as_cbor_fail(&builder->reader, offset,
                      "more than 256 levels of arrays and objects");
}

static as_status push_bytes(value_builder *builder, const as_cbor_item *item) {
  AS_TRY(check_level(builder, item->offset));
  uint8_t *block = as_bytes_new(builder->L, item->bytes.length, builder->bytes_metatable);
  if (item->bytes.length > 0) memcpy(block, item->bytes.data, item->bytes.length);
  return AS_OK;
}

static as_status push_text(value_builder *builder, const as_cbor_item *item) {
  if (builder->is_stored && as_utf8_check(item->bytes) != AS_UTF8_STRICT) {
    return as_cbor_fail(&builder->reader, item->offset, "text that is not UTF-8");
  }
  push_slice(builder->L, item->bytes);
  return AS_OK;
}

/* A string with a lone surrogate is kept as its JSON text under tag 262. */
static as_status push_embedded_string(value_builder *builder, const as_cbor_item *tag) {
  as_cbor_item item;
  as_json_reader json;
  as_json_event string, end;
  if (tag->tag != AS_CBOR_TAG_JSON) {
    return as_cbor_fail(&builder->reader, tag->offset, "an unknown tag");
  }
  AS_TRY(as_cbor_next(&builder->reader, &item));
  if (item.kind != AS_CBOR_BYTES) {
    return as_cbor_fail(&builder->reader, item.offset, "tag 262 without a byte string");
  }
  as_json_reader_init(&json, item.bytes);
  if (as_json_next(&json, &string) != AS_OK || string.kind != AS_JSON_STRING ||
      as_json_next(&json, &end) != AS_OK) {
    return as_cbor_fail(&builder->reader, item.offset, "tag 262 without a JSON string");
  }
  uint8_t *decoded = lua_newuserdata(builder->L, string.decoded_length);
  as_json_string_decode(&string, decoded);
  lua_pushlstring(builder->L, (const char *)decoded, string.decoded_length);
  lua_remove(builder->L, -2);
  return AS_OK;
}

static as_status push_key(value_builder *builder) {
  as_cbor_item item;
  AS_TRY(as_cbor_next(&builder->reader, &item));
  builder->name = as_slice_of(NULL, 0);
  if (item.kind == AS_CBOR_TAG) return push_embedded_string(builder, &item);
  if (item.kind != AS_CBOR_TEXT) {
    return as_cbor_fail(&builder->reader, item.offset, "a key that is not text");
  }
  builder->name = item.bytes;
  return push_text(builder, &item);
}

static as_status open_table(value_builder *builder, const as_cbor_item *item) {
  lua_State *L = builder->L;
  bool is_map = item->kind == AS_CBOR_MAP;
  AS_TRY(check_level(builder, item->offset));
  if (item->count > INT32_MAX || !lua_checkstack(L, LUA_MINSTACK)) return AS_ERR_OOM;
  lua_createtable(L, is_map ? 0 : (int)item->count, is_map ? (int)item->count : 0);
  if (!is_map) {
    lua_pushvalue(L, builder->array_metatable);
    lua_setmetatable(L, -2);
  }
  if (item->count == 0) return AS_OK;
  builder->levels[builder->depth++] = (table_level){item->count, 0, is_map};
  return is_map ? push_key(builder) : AS_OK;
}

/* Pushes a map that stands for bytes; *out_is_pushed is false for any other. */
static as_status try_byte_map(value_builder *builder, const as_cbor_item *item,
                              bool *out_is_pushed) {
  as_byte_map map;
  bool has_name = builder->depth > 0 && builder->levels[builder->depth - 1].is_map;
  as_slice name = has_name ? builder->name : as_slice_of(NULL, 0);
  *out_is_pushed = as_byte_map_match(&builder->reader, item->count, name, &map);
  if (!*out_is_pushed) return AS_OK;
  AS_TRY(check_level(builder, item->offset));
  as_byte_map_write(&map, as_bytes_new(builder->L, map.length, builder->bytes_metatable));
  return AS_OK;
}

/* Pushes a value, or opens a table that has entries and leaves *out_is_open true. */
static as_status push_item(value_builder *builder, bool *out_is_open) {
  lua_State *L = builder->L;
  as_cbor_item item;
  bool is_pushed = false;
  *out_is_open = false;
  AS_TRY(as_cbor_next(&builder->reader, &item));
  switch (item.kind) {
    case AS_CBOR_MAP:
      AS_TRY(try_byte_map(builder, &item, &is_pushed));
      if (is_pushed) return AS_OK;
      /* fall through */
    case AS_CBOR_ARRAY:
      *out_is_open = item.count > 0;
      return open_table(builder, &item);
    case AS_CBOR_TEXT:
      return push_text(builder, &item);
    case AS_CBOR_BYTES:
      return push_bytes(builder, &item);
    case AS_CBOR_TAG:
      return push_embedded_string(builder, &item);
    case AS_CBOR_FALSE:
    case AS_CBOR_TRUE:
      lua_pushboolean(L, item.kind == AS_CBOR_TRUE);
      return AS_OK;
    case AS_CBOR_NULL:
      lua_pushlightuserdata(L, NULL);
      return AS_OK;
    default:
      lua_pushnumber(L, item.number);
      return AS_OK;
  }
}

/* Stores the value on the stack in the table below it, and that one in turn when it is
 * complete. */
static as_status settle(value_builder *builder) {
  lua_State *L = builder->L;
  while (builder->depth > 0) {
    table_level *level = &builder->levels[builder->depth - 1];
    if (level->is_map) {
      lua_rawset(L, -3);
    } else {
      lua_rawseti(L, -2, ++level->index);
    }
    if (--level->left > 0) return level->is_map ? push_key(builder) : AS_OK;
    builder->depth--;
  }
  return AS_OK;
}

static as_status build(value_builder *builder) {
  do {
    bool is_open;
    AS_TRY(push_item(builder, &is_open));
    if (!is_open) AS_TRY(settle(builder));
  } while (builder->depth > 0);
  return as_cbor_reader_finish(&builder->reader);
}

/* Pushes two metatables and the value; the caller clears up. */
static as_status push_cbor(lua_State *L, as_slice cbor, bool is_stored,
                           as_codec_error *error) {
  value_builder builder;
  builder.L = L;
  builder.is_stored = is_stored;
  builder.depth = 0;
  builder.name = as_slice_of(NULL, 0);
  as_cbor_reader_init(&builder.reader, cbor, error);
  builder.reader.has_infinity = !is_stored;
  as_value_push_array_metatable(L);
  builder.array_metatable = lua_gettop(L);
  as_bytes_push_metatable(L);
  builder.bytes_metatable = lua_gettop(L);
  return build(&builder);
}

static as_status push_text_value(lua_State *L, as_slice json, as_codec_error *error) {
  as_workspace *workspace = as_workspace_take(L);
  as_status status =
      as_transcode_json_structure(&workspace->transcoder, json, &workspace->cbor, error);
  if (status == AS_OK) {
    status = push_cbor(L, as_buffer_slice(&workspace->cbor), false, error);
  }
  as_workspace_release(workspace);
  return status;
}

/* Leaves only the value on top, or nothing after a failure. */
static as_status settle_stack(lua_State *L, int top, as_status status) {
  if (status == AS_OK) {
    if (lua_gettop(L) > top + 1) lua_replace(L, top + 1);
    lua_settop(L, top + 1);
  } else {
    lua_settop(L, top);
  }
  return status;
}

/* True when a payload is a text kept whole, tag 262 around a byte string, which is given;
 * the reader is behind it. */
static bool is_whole_text(as_cbor_reader *reader, as_slice *out_json) {
  as_cbor_item tag, content;
  if (as_cbor_next(reader, &tag) != AS_OK || tag.kind != AS_CBOR_TAG) return false;
  if (tag.tag != AS_CBOR_TAG_JSON || as_cbor_next(reader, &content) != AS_OK)
    return false;
  *out_json = content.bytes;
  return content.kind == AS_CBOR_BYTES;
}

static as_status push_payload(lua_State *L, as_slice cbor, as_codec_error *error) {
  as_cbor_reader reader;
  as_slice json;
  as_cbor_reader_init(&reader, cbor, error);
  if (!is_whole_text(&reader, &json)) return push_cbor(L, cbor, true, error);
  AS_TRY(push_text_value(L, json, error));
  return as_cbor_reader_finish(&reader);
}

static as_status push_envelope(lua_State *L, const as_envelope *envelope,
                               as_codec_error *error) {
  switch (envelope->serializer) {
    case AS_SERIALIZER_CBOR:
      return push_payload(L, envelope->payload, error);
    case AS_SERIALIZER_JSON:
      return push_text_value(L, envelope->payload, error);
    default:
      return as_envelope_refuse_serializer(envelope, error);
  }
}

as_status as_value_push_text(lua_State *L, as_slice json, as_codec_error *error) {
  if (!lua_checkstack(L, LUA_MINSTACK)) return AS_ERR_OOM;
  int top = lua_gettop(L);
  return settle_stack(L, top, push_text_value(L, json, error));
}

static as_status push_cbor_as_json(lua_State *L, as_slice cbor, as_codec_error *error) {
  as_workspace *workspace = as_workspace_take(L);
  as_status status =
      as_transcode_cbor(cbor, AS_BYTE_FORM_BASE64, &workspace->text, error);
  if (status == AS_OK) push_slice(L, as_buffer_slice(&workspace->text));
  as_workspace_release(workspace);
  return status;
}

static as_status push_envelope_as_json(lua_State *L, const as_envelope *envelope,
                                       as_codec_error *error) {
  switch (envelope->serializer) {
    case AS_SERIALIZER_CBOR:
      return push_cbor_as_json(L, envelope->payload, error);
    case AS_SERIALIZER_JSON:
      AS_TRY(as_transcode_json_check(envelope->payload, error));
      push_slice(L, envelope->payload);
      return AS_OK;
    default:
      return as_envelope_refuse_serializer(envelope, error);
  }
}

typedef as_status (*push_opened)(lua_State *L, const as_envelope *envelope,
                                 as_codec_error *error);

static as_status push_packed(lua_State *L, as_envelope *envelope, size_t max_value_bytes,
                             push_opened push, as_codec_error *error) {
  as_envelope_state *state = as_envelope_state_take(L);
  as_status status = as_envelope_unpack(envelope, max_value_bytes, state, error);
  if (status == AS_OK) status = push(L, envelope, error);
  as_envelope_state_release(state);
  return status;
}

static as_status push_stored(lua_State *L, as_slice stored, size_t max_value_bytes,
                             push_opened push, as_codec_error *error) {
  as_envelope envelope;
  AS_TRY(as_envelope_open(stored, max_value_bytes, &envelope, error));
  if (!lua_checkstack(L, LUA_MINSTACK)) return AS_ERR_OOM;
  int top = lua_gettop(L);
  as_status status = envelope.is_packed
                         ? push_packed(L, &envelope, max_value_bytes, push, error)
                         : push(L, &envelope, error);
  return settle_stack(L, top, status);
}

as_status as_value_push(lua_State *L, as_slice stored, size_t max_value_bytes,
                        as_codec_error *error) {
  return push_stored(L, stored, max_value_bytes, push_envelope, error);
}

as_status as_value_push_json(lua_State *L, as_slice stored, size_t max_value_bytes,
                             as_codec_error *error) {
  return push_stored(L, stored, max_value_bytes, push_envelope_as_json, error);
}

/* array(t) -> t, now an array */
static int value_array(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  as_value_push_array_metatable(L);
  lua_setmetatable(L, 1);
  return 1;
}

static void make_names(lua_State *L) {
  size_t count = as_names_count();
  lua_createtable(L, (int)count, (int)count);
  for (size_t i = 0; i < count; i++) {
    push_slice(L, as_names_at(i));
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, (int)i + 1);
    lua_pushinteger(L, (lua_Integer)i + 1);
    lua_rawset(L, -3);
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
  register_once(L, &NAMES_KEY, make_names);
  as_value_push_array_metatable(L);
  lua_setfield(L, -2, "array_mt");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  lua_pushcfunction(L, value_array);
  lua_setfield(L, -2, "array");
}
