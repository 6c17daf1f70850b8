/* SPDX-License-Identifier: MIT */
/* The epoll loop as a Lua object: one for all engines of a Lua state.
 *
 *   core.loop() -> loop | nil, message, code
 *   loop:attach(engine, address) -> true | nil, message, code
 *       address: { path = } or { host =, port =, tls = see tls.h, or nil }, and {
 * no_delay = boolean, keep_alive = boolean }; engine:close() detaches
 *   loop:step(timeout_ms) -> true | nil, message, code      one turn, see io/loop.h
 *   loop:wait_one(engine, timeout_ms) -> the same, for a lone caller of an engine
 *   loop:losses(engine) -> how many connections were lost, or could not be made
 *   loop:fd()  loop:deadline_ms()  loop:close()
 */
#ifndef AS_BINDING_LOOP_H
#define AS_BINDING_LOOP_H

#include <lua.h>

#include "io/loop.h"

typedef struct as_bound_loop {
  as_mem mem;
  as_loop *loop; /* NULL once closed */
} as_bound_loop;

/* Sets `loop` in the module table at the top of the stack. */
void as_binding_loop_open(lua_State *L);

#endif
