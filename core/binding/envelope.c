/* SPDX-License-Identifier: MIT */
#include "binding/envelope.h"

#include <lauxlib.h>

/* More is given back rather than kept for the next call. */
enum { MAX_KEPT_BYTES = 256 * 1024 };

/* Its address is the key of the state in the registry. */
static const char STATE_KEY;

static const char *const STATE_TYPE = "authstate.envelope";
static const char *const SEALING_TYPE = "authstate.sealing";

/* ---- state ------------------------------------------------------------------------ */

typedef struct bound_state {
  as_envelope_state state; /* first: a pointer to it is one to the whole */
  as_mem mem;
  bool is_taken;
} bound_state;

static int state_collect(lua_State *L) {
  bound_state *bound = lua_touserdata(L, 1);
  as_envelope_state_free(&bound->state);
  return 0;
}

static bound_state *push_new_state(lua_State *L) {
  bound_state *bound = lua_newuserdata(L, sizeof *bound);
  as_mem_init(&bound->mem);
  as_envelope_state_init(&bound->state, &bound->mem);
  if (luaL_newmetatable(L, STATE_TYPE)) {
    lua_pushcfunction(L, state_collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_pushlightuserdata(L, (void *)&STATE_KEY);
  lua_pushvalue(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  return bound;
}

as_envelope_state *as_envelope_state_take(lua_State *L) {
  luaL_checkstack(L, 4, "taking the envelope's state");
  lua_pushlightuserdata(L, (void *)&STATE_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
  bound_state *bound = lua_touserdata(L, -1);
  /* Taken: by a call that this one came amid, or one that raised. */
  if (bound == NULL || bound->is_taken) {
    lua_pop(L, 1);
    bound = push_new_state(L);
  }
  bound->is_taken = true;
  return &bound->state;
}

void as_envelope_state_release(as_envelope_state *state) {
  bound_state *bound = (bound_state *)state;
  if (state->payload.capacity > MAX_KEPT_BYTES) as_buffer_free(&state->payload);
  bound->is_taken = false;
}

/* ---- sealing ---------------------------------------------------------------------- */

as_value_sealing as_value_sealing_check(lua_State *L, int index, size_t max_value_bytes) {
  as_value_sealing sealing = {.serializer = AS_SERIALIZER_CBOR,
                              .envelope = {.max_value_bytes = max_value_bytes}};
  if (lua_isnoneornil(L, index)) return sealing;
  sealing = *(as_value_sealing *)luaL_checkudata(L, index, SEALING_TYPE);
  sealing.envelope.max_value_bytes = max_value_bytes;
  return sealing;
}

/* A whole number of a field of the table at 1. */
static lua_Integer number_field(lua_State *L, const char *name, lua_Integer min,
                                lua_Integer max) {
  lua_getfield(L, 1, name);
  lua_Number number = lua_tonumber(L, -1);
  bool is_right = lua_type(L, -1) == LUA_TNUMBER && number >= (lua_Number)min &&
                  number <= (lua_Number)max;
  if (!is_right) luaL_error(L, "sealing: %s is no number that is accepted", name);
  lua_pop(L, 1);
  return (lua_Integer)number;
}

static uint8_t serializer_field(lua_State *L) {
  lua_getfield(L, 1, "serializer");
  const char *name = lua_tostring(L, -1);
  bool is_json = name != NULL && strcmp(name, "json") == 0;
  if (!is_json && (name == NULL || strcmp(name, "cbor") != 0)) {
    luaL_error(L, "sealing: no such serializer");
  }
  lua_pop(L, 1);
  return is_json ? AS_SERIALIZER_JSON : AS_SERIALIZER_CBOR;
}

static void set_compressor(lua_State *L, as_sealing *sealing) {
  lua_getfield(L, 1, "compressor");
  bool is_wanted = !lua_isnil(L, -1);
  const char *name = lua_tostring(L, -1);
  const as_compressor *compressor = name != NULL ? as_compressor_named(name) : NULL;
  if (is_wanted && compressor == NULL) luaL_error(L, "sealing: no such compressor");
  lua_getfield(L, 1, "level");
  bool has_level = !lua_isnil(L, -1);
  lua_pop(L, 2);
  sealing->compressor = compressor;
  if (compressor == NULL) return;
  sealing->level = compressor->default_level;
  if (has_level) {
    sealing->level =
        (int)number_field(L, "level", compressor->min_level, compressor->max_level);
  }
  sealing->threshold_bytes =
      (size_t)number_field(L, "threshold_bytes", 0, AS_COMPRESSOR_MAX_BYTES);
  sealing->min_gain_bytes =
      (size_t)number_field(L, "min_gain_bytes", 0, AS_COMPRESSOR_MAX_BYTES);
  sealing->min_gain_percent = (size_t)number_field(L, "min_gain_percent", 0, 100);
}

/* core.sealing(config) */
static int sealing_new(lua_State *L) {
  as_value_sealing sealing = {.serializer = AS_SERIALIZER_CBOR};
  luaL_checktype(L, 1, LUA_TTABLE);
  sealing.serializer = serializer_field(L);
  set_compressor(L, &sealing.envelope);
  *(as_value_sealing *)lua_newuserdata(L, sizeof sealing) = sealing;
  luaL_newmetatable(L, SEALING_TYPE);
  lua_setmetatable(L, -2);
  return 1;
}

void as_binding_envelope_open(lua_State *L) {
  lua_pushcfunction(L, sealing_new);
  lua_setfield(L, -2, "sealing");
}
