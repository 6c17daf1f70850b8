/* SPDX-License-Identifier: MIT */
/* From Lua to a tree, then to stored bytes. The entries of a table are put on the Lua
 * stack in one pass, so that well-known names can go first; a table of many entries, or
 * one too deep for that, is passed twice. The C stack is at most AS_CODEC_MAX_LEVELS
 * calls of add_table deep.
 *
 * While an entry is read its key is on the Lua stack, so that a refusal can tell the path
 * to what it refuses. No user code runs: accesses are raw, and 64-bit integers are read
 * through ffi.istype. The tree borrows from strings and bytes that the value holds. */
#include "binding/value.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>

#include "binding/bytes.h"
#include "codec/envelope.h"
#include "codec/names.h"
#include "codec/number.h"
#include "codec/utf8.h"

enum {
  TYPE_CDATA = 10, /* LuaJIT's lua_type of cdata, which lua.h does not name */
  PATH_BYTES = 256,
  STACK_PER_LEVEL = 4,
  LEVELS_AT_ONCE = 4, /* for which room on the stack is made together */
  /* Members that are held on the stack, at all levels together: with what 256 levels take
   * besides, it stays below the 8,000 slots that Lua gives a C function. A coroutine's
   * stack grows by steps, for it does not soon shrink. */
  MAX_HELD = 2048,
  HELD_AT_ONCE = 16,
};

#define ACCEPTED "accepted are string, number, boolean, table, bytes and authstate.null"

typedef struct table_level {
  int table;      /* stack index */
  int key;        /* stack index of the key being read, 0 for an array element */
  size_t element; /* index of the array element being read */
} table_level;

typedef struct value_reader {
  lua_State *L;
  as_tree *tree;
  as_buffer *members; /* of the tables being read */
  const as_name_addresses *names;
  as_codec_error *error;
  int constants; /* stack index */
  int depth;
  table_level levels[AS_CODEC_MAX_LEVELS];
} value_reader;

/* A member's name. */
typedef struct member_name {
  as_slice text;
  int number; /* of codec/names.h, or AS_NAME_OTHER */
  bool has_surrogate;
} member_name;

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
static void path_of(const value_reader *reader, path *out_path) {
  out_path->length = 0;
  for (int i = 0; i < reader->depth; i++) {
    const table_level *level = &reader->levels[i];
    if (level->key != 0) {
      path_add_name(out_path, string_at(reader->L, level->key));
    } else if (level->element != 0) {
      path_add_index(out_path, level->element);
    }
  }
  if (out_path->length == 0) path_add(out_path, "the value", strlen("the value"));
  if (out_path->length < sizeof out_path->text) return;
  memcpy(out_path->text + sizeof out_path->text - 3, "...", 3);
}

static as_status refuse(const value_reader *reader, const char *what,
                        const char *accepted) {
  path place;
  path_of(reader, &place);
  return as_codec_error_set(reader->error, AS_ERR_UNSUPPORTED, 0,
                            "%.*s: %s cannot be stored; %s", (int)place.length,
                            place.text, what, accepted);
}

/* ---- scalars ---------------------------------------------------------------------- */

static as_status add_number(value_reader *reader, as_tree_node *node, double value) {
  node->kind = AS_TREE_NUMBER;
  node->number = value;
  if (isfinite(value)) return AS_OK;
  return refuse(reader, isnan(value) ? "NaN" : "an infinite number",
                "accepted are finite numbers");
}

static as_status check_text(value_reader *reader, as_slice text, const char *what,
                            bool *out_has_surrogate) {
  as_utf8_form form = as_utf8_check(text);
  *out_has_surrogate = form == AS_UTF8_SURROGATES;
  if (form != AS_UTF8_INVALID) return AS_OK;
  return refuse(reader, what, "use authstate.bytes for other bytes than text");
}

