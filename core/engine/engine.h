/* SPDX-License-Identifier: MIT */
/* The engine: what to send to Redis, and what the bytes that come back mean. It does no
 * I/O and reads no clock, so the same engine serves an epoll loop, nginx cosockets and a
 * test without a server.
 *
 * Its functions are of four kinds:
 *
 *   commands   open_lane, read, begin, begin_write, ..., submit, flush, cancel, release
 *   events     on_connected, on_bytes, on_written, on_closed, on_time
 *   outputs    next_action, next_write, next_completion, deadline_ms: pulled, never
 *              called back
 *   getters    queued_operations, queued_bytes, ...
 *
 * Every command and event that depends on time takes `now_ms`, any monotonic clock. A
 * driver does, until nothing is left to do:
 *
 *   flush                          when nothing else can join what was submitted
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
#include "engine/tracking.h"

typedef struct as_engine as_engine;

typedef struct as_engine_config {
  as_connection_config connection; /* its texts are borrowed while the engine lives */
  as_batch_config batch;
  uint32_t pool_size;      /* connections */
  uint32_t max_operations; /* waiting for a reply or to be sent */
  size_t max_queued_bytes; /* request bytes of those */
  bool tracks;             /* what is read is watched, see tracking.h */
  double check_ms;         /* how often that is checked */
  as_slice probe_prefix;   /* of the keys that it is probed with; borrowed */
} as_engine_config;

typedef enum as_action_kind { AS_ACTION_CONNECT, AS_ACTION_CLOSE } as_action_kind;

/* Something the driver must do with the socket of a connection. CONNECT is answered by
 * on_connected or on_closed, CLOSE by on_closed. */
typedef struct as_action {
  as_action_kind kind;
  uint32_t connection; /* 0 to as_engine_connections - 1 */
} as_action;

/* How an operation ended. Valid until its slot is released. */
typedef struct as_completion {
  uint32_t slot;
  as_status status;
  as_slice message;  /* the server's words, or why the server was not reached */
  uint32_t attempts; /* streams on which any byte of the request left, or will with the
                        writes it is joined with; 0: never sent */
  double elapsed_ms;
  double wait_ms; /* the part of it before its first byte went out last, or all of it */
  const as_replies *replies;
  size_t first_reply; /* index in replies of the first of `reply_count` replies */
  uint32_t reply_count;
  as_request_kind kind;
  uint32_t shape; /* as submitted */
  double number;  /* of a plain write: the version that it made */
} as_completion;

/* config is copied, what it points at is borrowed. */
AS_MUST_USE as_status as_engine_new(as_mem *mem, const as_engine_config *config,
                                    as_engine **out_engine);

/* Frees everything, completions not pulled included. NULL is accepted. */
void as_engine_del(as_engine *engine);

/* ---- commands ---- */

/* A lane keeps the order of what is submitted in it (see lane.h). Held until closed. */
AS_MUST_USE as_status as_engine_open_lane(as_engine *engine, as_slice meta_key,
                                          as_lane **out_lane);
void as_engine_close_lane(as_engine *engine, as_lane *lane);

/* A hash of a lane, to read from and write to. Valid as long as the lane is held. */
AS_MUST_USE as_status as_engine_hash(as_engine *engine, as_lane *lane, as_slice key,
                                     as_hash **out_hash);

/* Reads `count` fields of a hash, in one step, joined with other reads. `generation`: the
 * read is AS_ERR_FENCED when the session has another one (0: when it has any); below 0:
 * under any. AS_ERR_OVERLOADED: a bound is reached, nothing changed. Its replies are one
 * node for each field. */
AS_MUST_USE as_status as_engine_read(as_engine *engine, as_hash *hash,
                                     const as_slice *fields, size_t count,
                                     double generation, uint32_t shape, double now_ms,
                                     double deadline_ms, uint32_t *out_slot);

/* Begins a request of one operation. AS_ERR_OVERLOADED as above. After success: one or
 * more commands with their arguments, then submit or rollback, with no event between.
 * `is_atomic` wraps the commands in MULTI and EXEC. `lane` may be NULL. */
AS_MUST_USE as_status as_engine_begin(as_engine *engine, as_lane *lane, bool is_atomic,
                                      double now_ms);
AS_MUST_USE as_status as_engine_command(as_engine *engine, size_t arguments);

/* What was begun may change what is stored: it is not sent again once it took effect.
 * AS_ERR_UNAVAILABLE: its lane is in quarantine; rollback must follow. */
AS_MUST_USE as_status as_engine_mark_write(as_engine *engine, double now_ms);
AS_MUST_USE as_status as_engine_argument(as_engine *engine, as_slice argument);

