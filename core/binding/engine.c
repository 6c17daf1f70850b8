/* SPDX-License-Identifier: MIT */
#include "binding/engine.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "binding/lane.h"
#include "binding/reply.h"
#include "binding/type.h"
#include "io/clock.h"

static const char *const ENGINE_TYPE = "authstate.engine";

/* Whole numbers up to here are exact in Lua. */
static const double MAX_SIZE = 9007199254740992.0;

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

as_bound_engine *as_binding_engine_check(lua_State *L, int index) {
  as_bound_engine *bound = luaL_checkudata(L, index, ENGINE_TYPE);
  luaL_argcheck(L, bound->engine != NULL, index, "the engine is closed");
  return bound;
}

double as_binding_engine_now_ms(const as_bound_engine *bound) {
  return bound->has_own_time ? bound->now_ms : as_clock_now_ms();
}

void as_binding_engine_send(as_bound_engine *bound) {
  const as_bound_loop *home = bound->home;
  if (home == NULL || home->loop == NULL || !as_engine_was_flushed(bound->engine)) return;
  as_loop_send(home->loop, bound->member);
}

static uint32_t check_connection(lua_State *L, int index, const as_bound_engine *bound) {
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

/* 0 when absent. */
static double opt_number_field(lua_State *L, const char *name, double max) {
  lua_getfield(L, CONFIG, name);
  bool is_there = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return is_there ? number_field(L, name, max) : 0;
}

static bool boolean_field(lua_State *L, const char *name) {
  lua_getfield(L, CONFIG, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
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

static as_batch_config read_batch(lua_State *L) {
  as_batch_config batch = {.size = count_field(L, "batch_size"),
                           .window_ms = number_field(L, "batch_window_ms", HUGE_VAL)};
  if (batch.size == 0) luaL_error(L, "engine: batch_size must be at least 1");
  return batch;
}

/* With check_ms, what is read is watched; probe_prefix belongs to it. */
static void read_tracking(lua_State *L, as_engine_config *config) {
  lua_getfield(L, CONFIG, "check_ms");
  config->tracks = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (!config->tracks) return;
  config->check_ms = number_field(L, "check_ms", HUGE_VAL);
  const char *prefix = text_field(L, "probe_prefix");
  config->probe_prefix = as_slice_text(prefix != NULL ? prefix : "");
}

/* core.engine{ pool_size, batch_size, batch_window_ms, max_age_ms, max_operations,
 * max_queued_bytes, max_value_bytes, connect_timeout_ms, connect_hint, health_timeout_ms,
 * retries, longest_backoff_ms (absent: a second), quarantine_ms, seed, database, user,
 * password, scripts, check_ms, probe_prefix } */
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
  config.connection.connect_hint = text_field(L, "connect_hint");
  config.connection.health_timeout_ms = number_field(L, "health_timeout_ms", HUGE_VAL);
  config.connection.max_age_ms = number_field(L, "max_age_ms", HUGE_VAL);
  config.connection.retries = boolean_field(L, "retries");
  config.connection.longest_backoff_ms =
      opt_number_field(L, "longest_backoff_ms", HUGE_VAL);
  config.connection.quarantine_ms = number_field(L, "quarantine_ms", HUGE_VAL);
  config.connection.seed = (uint64_t)number_field(L, "seed", MAX_SIZE);
  config.batch = read_batch(L);
  config.connection.greeting.database = count_field(L, "database");
  config.connection.greeting.user = text_field(L, "user");
  config.connection.greeting.password = text_field(L, "password");
  read_scripts(L, &config.connection.greeting);
  read_tracking(L, &config);
  size_t max_value_bytes = size_field(L, "max_value_bytes");
  luaL_argcheck(L, config.pool_size > 0, 1, "pool_size must be at least 1");

  as_bound_engine *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  as_mem_init(&bound->mem);
  bound->max_value_bytes = max_value_bytes;
  bound->texts_ref = LUA_NOREF;
  bound->measured_ref = LUA_NOREF;
  luaL_getmetatable(L, ENGINE_TYPE);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, TEXTS);
  bound->texts_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  as_status status = as_engine_new(&bound->mem, &config, &bound->engine);
  if (status != AS_OK) return push_status_failure(L, status);
  bound->connections = as_engine_connections(bound->engine);
  return 1;
}

static int engine_close(lua_State *L) {
  as_bound_engine *bound = luaL_checkudata(L, 1, ENGINE_TYPE);
  if (bound->home != NULL && bound->home->loop != NULL)
    as_loop_detach(bound->home->loop, bound->member);
  bound->home = NULL;
  as_engine_del(bound->engine);
  bound->engine = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, bound->texts_ref);
  bound->texts_ref = LUA_NOREF;
  luaL_unref(L, LUA_REGISTRYINDEX, bound->measured_ref);
  bound->measured_ref = LUA_NOREF;
  bound->measured = NULL;
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

static as_status write_commands(lua_State *L, as_engine *engine, int index) {
  as_status status = AS_OK;
  size_t count = lua_objlen(L, index);
  for (size_t i = 1; i <= count && status == AS_OK; i++) {
    lua_rawgeti(L, index, (int)i);
    status = write_command(L, engine);
    lua_pop(L, 1);
  }
  return status;
}

/* Pushes the slot of what was submitted. A batch that is full leaves at once. */
static int push_submitted(lua_State *L, as_bound_engine *bound, as_status status,
                          uint32_t slot) {
  if (status != AS_OK) return push_status_failure(L, status);
  as_binding_engine_send(bound);
  lua_pushinteger(L, (lua_Integer)slot);
  return 1;
}

static int engine_submit(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  double now_ms = luaL_checknumber(L, 2);
  double deadline_ms = luaL_checknumber(L, 3);
  luaL_argcheck(L, !isnan(deadline_ms), 3, "not a number");
  bool is_atomic = lua_toboolean(L, 4);
  check_commands(L, 5);
  as_lane *lane = lua_isnoneornil(L, 6) ? NULL : as_binding_lane_check(L, 6, bound);
  uint32_t slot = 0;
  as_status status = as_engine_begin(bound->engine, lane, is_atomic, now_ms);
  if (status != AS_OK) return push_status_failure(L, status);
  if (lua_toboolean(L, 7)) status = as_engine_mark_write(bound->engine, now_ms);
  if (status == AS_OK) status = write_commands(L, bound->engine, 5);
  if (status != AS_OK) {
    as_engine_rollback(bound->engine);
    return push_status_failure(L, status);
  }
  status = as_engine_submit(bound->engine, AS_SHAPE_RAW, now_ms, deadline_ms, &slot);
  return push_submitted(L, bound, status, slot);
}

/* What time it is to who submits: as he says, or by the clock. */
static double opt_now_ms(lua_State *L, int index, const as_bound_engine *bound) {
  if (lua_isnoneornil(L, index)) return as_binding_engine_now_ms(bound);
  return luaL_checknumber(L, index);
}

/* The shape of fields that are read. */
static as_shape check_shape(lua_State *L, int index) {
  lua_Number shape = luaL_checknumber(L, index);
  luaL_argcheck(L, shape >= AS_SHAPE_RAW && shape <= AS_SHAPE_JSON, index, "no shape");
  return (as_shape)shape;
}

/* engine:read(lane, key, fields, generation, shape, deadline_ms, now_ms) */
static int engine_read(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  as_lane *lane = as_binding_lane_check(L, 2, bound);
  as_slice key;
  key.data = (const uint8_t *)luaL_checklstring(L, 3, &key.length);
  luaL_checktype(L, 4, LUA_TTABLE);
  double generation = luaL_checknumber(L, 5);
  as_shape shape = check_shape(L, 6);
  double deadline_ms = luaL_checknumber(L, 7);
  luaL_argcheck(L, !isnan(deadline_ms), 7, "not a number");
  double now_ms = opt_now_ms(L, 8, bound);
  size_t count = lua_objlen(L, 4);
  luaL_argcheck(L, count > 0 && count < UINT32_MAX, 4, "no fields");
  as_slice *fields = lua_newuserdata(L, count * sizeof *fields);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 4, (int)i + 1);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 4, "a field must be a string");
    fields[i].data = (const uint8_t *)lua_tolstring(L, -1, &fields[i].length);
    lua_pop(L, 1); /* the table keeps it */
  }
  as_hash *hash;
  uint32_t slot = 0;
  as_status status = as_engine_hash(bound->engine, lane, key, &hash);
  if (status == AS_OK)
    status = as_engine_read(bound->engine, hash, fields, count, generation, shape, now_ms,
                            deadline_ms, &slot);
  return push_submitted(L, bound, status, slot);
}

