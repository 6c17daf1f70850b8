/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include <assert.h>
#include <math.h>

#include "engine/server_error.h"
#include "engine/stop.h"

/* Slots that an idle engine keeps: one for each of many callers. */
enum { KEPT_SLOTS = 8192 };

struct as_engine {
  as_mem *mem;
  as_engine_config config;
  as_operations operations;
  as_lanes lanes;
  as_pool pool;
  as_tracking tracking; /* when config.tracks */
  /* What is between begin and submit; NULL when nothing is. */
  as_request *draft;     /* begin */
  as_batch *draft_batch; /* where it, or the plain write, belongs */
  bool was_flushed;      /* by the last submission */
  uint64_t submitted;    /* operations, for the totals */
};

/* The subscriber's number comes after those of the connections. */
static bool is_subscriber(const as_engine *engine, uint32_t connection) {
  return engine->config.tracks && connection == engine->pool.size;
}

static as_subscriber *subscriber_of(const as_engine *engine) {
  return (as_subscriber *)(uintptr_t)&engine->tracking.subscriber;
}

/* After an event: what it means for the tracking. */
static void settle_tracking(as_engine *engine, double now_ms) {
  if (engine->config.tracks) as_tracking_settle(&engine->tracking, now_ms);
}

static as_status init_tracking(as_engine *engine) {
  const as_engine_config *config = &engine->config;
  if (!config->tracks) return AS_OK;
  as_subscriber_config subscriber = {
      .greeting = config->connection.greeting,
      .probe_prefix = config->probe_prefix,
      .connect_timeout_ms = config->connection.connect_timeout_ms,
      .check_ms = config->check_ms,
  };
  return as_tracking_init(&engine->tracking, engine->mem, &subscriber,
                          engine->pool.connections, engine->pool.size);
}

as_status as_engine_new(as_mem *mem, const as_engine_config *config,
                        as_engine **out_engine) {
  as_engine *engine = as_mem_alloc_zero(mem, sizeof *engine);
  if (engine == NULL) return AS_ERR_OOM;
  engine->mem = mem;
  engine->config = *config;
  as_operations_init(&engine->operations, mem);
  as_lanes_init(&engine->lanes, mem);
  as_status status =
      as_pool_init(&engine->pool, mem, config->pool_size, &engine->config.connection,
                   &engine->config.batch, &engine->operations, &engine->lanes);
  if (status == AS_OK) status = init_tracking(engine);
  if (status != AS_OK) {
    as_engine_del(engine);
    return status;
  }
  *out_engine = engine;
  return AS_OK;
}

static as_lane *lane_after(const as_engine *engine, const as_lane *lane) {
  as_list_node *node = lane ? as_list_after(&engine->lanes.all, &lane->node)
                            : as_list_first(&engine->lanes.all);
  return node ? AS_LIST_OWNER(node, as_lane, node) : NULL;
}

void as_engine_del(as_engine *engine) {
  if (engine == NULL) return;
  as_lane *next;
  for (as_lane *lane = lane_after(engine, NULL); lane != NULL; lane = next) {
    next = lane_after(engine, lane);
    as_stop_drop(&engine->operations, &engine->lanes, lane);
  }
  if (engine->config.tracks && engine->tracking.connections != NULL)
    as_tracking_free(&engine->tracking);
  as_pool_free(&engine->pool);
  as_operations_free(&engine->operations);
  as_lanes_free(&engine->lanes);
  as_mem_free(engine->mem, engine, sizeof *engine);
}

/* ---- commands --------------------------------------------------------------------- */

as_status as_engine_open_lane(as_engine *engine, as_slice meta_key, as_lane **out_lane) {
  return as_lanes_open(&engine->lanes, meta_key, out_lane);
}

void as_engine_close_lane(as_engine *engine, as_lane *lane) {
  as_lanes_close(&engine->lanes, lane);
}

as_status as_engine_hash(as_engine *engine, as_lane *lane, as_slice key,
                         as_hash **out_hash) {
  return as_lane_hash(&engine->lanes, lane, key, out_hash);
}

/* The batch that the next operation of a lane goes to. */
static as_status admit(as_engine *engine, as_lane *lane, as_batch **out_batch) {
  assert(engine->draft_batch == NULL);
  if (engine->operations.in_use >= engine->config.max_operations)
    return AS_ERR_OVERLOADED;
  *out_batch = &engine->pool.batches[as_pool_place(&engine->pool, lane)];
  return AS_OK;
}

