/* SPDX-License-Identifier: MIT */
/* A lane as a Lua object; it closes itself when nobody holds it any more.
 *
 *   lane:hash(key) -> light userdata, an authstate_hash for the FFI; valid while the lane
 *       is held and its engine open
 *   lane:quarantine_ms(now_ms) -> how much longer it refuses writes; 0: it takes them
 *   lane:close() */
#ifndef AS_BINDING_LANE_H
#define AS_BINDING_LANE_H

#include "binding/engine.h"

/* Registers the type. */
void as_binding_lane_open(lua_State *L);

/* engine:lane(meta_key) */
int as_binding_lane_new(lua_State *L);

/* The lane at a stack index; raises for anything else, for a closed one, and for one of
 * another engine. */
as_lane *as_binding_lane_check(lua_State *L, int index, const as_bound_engine *owner);

#endif