/* Writes key, field and value of a change; false as a value removes. */
static as_status write_change(lua_State *L, as_engine *engine, as_lane *lane, int first) {
  as_slice parts[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
  as_hash *hash;
  for (int i = 0; i < 3; i++) {
    lua_rawgeti(L, 3, first + i);
    if (lua_type(L, -1) == LUA_TSTRING)
      parts[i].data = (const uint8_t *)lua_tolstring(L, -1, &parts[i].length);
    lua_pop(L, 1);
  }
  AS_TRY(as_engine_hash(engine, lane, parts[0], &hash));
  if (parts[2].data == NULL) return as_engine_remove(engine, hash, parts[1]);
  return as_engine_set(engine, hash, parts[1], parts[2]);
}

static void check_changes(lua_State *L, int index, size_t count) {
  luaL_argcheck(L, count > 0 && count % 3 == 0, index, "key, field and value expected");
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(L, index, (int)i);
    bool is_removal = i % 3 == 0 && lua_type(L, -1) == LUA_TBOOLEAN;
    luaL_argcheck(L, is_removal || lua_type(L, -1) == LUA_TSTRING, index,
                  "a string expected");
    lua_pop(L, 1);
  }
}

/* engine:write(lane, { key, field, value, ... }, deadline_ms, now_ms): a plain write */
static int engine_write(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  as_lane *lane = as_binding_lane_check(L, 2, bound);
  luaL_checktype(L, 3, LUA_TTABLE);
  size_t count = lua_objlen(L, 3);
  check_changes(L, 3, count);
  double deadline_ms = luaL_checknumber(L, 4);
  luaL_argcheck(L, !isnan(deadline_ms), 4, "not a number");
  double now_ms = opt_now_ms(L, 5, bound);
  uint32_t slot = 0;
  as_status status = as_engine_begin_write(bound->engine, lane, now_ms);
  if (status != AS_OK) return push_status_failure(L, status);
  for (size_t i = 1; i <= count && status == AS_OK; i += 3)
    status = write_change(L, bound->engine, lane, (int)i);
  if (status != AS_OK) {
    as_engine_rollback(bound->engine);
    return push_status_failure(L, status);
  }
  status = as_engine_submit(bound->engine, AS_SHAPE_RAW, now_ms, deadline_ms, &slot);
  return push_submitted(L, bound, status, slot);
}

