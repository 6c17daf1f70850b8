/* SPDX-License-Identifier: MIT */
/* as_workspace is the memory that turning values into bytes and back needs besides the
 * Lua heap: one per Lua state, kept in the registry, used again by each call.
 *
 * It is a userdata with __gc, and whoever takes it has it on the stack. So nothing leaks
 * when Lua raises in between. A call that comes while it is taken (from a finalizer, or
 * after an error left it taken) gets a new one, which the registry keeps from then on. */
#ifndef AS_BINDING_WORKSPACE_H
#define AS_BINDING_WORKSPACE_H

#include <lua.h>

#include "base/buffer.h"
#include "codec/transcode.h"

typedef struct as_workspace {
  as_mem mem;
  as_buffer stored; /* a value on its way to Redis */
  as_buffer text;   /* JSON text on its way to Lua, or to be stored */
  as_buffer cbor;   /* structure on its way to Lua, or to be stored */
  as_transcoder transcoder;
  bool is_taken;
} as_workspace;

/* Pushes the state's workspace, buffers empty, and returns it. Valid until released. */
as_workspace *as_workspace_take(lua_State *L);

/* Lets the next call use the workspace. It stays on the stack; what its buffers hold is
 * lost. */
void as_workspace_release(as_workspace *workspace);

#endif
