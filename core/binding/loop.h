/* SPDX-License-Identifier: MIT */
/* The epoll loop as a Lua object.
 *
 *   core.loop(engine, address)     address: { path = } or { host =, port = }, and
 *                                  { no_delay = boolean, keep_alive = boolean }
 *       -> loop | nil, message, code
 *   loop:step(timeout_ms) -> true | nil, message, code      one turn, see io/loop.h
 *   loop:close()
 */
#ifndef AS_BINDING_LOOP_H
#define AS_BINDING_LOOP_H

#include <lua.h>

/* Sets `loop` in the module table at the top of the stack. */
void as_binding_loop_open(lua_State *L);

#endif