/* An operation was joined or sealed: its caller, its deadline, its place in the batch. */
static void settle(as_engine *engine, as_batch *batch, as_operation *operation,
                   uint32_t shape, double now_ms, uint32_t *out_slot) {
  operation->shape = shape;
  operation->submitted_ms = now_ms;
  operation->is_held = true;
  *out_slot = operation->slot;
  engine->submitted++;
  as_batch_count(batch, now_ms);
  engine->was_flushed = batch->count == 0;
}

static as_status set_deadline(as_engine *engine, as_operation *operation,
                              double deadline_ms) {
  if (deadline_ms == INFINITY) return AS_OK;
  return as_deadlines_put(&engine->operations.deadlines, &operation->deadline,
                          deadline_ms);
}

/* A bound is reached when `bytes` more come. */
static bool is_over(const as_engine *engine, uint64_t bytes) {
  return as_engine_queued_bytes(engine) + bytes > engine->config.max_queued_bytes;
}

as_status as_engine_read(as_engine *engine, as_hash *hash, const as_slice *fields,
                         size_t count, double generation, uint32_t shape, double now_ms,
                         double deadline_ms, uint32_t *out_slot) {
  as_batch *batch;
  as_operation *operation;
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += fields[i].length;
  if (is_over(engine, bytes)) return AS_ERR_OVERLOADED;
  AS_TRY(admit(engine, hash->lane, &batch));
  AS_TRY(as_batch_read(batch, hash, fields, count, generation, now_ms, &operation));
  as_status status = set_deadline(engine, operation, deadline_ms);
  if (status != AS_OK) {
    as_batch_withdraw(batch, operation);
    return status;
  }
  settle(engine, batch, operation, shape, now_ms, out_slot);
  return AS_OK;
}

as_status as_engine_begin(as_engine *engine, as_lane *lane, bool is_atomic,
                          double now_ms) {
  as_batch *batch;
  as_request *draft;
  as_operation *operation;
  AS_TRY(admit(engine, lane, &batch));
  if (lane == NULL) lane = engine->pool.lanes[batch->connection->number];
  as_batch_seal_lane(batch, lane, now_ms);
  AS_TRY(as_requests_take(&engine->operations.requests, &draft));
  as_status status = as_operations_take(&engine->operations, draft, &operation);
  if (status != AS_OK) {
    as_requests_give(&engine->operations.requests, draft);
    return status;
  }
  draft->lane = lane;
  draft->connection = batch->connection->number;
  draft->is_atomic = is_atomic;
  as_lane_owe(lane);
  as_connection *connection = batch->connection;
  as_connection_begin(connection, draft);
  engine->draft = draft;
  engine->draft_batch = batch;
  if (!is_atomic) return AS_OK;
  status = as_resp_write_words(&connection->output, "MULTI", NULL);
  if (status != AS_OK) as_engine_rollback(engine);
  return status;
}

as_status as_engine_mark_write(as_engine *engine, double now_ms) {
  if (as_lane_is_in_quarantine(engine->draft->lane, now_ms)) return AS_ERR_UNAVAILABLE;
  engine->draft->is_write = true;
  return AS_OK;
}

static as_buffer *draft_output(const as_engine *engine) {
  return &engine->draft_batch->connection->output;
}

as_status as_engine_command(as_engine *engine, size_t arguments) {
  AS_TRY(as_resp_write_command(draft_output(engine), arguments));
  engine->draft->commands++;
  return AS_OK;
}

as_status as_engine_argument(as_engine *engine, as_slice argument) {
  return as_resp_write_argument(draft_output(engine), argument);
}

as_status as_engine_begin_write(as_engine *engine, as_lane *lane, double now_ms) {
  as_batch *batch;
  if (as_lane_is_in_quarantine(lane, now_ms)) return AS_ERR_UNAVAILABLE;
  AS_TRY(admit(engine, lane, &batch));
  AS_TRY(as_batch_begin_write(batch, lane, now_ms));
  engine->draft_batch = batch;
  return AS_OK;
}

as_status as_engine_set(as_engine *engine, as_hash *hash, as_slice field,
                        as_slice value) {
  return as_batch_set(engine->draft_batch, hash, field, value);
}

as_status as_engine_remove(as_engine *engine, as_hash *hash, as_slice field) {
  return as_batch_remove(engine->draft_batch, hash, field);
}