static as_status add_string(value_reader *reader, as_tree_node *node, int index) {
  node->kind = AS_TREE_STRING;
  node->text = string_at(reader->L, index);
  return check_text(reader, node->text, "a string that is not UTF-8",
                    &node->has_surrogate);
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

static as_status add_cdata(value_reader *reader, as_tree_node *node, int index) {
  const int64_t LIMIT = AS_NUMBER_MAX_INTEGER;
  bool is_signed = is_ctype(reader->L, "int64_t", index);
  if (!is_signed && !is_ctype(reader->L, "uint64_t", index)) {
    return refuse(reader, "a cdata", ACCEPTED);
  }
  int64_t integer;
  memcpy(&integer, lua_topointer(reader->L, index), sizeof integer);
  bool is_exact = is_signed ? integer >= -LIMIT && integer <= LIMIT
                            : (uint64_t)integer <= (uint64_t)LIMIT;
  if (is_exact) return add_number(reader, node, (double)integer);
  return refuse(reader, "a 64-bit integer beyond 2^53",
                "a number in JSON is a double: store it as a string");
}

/* The identity of a value's metatable, NULL for none. */
static const void *metatable_at(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return NULL;
  const void *identity = lua_topointer(L, -1);
  lua_pop(L, 1);
  return identity;
}

static as_status add_userdata(value_reader *reader, as_tree_node *node, int index) {
  lua_State *L = reader->L;
  if (metatable_at(L, index) != reader->names->bytes_metatable) {
    return refuse(reader, "a userdata", ACCEPTED);
  }
  if (reader->depth == AS_CODEC_MAX_LEVELS) {
    return refuse(reader, "bytes below 256 tables", "accepted are at most 256 levels");
  }
  node->kind = AS_TREE_BYTES;
  node->text = as_slice_of(lua_touserdata(L, index), lua_objlen(L, index));
  return AS_OK;
}

static as_status add_light_userdata(value_reader *reader, int index) {
  if (lua_touserdata(reader->L, index) == NULL) return AS_OK;
  return refuse(reader, "a lightuserdata", ACCEPTED);
}

/* ---- tables ----------------------------------------------------------------------- */

static as_status add_table(value_reader *reader, uint32_t at, int table);

/* Adds the value of a type that is at a stack index. */
static as_status add_value_of(value_reader *reader, int index, int type,
                              const member_name *name) {
  lua_State *L = reader->L;
  as_tree_node *node = as_tree_add(reader->tree, AS_TREE_NULL);
  if (node == NULL) return AS_ERR_OOM;
  if (name != NULL) {
    node->name = name->number;
    node->key = name->text;
    node->key_has_surrogate = name->has_surrogate;
  }
  switch (type) {
    case LUA_TSTRING:
      return add_string(reader, node, index);
    case LUA_TNUMBER:
      return add_number(reader, node, lua_tonumber(L, index));
    case LUA_TBOOLEAN:
      node->kind = lua_toboolean(L, index) ? AS_TREE_TRUE : AS_TREE_FALSE;
      return AS_OK;
    case LUA_TTABLE:
      return add_table(reader, as_tree_count(reader->tree) - 1, index);
    case LUA_TUSERDATA:
      return add_userdata(reader, node, index);
    case LUA_TLIGHTUSERDATA:
      return add_light_userdata(reader, index);
    case LUA_TFUNCTION:
      return refuse(reader, "a function", ACCEPTED);
    case LUA_TTHREAD:
      return refuse(reader, "a coroutine", ACCEPTED);
    case TYPE_CDATA:
      return add_cdata(reader, node, index);
    default:
      return refuse(reader, "nil", ACCEPTED);
  }
}

static as_status add_value(value_reader *reader, int index, const member_name *name) {
  return add_value_of(reader, index, lua_type(reader->L, index), name);
}

/* What its keys make of a table that is no plain list and no plain object. */
typedef struct table_keys {
  size_t strings;
  size_t indexes;
  size_t largest_index;
  const char *other_type; /* of a key that is neither */
} table_keys;

static void note_number_key(double number, table_keys *keys) {
  int64_t index;
  if (!as_number_is_integer(number, &index) || index < 1) {
    keys->other_type = "a number that is no index";
    return;
  }
  keys->indexes++;
  if ((size_t)index > keys->largest_index) keys->largest_index = (size_t)index;
}

static void read_keys(lua_State *L, int table, table_keys *keys) {
  memset(keys, 0, sizeof *keys);
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    lua_pop(L, 1);
    int type = lua_type(L, -1);
    if (type == LUA_TSTRING) {
      keys->strings++;
    } else if (type == LUA_TNUMBER) {
      note_number_key(lua_tonumber(L, -1), keys);
    } else {
      keys->other_type = lua_typename(L, type);
    }
  }
}

