/* SPDX-License-Identifier: MIT */
#include "binding/engine.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "binding/type.h"
#include "binding/value.h"

static const char *const ENGINE_TYPE = "authstate.engine";

/* Whole numbers up to here are exact in Lua. */
static const double MAX_SIZE = 9007199254740992.0;

typedef struct bound_engine {
  as_mem mem;
  as_engine *engine; /* NULL once closed */
  uint32_t connections;
  size_t max_value_bytes;
  int texts_ref; /* a table of the Lua strings that the configuration borrows */
} bound_engine;

int as_binding_push_failure(lua_State *L, as_status status, as_slice message) {
  lua_pushnil(L);
  if (message.length > 0)
    lua_pushlstring(L, (const char *)message.data, message.length);
  else
    lua_pushstring(L, as_status_sentence(status));
  lua_pushstring(L, as_status_code(status));
  return 3;
}

static int push_status_failure(lua_State *L, as_status status) {
  return as_binding_push_failure(L, status, as_slice_of("", 0));
}

static bound_engine *check_bound(lua_State *L, int index) {
  bound_engine *bound = luaL_checkudata(L, index, ENGINE_TYPE);
  luaL_argcheck(L, bound->engine != NULL, index, "the engine is closed");
  return bound;
}

as_engine *as_binding_engine_check(lua_State *L, int index, uint32_t *out_connections) {
  bound_engine *bound = check_bound(L, index);
  *out_connections = bound->connections;
  return bound->engine;
}

static uint32_t check_connection(lua_State *L, int index, const bound_engine *bound) {
  lua_Integer connection = luaL_checkinteger(L, index);
  luaL_argcheck(L, connection >= 0 && connection < (lua_Integer)bound->connections, index,
                "no such connection");
  return (uint32_t)connection;
}

/* ---- making ----------------------------------------------------------------------- */

/* The configuration is at CONFIG; the strings that the engine will borrow are kept in the
 * table at TEXTS, since the caller may change his. */
enum { CONFIG = 1, TEXTS = 2 };

static double number_field(lua_State *L, const char *name, double max) {
  lua_getfield(L, CONFIG, name);
  double number = lua_tonumber(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER || !(number >= 0 && number <= max))
    luaL_error(L, "engine: %s must be a number from 0 to %f", name, max);
  lua_pop(L, 1);
  return number;
}

static uint32_t count_field(lua_State *L, const char *name) {
  return (uint32_t)number_field(L, name, UINT32_MAX);
}

static size_t size_field(lua_State *L, const char *name) {
  return (size_t)number_field(L, name, MAX_SIZE);
}

/* Takes the string at the top of the stack into TEXTS. */
static as_slice keep_text(lua_State *L, const char *name) {
  size_t length;
  if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "engine: %s must be a string", name);
  const char *text = lua_tolstring(L, -1, &length);
  lua_rawseti(L, TEXTS, (int)lua_objlen(L, TEXTS) + 1);
  return as_slice_of(text, length);
}

/* A text field without NUL; NULL when absent. */
static const char *text_field(lua_State *L, const char *name) {
  lua_getfield(L, CONFIG, name);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return NULL;
  }
  as_slice text = keep_text(L, name);
  if (memchr(text.data, '\0', text.length) != NULL)
    luaL_error(L, "engine: %s must not hold a NUL", name);
  return (const char *)text.data;
}

static void read_scripts(lua_State *L, as_greeting_config *config) {
  lua_getfield(L, CONFIG, "scripts");
  size_t count = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
  if (count > AS_GREETING_MAX_SCRIPTS)
    luaL_error(L, "engine: at most %d scripts", AS_GREETING_MAX_SCRIPTS);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    config->scripts[i] = keep_text(L, "a script");
  }
  config->script_count = (uint32_t)count;
  lua_pop(L, 1);
}

/* core.engine{ pool_size, max_operations, max_queued_bytes, max_value_bytes,
 * connect_timeout_ms, health_timeout_ms, database, user, password, scripts } */
