/* SPDX-License-Identifier: MIT */
#include "binding/lane.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/type.h"

static const char *const LANE_TYPE = "authstate.lane";

/* The environment table of the userdata keeps the engine, whose memory a lane is in. */
typedef struct bound_lane {
  as_bound_engine *owner;
  as_lane *lane; /* NULL once closed */
} bound_lane;

int as_binding_lane_new(lua_State *L) {
  as_slice meta_key;
  as_bound_engine *owner = as_binding_engine_check(L, 1);
  meta_key.data = (const uint8_t *)luaL_checklstring(L, 2, &meta_key.length);
  bound_lane *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  luaL_getmetatable(L, LANE_TYPE);
  lua_setmetatable(L, -2);
  lua_createtable(L, 1, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  lua_setfenv(L, -2);
  as_status status = as_engine_open_lane(owner->engine, meta_key, &bound->lane);
  if (status != AS_OK) return as_binding_push_failure(L, status, as_slice_of("", 0));
  bound->owner = owner;
  return 1;
}

as_lane *as_binding_lane_check(lua_State *L, int index, const as_bound_engine *owner) {
  bound_lane *bound = luaL_checkudata(L, index, LANE_TYPE);
  luaL_argcheck(L, bound->lane != NULL, index, "the lane is closed");
  luaL_argcheck(L, bound->owner == owner, index, "the lane of another engine");
  return bound->lane;
}

static int lane_hash(lua_State *L) {
  bound_lane *bound = luaL_checkudata(L, 1, LANE_TYPE);
  as_slice key;
  as_hash *hash;
  key.data = (const uint8_t *)luaL_checklstring(L, 2, &key.length);
  luaL_argcheck(L, bound->lane != NULL, 1, "the lane is closed");
  luaL_argcheck(L, bound->owner->engine != NULL, 1, "the engine is closed");
  as_status status = as_engine_hash(bound->owner->engine, bound->lane, key, &hash);
  if (status != AS_OK) return as_binding_push_failure(L, status, as_slice_of("", 0));
  lua_pushlightuserdata(L, hash);
  return 1;
}

static int lane_close(lua_State *L) {
  bound_lane *bound = luaL_checkudata(L, 1, LANE_TYPE);
  /* A closed engine has taken its lanes with it. */
  if (bound->lane != NULL && bound->owner->engine != NULL)
    as_engine_close_lane(bound->owner->engine, bound->lane);
  bound->lane = NULL;
  return 0;
}

static int lane_quarantine_ms(lua_State *L) {
  const bound_lane *bound = luaL_checkudata(L, 1, LANE_TYPE);
  double now_ms = luaL_checknumber(L, 2);
  double end_ms = 0;
  if (bound->lane != NULL && bound->owner->engine != NULL)
    end_ms = as_engine_quarantine_ends_ms(bound->lane, now_ms);
  lua_pushnumber(L, end_ms > 0 ? end_ms - now_ms : 0);
  return 1;
}

static int lane_stream(lua_State *L) {
  const bound_lane *bound = luaL_checkudata(L, 1, LANE_TYPE);
  uint32_t stream = 0;
  if (bound->lane != NULL && bound->owner->engine != NULL)
    stream = as_engine_track_stream(bound->owner->engine, bound->lane);
  lua_pushnumber(L, stream);
  return 1;
}

/* lane:pause_tracking(now_ms) */
static int lane_pause_tracking(lua_State *L) {
  const bound_lane *bound = luaL_checkudata(L, 1, LANE_TYPE);
  double now_ms = luaL_checknumber(L, 2);
  if (bound->lane != NULL && bound->owner->engine != NULL)
    as_engine_pause_tracking(bound->owner->engine, bound->lane, now_ms);
  return 0;
}

static const luaL_Reg lane_methods[] = {
    {"hash", lane_hash},     {"quarantine_ms", lane_quarantine_ms},
    {"stream", lane_stream}, {"pause_tracking", lane_pause_tracking},
    {"close", lane_close},   {NULL, NULL},
};

void as_binding_lane_open(lua_State *L) {
  as_binding_new_type(L, LANE_TYPE, lane_methods, lane_close);
}