static as_status check_keys(value_reader *reader, const table_keys *keys, bool is_array) {
  char what[64];
  if (keys->other_type != NULL) {
    snprintf(what, sizeof what, "a table with a key that is %s%s",
             keys->other_type[1] == ' ' ? "" : "a ", keys->other_type);
    return refuse(reader, what, "accepted are string keys, or 1 to n");
  }
  if (is_array && keys->strings > 0) {
    return refuse(reader, "an array with string keys", "accepted are the keys 1 to n");
  }
  if (keys->strings > 0 && keys->indexes > 0) {
    return refuse(reader, "a table with both string keys and indexes",
                  "accepted are either; write {[\"1\"] = ...} for a numeric name");
  }
  if (keys->indexes != keys->largest_index) {
    return refuse(
        reader, "a table with gaps between its indexes",
        "accepted are the keys 1 to n; write {[\"7\"] = ...} for a numeric name");
  }
  return AS_OK;
}

static bool has_array_metatable(value_reader *reader, int table) {
  return metatable_at(reader->L, table) == reader->names->array_metatable;
}

/* Whether a table has no other entries than `count`. That nothing follows its last
 * element would not do: where it lies among the others depends on how the table came to
 * be. */
static bool has_entries(lua_State *L, int table, size_t count) {
  size_t entries = 0;
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    if (entries++ == count) {
      lua_pop(L, 2);
      return false;
    }
    lua_pop(L, 1);
  }
  return entries == count;
}

static void end_table(value_reader *reader, uint32_t at, as_tree_kind kind,
                      size_t count) {
  as_tree_node *node = as_tree_at(reader->tree, at);
  node->kind = (uint8_t)kind;
  node->inside.count = (uint32_t)count;
  node->inside.end = as_tree_count(reader->tree);
}

static as_status add_elements(value_reader *reader, uint32_t at, int table,
                              size_t count) {
  table_level *level = &reader->levels[reader->depth - 1];
  int top = lua_gettop(reader->L);
  for (size_t i = 1; i <= count; i++) {
    level->element = i;
    lua_rawgeti(reader->L, table, (int)i);
    AS_TRY(add_value(reader, top + 1, NULL));
    lua_settop(reader->L, top);
  }
  end_table(reader, at, AS_TREE_ARRAY, count);
  return AS_OK;
}

/* A member: the stack index of its key, the value is above it, and its name. */
typedef struct table_member {
  int key;
  int number; /* of codec/names.h, or AS_NAME_OTHER */
  as_slice text;
} table_member;

static as_status add_member(value_reader *reader, const table_member *member) {
  member_name name = {member->text, member->number, false};
  reader->levels[reader->depth - 1].key = member->key;
  if (name.number == AS_NAME_OTHER) {
    AS_TRY(check_text(reader, name.text, "a key that is not UTF-8", &name.has_surrogate));
  }
  return add_value(reader, member->key + 1, &name);
}

/* The member whose key is at a stack index: two equal strings are one object in Lua, so
 * addresses tell which name it is. */
static inline void find_member(const value_reader *reader, int key,
                               table_member *out_member) {
  out_member->key = key;
  out_member->text = string_at(reader->L, key);
  out_member->number =
      as_name_addresses_find(reader->names, (const char *)out_member->text.data);
}

