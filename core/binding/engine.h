/* SPDX-License-Identifier: MIT */
/* The bare engine as a Lua object, for every driver and for tests without a server.
 *
 *   core.engine(config)                      config: see engine_new in engine.c
 *   engine:lane(meta_key) -> lane: keeps the order of a session; see lane.h
 *   lane:stream() -> on which what it reads now is watched; 0: it is not
 *   engine:submit(now_ms, deadline_ms, is_atomic, commands, lane, is_write)
 *       commands: { { "HGET", key, field }, ... }, all strings; lane may be nil
 *       -> slot | nil, message, code
 *   engine:read(lane, key, fields, generation, shape, deadline_ms, now_ms) -> the same
 *       reads fields of a hash, joined with other reads; generation as in
 *       as_engine_read, shape a number of core.shapes; without now_ms the clock is read
 *   engine:write(lane, { key, field, value, ... }, deadline_ms, now_ms) -> the same
 *       a plain write; false as a value removes the field
 *   engine:flush(now_ms)
 *   engine:next_completion() -> slot, code, message, attempts, elapsed_ms, was_put_off |
 *       nil; code is nil when all replies came and none is an error; attempts is the
 *       number of streams on which any byte of the request left, 0: never sent;
 *       was_put_off: the server said that it may do it later
 *   engine:drain(out) -> n: fills slot and result of n completions in turn; the result
 *       is the value of an authstate_read, whose slot is released, or engine:address(),
 *       and then the slot must be asked. When it raises, engine:drained() is n
 *   engine:outcome(slot) -> the same but for the slot: of one handed out
 *   engine:take(slot, shape, ...) -> { reply, ... } | nil, message, index, element
 *       one shape a reply, the last one serves the rest; releases the slot
 *         (a read: one reply, an array in the shape it was submitted with; a plain write:
 *         the version that it made instead of the table)
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
 *   engine:next_write(connection, most) -> bytes, `most` of them when it is given
 *   engine:deadline_ms() -> ms, math.huge: never
 *   engine:first_deadline_ms() -> ms: the first of an operation that waits
 *   engine:statistics() -> { queued_operations, queued_bytes, streams,
 *       operations, bytes_out, bytes_in, memory_bytes, batches, batched_operations,
 *       flushed_by_size, flushed_by_age, flushed_when_idle, ready_connections,
 *       used_connections, lanes }
 *   engine:details(slot) -> wait_ms, bytes: of one handed out, how long it waited to be
 *       sent, and the bytes of its replies
 *   engine:measure(histograms): what they count from now on, see binding/histogram.h;
 *       nil: nothing
 *   engine:set_bounds(batch_size, batch_window_ms, max_operations, max_queued_bytes)
 *       from now on, for what comes
 *   engine:has_completions() -> boolean      engine:address() -> light userdata
 *   engine:take_invalidations(out, now_ms) -> n, is_live: fills kind and value in turn,
 *       "key" and the key, "lost" and a stream, "flush" and why, "refused" and the words;
 *       see engine/invalidations.h. To be taken before completions
 *   engine:connections() -> how many it has, numbered from 0 on
 *   engine:set_now(now_ms)
 *       what time it is to those that read the clock (read, write, authstate_read,
 *       authstate_set) from now on; nil: by the clock again. For simulated time
 *   engine:validate() -> boolean             engine:close()
 */
#ifndef AS_BINDING_ENGINE_H
#define AS_BINDING_ENGINE_H

#include <lua.h>

#include "binding/histogram.h"
#include "binding/loop.h"
#include "engine/engine.h"

/* The engine in Lua; authstate_engine for the FFI. */
typedef struct as_bound_engine {
  as_mem mem;
  as_engine *engine; /* NULL once closed */
  uint32_t connections;
  size_t max_value_bytes;
  as_histogram *measured; /* NULL: nothing is measured */
  int measured_ref;       /* their Lua object */
  int texts_ref;          /* a table of the Lua strings that the configuration borrows */
  as_bound_loop *home;    /* that it is attached to, NULL: none */
  uint32_t member;        /* what it is there */
  bool has_own_time;      /* `now_ms` is the time, not the clock's */
  double now_ms;
  uint32_t drained; /* how many completions the last drain has put out */
  uint32_t amid;    /* the slot that it was putting out, if is_amid */
  bool is_amid;
} as_bound_engine;

/* Sets `engine` and `shapes` in the module table at the top of the stack. */
void as_binding_engine_open(lua_State *L);

/* The engine at a stack index; raises for anything else, and for a closed one. */
as_bound_engine *as_binding_engine_check(lua_State *L, int index);

/* What time it is to who submits. */
double as_binding_engine_now_ms(const as_bound_engine *bound);

/* Sends what the last submission has made leave, if it has. */
void as_binding_engine_send(as_bound_engine *bound);

/* Pushes nil, the message (or the status' own sentence when it is empty), the code. */
int as_binding_push_failure(lua_State *L, as_status status, as_slice message);

#endif