static as_status submit_write(as_engine *engine, double deadline_ms,
                              as_operation **out_operation) {
  as_batch *batch = engine->draft_batch;
  as_operation *operation;
  if (is_over(engine, 0)) return AS_ERR_OVERLOADED;
  AS_TRY(as_batch_end_write(batch, &operation));
  as_status status = set_deadline(engine, operation, deadline_ms);
  if (status != AS_OK) {
    as_batch_withdraw(batch, operation);
    return status;
  }
  *out_operation = operation;
  return AS_OK;
}

/* Ends the request of the draft: EXEC, the bound on bytes, the deadline. */
static as_status submit_draft(as_engine *engine, double now_ms, double deadline_ms,
                              as_operation **out_operation) {
  as_request *draft = engine->draft;
  as_connection *connection = engine->draft_batch->connection;
  as_operation *operation = as_operation_of(as_list_first(&draft->operations));
  if (draft->is_atomic) AS_TRY(as_resp_write_words(&connection->output, "EXEC", NULL));
  /* The draft's own bytes stand in the output already. */
  uint64_t own = connection->output_begin + connection->output.length - draft->begin;
  if (is_over(engine, own)) return AS_ERR_OVERLOADED;
  AS_TRY(set_deadline(engine, operation, deadline_ms));
  operation->is_held = true; /* it may complete at once */
  as_connection_submit(connection, draft, now_ms);
  *out_operation = operation;
  return AS_OK;
}

as_status as_engine_submit(as_engine *engine, uint32_t shape, double now_ms,
                           double deadline_ms, uint32_t *out_slot) {
  as_batch *batch = engine->draft_batch;
  as_operation *operation;
  as_status status = engine->draft == NULL
                         ? submit_write(engine, deadline_ms, &operation)
                         : submit_draft(engine, now_ms, deadline_ms, &operation);
  if (status != AS_OK) {
    as_engine_rollback(engine);
    return status;
  }
  engine->draft = NULL;
  engine->draft_batch = NULL;
  settle(engine, batch, operation, shape, now_ms, out_slot);
  return AS_OK;
}

void as_engine_rollback(as_engine *engine) {
  as_request *draft = engine->draft;
  if (draft == NULL) {
    as_batch_rollback_write(engine->draft_batch);
  } else {
    as_lane *lane = draft->lane;
    as_connection_rollback(engine->draft_batch->connection, draft);
    as_operations_give(&engine->operations,
                       as_operation_of(as_list_first(&draft->operations)));
    as_requests_give(&engine->operations.requests, draft);
    as_lanes_settle(&engine->lanes, lane);
  }
  engine->draft = NULL;
  engine->draft_batch = NULL;
}

bool as_engine_was_flushed(const as_engine *engine) {
  return engine->was_flushed;
}

void as_engine_set_bounds(as_engine *engine, const as_batch_config *batch,
                          uint32_t max_operations, size_t max_queued_bytes) {
  assert(engine->draft_batch == NULL);
  engine->config.batch = *batch;
  engine->config.max_operations = max_operations;
  engine->config.max_queued_bytes = max_queued_bytes;
}

void as_engine_flush(as_engine *engine, double now_ms) {
  for (uint32_t i = 0; i < engine->pool.size; i++)
    as_batch_flush(&engine->pool.batches[i], AS_FLUSH_IDLE, now_ms);
}

/* The connection whose queue an operation stands in, or will. */
static as_connection *owner_of(const as_engine *engine, const as_operation *operation) {
  return &engine->pool.connections[operation->request->connection];
}

/* A plain write goes with those it is joined with, whether its caller waits or not. */
static bool is_carried_along(const as_operation *operation) {
  const as_request *request = operation->request;
  return request->kind == AS_REQUEST_WRITE && request->wanted > 1;
}

/* Tells the caller that it need not wait, and keeps the slot while a reply is owed. */
static void abandon(as_engine *engine, as_operation *operation, as_status status,
                    as_slice message, double now_ms) {
  as_operations_complete(&engine->operations, operation, status, message, now_ms);
  if (operation->attempts == 0 && is_carried_along(operation)) operation->attempts = 1;
  as_connection_abandon(owner_of(engine, operation), operation);
}