/* Adds the members of well-known names, and gives how many there are. */
static as_status add_known_members(value_reader *reader, int table, size_t *out_count) {
  lua_State *L = reader->L;
  int key = lua_gettop(L) + 1;
  *out_count = 0;
  for (int number = 0; number < AS_NAMES_COUNT; number++) {
    lua_rawgeti(L, reader->constants, number + 1);
    lua_pushvalue(L, key);
    lua_rawget(L, table);
    if (!lua_isnil(L, key + 1)) {
      table_member member = {key, number, string_at(L, key)};
      AS_TRY(add_member(reader, &member));
      ++*out_count;
    }
    lua_settop(L, key - 1);
  }
  return AS_OK;
}

/* The keys are not all strings: either they are those of a list, or it is refused. */
static as_status add_mixed_table(value_reader *reader, uint32_t at, int table) {
  table_keys keys;
  read_keys(reader->L, table, &keys);
  AS_TRY(check_keys(reader, &keys, false));
  return add_elements(reader, at, table, keys.indexes);
}

/* The members of a table, on the stack: those of well-known names first, by number. They
 * are the last ones in the reader's `members`. */
typedef struct held_members {
  size_t first; /* in `members` */
  size_t known;
  size_t count;
} held_members;

static table_member *held_at(const value_reader *reader, const held_members *held,
                             size_t i) {
  return (table_member *)(void *)reader->members->data + held->first + i;
}

/* Puts the last member, which has a well-known name, in its place. */
static void sort_last(const value_reader *reader, held_members *held) {
  table_member *members = held_at(reader, held, 0), last = members[held->count - 1];
  size_t at = held->known++;
  /* The first of the others makes room by going last: their order is free. */
  members[held->count - 1] = members[at];
  for (; at > 0 && members[at - 1].number > last.number; at--) {
    members[at] = members[at - 1];
  }
  members[at] = last;
}

static as_status hold_member(value_reader *reader, held_members *held, int key) {
  as_buffer *members = reader->members;
  AS_TRY(as_buffer_reserve(members, sizeof(table_member)));
  table_member *member = held_at(reader, held, held->count++);
  members->length += sizeof *member;
  find_member(reader, key, member);
  if (member->number != AS_NAME_OTHER) sort_last(reader, held);
  return AS_OK;
}

/* How holding the members of a table ended. */
typedef enum hold_end {
  HELD_ALL,
  HELD_SOME,   /* the next member, not held, is above the last one that is */
  HELD_NOTHING /* a key is no string; the stack is as it was */
} hold_end;

/* For HELD_AT_ONCE more members, and for what adding them needs. */
static bool make_room_to_hold(const value_reader *reader) {
  size_t held = reader->members->length / sizeof(table_member);
  return held <= MAX_HELD - HELD_AT_ONCE &&
         lua_checkstack(reader->L, 2 * HELD_AT_ONCE + 2 * STACK_PER_LEVEL);
}

/* Puts members on the stack while there is room. */
static as_status hold_members(value_reader *reader, int table, held_members *held,
                              hold_end *out_end) {
  lua_State *L = reader->L;
  int top = lua_gettop(L), key = top + 1;
  size_t room = 0;
  *held = (held_members){.first = reader->members->length / sizeof(table_member)};
  *out_end = HELD_SOME;
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    if (lua_type(L, key) != LUA_TSTRING) {
      lua_settop(L, top);
      *out_end = HELD_NOTHING;
      return AS_OK;
    }
    if (held->count == room && !make_room_to_hold(reader)) return AS_OK;
    if (held->count == room) room += HELD_AT_ONCE;
    AS_TRY(hold_member(reader, held, key));
    lua_pushvalue(L, key);
    key += 2;
  }
  *out_end = HELD_ALL;
  return AS_OK;
}

/* Adds the held members, from the i-th on. */
static as_status add_held_members(value_reader *reader, const held_members *held,
                                  size_t i) {
  for (; i < held->count; i++) {
    table_member member = *held_at(reader, held, i); /* `members` may move */
    AS_TRY(add_member(reader, &member));
  }
  return AS_OK;
}

/* A table of many members, the first of which are held: it is asked for all well-known
 * names, then passed to its end for the others. */