static int engine_new(lua_State *L) {
  luaL_checktype(L, CONFIG, LUA_TTABLE);
  lua_settop(L, CONFIG);
  lua_newtable(L); /* TEXTS */
  as_engine_config config;
  memset(&config, 0, sizeof config);
  config.pool_size = count_field(L, "pool_size");
  config.max_operations = count_field(L, "max_operations");
  config.max_queued_bytes = size_field(L, "max_queued_bytes");
  config.connection.connect_timeout_ms = number_field(L, "connect_timeout_ms", HUGE_VAL);
  config.connection.health_timeout_ms = number_field(L, "health_timeout_ms", HUGE_VAL);
  config.connection.greeting.database = count_field(L, "database");
  config.connection.greeting.user = text_field(L, "user");
  config.connection.greeting.password = text_field(L, "password");
  read_scripts(L, &config.connection.greeting);
  size_t max_value_bytes = size_field(L, "max_value_bytes");
  luaL_argcheck(L, config.pool_size > 0, 1, "pool_size must be at least 1");

  bound_engine *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  as_mem_init(&bound->mem);
  bound->connections = config.pool_size;
  bound->max_value_bytes = max_value_bytes;
  bound->texts_ref = LUA_NOREF;
  luaL_getmetatable(L, ENGINE_TYPE);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, TEXTS);
  bound->texts_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  as_status status = as_engine_new(&bound->mem, &config, &bound->engine);
  if (status != AS_OK) return push_status_failure(L, status);
  return 1;
}

static int engine_close(lua_State *L) {
  bound_engine *bound = luaL_checkudata(L, 1, ENGINE_TYPE);
  as_engine_del(bound->engine);
  bound->engine = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, bound->texts_ref);
  bound->texts_ref = LUA_NOREF;
  return 0;
}

/* ---- commands --------------------------------------------------------------------- */

/* Raising while a draft is open would leave it open, so arguments are checked first. */
static void check_commands(lua_State *L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  size_t count = lua_objlen(L, index);
  luaL_argcheck(L, count > 0, index, "no command");
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(L, index, (int)i);
    luaL_argcheck(L, lua_istable(L, -1) && lua_objlen(L, -1) > 0, index,
                  "a command must be a list of strings");
    for (size_t j = 1; j <= lua_objlen(L, -1); j++) {
      lua_rawgeti(L, -1, (int)j);
      luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, index,
                    "an argument must be a string");
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
}

/* Writes the command at the top of the stack. */
static as_status write_command(lua_State *L, as_engine *engine) {
  size_t arguments = lua_objlen(L, -1);
  AS_TRY(as_engine_command(engine, arguments));
  for (size_t j = 1; j <= arguments; j++) {
    size_t length;
    lua_rawgeti(L, -1, (int)j);
    const char *text = lua_tolstring(L, -1, &length);
    as_status status = as_engine_argument(engine, as_slice_of(text, length));
    lua_pop(L, 1);
    if (status != AS_OK) return status;
  }
  return AS_OK;
}

static int engine_submit(lua_State *L) {
  as_engine *engine = check_bound(L, 1)->engine;
  double now_ms = luaL_checknumber(L, 2);
  double deadline_ms = luaL_checknumber(L, 3);
  luaL_argcheck(L, !isnan(deadline_ms), 3, "not a number");
  bool is_atomic = lua_toboolean(L, 4);
  check_commands(L, 5);
  as_status status = as_engine_begin(engine, is_atomic);
  if (status != AS_OK) return push_status_failure(L, status);
  size_t count = lua_objlen(L, 5);
  for (size_t i = 1; i <= count && status == AS_OK; i++) {
    lua_rawgeti(L, 5, (int)i);
    status = write_command(L, engine);
    lua_pop(L, 1);
  }
  if (status != AS_OK) {
    as_engine_rollback(engine);
    return push_status_failure(L, status);
  }
  uint32_t slot;
  status = as_engine_submit(engine, now_ms, deadline_ms, &slot);
  if (status != AS_OK) return push_status_failure(L, status);
  lua_pushinteger(L, (lua_Integer)slot);
  return 1;
}

static uint32_t check_slot(lua_State *L, int index) {
  lua_Number slot = luaL_checknumber(L, index);
  luaL_argcheck(L, slot >= 0 && slot < UINT32_MAX, index, "not a slot");
  return (uint32_t)slot;
}

static int engine_cancel(lua_State *L) {
  as_engine_cancel(check_bound(L, 1)->engine, check_slot(L, 2), luaL_checknumber(L, 3));
  return 0;
}

static int engine_release(lua_State *L) {
  as_engine_release(check_bound(L, 1)->engine, check_slot(L, 2));
  return 0;
}

/* ---- events and outputs ----------------------------------------------------------- */

static int engine_on_connected(lua_State *L) {
  bound_engine *bound = check_bound(L, 1);
  as_engine_on_connected(bound->engine, check_connection(L, 2, bound),
                         luaL_checknumber(L, 3));
  return 0;
}

static int engine_on_bytes(lua_State *L) {
  bound_engine *bound = check_bound(L, 1);
  size_t length;
  uint32_t connection = check_connection(L, 2, bound);
  const char *bytes = luaL_checklstring(L, 3, &length);
  as_engine_on_bytes(bound->engine, connection, as_slice_of(bytes, length),
                     luaL_checknumber(L, 4));
  return 0;
}

