/* SPDX-License-Identifier: MIT */
#include "binding/histogram.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/ffi.h"
#include "binding/type.h"

#define AS_EXPORT __attribute__((visibility("default")))

static const char *const HISTOGRAMS_TYPE = "authstate.histograms";

enum { MOST = 1024 };

typedef struct bound_histograms {
  uint32_t count;
  as_histogram first[];
} bound_histograms;

static int histograms_new(lua_State *L) {
  lua_Integer count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= AS_MEASURED && count <= MOST, 1, "a number of histograms");
  size_t size = sizeof(bound_histograms) + (size_t)count * sizeof(as_histogram);
  bound_histograms *bound = lua_newuserdata(L, size);
  memset(bound, 0, size);
  bound->count = (uint32_t)count;
  luaL_getmetatable(L, HISTOGRAMS_TYPE);
  lua_setmetatable(L, -2);
  return 1;
}

static bound_histograms *check(lua_State *L, int index) {
  return luaL_checkudata(L, index, HISTOGRAMS_TYPE);
}

as_histogram *as_binding_histogram_check(lua_State *L, int index) {
  return check(L, index)->first;
}

static int histograms_address(lua_State *L) {
  lua_pushlightuserdata(L, check(L, 1));
  return 1;
}

/* The memory is Lua's. */
static int histograms_collect(lua_State *L) {
  (void)L;
  return 0;
}

static const luaL_Reg histograms_methods[] = {
    {"address", histograms_address},
    {NULL, NULL},
};

void as_binding_histogram_open(lua_State *L) {
  as_binding_new_type(L, HISTOGRAMS_TYPE, histograms_methods, histograms_collect);
  lua_pushcfunction(L, histograms_new);
  lua_setfield(L, -2, "histograms");
}

/* ---- through FFI ------------------------------------------------------------------- */

static as_histogram *histogram_at(authstate_histograms *histograms, uint32_t number) {
  bound_histograms *bound = (bound_histograms *)(void *)histograms;
  return number < bound->count ? &bound->first[number] : NULL;
}

AS_EXPORT void authstate_histogram_add(authstate_histograms *histograms, uint32_t number,
                                       double duration_ms, double count) {
  as_histogram *histogram = histogram_at(histograms, number);
  if (histogram != NULL) as_histogram_add(histogram, duration_ms, (uint64_t)count);
}

AS_EXPORT double authstate_histogram_count(authstate_histograms *histograms,
                                           uint32_t number) {
  const as_histogram *histogram = histogram_at(histograms, number);
  return histogram != NULL ? (double)histogram->count : 0;
}

AS_EXPORT double authstate_histogram_quantile(authstate_histograms *histograms,
                                              uint32_t number, double share) {
  const as_histogram *histogram = histogram_at(histograms, number);
  return histogram != NULL ? as_histogram_quantile(histogram, share) : 0;
}