static uint32_t check_slot(lua_State *L, int index) {
  lua_Number slot = luaL_checknumber(L, index);
  luaL_argcheck(L, slot >= 0 && slot < UINT32_MAX, index, "not a slot");
  return (uint32_t)slot;
}

static int engine_cancel(lua_State *L) {
  as_engine_cancel(as_binding_engine_check(L, 1)->engine, check_slot(L, 2),
                   luaL_checknumber(L, 3));
  return 0;
}

static int engine_release(lua_State *L) {
  as_engine_release(as_binding_engine_check(L, 1)->engine, check_slot(L, 2));
  return 0;
}

/* ---- events and outputs ----------------------------------------------------------- */

static int engine_on_connected(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  as_engine_on_connected(bound->engine, check_connection(L, 2, bound),
                         luaL_checknumber(L, 3));
  return 0;
}

static int engine_on_bytes(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  size_t length;
  uint32_t connection = check_connection(L, 2, bound);
  const char *bytes = luaL_checklstring(L, 3, &length);
  as_engine_on_bytes(bound->engine, connection, as_slice_of(bytes, length),
                     luaL_checknumber(L, 4));
  return 0;
}

static int engine_on_written(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  uint32_t connection = check_connection(L, 2, bound);
  double length = luaL_checknumber(L, 3);
  size_t lent = as_engine_next_write(bound->engine, connection).length;
  luaL_argcheck(L, length >= 0 && length <= (double)lent, 3,
                "more than there was to write");
  as_engine_on_written(bound->engine, connection, (size_t)length, luaL_checknumber(L, 4));
  return 0;
}