static as_status add_many_members(value_reader *reader, uint32_t at, int table,
                                  const held_members *held) {
  lua_State *L = reader->L;
  int key = lua_gettop(L) - 1;
  size_t known;
  AS_TRY(add_known_members(reader, table, &known));
  AS_TRY(add_held_members(reader, held, held->known));
  size_t count = known + held->count - held->known;
  do {
    if (lua_type(L, key) != LUA_TSTRING) return add_mixed_table(reader, at, table);
    table_member member;
    find_member(reader, key, &member);
    if (member.number == AS_NAME_OTHER) {
      AS_TRY(add_member(reader, &member));
      count++;
    }
    lua_settop(L, key);
  } while (lua_next(L, table) != 0);
  end_table(reader, at, AS_TREE_OBJECT, count);
  return AS_OK;
}

/* Not in line: lists, which are small and many, would pay for its registers. */
static __attribute__((noinline)) as_status add_members(value_reader *reader, uint32_t at,
                                                       int table) {
  held_members held;
  hold_end end;
  lua_State *L = reader->L;
  int top = lua_gettop(L);
  AS_TRY(hold_members(reader, table, &held, &end));
  switch (end) {
    case HELD_ALL:
      AS_TRY(add_held_members(reader, &held, 0));
      end_table(reader, at, AS_TREE_OBJECT, held.count);
      break;
    case HELD_SOME:
      AS_TRY(add_many_members(reader, at, table, &held));
      break;
    case HELD_NOTHING:
      AS_TRY(add_mixed_table(reader, at, table));
      break;
  }
  reader->members->length = held.first * sizeof(table_member);
  lua_settop(L, top);
  return AS_OK;
}

static as_status add_array(value_reader *reader, uint32_t at, int table, size_t count) {
  if (!has_entries(reader->L, table, count)) {
    table_keys keys;
    read_keys(reader->L, table, &keys);
    AS_TRY(check_keys(reader, &keys, has_array_metatable(reader, table)));
    count = keys.indexes;
  }
  return add_elements(reader, at, table, count);
}

/* A cycle is only seen here, where it has led: it is the first table that is one of those
 * around it. */
static as_status refuse_depth(value_reader *reader) {
  const void *tables[AS_CODEC_MAX_LEVELS];
  for (int i = 0; i < AS_CODEC_MAX_LEVELS; i++) {
    tables[i] = lua_topointer(reader->L, reader->levels[i].table);
    for (int j = 0; j < i; j++) {
      if (tables[i] != tables[j]) continue;
      reader->depth = i;
      return refuse(reader, "a cycle", "a table must not contain itself");
    }
  }
  return refuse(reader, "a table below 256 tables", "accepted are at most 256 levels");
}

static as_status enter_table(value_reader *reader, int table) {
  if (reader->depth == AS_CODEC_MAX_LEVELS) return refuse_depth(reader);
  bool is_room = reader->depth % LEVELS_AT_ONCE != LEVELS_AT_ONCE - 1 ||
                 lua_checkstack(reader->L, STACK_PER_LEVEL * 2 * LEVELS_AT_ONCE);
  if (!is_room) return AS_ERR_OOM;
  reader->levels[reader->depth++] = (table_level){table, 0, 0};
  return AS_OK;
}

static as_status add_table(value_reader *reader, uint32_t at, int table) {
  AS_TRY(enter_table(reader, table));
  size_t length = lua_objlen(reader->L, table);
  bool is_array = length > 0 || has_array_metatable(reader, table);
  AS_TRY(is_array ? add_array(reader, at, table, length)
                  : add_members(reader, at, table));
  reader->depth--;
  return AS_OK;
}

/* ---- entry points ----------------------------------------------------------------- */

/* Makes the tree of the value at a stack index, from the bottom; its strings are the
 * value's own. */
static as_status read_value(lua_State *L, int index, int type, as_workspace *workspace,
                            as_codec_error *error) {
  value_reader reader;
  reader.L = L;
  reader.tree = &workspace->transcoder.tree;
  reader.members = &workspace->members;
  reader.names = &workspace->names;
  reader.error = error;
  reader.constants = workspace->constants;
  reader.depth = 0;
  as_buffer_clear(reader.members);
  as_tree_clear(reader.tree);
  return add_value_of(&reader, index, type, NULL);
}

