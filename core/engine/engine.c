/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include <assert.h>
#include <math.h>

struct as_engine {
  as_mem *mem;
  as_engine_config config;
  as_operations operations;
  as_pool pool;
  as_operation *draft; /* between begin and submit */
  uint64_t submitted;  /* operations, for the totals */
};

as_status as_engine_new(as_mem *mem, const as_engine_config *config,
                        as_engine **out_engine) {
  as_engine *engine = as_mem_alloc_zero(mem, sizeof *engine);
  if (engine == NULL) return AS_ERR_OOM;
  engine->mem = mem;
  engine->config = *config;
  as_operations_init(&engine->operations, mem);
  as_status status = as_pool_init(&engine->pool, mem, config->pool_size,
                                  &engine->config.connection, &engine->operations);
  if (status != AS_OK) {
    as_engine_del(engine);
    return status;
  }
  *out_engine = engine;
  return AS_OK;
}

void as_engine_del(as_engine *engine) {
  if (engine == NULL) return;
  as_pool_free(&engine->pool);
  as_operations_free(&engine->operations);
  as_mem_free(engine->mem, engine, sizeof *engine);
}

/* ---- commands --------------------------------------------------------------------- */

static as_connection *draft_connection(const as_engine *engine) {
  return as_pool_owner(&engine->pool, engine->draft);
}

static as_buffer *draft_output(const as_engine *engine) {
  return &draft_connection(engine)->output;
}

as_status as_engine_begin(as_engine *engine, bool is_atomic) {
  assert(engine->draft == NULL);
  if (engine->operations.in_use >= engine->config.max_operations)
    return AS_ERR_OVERLOADED;
  as_connection *connection = as_pool_pick(&engine->pool);
  as_operation *operation;
  AS_TRY(as_operations_take(&engine->operations, &operation));
  operation->connection = (uint32_t)(connection - engine->pool.connections);
  operation->is_atomic = is_atomic;
  as_connection_begin(connection, operation);
  engine->draft = operation;
  if (!is_atomic) return AS_OK;
  as_status status = as_resp_write_words(&connection->output, "MULTI", NULL);
  if (status != AS_OK) as_engine_rollback(engine);
  return status;
}

as_status as_engine_command(as_engine *engine, size_t arguments) {
  AS_TRY(as_resp_write_command(draft_output(engine), arguments));
  engine->draft->commands++;
  return AS_OK;
}

as_status as_engine_argument(as_engine *engine, as_slice argument) {
  return as_resp_write_argument(draft_output(engine), argument);
}

/* Ends the request: EXEC, the bound on bytes, the deadline. */
static as_status seal_draft(as_engine *engine, double deadline_ms) {
  as_operation *draft = engine->draft;
  if (draft->is_atomic) AS_TRY(as_resp_write_words(draft_output(engine), "EXEC", NULL));
  /* The draft's own bytes stand in the output already. */
  const as_connection *connection = draft_connection(engine);
  uint64_t own = connection->output_begin + connection->output.length - draft->begin;
  if (as_engine_queued_bytes(engine) + own > engine->config.max_queued_bytes)
    return AS_ERR_OVERLOADED;
  if (deadline_ms == INFINITY) return AS_OK;
  return as_heap_put(&engine->operations.deadlines, &draft->deadline, deadline_ms);
}

as_status as_engine_submit(as_engine *engine, double now_ms, double deadline_ms,
                           uint32_t *out_slot) {
  as_operation *draft = engine->draft;
  as_status status = seal_draft(engine, deadline_ms);
  if (status != AS_OK) {
    as_engine_rollback(engine);
    return status;
  }
  draft->submitted_ms = now_ms;
  draft->is_held = true;
  as_connection_submit(draft_connection(engine), draft, now_ms);
  *out_slot = draft->slot;
  engine->submitted++;
  engine->draft = NULL;
  return AS_OK;
}

void as_engine_rollback(as_engine *engine) {
  as_connection_rollback(draft_connection(engine), engine->draft);
  as_operations_give(&engine->operations, engine->draft);
  engine->draft = NULL;
}

/* Tells the caller that it need not wait, and keeps the slot while a reply is owed. */
static void abandon(as_engine *engine, as_operation *operation, as_status status,
                    as_slice message, double now_ms) {
  as_operations_complete(&engine->operations, operation, status, message, now_ms);
  as_connection_abandon(as_pool_owner(&engine->pool, operation), operation);
}

void as_engine_cancel(as_engine *engine, uint32_t slot, double now_ms) {
  as_operation *operation = as_operations_at(&engine->operations, slot);
  if (operation == NULL || !operation->is_queued || operation->is_abandoned) return;
  abandon(engine, operation, AS_ERR_CANCELLED,
          as_slice_text(as_status_sentence(AS_ERR_CANCELLED)), now_ms);
  as_connection_discard(as_pool_owner(&engine->pool, operation));
}