static int engine_on_closed(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  size_t length;
  uint32_t connection = check_connection(L, 2, bound);
  const char *reason = luaL_checklstring(L, 3, &length);
  as_engine_on_closed(bound->engine, connection, as_slice_of(reason, length),
                      luaL_checknumber(L, 4));
  return 0;
}

static int engine_on_time(lua_State *L) {
  as_engine_on_time(as_binding_engine_check(L, 1)->engine, luaL_checknumber(L, 2));
  return 0;
}

static int engine_set_now(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  bound->has_own_time = !lua_isnoneornil(L, 2);
  if (bound->has_own_time) bound->now_ms = luaL_checknumber(L, 2);
  return 0;
}

static int engine_next_action(lua_State *L) {
  as_action action;
  if (!as_engine_next_action(as_binding_engine_check(L, 1)->engine, &action)) return 0;
  lua_pushstring(L, action.kind == AS_ACTION_CONNECT ? "connect" : "close");
  lua_pushinteger(L, (lua_Integer)action.connection);
  return 2;
}

static int engine_next_write(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  as_slice bytes = as_engine_next_write(bound->engine, check_connection(L, 2, bound));
  double most = luaL_optnumber(L, 3, HUGE_VAL);
  size_t length = (double)bytes.length > most ? (size_t)most : bytes.length;
  lua_pushlstring(L, (const char *)bytes.data, length);
  return 1;
}

static int engine_deadline_ms(lua_State *L) {
  lua_pushnumber(L, as_engine_deadline_ms(as_binding_engine_check(L, 1)->engine));
  return 1;
}

/* Pushes code, message, attempts, elapsed_ms, was_put_off; code and message nil when it
 * went well. */
static int push_outcome(lua_State *L, const as_completion *completion) {
  if (completion->status == AS_OK) {
    lua_pushnil(L);
    lua_pushnil(L);
  } else {
    as_binding_push_failure(L, completion->status, completion->message);
    lua_insert(L, -2); /* code before message */
    lua_remove(L, -3); /* the nil */
  }
  lua_pushinteger(L, (lua_Integer)completion->attempts);
  lua_pushnumber(L, completion->elapsed_ms);
  lua_pushboolean(L, as_engine_was_put_off(completion));
  return 5;
}

static int engine_first_deadline_ms(lua_State *L) {
  lua_pushnumber(L, as_engine_first_deadline_ms(as_binding_engine_check(L, 1)->engine));
  return 1;
}

static int engine_next_completion(lua_State *L) {
  as_completion completion;
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  if (!as_engine_next_completion(bound->engine, &completion)) return 0;
  lua_pushinteger(L, (lua_Integer)completion.slot);
  return 1 + push_outcome(L, &completion);
}

static void check_completion(lua_State *L, const as_bound_engine *bound, uint32_t slot,
                             as_completion *out_completion) {
  luaL_argcheck(L, as_engine_completion(bound->engine, slot, out_completion), 2,
                "no completed operation has this slot");
}

static int engine_outcome(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  as_completion completion;
  check_completion(L, bound, check_slot(L, 2), &completion);
  return push_outcome(L, &completion);
}

/* The bytes of all texts in the replies of an operation. */
static double reply_bytes(const as_completion *completion) {
  const as_replies *replies = completion->replies;
  size_t index = completion->first_reply, end = index;
  double bytes = 0;
  for (uint32_t i = 0; i < completion->reply_count; i++)
    end = as_replies_skip(replies, end);
  for (; index < end; index++) bytes += (double)as_replies_at(replies, index)->length;
  return bytes;
}

static int engine_details(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  as_completion completion;
  check_completion(L, bound, check_slot(L, 2), &completion);
  lua_pushnumber(L, completion.wait_ms);
  lua_pushnumber(L, reply_bytes(&completion));
  return 2;
}

/* ---- replies to Lua --------------------------------------------------------------- */