as_status as_value_encode_cbor(lua_State *L, int index, as_workspace *workspace,
                               as_buffer *out, as_codec_error *error) {
  int type = lua_type(L, index);
  bool is_packed = false;
  as_codec_error_clear(error);
  if (type == LUA_TSTRING) {
    AS_TRY(as_pack_digits(string_at(L, index), out, &is_packed));
    if (is_packed) return AS_OK;
  }
  AS_TRY(read_value(L, index, type, workspace, error));
  return as_pack(&workspace->transcoder.packer, &workspace->transcoder.tree, out);
}

as_status as_value_seal(lua_State *L, as_slice payload, uint8_t serializer,
                        const as_sealing *sealing, as_buffer *out,
                        as_codec_error *error) {
  if (sealing->compressor == NULL) {
    return as_envelope_seal(sealing, serializer, payload, NULL, out, error);
  }
  as_envelope_state *state = as_envelope_state_take(L);
  as_status status = as_envelope_seal(sealing, serializer, payload, state, out, error);
  as_envelope_state_release(state);
  lua_pop(L, 1);
  return status;
}

/* Starts the workspace's payload with room for a header. */
static as_status begin_payload(as_workspace *workspace) {
  as_buffer_clear(&workspace->cbor);
  return as_buffer_append_byte(&workspace->cbor, 0);
}

static as_status seal(lua_State *L, const as_value_sealing *sealing, as_slice payload,
                      as_workspace *workspace, as_slice *out_stored,
                      as_codec_error *error) {
  as_buffer *out = &workspace->stored;
  as_buffer_clear(out);
  AS_TRY(as_value_seal(L, payload, sealing->serializer, &sealing->envelope, out, error));
  *out_stored = as_buffer_slice(out);
  return AS_OK;
}

/* Seals the workspace's payload. */
static as_status seal_payload(lua_State *L, const as_value_sealing *sealing,
                              as_workspace *workspace, as_slice *out_stored,
                              as_codec_error *error) {
  as_buffer *value = &workspace->cbor;
  const as_sealing *envelope = &sealing->envelope;
  if (envelope->compressor == NULL) { /* its header goes in front */
    AS_TRY(as_envelope_seal_plain(envelope, sealing->serializer, value, error));
    *out_stored = as_buffer_slice(value);
    return AS_OK;
  }
  as_slice payload = as_slice_of(value->data + 1, value->length - 1);
  return seal(L, sealing, payload, workspace, out_stored, error);
}

as_status as_value_encode(lua_State *L, int index, const as_value_sealing *sealing,
                          as_workspace *workspace, as_slice *out_stored,
                          as_codec_error *error) {
  as_buffer *cbor = &workspace->cbor, *text = &workspace->text;
  AS_TRY(begin_payload(workspace));
  AS_TRY(as_value_encode_cbor(L, index, workspace, cbor, error));
  if (sealing->serializer != AS_SERIALIZER_JSON) {
    return seal_payload(L, sealing, workspace, out_stored, error);
  }
  as_buffer_clear(text);
  AS_TRY(as_transcode_cbor(&workspace->transcoder,
                           as_slice_of(cbor->data + 1, cbor->length - 1),
                           AS_BYTE_FORM_BASE64, text, error));
  return seal(L, sealing, as_buffer_slice(text), workspace, out_stored, error);
}

as_status as_value_encode_json(lua_State *L, as_slice json,
                               const as_value_sealing *sealing, as_workspace *workspace,
                               as_slice *out_stored, as_codec_error *error) {
  as_codec_error_clear(error);
  if (sealing->serializer == AS_SERIALIZER_JSON) {
    AS_TRY(as_transcode_json_check(json, error));
    return seal(L, sealing, json, workspace, out_stored, error);
  }
  AS_TRY(begin_payload(workspace));
  AS_TRY(as_transcode_json_exact(&workspace->transcoder, json, &workspace->cbor, error));
  return seal_payload(L, sealing, workspace, out_stored, error);
}
