/* SPDX-License-Identifier: MIT */
/* The bare engine as a Lua object, for every driver and for tests without a server.
 *
 *   core.engine(config)                      config: see engine_new in engine.c
 *   engine:submit(now_ms, deadline_ms, is_atomic, commands)
 *       commands: { { "HGET", key, field }, ... }, all strings
 *       -> slot | nil, message, code
 *   engine:next_completion() -> slot, code, message, attempts, elapsed_ms | nil
 *       code is nil when all replies came and none is an error; attempts is the number of
 *       streams on which any byte of the request left, 0: never sent
 *   engine:take(slot, shape, ...) -> { reply, ... } | nil, message, index, element
 *       one shape a reply, the last one serves the rest; releases the slot
 *         raw         strings, numbers, false for nil, tables of these
 *         value       a stored value becomes a Lua value, each one of an array too;
 *                     absent: false, in an array nothing
 *         json        the same, as JSON text
 *         value_map   field and value in turn become { [field] = Lua value }
 *         json_map    the same, as JSON text
 *       a value that cannot be opened: its message, the number of the reply and the
 *       place in the array or the field in it
 *   engine:release(slot)  engine:cancel(slot, now_ms)
 *   engine:on_connected(connection, now_ms)  :on_bytes(connection, bytes, now_ms)
 *   engine:on_written(connection, length, now_ms)
 *   engine:on_closed(connection, reason, now_ms)  :on_time(now_ms)
 *   engine:next_action() -> "connect" | "close", connection | nil
 *   engine:next_write(connection) -> bytes   engine:deadline_ms() -> ms, math.huge: never
 *   engine:statistics() -> { queued_operations, queued_bytes, streams,
 *       operations, bytes_out, bytes_in, memory_bytes }
 *   engine:validate() -> boolean             engine:close()
 */
#ifndef AS_BINDING_ENGINE_H
#define AS_BINDING_ENGINE_H

#include <lua.h>

#include "engine/engine.h"

/* Sets `engine` in the module table at the top of the stack. */
void as_binding_engine_open(lua_State *L);

/* The engine at a stack index; raises for anything else, and for a closed one. */
as_engine *as_binding_engine_check(lua_State *L, int index, uint32_t *out_connections);

/* Pushes nil, the message (or the status' own sentence when it is empty), the code. */
int as_binding_push_failure(lua_State *L, as_status status, as_slice message);

#endif