/* The walk's error is large and set only on failure. */
static void begin_walk(as_reply_walk *walk, lua_State *L, as_workspace *workspace,
                       const as_bound_engine *bound, const as_completion *completion) {
  walk->L = L;
  walk->workspace = workspace;
  walk->replies = completion->replies;
  walk->index = completion->first_reply;
  walk->max_value_bytes = bound->max_value_bytes;
}

static const char *const shape_names[] = {"raw",       "value",    "json",
                                          "value_map", "json_map", NULL};

/* The reply of operation number i + 1: the table of all of them is at the top. */
static as_status push_reply(as_reply_walk *walk, const as_completion *completion,
                            uint32_t i, int shapes) {
  lua_State *L = walk->L;
  if (completion->kind == AS_REQUEST_READ)
    return as_reply_push_fields(walk,
                                (as_shape)(completion->shape & ~(uint32_t)AS_SHAPE_ALONE),
                                completion->reply_count);
  int last = (int)i < shapes ? (int)i : shapes - 1;
  int shape = shapes ? luaL_checkoption(L, 3 + last, "raw", shape_names) : AS_SHAPE_RAW;
  return as_reply_push(walk, (as_shape)shape);
}

static int engine_take(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  uint32_t slot = check_slot(L, 2);
  as_completion completion;
  int shapes = lua_gettop(L) - 2;
  for (int i = 0; i < shapes; i++) luaL_checkoption(L, 3 + i, "raw", shape_names);
  check_completion(L, bound, slot, &completion);
  if (completion.kind == AS_REQUEST_WRITE) {
    lua_pushnumber(L, completion.number);
    as_engine_release(bound->engine, slot);
    return 1;
  }
  as_reply_walk walk;
  as_workspace *workspace = as_workspace_take(L);
  begin_walk(&walk, L, workspace, bound, &completion);
  uint32_t count = completion.kind == AS_REQUEST_READ ? 1 : completion.reply_count;
  lua_createtable(L, (int)count, 0);
  for (uint32_t i = 0; i < count; i++) {
    as_status status = push_reply(&walk, &completion, i, shapes);
    if (status != AS_OK) {
      as_engine_release(bound->engine, slot);
      as_workspace_release(workspace);
      lua_pushnil(L);
      lua_pushstring(L, as_codec_error_text(&walk.error, status));
      lua_pushinteger(L, (lua_Integer)i + 1);
      lua_pushvalue(L, -4);
      return 4;
    }
    lua_rawseti(L, -2, (int)i + 1);
  }
  as_engine_release(bound->engine, slot);
  as_workspace_release(workspace);
  return 1;
}

/* Pushes the value of one field that was read, or of nothing, or the version of a write:
 * true, and the slot may be released. False: what says that the slot must be asked. */
static bool push_result(lua_State *L, as_workspace *workspace, as_bound_engine *bound,
                        const as_completion *completion) {
  bool is_alone = (completion->shape & AS_SHAPE_ALONE) != 0;
  if (completion->status == AS_OK && is_alone && completion->kind == AS_REQUEST_WRITE) {
    lua_pushnumber(L, completion->number);
    return true;
  }
  if (completion->status == AS_OK && is_alone) {
    as_reply_walk walk;
    begin_walk(&walk, L, workspace, bound, completion);
    as_shape shape = (as_shape)(completion->shape & ~(uint32_t)AS_SHAPE_ALONE);
    if (as_reply_push_field(&walk, shape) == AS_OK) return true;
  }
  lua_pushlightuserdata(L, bound);
  return false;
}

/* Puts a slot and its result, which is at the top, into the table of drain. */
static void put_drained(lua_State *L, as_bound_engine *bound) {
  lua_rawseti(L, 2, 2 * (int)bound->drained + 2);
  lua_pushinteger(L, (lua_Integer)bound->amid);
  lua_rawseti(L, 2, 2 * (int)bound->drained + 1);
  bound->is_amid = false;
  bound->drained++;
}

/* One that is not done is timed by who asks for its outcome. */
static void count_completion(as_histogram *measured, const as_completion *completion,
                             bool is_done) {
  as_histogram_add(&measured[AS_MEASURED_WAIT], completion->wait_ms, 1);
  if (!is_done) return;
  bool is_read = completion->kind == AS_REQUEST_READ;
  as_histogram_add(&measured[is_read ? AS_MEASURED_READ : AS_MEASURED_SET],
                   completion->elapsed_ms, 1);
}

