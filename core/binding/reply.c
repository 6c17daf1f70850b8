/* SPDX-License-Identifier: MIT */
#include "binding/reply.h"

#include <lauxlib.h>

#include "binding/value.h"

static const as_reply *next_node(as_reply_walk *walk) {
  return as_replies_at(walk->replies, walk->index++);
}

static void push_text(as_reply_walk *walk, const as_reply *reply) {
  as_slice text = as_replies_text(walk->replies, reply);
  lua_pushlstring(walk->L, (const char *)text.data, text.length);
}

/* The reader refuses deeper nesting than 9, which bounds this recursion. */
static as_status push_raw(as_reply_walk *walk) {
  const as_reply *reply = next_node(walk);
  switch (reply->type) {
    case AS_REPLY_STRING:
    case AS_REPLY_STATUS:
    case AS_REPLY_ERROR:
      push_text(walk, reply);
      return AS_OK;
    case AS_REPLY_INTEGER:
      lua_pushnumber(walk->L, (lua_Number)reply->integer);
      return AS_OK;
    case AS_REPLY_NIL:
      lua_pushboolean(walk->L, 0);
      return AS_OK;
    case AS_REPLY_ARRAY:
      break;
  }
  /* A reply that long never fits into memory, so int will do for lua_rawseti. */
  int64_t count = reply->integer;
  luaL_checkstack(walk->L, 4, "reply");
  lua_createtable(walk->L, count < 4096 ? (int)count : 4096, 0);
  for (int64_t i = 1; i <= count; i++) {
    AS_TRY(push_raw(walk));
    lua_rawseti(walk->L, -2, (int)i);
  }
  return AS_OK;
}

/* The server, or who chose the shape, is wrong: an absent value must not come of it. */
static as_status refuse_shape(as_reply_walk *walk) {
  return as_codec_error_set(&walk->error, AS_ERR_CORRUPT, 0,
                            "the reply has not the shape of stored values");
}

/* Pushes one stored value, false for nil. */
static as_status push_element(as_reply_walk *walk, as_value_pusher push) {
  const as_reply *reply = next_node(walk);
  if (reply->type == AS_REPLY_NIL) {
    lua_pushboolean(walk->L, 0);
    return AS_OK;
  }
  if (reply->type != AS_REPLY_STRING) return refuse_shape(walk);
  as_slice stored = as_replies_text(walk->replies, reply);
  return push(walk->L, walk->workspace, stored, walk->max_value_bytes, &walk->error);
}

/* Whether the next node is an absent value; passes it. */
static bool take_absent(as_reply_walk *walk) {
  if (as_replies_at(walk->replies, walk->index)->type != AS_REPLY_NIL) return false;
  walk->index++;
  return true;
}

/* On failure pushes the place of the value that could not be opened instead. An absent
 * element is a hole, because false is a value. */
static as_status push_list(as_reply_walk *walk, int64_t count, as_value_pusher push) {
  lua_createtable(walk->L, count < 4096 ? (int)count : 4096, 0);
  for (int64_t i = 1; i <= count; i++) {
    if (take_absent(walk)) continue;
    as_status status = push_element(walk, push);
    if (status != AS_OK) {
      lua_pop(walk->L, 1);
      lua_pushinteger(walk->L, (lua_Integer)i);
      return status;
    }
    lua_rawseti(walk->L, -2, (int)i);
  }
  return AS_OK;
}

static as_status push_elements(as_reply_walk *walk, as_value_pusher push) {
  const as_reply *reply = as_replies_at(walk->replies, walk->index);
  if (reply->type != AS_REPLY_ARRAY) {
    as_status status = push_element(walk, push);
    if (status != AS_OK) lua_pushinteger(walk->L, 1);
    return status;
  }
  walk->index++;
  return push_list(walk, reply->integer, push);
}

/* The same for field, value, field, value ...; the place is the field. */
static as_status push_map(as_reply_walk *walk, as_value_pusher push) {
  const as_reply *reply = next_node(walk);
  if (reply->type != AS_REPLY_ARRAY || reply->integer % 2 != 0) {
    lua_pushliteral(walk->L, "");
    return refuse_shape(walk);
  }
  int64_t count = reply->integer / 2;
  lua_createtable(walk->L, 0, count < 4096 ? (int)count : 4096);
  for (int64_t i = 1; i <= count; i++) {
    const as_reply *field = next_node(walk);
    push_text(walk, field);
    as_status status =
        field->type == AS_REPLY_STRING ? push_element(walk, push) : refuse_shape(walk);
    if (status != AS_OK) {
      lua_remove(walk->L, -2);
      return status;
    }
    lua_rawset(walk->L, -3);
  }
  return AS_OK;
}

as_status as_reply_push(as_reply_walk *walk, as_shape shape) {
  switch (shape) {
    case AS_SHAPE_VALUE:
      return push_elements(walk, as_value_push);
    case AS_SHAPE_JSON:
      return push_elements(walk, as_value_push_json);
    case AS_SHAPE_VALUE_MAP:
      return push_map(walk, as_value_push);
    case AS_SHAPE_JSON_MAP:
      return push_map(walk, as_value_push_json);
    case AS_SHAPE_RAW:
      break;
  }
  return push_raw(walk);
}

static as_value_pusher pusher_of(as_shape shape) {
  if (shape == AS_SHAPE_VALUE) return as_value_push;
  return shape == AS_SHAPE_JSON ? as_value_push_json : as_value_push_raw;
}

as_status as_reply_push_field(as_reply_walk *walk, as_shape shape) {
  if (take_absent(walk)) {
    lua_pushnil(walk->L);
    return AS_OK;
  }
  return push_element(walk, pusher_of(shape));
}

as_status as_reply_push_fields(as_reply_walk *walk, as_shape shape, uint32_t count) {
  return push_list(walk, count, pusher_of(shape));
}