void as_engine_cancel(as_engine *engine, uint32_t slot, double now_ms) {
  as_operation *operation = as_operations_at(&engine->operations, slot);
  if (operation == NULL || operation->is_complete || !operation->is_held) return;
  as_connection *connection = owner_of(engine, operation);
  abandon(engine, operation, AS_ERR_CANCELLED,
          as_slice_text(as_status_sentence(AS_ERR_CANCELLED)), now_ms);
  as_connection_discard(connection);
}

void as_engine_release(as_engine *engine, uint32_t slot) {
  as_operation *operation = as_operations_at(&engine->operations, slot);
  if (operation == NULL || !operation->is_held) return;
  as_operations_release(&engine->operations, operation);
}

void as_engine_trim(as_engine *engine) {
  if (engine->operations.in_use > 0) return;
  as_operations_trim(&engine->operations);
  as_lanes_trim(&engine->lanes);
  for (uint32_t i = 0; i < engine->pool.size; i++) {
    as_batch_trim(&engine->pool.batches[i]);
    as_connection_trim(&engine->pool.connections[i]);
  }
}

/* ---- events ----------------------------------------------------------------------- */

void as_engine_on_connected(as_engine *engine, uint32_t connection, double now_ms) {
  if (is_subscriber(engine, connection))
    as_subscriber_on_connected(subscriber_of(engine), now_ms);
  else
    as_connection_on_connected(&engine->pool.connections[connection], now_ms);
}

void as_engine_on_bytes(as_engine *engine, uint32_t connection, as_slice bytes,
                        double now_ms) {
  if (is_subscriber(engine, connection))
    as_subscriber_on_bytes(subscriber_of(engine), bytes, now_ms);
  else
    as_connection_on_bytes(&engine->pool.connections[connection], bytes, now_ms);
  settle_tracking(engine, now_ms);
}

void as_engine_on_written(as_engine *engine, uint32_t connection, size_t length,
                          double now_ms) {
  if (is_subscriber(engine, connection))
    as_subscriber_on_written(subscriber_of(engine), length);
  else
    as_connection_on_written(&engine->pool.connections[connection], length, now_ms);
}

void as_engine_on_closed(as_engine *engine, uint32_t connection, as_slice reason,
                         double now_ms) {
  if (is_subscriber(engine, connection))
    as_subscriber_on_closed(subscriber_of(engine), now_ms);
  else
    as_connection_on_closed(&engine->pool.connections[connection], reason, now_ms);
  settle_tracking(engine, now_ms);
}

static as_operation *first_due(const as_engine *engine, double now_ms) {
  as_deadline *first = as_deadlines_first(&engine->operations.deadlines);
  if (first == NULL || first->heap.key > now_ms) return NULL;
  return AS_LIST_OWNER(first, as_operation, deadline);
}

/* How an operation ends whose deadline is over. */
static void expire(as_engine *engine, as_operation *operation, double now_ms) {
  const as_request *request = operation->request;
  bool may_execute = request->attempts > 0 || is_carried_along(operation);
  const as_connection *owner = owner_of(engine, operation);
  as_status status = may_execute ? AS_ERR_TIMEOUT : as_connection_trouble_status(owner);
  as_slice message = as_connection_trouble(owner);
  if (request->is_parked && !may_execute) {
    status = request->lane->stop_status;
    message = as_buffer_slice(&request->lane->stop_reason);
  }
  if (message.length == 0) message = as_slice_text(as_status_sentence(status));
  abandon(engine, operation, status, message, now_ms);
}

static as_lane *stopped_after(const as_engine *engine, as_lane *lane) {
  as_list_node *node = lane ? as_list_after(&engine->lanes.stopped, &lane->stopped_node)
                            : as_list_first(&engine->lanes.stopped);
  return node ? AS_LIST_OWNER(node, as_lane, stopped_node) : NULL;
}

static void end_stops(as_engine *engine, double now_ms) {
  as_lane *next;
  for (as_lane *lane = stopped_after(engine, NULL); lane != NULL; lane = next) {
    next = stopped_after(engine, lane);
    as_stop_end_if_due(&engine->pool.connections[lane->connection], lane, now_ms);
  }
}