/* engine:drain(out) -> n: out[1], out[2], ... become slot, result, slot, result, ... The
 * result of an authstate_read is its value, of an authstate_set its version, and the slot
 * is released; any other is the engine itself as a light userdata (engine:address()): ask
 * outcome and take. Making a value raises when there is no memory, or when a finalizer of
 * the program's raises: then engine:drained() is n, and the next drain begins with the
 * slot whose value could not be made, which must be asked. */
static int engine_drain(lua_State *L) {
  enum { AT_MOST = 256 };
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  as_completion completion;
  bound->drained = 0;
  if (bound->is_amid) {
    lua_pushlightuserdata(L, bound);
    put_drained(L, bound);
  }
  as_workspace *workspace = as_workspace_take(L);
  int top = lua_gettop(L);
  while (bound->drained < AT_MOST &&
         as_engine_next_completion(bound->engine, &completion)) {
    bound->amid = completion.slot;
    bound->is_amid = true;
    bool is_done = push_result(L, workspace, bound, &completion);
    if (bound->measured != NULL) count_completion(bound->measured, &completion, is_done);
    put_drained(L, bound);
    lua_settop(L, top); /* one that cannot be opened leaves its place */
    if (is_done) as_engine_release(bound->engine, completion.slot);
  }
  as_workspace_release(workspace);
  lua_pushinteger(L, (lua_Integer)bound->drained);
  return 1;
}

static int engine_drained(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)as_binding_engine_check(L, 1)->drained);
  return 1;
}

static int engine_address(lua_State *L) {
  lua_pushlightuserdata(L, as_binding_engine_check(L, 1));
  return 1;
}

static int engine_measure(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  as_histogram *measured =
      lua_isnoneornil(L, 2) ? NULL : as_binding_histogram_check(L, 2);
  lua_settop(L, 2);
  luaL_unref(L, LUA_REGISTRYINDEX, bound->measured_ref);
  bound->measured_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  bound->measured = measured;
  return 0;
}

static int engine_set_bounds(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  double size = luaL_checknumber(L, 2);
  double window_ms = luaL_checknumber(L, 3);
  double operations = luaL_checknumber(L, 4);
  double bytes = luaL_checknumber(L, 5);
  luaL_argcheck(L, size >= 1 && size <= UINT32_MAX, 2, "a number of operations");
  luaL_argcheck(L, window_ms >= 0, 3, "a time");
  luaL_argcheck(L, operations >= 0 && operations <= UINT32_MAX, 4,
                "a number of operations");
  luaL_argcheck(L, bytes >= 0 && bytes <= MAX_SIZE, 5, "a number of bytes");
  as_batch_config batch = {.size = (uint32_t)size, .window_ms = window_ms};
  as_engine_set_bounds(bound->engine, &batch, (uint32_t)operations, (size_t)bytes);
  return 0;
}

static int engine_flush(lua_State *L) {
  as_engine_flush(as_binding_engine_check(L, 1)->engine, luaL_checknumber(L, 2));
  return 0;
}

static int engine_has_completions(lua_State *L) {
  lua_pushboolean(L, as_engine_has_completions(as_binding_engine_check(L, 1)->engine));
  return 1;
}

/* ---- what is watched --------------------------------------------------------------- */

static const char *const invalidation_names[] = {"key", "lost", "flush", "refused"};

/* engine:take_invalidations(out, now_ms) -> n, is_live: out[1], out[2], ... become kind
 * and value in turn. When this raises they stay. */
static int engine_take_invalidations(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  double now_ms = luaL_checknumber(L, 3);
  as_invalidations *list = as_engine_invalidations(bound->engine);
  size_t count = list != NULL ? as_invalidations_count(list) : 0;
  for (size_t i = 0; i < count; i++) {
    as_invalidation each = as_invalidations_at(list, i);
    lua_pushstring(L, invalidation_names[each.kind]);
    lua_rawseti(L, 2, (int)(2 * i) + 1);
    if (each.kind == AS_INVALIDATION_LOST)
      lua_pushnumber(L, each.stream);
    else
      lua_pushlstring(L, (const char *)each.text.data, each.text.length);
    lua_rawseti(L, 2, (int)(2 * i) + 2);
  }
  if (count > 0) as_invalidations_clear(list);
  lua_pushnumber(L, (lua_Number)count);
  lua_pushboolean(L, as_engine_is_live(bound->engine, now_ms));
  return 2;
}