/* Begins a plain write (AS_ERR_UNAVAILABLE as above), joined with other ones of the lane
 * into one transaction. After success: at least one set or remove, of hashes of the lane,
 * then submit or rollback. Sent again after a lost connection, so it may take effect
 * twice. */
AS_MUST_USE as_status as_engine_begin_write(as_engine *engine, as_lane *lane,
                                            double now_ms);
AS_MUST_USE as_status as_engine_set(as_engine *engine, as_hash *hash, as_slice field,
                                    as_slice value);
AS_MUST_USE as_status as_engine_remove(as_engine *engine, as_hash *hash, as_slice field);

/* Puts what was begun in the queue. The caller holds *out_slot until it releases it.
 * On failure it is rolled back. */
AS_MUST_USE as_status as_engine_submit(as_engine *engine, uint32_t shape, double now_ms,
                                       double deadline_ms, uint32_t *out_slot);
void as_engine_rollback(as_engine *engine);

/* Other bounds, from now on. What was accepted stays, in its order. */
void as_engine_set_bounds(as_engine *engine, const as_batch_config *batch,
                          uint32_t max_operations, size_t max_queued_bytes);

/* Nothing else can join what was submitted: it leaves. */
void as_engine_flush(as_engine *engine, double now_ms);

/* The caller waits no longer: the operation completes as `cancelled` unless it has
 * completed. Its slot still must be released. */
void as_engine_cancel(as_engine *engine, uint32_t slot, double now_ms);

/* The caller is done with a slot. One that has not completed still takes effect, and
 * nobody is told. */
void as_engine_release(as_engine *engine, uint32_t slot);

/* Whether the last submission has made its batch leave: what is to be sent can be sent
 * while more is submitted. */
bool as_engine_was_flushed(const as_engine *engine);

/* Gives back memory that was needed for what is over; nothing while an operation is in
 * use. After a large load the engine does so by itself. */
void as_engine_trim(as_engine *engine);

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

/* Whether one that failed was refused for now: the same may succeed later. */
bool as_engine_was_put_off(const as_completion *completion);

/* Whether next_completion would give one. */
bool as_engine_has_completions(const as_engine *engine);

/* When a lane takes writes again after an old stream could not be killed, 0: now */
double as_engine_quarantine_ends_ms(const as_lane *lane, double now_ms);

/* The first deadline of an operation that waits; INFINITY: none has one. */
double as_engine_first_deadline_ms(const as_engine *engine);

/* When on_time must be called at the latest; INFINITY for never. */
double as_engine_deadline_ms(const as_engine *engine);

/* ---- what is watched ---- */

/* What others have changed; to be looked at before any completion is, and cleared. NULL:
 * nothing is tracked. */
as_invalidations *as_engine_invalidations(as_engine *engine);

/* Whether the server tells us now what changes, as far as we know. */
bool as_engine_is_live(const as_engine *engine, double now_ms);

/* The number of the stream on which what a lane reads now is watched, 0: it is not. */
uint32_t as_engine_track_stream(const as_engine *engine, const as_lane *lane);

/* Nothing is watched on the connection of a lane for a while, from what is submitted next
 * on; see tracking.h. */
void as_engine_pause_tracking(as_engine *engine, as_lane *lane, double now_ms);

/* ---- getters ---- */

/* How many there are, numbered from 0 on: those of the pool, and when it tracks, the
 * subscriber. */
uint32_t as_engine_connections(const as_engine *engine);

/* Whether a connection owes replies, or has something to send. */
bool as_engine_is_owed(const as_engine *engine, uint32_t connection);

/* Whether next_action would give one. */
bool as_engine_has_actions(const as_engine *engine);

uint32_t as_engine_queued_operations(const as_engine *engine);
size_t as_engine_queued_bytes(const as_engine *engine);

/* The completion of a slot that completed and was handed out, until it is released; false
 * for others. */
bool as_engine_completion(const as_engine *engine, uint32_t slot,
                          as_completion *out_completion);

/* Connections that are ready, those that ever were, and lanes that are there. */
uint32_t as_engine_ready_connections(const as_engine *engine);
uint32_t as_engine_used_connections(const as_engine *engine);
uint32_t as_engine_lanes(const as_engine *engine);

/* Since the engine is there. */
typedef struct as_engine_totals {
  uint32_t streams;    /* made ready */
  uint64_t operations; /* submitted */
  uint64_t bytes_out;
  uint64_t bytes_in;
  as_batch_totals batches; /* those that were flushed */
} as_engine_totals;

as_engine_totals as_engine_get_totals(const as_engine *engine);

/* Whether all structures agree; for tests. */
bool as_engine_validate(const as_engine *engine);

#endif