void as_engine_on_time(as_engine *engine, double now_ms) {
  if (as_operations_slots(&engine->operations) > KEPT_SLOTS) as_engine_trim(engine);
  as_operation *due;
  while ((due = first_due(engine, now_ms)) != NULL) expire(engine, due, now_ms);
  as_lanes_end_quarantines(&engine->lanes, now_ms);
  for (uint32_t i = 0; i < engine->pool.size; i++) {
    as_batch *batch = &engine->pool.batches[i];
    if (now_ms >= as_batch_deadline_ms(batch))
      as_batch_flush(batch, AS_FLUSH_AGE, now_ms);
    as_connection_discard(&engine->pool.connections[i]);
    as_connection_on_time(&engine->pool.connections[i], now_ms);
  }
  /* Late: a lane waits for what the discard has taken out. */
  end_stops(engine, now_ms);
  if (engine->config.tracks) as_tracking_on_time(&engine->tracking, now_ms);
}

/* ---- outputs ---------------------------------------------------------------------- */

bool as_engine_next_action(as_engine *engine, as_action *out_action) {
  for (uint32_t i = 0; i < engine->pool.size; i++) {
    as_connection *connection = &engine->pool.connections[i];
    if (!connection->is_action_due) continue;
    connection->is_action_due = false;
    out_action->connection = i;
    out_action->kind =
        connection->state == AS_CONNECTION_CLOSING ? AS_ACTION_CLOSE : AS_ACTION_CONNECT;
    return true;
  }
  as_subscriber *subscriber = subscriber_of(engine);
  if (!subscriber->is_action_due) return false;
  subscriber->is_action_due = false;
  out_action->connection = engine->pool.size;
  out_action->kind =
      subscriber->state == AS_SUBSCRIBER_CLOSING ? AS_ACTION_CLOSE : AS_ACTION_CONNECT;
  return true;
}

as_slice as_engine_next_write(const as_engine *engine, uint32_t connection) {
  if (is_subscriber(engine, connection))
    return as_subscriber_next_write(subscriber_of(engine));
  return as_connection_next_write(&engine->pool.connections[connection]);
}

static uint32_t reply_count(const as_operation *operation) {
  switch (operation->request->kind) {
    case AS_REQUEST_COMMANDS:
      return operation->request->commands;
    case AS_REQUEST_READ:
      return operation->count;
    case AS_REQUEST_WRITE:
      return 0;
  }
  return 0;
}

/* Its own bytes went out with those of a request that may have been there before it. */
static double wait_ms(const as_operation *operation) {
  if (operation->sent_ms == 0) return operation->completed_ms - operation->submitted_ms;
  return fmax(operation->sent_ms - operation->submitted_ms, 0);
}

static void fill_completion(const as_operation *operation, as_completion *out) {
  out->slot = operation->slot;
  out->status = operation->status;
  out->message = as_buffer_slice(&operation->message);
  out->attempts = operation->attempts;
  out->elapsed_ms = operation->completed_ms - operation->submitted_ms;
  out->wait_ms = wait_ms(operation);
  out->replies = &operation->request->replies;
  out->first_reply = operation->first_reply;
  out->reply_count = operation->status == AS_OK ? reply_count(operation) : 0;
  out->kind = operation->request->kind;
  out->shape = operation->shape;
  out->number = operation->number;
}

bool as_engine_next_completion(as_engine *engine, as_completion *out_completion) {
  as_list_node *node = as_list_first(&engine->operations.done);
  if (node == NULL) return false;
  as_operation *operation = AS_LIST_OWNER(node, as_operation, done_node);
  as_list_remove(node);
  operation->is_pulled = true;
  fill_completion(operation, out_completion);
  return true;
}

bool as_engine_was_put_off(const as_completion *completion) {
  return completion->status != AS_OK &&
         as_server_error_says_later(as_server_error_cause(completion->message));
}

bool as_engine_has_completions(const as_engine *engine) {
  return !as_list_is_empty(&engine->operations.done);
}

double as_engine_quarantine_ends_ms(const as_lane *lane, double now_ms) {
  return as_lane_is_in_quarantine(lane, now_ms) ? lane->quarantine_ends_ms : 0;
}

double as_engine_first_deadline_ms(const as_engine *engine) {
  const as_deadline *first = as_deadlines_first(&engine->operations.deadlines);
  return first ? first->heap.key : INFINITY;
}

