/* SPDX-License-Identifier: MIT */
/* as_batch collects what is submitted for one connection and joins what can be joined
 * (DESIGN 5): reads of one hash become one HMGET, equal ones share one field, plain
 * writes of one session become one transaction. What is collected leaves together:
 *
 *   SIZE  as many operations as the limit says have come together
 *   AGE   the oldest has waited for the window
 *   IDLE  the driver says that nothing else can join now
 *
 * Each lane collects one request at a time. A request of another kind in the same lane
 * seals it first, so the order of a session is kept; lanes do not wait for each other. A
 * read is shared only before it is sent: one that is on its way may be older than what
 * another process was told to be stored. A caller's operation is never cut in two. */
#ifndef AS_ENGINE_BATCH_H
#define AS_ENGINE_BATCH_H

#include "engine/connection.h"
#include "engine/lane.h"

typedef enum as_flush_reason {
  AS_FLUSH_SIZE,
  AS_FLUSH_AGE,
  AS_FLUSH_IDLE,
  AS_FLUSH_REASONS /* how many there are */
} as_flush_reason;

typedef struct as_batch_config {
  uint32_t size;    /* operations; 1: each one leaves at once */
  double window_ms; /* no operation waits longer to be sent */
} as_batch_config;

/* Since the engine is there. */
typedef struct as_batch_totals {
  uint64_t batches;
  uint64_t operations;
  uint64_t flushed[AS_FLUSH_REASONS];
} as_batch_totals;

typedef struct as_batch {
  const as_batch_config *config;
  as_connection *connection; /* borrowed, like the next two */
  as_operations *operations;
  as_lanes *lanes;
  as_list collected;  /* as_request through node, in order of their first operation */
  uint32_t count;     /* operations since the last flush */
  uint32_t joined;    /* those that the requests in `collected` serve */
  size_t bytes;       /* of arguments that are collected */
  double oldest_ms;   /* when the first of those came */
  as_request *draft;  /* WRITE, between begin_write and end_write */
  size_t draft_bytes; /* and how much was collected before it */
  size_t draft_touched;
  uint32_t draft_number;
  as_buffer numbers; /* scratch of seal */
  as_batch_totals totals;
} as_batch;

void as_batch_init(as_batch *batch, as_mem *mem, const as_batch_config *config,
                   as_connection *connection, as_lanes *lanes);
void as_batch_free(as_batch *batch);

/* Joins a read of `count` fields of a hash. The operation is not held yet. After a
 * failure nobody waits for anything more. */
AS_MUST_USE as_status as_batch_read(as_batch *batch, as_hash *hash,
                                    const as_slice *fields, size_t count,
                                    double generation, double now_ms,
                                    as_operation **out_operation);

/* Begins a plain write in a lane; then set and remove, then end or rollback. */
AS_MUST_USE as_status as_batch_begin_write(as_batch *batch, as_lane *lane, double now_ms);
AS_MUST_USE as_status as_batch_set(as_batch *batch, as_hash *hash, as_slice field,
                                   as_slice value);
AS_MUST_USE as_status as_batch_remove(as_batch *batch, as_hash *hash, as_slice field);
AS_MUST_USE as_status as_batch_end_write(as_batch *batch, as_operation **out_operation);

void as_batch_rollback_write(as_batch *batch);

/* Takes back an operation that was joined, but will not be submitted: what it asked for
 * stays, and nobody waits for it. A plain write is to be rolled back then. */
void as_batch_withdraw(as_batch *batch, as_operation *operation);

/* To be called after each submission: one more operation stands in the batch, which goes
 * when it is large or old enough. */
void as_batch_count(as_batch *batch, double now_ms);

/* Puts what a lane has collected into the connection's stream. */
void as_batch_seal_lane(as_batch *batch, as_lane *lane, double now_ms);

/* The same for all lanes: the batch goes. */
void as_batch_flush(as_batch *batch, as_flush_reason reason, double now_ms);

/* Gives back memory that is needed while something is collected only. */
void as_batch_trim(as_batch *batch);

/* When it must go at the latest; INFINITY when it is empty. */
double as_batch_deadline_ms(const as_batch *batch);

/* Whether lanes, requests and collections agree; for tests. */
bool as_batch_validate(const as_batch *batch);

#endif
