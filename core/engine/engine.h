/* SPDX-License-Identifier: MIT */
/* The engine: what to send to Redis, and what the bytes that come back mean. It does no
 * I/O and reads no clock, so the same engine serves an epoll loop, nginx cosockets and a
 * test without a server.
 *
 * Its functions are of four kinds:
 *
 *   commands   begin, command, argument, submit, rollback, cancel, release
 *   events     on_connected, on_bytes, on_written, on_closed, on_time
 *   outputs    next_action, next_write, next_completion, deadline_ms: pulled, never
 *              called back
 *   getters    queued_operations, queued_bytes, ...
 *
 * Every command and event that depends on time takes `now_ms`, any monotonic clock. A
 * driver does, until nothing is left to do:
 *
 *   act on every next_action       connect or close a socket, then on_connected/on_closed
 *   send every next_write          then on_written with what the socket took
 *   hand over every next_completion
 *   wait for readable sockets, at most until deadline_ms
 *   on_bytes, on_closed, on_time
 *
 * Memory: the engine owns the bytes it lends. A slice from next_write is valid until the
 * next command or event; the replies of a completion until its slot is released. */
#ifndef AS_ENGINE_ENGINE_H
#define AS_ENGINE_ENGINE_H

#include "engine/pool.h"

typedef struct as_engine as_engine;

typedef struct as_engine_config {
  as_connection_config connection; /* its texts are borrowed while the engine lives */
  uint32_t pool_size;              /* connections */
  uint32_t max_operations;         /* waiting for a reply or to be sent */
  size_t max_queued_bytes;         /* request bytes of those */
} as_engine_config;

typedef enum as_action_kind { AS_ACTION_CONNECT, AS_ACTION_CLOSE } as_action_kind;

/* Something the driver must do with the socket of a connection. CONNECT is answered by
 * on_connected or on_closed, CLOSE by on_closed. */
typedef struct as_action {
  as_action_kind kind;
  uint32_t connection; /* 0 to pool_size - 1 */
} as_action;

/* How an operation ended. Valid until its slot is released. */
typedef struct as_completion {
  uint32_t slot;
  as_status status;
  as_slice message;  /* the server's words, or why the server was not reached */
  uint32_t attempts; /* streams on which any byte of the request left; 0: never sent */
  double elapsed_ms;
  const as_replies *replies;
  size_t first_reply; /* index in replies of the first of `reply_count` replies */
  uint32_t reply_count;
} as_completion;

/* config is copied, what it points at is borrowed. */
AS_MUST_USE as_status as_engine_new(as_mem *mem, const as_engine_config *config,
                                    as_engine **out_engine);

/* Frees everything, completions not pulled included. NULL is accepted. */
void as_engine_del(as_engine *engine);

/* ---- commands ---- */

/* Begins a request of one operation. AS_ERR_OVERLOADED: a bound is reached, nothing
 * changed. After success: one or more commands with their arguments, then submit or
 * rollback, with no event between. `is_atomic` wraps the commands in MULTI and EXEC. */
AS_MUST_USE as_status as_engine_begin(as_engine *engine, bool is_atomic);
AS_MUST_USE as_status as_engine_command(as_engine *engine, size_t arguments);
AS_MUST_USE as_status as_engine_argument(as_engine *engine, as_slice argument);

/* Puts the request in the queue. The caller holds *out_slot until it releases it.
 * On failure the request is rolled back. */
AS_MUST_USE as_status as_engine_submit(as_engine *engine, double now_ms,
                                       double deadline_ms, uint32_t *out_slot);
void as_engine_rollback(as_engine *engine);

/* The caller waits no longer: the operation completes as `cancelled` unless it has
 * completed. Its slot still must be released. */
void as_engine_cancel(as_engine *engine, uint32_t slot, double now_ms);

/* The caller is done with a slot. One that has not completed still takes effect, and
 * nobody is told. */
void as_engine_release(as_engine *engine, uint32_t slot);

/* ---- events ---- */

void as_engine_on_connected(as_engine *engine, uint32_t connection, double now_ms);
void as_engine_on_bytes(as_engine *engine, uint32_t connection, as_slice bytes,
                        double now_ms);
void as_engine_on_written(as_engine *engine, uint32_t connection, size_t length,
                          double now_ms);

/* The socket is gone or could not be made; `reason` goes into the callers' messages. */
void as_engine_on_closed(as_engine *engine, uint32_t connection, as_slice reason,
                         double now_ms);

/* Time has passed: deadlines that are over take effect. */
void as_engine_on_time(as_engine *engine, double now_ms);

/* ---- outputs ---- */

/* False: nothing to do. */
bool as_engine_next_action(as_engine *engine, as_action *out_action);

/* What may be sent on a connection now; empty when nothing. */
as_slice as_engine_next_write(const as_engine *engine, uint32_t connection);

/* The oldest completion not pulled yet; false when there is none. */
bool as_engine_next_completion(as_engine *engine, as_completion *out_completion);

/* Whether next_completion would give one. */
bool as_engine_has_completions(const as_engine *engine);

/* When on_time must be called at the latest; INFINITY for never. */
double as_engine_deadline_ms(const as_engine *engine);

/* ---- getters ---- */

uint32_t as_engine_queued_operations(const as_engine *engine);
size_t as_engine_queued_bytes(const as_engine *engine);

/* The completion of a slot that completed and was not released; false for others. */
bool as_engine_completion(const as_engine *engine, uint32_t slot,
                          as_completion *out_completion);

/* Since the engine is there. */
typedef struct as_engine_totals {
  uint32_t streams;    /* made ready */
  uint64_t operations; /* submitted */
  uint64_t bytes_out;
  uint64_t bytes_in;
} as_engine_totals;

as_engine_totals as_engine_get_totals(const as_engine *engine);

/* Whether all structures agree; for tests. */
bool as_engine_validate(const as_engine *engine);

#endif