static int engine_on_written(lua_State *L) {
  bound_engine *bound = check_bound(L, 1);
  uint32_t connection = check_connection(L, 2, bound);
  double length = luaL_checknumber(L, 3);
  size_t lent = as_engine_next_write(bound->engine, connection).length;
  luaL_argcheck(L, length >= 0 && length <= (double)lent, 3,
                "more than there was to write");
  as_engine_on_written(bound->engine, connection, (size_t)length, luaL_checknumber(L, 4));
  return 0;
}

static int engine_on_closed(lua_State *L) {
  bound_engine *bound = check_bound(L, 1);
  size_t length;
  uint32_t connection = check_connection(L, 2, bound);
  const char *reason = luaL_checklstring(L, 3, &length);
  as_engine_on_closed(bound->engine, connection, as_slice_of(reason, length),
                      luaL_checknumber(L, 4));
  return 0;
}

static int engine_on_time(lua_State *L) {
  as_engine_on_time(check_bound(L, 1)->engine, luaL_checknumber(L, 2));
  return 0;
}

static int engine_next_action(lua_State *L) {
  as_action action;
  if (!as_engine_next_action(check_bound(L, 1)->engine, &action)) return 0;
  lua_pushstring(L, action.kind == AS_ACTION_CONNECT ? "connect" : "close");
  lua_pushinteger(L, (lua_Integer)action.connection);
  return 2;
}

static int engine_next_write(lua_State *L) {
  bound_engine *bound = check_bound(L, 1);
  as_slice bytes = as_engine_next_write(bound->engine, check_connection(L, 2, bound));
  lua_pushlstring(L, (const char *)bytes.data, bytes.length);
  return 1;
}

static int engine_deadline_ms(lua_State *L) {
  lua_pushnumber(L, as_engine_deadline_ms(check_bound(L, 1)->engine));
  return 1;
}

static int engine_next_completion(lua_State *L) {
  as_completion completion;
  if (!as_engine_next_completion(check_bound(L, 1)->engine, &completion)) return 0;
  lua_pushinteger(L, (lua_Integer)completion.slot);
  if (completion.status == AS_OK) {
    lua_pushnil(L);
    lua_pushnil(L);
  } else {
    as_binding_push_failure(L, completion.status, completion.message);
    lua_insert(L, -2); /* code before message */
    lua_remove(L, -3); /* the nil */
  }
  lua_pushinteger(L, (lua_Integer)completion.attempts);
  lua_pushnumber(L, completion.elapsed_ms);
  return 5;
}

/* ---- replies to Lua --------------------------------------------------------------- */

/* A walk over the nodes of one completion. */
typedef struct reply_walk {
  lua_State *L;
  const as_replies *replies;
  size_t index;
  size_t max_value_bytes;
  as_codec_error error;
} reply_walk;

static const as_reply *next_node(reply_walk *walk) {
  return as_replies_at(walk->replies, walk->index++);
}

static void push_text(reply_walk *walk, const as_reply *reply) {
  as_slice text = as_replies_text(walk->replies, reply);
  lua_pushlstring(walk->L, (const char *)text.data, text.length);
}