double as_engine_deadline_ms(const as_engine *engine) {
  double deadline_ms = as_engine_first_deadline_ms(engine);
  for (as_lane *lane = stopped_after(engine, NULL); lane != NULL;
       lane = stopped_after(engine, lane))
    deadline_ms = fmin(deadline_ms, as_stop_deadline_ms(lane));
  for (uint32_t i = 0; i < engine->pool.size; i++) {
    deadline_ms = fmin(deadline_ms, as_batch_deadline_ms(&engine->pool.batches[i]));
    deadline_ms =
        fmin(deadline_ms, as_connection_deadline_ms(&engine->pool.connections[i]));
  }
  if (engine->config.tracks)
    deadline_ms = fmin(deadline_ms, as_tracking_deadline_ms(&engine->tracking));
  return deadline_ms;
}

/* ---- getters ---------------------------------------------------------------------- */

as_invalidations *as_engine_invalidations(as_engine *engine) {
  return engine->config.tracks ? &engine->tracking.invalidations : NULL;
}

bool as_engine_is_live(const as_engine *engine, double now_ms) {
  return engine->config.tracks && as_tracking_is_live(&engine->tracking, now_ms);
}

uint32_t as_engine_track_stream(const as_engine *engine, const as_lane *lane) {
  if (lane->connection == AS_LANE_UNPLACED) return 0;
  return engine->pool.connections[lane->connection].track_stream;
}

void as_engine_pause_tracking(as_engine *engine, as_lane *lane, double now_ms) {
  if (engine->config.tracks)
    as_tracking_pause(&engine->pool.connections[as_pool_place(&engine->pool, lane)],
                      now_ms);
}

uint32_t as_engine_connections(const as_engine *engine) {
  return engine->pool.size + (engine->config.tracks ? 1 : 0);
}

bool as_engine_is_owed(const as_engine *engine, uint32_t connection) {
  if (is_subscriber(engine, connection))
    return as_subscriber_is_owed(subscriber_of(engine));
  return !as_list_is_empty(&engine->pool.connections[connection].queue);
}

bool as_engine_has_actions(const as_engine *engine) {
  for (uint32_t i = 0; i < engine->pool.size; i++)
    if (engine->pool.connections[i].is_action_due) return true;
  return engine->config.tracks && subscriber_of(engine)->is_action_due;
}

uint32_t as_engine_queued_operations(const as_engine *engine) {
  return engine->operations.in_use;
}

size_t as_engine_queued_bytes(const as_engine *engine) {
  size_t bytes = engine->lanes.parked_bytes;
  for (uint32_t i = 0; i < engine->pool.size; i++)
    bytes += as_connection_queued_bytes(&engine->pool.connections[i]) +
             engine->pool.batches[i].bytes;
  return bytes;
}

bool as_engine_completion(const as_engine *engine, uint32_t slot,
                          as_completion *out_completion) {
  const as_operation *operation = as_operations_at(&engine->operations, slot);
  if (operation == NULL || !operation->is_held || !operation->is_pulled) return false;
  fill_completion(operation, out_completion);
  return true;
}

uint32_t as_engine_ready_connections(const as_engine *engine) {
  return as_pool_ready(&engine->pool);
}

uint32_t as_engine_used_connections(const as_engine *engine) {
  uint32_t used = 0;
  for (uint32_t i = 0; i < engine->pool.size; i++)
    if (engine->pool.connections[i].streams > 0) used++;
  return used;
}

uint32_t as_engine_lanes(const as_engine *engine) {
  return engine->lanes.count - engine->pool.size;
}

as_engine_totals as_engine_get_totals(const as_engine *engine) {
  as_engine_totals totals = {.operations = engine->submitted};
  if (engine->config.tracks) {
    totals.bytes_out = engine->tracking.subscriber.bytes_out;
    totals.bytes_in = engine->tracking.subscriber.bytes_in;
  }
  for (uint32_t i = 0; i < engine->pool.size; i++) {
    const as_connection *connection = &engine->pool.connections[i];
    totals.streams += connection->streams;
    totals.bytes_out += connection->bytes_out;
    totals.bytes_in += connection->bytes_in;
    const as_batch_totals *batches = &engine->pool.batches[i].totals;
    totals.batches.batches += batches->batches;
    totals.batches.operations += batches->operations;
    for (int reason = 0; reason < AS_FLUSH_REASONS; reason++)
      totals.batches.flushed[reason] += batches->flushed[reason];
  }
  return totals;
}

bool as_engine_validate(const as_engine *engine) {
  for (uint32_t i = 0; i < engine->pool.size; i++)
    if (!as_connection_validate(&engine->pool.connections[i]) ||
        !as_batch_validate(&engine->pool.batches[i]))
      return false;
  return as_operations_validate(&engine->operations);
}