void as_engine_release(as_engine *engine, uint32_t slot) {
  as_operation *operation = as_operations_at(&engine->operations, slot);
  if (operation == NULL || !operation->is_held) return;
  as_operations_release(&engine->operations, operation);
}

/* ---- events ----------------------------------------------------------------------- */

void as_engine_on_connected(as_engine *engine, uint32_t connection, double now_ms) {
  as_connection_on_connected(&engine->pool.connections[connection], now_ms);
}

void as_engine_on_bytes(as_engine *engine, uint32_t connection, as_slice bytes,
                        double now_ms) {
  as_connection_on_bytes(&engine->pool.connections[connection], bytes, now_ms);
}

void as_engine_on_written(as_engine *engine, uint32_t connection, size_t length,
                          double now_ms) {
  as_connection_on_written(&engine->pool.connections[connection], length, now_ms);
}

void as_engine_on_closed(as_engine *engine, uint32_t connection, as_slice reason,
                         double now_ms) {
  as_connection_on_closed(&engine->pool.connections[connection], reason, now_ms);
}

static as_operation *first_due(const as_engine *engine, double now_ms) {
  as_heap_node *node = as_heap_first(&engine->operations.deadlines);
  if (node == NULL || node->key > now_ms) return NULL;
  return AS_HEAP_OWNER(node, as_operation, deadline);
}

void as_engine_on_time(as_engine *engine, double now_ms) {
  as_operation *due;
  while ((due = first_due(engine, now_ms)) != NULL) {
    as_status status = due->attempts > 0 ? AS_ERR_TIMEOUT : AS_ERR_UNAVAILABLE;
    as_slice message = as_connection_trouble(as_pool_owner(&engine->pool, due));
    if (message.length == 0) message = as_slice_text(as_status_sentence(status));
    abandon(engine, due, status, message, now_ms);
  }
  for (uint32_t i = 0; i < engine->pool.size; i++) {
    as_connection_discard(&engine->pool.connections[i]);
    as_connection_on_time(&engine->pool.connections[i], now_ms);
  }
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
  return false;
}

as_slice as_engine_next_write(const as_engine *engine, uint32_t connection) {
  return as_connection_next_write(&engine->pool.connections[connection]);
}

static void fill_completion(const as_operation *operation, as_completion *out) {
  out->slot = operation->slot;
  out->status = operation->status;
  out->message = as_buffer_slice(&operation->message);
  out->attempts = operation->attempts;
  out->elapsed_ms = operation->completed_ms - operation->submitted_ms;
  out->replies = &operation->replies;
  out->first_reply = operation->is_atomic ? 1 : 0; /* after the array of EXEC */
  out->reply_count = operation->status == AS_OK ? operation->commands : 0;
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

bool as_engine_has_completions(const as_engine *engine) {
  return !as_list_is_empty(&engine->operations.done);
}

double as_engine_deadline_ms(const as_engine *engine) {
  as_heap_node *node = as_heap_first(&engine->operations.deadlines);
  double deadline_ms = node ? node->key : INFINITY;
  for (uint32_t i = 0; i < engine->pool.size; i++)
    deadline_ms =
        fmin(deadline_ms, as_connection_deadline_ms(&engine->pool.connections[i]));
  return deadline_ms;
}

/* ---- getters ---------------------------------------------------------------------- */

uint32_t as_engine_queued_operations(const as_engine *engine) {
  return engine->operations.in_use;
}

size_t as_engine_queued_bytes(const as_engine *engine) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < engine->pool.size; i++)
    bytes += as_connection_queued_bytes(&engine->pool.connections[i]);
  return bytes;
}

bool as_engine_completion(const as_engine *engine, uint32_t slot,
                          as_completion *out_completion) {
  const as_operation *operation = as_operations_at(&engine->operations, slot);
  if (operation == NULL || !operation->is_held || !operation->is_pulled) return false;
  fill_completion(operation, out_completion);
  return true;
}

as_engine_totals as_engine_get_totals(const as_engine *engine) {
  as_engine_totals totals = {.operations = engine->submitted};
  for (uint32_t i = 0; i < engine->pool.size; i++) {
    const as_connection *connection = &engine->pool.connections[i];
    totals.streams += connection->streams;
    totals.bytes_out += connection->bytes_out;
    totals.bytes_in += connection->bytes_in;
  }
  return totals;
}

bool as_engine_validate(const as_engine *engine) {
  for (uint32_t i = 0; i < engine->pool.size; i++)
    if (!as_connection_validate(&engine->pool.connections[i])) return false;
  return as_operations_validate(&engine->operations);
}