/* The reader refuses deeper nesting than 9, which bounds this recursion. */
static as_status push_raw(reply_walk *walk) {
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
static as_status refuse_shape(reply_walk *walk) {
  return as_codec_error_set(&walk->error, AS_ERR_CORRUPT, 0,
                            "the reply has not the shape of stored values");
}

typedef as_status (*push_stored)(lua_State *L, as_slice stored, size_t max_value_bytes,
                                 as_codec_error *error);

/* Pushes one stored value, false for nil. */
static as_status push_element(reply_walk *walk, push_stored push) {
  const as_reply *reply = next_node(walk);
  if (reply->type == AS_REPLY_NIL) {
    lua_pushboolean(walk->L, 0);
    return AS_OK;
  }
  if (reply->type != AS_REPLY_STRING) return refuse_shape(walk);
  as_slice stored = as_replies_text(walk->replies, reply);
  return push(walk->L, stored, walk->max_value_bytes, &walk->error);
}

/* Whether the next node is an absent value; passes it. */
static bool take_absent(reply_walk *walk) {
  if (as_replies_at(walk->replies, walk->index)->type != AS_REPLY_NIL) return false;
  walk->index++;
  return true;
}

/* On failure pushes the place of the value that could not be opened instead. An absent
 * element is a hole, because false is a value. */
static as_status push_elements(reply_walk *walk, push_stored push) {
  const as_reply *reply = as_replies_at(walk->replies, walk->index);
  if (reply->type != AS_REPLY_ARRAY) {
    as_status status = push_element(walk, push);
    if (status != AS_OK) lua_pushinteger(walk->L, 1);
    return status;
  }
  walk->index++;
  int64_t count = reply->integer;
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

/* The same for field, value, field, value ...; the place is the field. */
static as_status push_map(reply_walk *walk, push_stored push) {
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

enum { SHAPE_RAW, SHAPE_VALUE, SHAPE_JSON, SHAPE_VALUE_MAP, SHAPE_JSON_MAP };

static const char *const shape_names[] = {"raw",       "value",    "json",
                                          "value_map", "json_map", NULL};

static as_status push_shaped(reply_walk *walk, int shape) {
  switch (shape) {
    case SHAPE_VALUE:
      return push_elements(walk, as_value_push);
    case SHAPE_JSON:
      return push_elements(walk, as_value_push_json);
    case SHAPE_VALUE_MAP:
      return push_map(walk, as_value_push);
    case SHAPE_JSON_MAP:
      return push_map(walk, as_value_push_json);
    default:
      return push_raw(walk);
  }
}

static int engine_take(lua_State *L) {
  bound_engine *bound = check_bound(L, 1);
  uint32_t slot = check_slot(L, 2);
  as_completion completion;
  int shapes = lua_gettop(L) - 2;
  for (int i = 0; i < shapes; i++) luaL_checkoption(L, 3 + i, "raw", shape_names);
  luaL_argcheck(L, as_engine_completion(bound->engine, slot, &completion), 2,
                "no completed operation has this slot");
  reply_walk walk = {.L = L,
                     .replies = completion.replies,
                     .index = completion.first_reply,
                     .max_value_bytes = bound->max_value_bytes};
  lua_createtable(L, (int)completion.reply_count, 0);
  for (uint32_t i = 0; i < completion.reply_count; i++) {
    int last = (int)i < shapes ? (int)i : shapes - 1;
    int shape = shapes ? luaL_checkoption(L, 3 + last, "raw", shape_names) : SHAPE_RAW;
    as_status status = push_shaped(&walk, shape);
    if (status != AS_OK) {
      as_engine_release(bound->engine, slot);
      lua_pushnil(L);
      lua_pushstring(L, as_codec_error_text(&walk.error, status));
      lua_pushinteger(L, (lua_Integer)i + 1);
      lua_pushvalue(L, -4);
      return 4;
    }
    lua_rawseti(L, -2, (int)i + 1);
  }
  as_engine_release(bound->engine, slot);
  return 1;
}

/* ---- getters ---------------------------------------------------------------------- */

static void set_number(lua_State *L, const char *name, double number) {
  lua_pushnumber(L, number);
  lua_setfield(L, -2, name);
}

static int engine_statistics(lua_State *L) {
  bound_engine *bound = check_bound(L, 1);
  as_engine_totals totals = as_engine_get_totals(bound->engine);
  lua_createtable(L, 0, 7);
  set_number(L, "queued_operations", as_engine_queued_operations(bound->engine));
  set_number(L, "queued_bytes", (double)as_engine_queued_bytes(bound->engine));
  set_number(L, "streams", totals.streams);
  set_number(L, "operations", (double)totals.operations);
  set_number(L, "bytes_out", (double)totals.bytes_out);
  set_number(L, "bytes_in", (double)totals.bytes_in);
  set_number(L, "memory_bytes", (double)bound->mem.used_bytes);
  return 1;
}

static int engine_validate(lua_State *L) {
  lua_pushboolean(L, as_engine_validate(check_bound(L, 1)->engine));
  return 1;
}

static const luaL_Reg engine_methods[] = {
    {"submit", engine_submit},
    {"cancel", engine_cancel},
    {"release", engine_release},
    {"on_connected", engine_on_connected},
    {"on_bytes", engine_on_bytes},
    {"on_written", engine_on_written},
    {"on_closed", engine_on_closed},
    {"on_time", engine_on_time},
    {"next_action", engine_next_action},
    {"next_write", engine_next_write},
    {"next_completion", engine_next_completion},
    {"deadline_ms", engine_deadline_ms},
    {"take", engine_take},
    {"statistics", engine_statistics},
    {"validate", engine_validate},
    {"close", engine_close},
    {NULL, NULL},
};

void as_binding_engine_open(lua_State *L) {
  as_binding_new_type(L, ENGINE_TYPE, engine_methods, engine_close);
  lua_pushcfunction(L, engine_new);
  lua_setfield(L, -2, "engine");
}