static int engine_connections(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)as_binding_engine_check(L, 1)->connections);
  return 1;
}

/* ---- getters ---------------------------------------------------------------------- */

static void set_number(lua_State *L, const char *name, double number) {
  lua_pushnumber(L, number);
  lua_setfield(L, -2, name);
}

static int engine_statistics(lua_State *L) {
  as_bound_engine *bound = as_binding_engine_check(L, 1);
  as_engine_trim(bound->engine);
  as_engine_totals totals = as_engine_get_totals(bound->engine);
  const as_batch_totals *batches = &totals.batches;
  lua_createtable(L, 0, 14);
  set_number(L, "queued_operations", as_engine_queued_operations(bound->engine));
  set_number(L, "queued_bytes", (double)as_engine_queued_bytes(bound->engine));
  set_number(L, "streams", totals.streams);
  set_number(L, "operations", (double)totals.operations);
  set_number(L, "bytes_out", (double)totals.bytes_out);
  set_number(L, "bytes_in", (double)totals.bytes_in);
  set_number(L, "batches", (double)batches->batches);
  set_number(L, "batched_operations", (double)batches->operations);
  set_number(L, "flushed_by_size", (double)batches->flushed[AS_FLUSH_SIZE]);
  set_number(L, "flushed_by_age", (double)batches->flushed[AS_FLUSH_AGE]);
  set_number(L, "flushed_when_idle", (double)batches->flushed[AS_FLUSH_IDLE]);
  set_number(L, "ready_connections", as_engine_ready_connections(bound->engine));
  set_number(L, "used_connections", as_engine_used_connections(bound->engine));
  set_number(L, "lanes", as_engine_lanes(bound->engine));
  set_number(L, "memory_bytes", (double)bound->mem.used_bytes);
  return 1;
}

static int engine_validate(lua_State *L) {
  lua_pushboolean(L, as_engine_validate(as_binding_engine_check(L, 1)->engine));
  return 1;
}

static const luaL_Reg engine_methods[] = {
    {"lane", as_binding_lane_new},
    {"submit", engine_submit},
    {"read", engine_read},
    {"write", engine_write},
    {"flush", engine_flush},
    {"cancel", engine_cancel},
    {"release", engine_release},
    {"on_connected", engine_on_connected},
    {"on_bytes", engine_on_bytes},
    {"on_written", engine_on_written},
    {"on_closed", engine_on_closed},
    {"on_time", engine_on_time},
    {"set_now", engine_set_now},
    {"next_action", engine_next_action},
    {"next_write", engine_next_write},
    {"next_completion", engine_next_completion},
    {"deadline_ms", engine_deadline_ms},
    {"first_deadline_ms", engine_first_deadline_ms},
    {"outcome", engine_outcome},
    {"details", engine_details},
    {"measure", engine_measure},
    {"set_bounds", engine_set_bounds},
    {"take", engine_take},
    {"drain", engine_drain},
    {"drained", engine_drained},
    {"has_completions", engine_has_completions},
    {"take_invalidations", engine_take_invalidations},
    {"connections", engine_connections},
    {"address", engine_address},
    {"statistics", engine_statistics},
    {"validate", engine_validate},
    {"close", engine_close},
    {NULL, NULL},
};

void as_binding_engine_open(lua_State *L) {
  as_binding_new_type(L, ENGINE_TYPE, engine_methods, engine_close);
  lua_pushcfunction(L, engine_new);
  lua_setfield(L, -2, "engine");
  lua_newtable(L);
  for (int shape = AS_SHAPE_RAW; shape <= AS_SHAPE_JSON; shape++)
    set_number(L, shape_names[shape], shape);
  lua_setfield(L, -2, "shapes");
}
