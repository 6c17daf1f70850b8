/* SPDX-License-Identifier: MIT */
/* The entry of the module `authstate.core`: what Lua sees of the C core. Each part fills
 * in its own functions; state hangs in the Lua registry, so several Lua states may live
 * in one process. `version` is that of the Lua modules it was built with, which they
 * compare with their own (platform.lua). */
#include <lua.h>

#include "binding/cache.h"
#include "binding/codec.h"
#include "binding/engine.h"
#include "binding/ffi.h"
#include "binding/histogram.h"
#include "binding/keyring.h"
#include "binding/lane.h"
#include "binding/lookout.h"
#include "binding/loop.h"
#include "binding/system.h"
#include "binding/tls.h"
#include "binding/tls_stream.h"

__attribute__((visibility("default"))) int luaopen_authstate_core(lua_State *L);

int luaopen_authstate_core(lua_State *L) {
  lua_newtable(L);
  lua_pushliteral(L, AS_VERSION);
  lua_setfield(L, -2, "version");
  as_binding_codec_open(L);
  lua_pushliteral(L, AS_FFI(AS_FFI_TEXT));
  lua_setfield(L, -2, "declarations");
  lua_pushliteral(L, AS_CACHE_STRUCTS(AS_FFI_TEXT));
  lua_setfield(L, -2, "cache_structs");
  lua_pushliteral(L, AS_CACHE_FFI(AS_FFI_TEXT));
  lua_setfield(L, -2, "cache_declarations");
  as_binding_cache_open(L);
  as_binding_histogram_open(L);
  as_binding_keyring_open(L);
  as_binding_lane_open(L);
  as_binding_engine_open(L);
  as_binding_lookout_open(L);
  as_binding_loop_open(L);
  as_binding_system_open(L);
  as_binding_tls_open(L);
  as_binding_tls_stream_open(L);
  return 1;
}
