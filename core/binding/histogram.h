/* SPDX-License-Identifier: MIT */
/* Histograms for Lua, see base/histogram.h:
 *
 *   core.histograms(count) -> object      histograms:address() -> light userdata
 *
 * Over FFI (binding/ffi.h) they are filled and read, by number from 0 on. What an engine
 * that was given them fills by itself (engine:measure) are the first ones. */
#ifndef AS_BINDING_HISTOGRAM_H
#define AS_BINDING_HISTOGRAM_H

#include <lua.h>

#include "base/histogram.h"

/* Those that an engine fills. */
enum {
  AS_MEASURED_WAIT, /* of every operation: until its request went out */
  AS_MEASURED_READ, /* authstate_read, when a value or an absence came of it */
  AS_MEASURED_SET,  /* authstate_set, when it took effect */
  AS_MEASURED       /* how many there are */
};

/* Sets `histograms` in the module table at the top of the stack. */
void as_binding_histogram_open(lua_State *L);

/* The histograms at a stack index, at least AS_MEASURED; raises for anything else. */
as_histogram *as_binding_histogram_check(lua_State *L, int index);

#endif
