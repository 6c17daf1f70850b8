/* SPDX-License-Identifier: MIT */
/* The output buffer is a window of the endless stream of request bytes:
 *
 *   output_begin        written         submitted
 *   |--- kept for resend ---|--- to be sent ---|--- being built ---
 *   [ op 7 ][ op 8 ][ op 9 ][ op 10 ] ...
 *
 * The queue holds the operations in stream order, so the bytes of its first operation are
 * the oldest that are still needed. When a stream is lost, the operations nobody waits
 * for are taken out, the rest moves together, and `written` returns to the beginning. */
#include "engine/connection.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "engine/server_error.h"

enum {
  BACKOFF_FIRST_MS = 10,
  BACKOFF_LAST_MS = 1000,
  FEED_BYTES = 16 * 1024,   /* hiredis moves all it holds with every KiB it has read */
  TRIM_BYTES = 64 * 1024,   /* answered bytes are dropped when they are this many */
  KEPT_BYTES = 1024 * 1024, /* an idle connection keeps at most this much memory */
  MAX_SCRIPT_RELOADS = 3
};

static const uint64_t REASON_LENGTH = 512;

as_status as_connection_init(as_connection *connection, as_mem *mem,
                             const as_connection_config *config,
                             as_operations *operations) {
  memset(connection, 0, sizeof *connection);
  connection->config = config;
  connection->operations = operations;
  as_list_init(&connection->queue);
  connection->unsent = &connection->queue;
  as_buffer_init(&connection->output, mem);
  as_buffer_init(&connection->close_reason, mem);
  as_greeting_init(&connection->greeting, mem, &config->greeting);
  return as_resp_reader_init(&connection->reader, mem);
}

void as_connection_free(as_connection *connection) {
  as_buffer_free(&connection->output);
  as_buffer_free(&connection->close_reason);
  as_greeting_free(&connection->greeting);
  as_resp_reader_free(&connection->reader);
}

/* ---- queue and stream ------------------------------------------------------------- */

static as_operation *first_operation(const as_connection *connection) {
  as_list_node *node = as_list_first(&connection->queue);
  return node ? AS_LIST_OWNER(node, as_operation, queue_node) : NULL;
}

static as_operation *operation_after(const as_connection *connection,
                                     const as_operation *operation) {
  as_list_node *node = as_list_after(&connection->queue, &operation->queue_node);
  return node ? AS_LIST_OWNER(node, as_operation, queue_node) : NULL;
}

static uint64_t output_end(const as_connection *connection) {
  return connection->output_begin + connection->output.length;
}

static bool is_owed_a_reply(const as_connection *connection) {
  const as_operation *first = first_operation(connection);
  return first != NULL && first->begin < connection->written;
}

/* Moves the requests from `first` on together, so that they begin at `position`. */
static void pack_output(as_connection *connection, as_list_node *first,
                        uint64_t position) {
  uint8_t *data = connection->output.data;
  for (as_list_node *node = first; node != &connection->queue; node = node->next) {
    as_operation *each = AS_LIST_OWNER(node, as_operation, queue_node);
    uint64_t length = each->end - each->begin;
    memmove(data + (position - connection->output_begin),
            data + (each->begin - connection->output_begin), length);
    each->begin = position;
    each->end = position + length;
    position = each->end;
  }
  connection->output.length = position - connection->output_begin;
  connection->submitted = position;
}

/* Forgets all bytes but the requests of the queue: the stream begins again with the first
 * operation. */
static void rewind_output(as_connection *connection) {
  connection->unsent = connection->queue.next;
  connection->written = connection->output_begin;
  pack_output(connection, connection->unsent, connection->output_begin);
}

/* Drops request bytes that were answered. */
static void trim_output(as_connection *connection) {
  const as_operation *first = first_operation(connection);
  if (first == NULL) {
    connection->output_begin = output_end(connection);
    if (connection->output.capacity > KEPT_BYTES) as_buffer_free(&connection->output);
    as_buffer_clear(&connection->output);
    return;
  }
  uint64_t answered = first->begin - connection->output_begin;
  if (answered < TRIM_BYTES || answered < connection->output.length / 2) return;
  as_buffer_drop_front(&connection->output, answered);
  connection->output_begin += answered;
}

size_t as_connection_queued_bytes(const as_connection *connection) {
  const as_operation *first = first_operation(connection);
  return first ? connection->submitted - first->begin : 0;
}

/* ---- state ------------------------------------------------------------------------ */

static void start_connecting(as_connection *connection, double now_ms) {
  connection->state = AS_CONNECTION_CONNECTING;
  connection->is_action_due = true;
  connection->connect_deadline_ms = now_ms + connection->config->connect_timeout_ms;
  connection->close_status = AS_ERR_UNAVAILABLE;
}

static void set_close_reason(as_connection *connection, as_status status,
                             as_slice reason) {
  if (reason.length > REASON_LENGTH) reason.length = REASON_LENGTH;
  connection->close_status = status;
  as_buffer_clear(&connection->close_reason);
  if (as_buffer_append_slice(&connection->close_reason, reason) != AS_OK)
    as_buffer_clear(&connection->close_reason);
}

/* Gives the stream up: the driver is told to close it and answers with on_closed. */
static void break_stream(as_connection *connection, as_status status,
                         const char *reason) {
  if (connection->state == AS_CONNECTION_CLOSING) return;
  set_close_reason(connection, status, as_slice_text(reason));
  connection->state = AS_CONNECTION_CLOSING;
  connection->is_action_due = true;
}

/* ---- submitting ------------------------------------------------------------------- */

void as_connection_begin(as_connection *connection, as_operation *operation) {
  assert(output_end(connection) == connection->submitted);
  operation->begin = output_end(connection);
}

void as_connection_rollback(as_connection *connection, as_operation *operation) {
  connection->output.length = operation->begin - connection->output_begin;
}

void as_connection_submit(as_connection *connection, as_operation *operation,
                          double now_ms) {
  operation->end = output_end(connection);
  operation->is_queued = true;
  connection->submitted = operation->end;
  as_list_push_back(&connection->queue, &operation->queue_node);
  if (connection->unsent == &connection->queue)
    connection->unsent = &operation->queue_node;
  if (connection->state == AS_CONNECTION_IDLE) start_connecting(connection, now_ms);
}

void as_connection_abandon(as_connection *connection, as_operation *operation) {
  operation->is_abandoned = true;
  if (!operation->is_queued || operation->begin < connection->written) return;
  operation->is_unwanted = true;
  connection->has_unwanted = true;
}

void as_connection_discard(as_connection *connection) {
  if (!connection->has_unwanted) return;
  connection->has_unwanted = false;
  as_list_node *last_sent = connection->unsent->previous;
  uint64_t position = AS_LIST_OWNER(connection->unsent, as_operation, queue_node)->begin;
  as_list_node *next;
  for (as_list_node *node = connection->unsent; node != &connection->queue; node = next) {
    as_operation *each = AS_LIST_OWNER(node, as_operation, queue_node);
    next = node->next;
    if (each->is_unwanted) as_operations_unqueue(connection->operations, each);
  }
  connection->unsent = last_sent->next;
  pack_output(connection, connection->unsent, position);
  trim_output(connection);
}

/* ---- replies ---------------------------------------------------------------------- */

static uint32_t wire_replies(const as_operation *operation) {
  return operation->commands + (operation->is_atomic ? 2 : 0);
}

/* The first error among the replies, NULL when there is none. */
static const as_reply *first_error(const as_operation *operation) {
  for (size_t i = 0; i < as_replies_count(&operation->replies); i++) {
    const as_reply *reply = as_replies_at(&operation->replies, i);
    if (reply->type == AS_REPLY_ERROR) return reply;
  }
  return NULL;
}

/* What is wrong with the replies of an operation that carry no error. */
static const char *shape_fault(const as_operation *operation) {
  if (!operation->is_atomic) return NULL;
  const as_reply *exec = as_replies_at(&operation->replies, 0);
  if (exec->type == AS_REPLY_ARRAY && exec->integer == (int64_t)operation->commands)
    return NULL;
  return "the transaction was discarded";
}

/* The server forgot our scripts (SCRIPT FLUSH). Loads them again and puts the operation
 * behind, on the same stream. False: cannot, the error stands. */
static bool reload_scripts(as_connection *connection, as_operation *operation) {
  const as_greeting_config *greeting = &connection->config->greeting;
  as_operation *reload;
  if (greeting->script_count == 0) return false;
  if (operation->script_reloads++ >= MAX_SCRIPT_RELOADS) return false;
  if (as_operations_take(connection->operations, &reload) != AS_OK) return false;
  as_connection_begin(connection, reload);
  as_status status = AS_OK;
  for (uint32_t i = 0; i < greeting->script_count && status == AS_OK; i++)
    status = as_greeting_write_script(&connection->output, greeting->scripts[i]);
  uint64_t length = operation->end - operation->begin;
  if (status == AS_OK) status = as_buffer_reserve(&connection->output, length);
  if (status != AS_OK) {
    as_connection_rollback(connection, reload);
    as_operations_give(connection->operations, reload);
    return false;
  }
  reload->commands = greeting->script_count;
  reload->is_abandoned = true;
  as_connection_submit(connection, reload, 0);
  as_list_remove(&operation->queue_node);
  const uint8_t *request =
      connection->output.data + (operation->begin - connection->output_begin);
  memcpy(connection->output.data + connection->output.length, request, length);
  operation->begin = output_end(connection);
  connection->output.length += length;
  if (operation->commands == 1) operation->attempts--; /* this one did nothing */
  as_operation_forget_replies(operation);
  as_connection_submit(connection, operation, 0);
  return true;
}

/* All replies of the first operation are there. */
static void finish_first(as_connection *connection, as_operation *operation,
                         double now_ms) {
  as_status status = AS_OK;
  as_slice message = as_slice_of("", 0);
  connection->has_progressed = true;
  connection->backoff_ms = 0;
  if (!operation->is_abandoned) {
    const as_reply *error = first_error(operation);
    const char *fault = error ? NULL : shape_fault(operation);
    if (error != NULL) {
      message = as_replies_text(&operation->replies, error);
      if (as_slice_starts_with(message, "NOSCRIPT ") &&
          reload_scripts(connection, operation))
        return;
      status = as_server_error_status(message);
    } else if (fault != NULL) {
      message = as_slice_text(fault);
      status = AS_ERR_SERVER;
    }
    as_operations_complete(connection->operations, operation, status, message, now_ms);
  }
  as_operations_unqueue(connection->operations, operation);
  trim_output(connection);
}

/* In a transaction only errors and the reply of EXEC matter, not "OK" and "QUEUED". */
static void drop_transaction_progress(as_operation *operation, size_t count_before) {
  bool is_exec = operation->replies_seen == wire_replies(operation);
  if (!operation->is_atomic || is_exec) return;
  if (as_replies_at(&operation->replies, count_before)->type == AS_REPLY_ERROR) return;
  as_replies_truncate(&operation->replies, count_before);
}

/* Whether the command that the next reply answers went out whole. The server answers the
 * first commands of a long operation while we still send the last. */
static bool is_reply_due(const as_connection *connection, as_operation *operation) {
  if (operation->end <= connection->written) return true;
  const uint8_t *request =
      connection->output.data + (operation->begin - connection->output_begin);
  for (; operation->commands_walked <= operation->replies_seen;
       operation->commands_walked++)
    operation->walked_bytes += as_resp_command_length(request + operation->walked_bytes);
  return operation->begin + operation->walked_bytes <= connection->written;
}

static bool read_operation_reply(as_connection *connection, double now_ms) {
  as_operation *operation = first_operation(connection);
  bool is_expected = operation != NULL && is_reply_due(connection, operation);
  bool is_complete;
  as_replies *target =
      is_expected && !operation->is_abandoned ? &operation->replies : NULL;
  as_status status = as_resp_reader_next(&connection->reader, target, &is_complete);
  if (status != AS_OK) {
    break_stream(connection, AS_ERR_UNAVAILABLE,
                 as_resp_reader_error(&connection->reader));
    return false;
  }
  bool has_begun = is_complete || as_resp_reader_is_amid(&connection->reader);
  if (!is_expected && has_begun) {
    break_stream(connection, AS_ERR_UNAVAILABLE,
                 "the server answered what was not asked");
    return false;
  }
  if (!is_complete) return false;
  operation->replies_seen++;
  if (target != NULL) drop_transaction_progress(operation, operation->replies_counted);
  operation->replies_counted = as_replies_count(&operation->replies);
  if (operation->replies_seen == wire_replies(operation))
    finish_first(connection, operation, now_ms);
  return true;
}

/* Sent operations may still be executed by the broken stream that could not be killed:
 * their outcome stays unknown. */
static void fail_sent(as_connection *connection, double now_ms) {
  as_operation *next;
  for (as_operation *each = first_operation(connection); each != NULL; each = next) {
    next = operation_after(connection, each);
    if (each->attempts == 0) continue;
    as_operations_complete(
        connection->operations, each, AS_ERR_TIMEOUT,
        as_slice_text("the connection broke and the server does not let us end it"),
        now_ms);
    each->is_abandoned = true;
    as_operations_unqueue(connection->operations, each);
  }
  rewind_output(connection);
}

static void become_ready(as_connection *connection) {
  connection->state = AS_CONNECTION_READY;
  connection->has_victim = false;
  connection->is_stream_ready = true;
  connection->has_progressed = false;
  as_buffer_clear(&connection->close_reason);
  connection->streams++;
}

static bool read_greeting_reply(as_connection *connection, double now_ms) {
  bool is_complete;
  as_greeting *greeting = &connection->greeting;
  as_status status =
      as_resp_reader_next(&connection->reader, &greeting->reply, &is_complete);
  if (status != AS_OK) {
    break_stream(connection, AS_ERR_UNAVAILABLE,
                 as_resp_reader_error(&connection->reader));
    return false;
  }
  if (!is_complete) return false;
  switch (as_greeting_on_reply(greeting)) {
    case AS_GREETING_CONTINUES:
      return true;
    case AS_GREETING_DONE_KILL_REFUSED:
      fail_sent(connection, now_ms);
      become_ready(connection);
      return true;
    case AS_GREETING_DONE:
      become_ready(connection);
      return true;
    case AS_GREETING_FAILED:
      set_close_reason(connection, greeting->status, as_buffer_slice(&greeting->reason));
      connection->state = AS_CONNECTION_CLOSING;
      connection->is_action_due = true;
      return false;
  }
  return false;
}

/* ---- events ----------------------------------------------------------------------- */

void as_connection_on_connected(as_connection *connection, double now_ms) {
  if (connection->state != AS_CONNECTION_CONNECTING) return;
  as_status status = as_resp_reader_reset(&connection->reader);
  if (status == AS_OK)
    status = as_greeting_begin(&connection->greeting,
                               connection->has_victim ? &connection->victim : NULL);
  connection->state = AS_CONNECTION_GREETING;
  connection->silent_since_ms = now_ms;
  if (status != AS_OK) break_stream(connection, status, as_status_sentence(status));
}

/* The part of on_bytes that is fed to the reader at once. */
static void read_part(as_connection *connection, as_slice bytes, double now_ms) {
  if (as_resp_reader_feed(&connection->reader, bytes) != AS_OK) {
    break_stream(connection, AS_ERR_OOM, as_status_sentence(AS_ERR_OOM));
    return;
  }
  bool goes_on = true;
  while (goes_on) {
    if (connection->state == AS_CONNECTION_GREETING)
      goes_on = read_greeting_reply(connection, now_ms);
    else if (connection->state == AS_CONNECTION_READY)
      goes_on = read_operation_reply(connection, now_ms);
    else
      goes_on = false;
  }
}

static bool is_open(const as_connection *connection) {
  return connection->state == AS_CONNECTION_GREETING ||
         connection->state == AS_CONNECTION_READY;
}

void as_connection_on_bytes(as_connection *connection, as_slice bytes, double now_ms) {
  if (!is_open(connection)) return;
  connection->bytes_in += bytes.length;
  connection->silent_since_ms = now_ms;
  while (bytes.length > 0 && is_open(connection)) {
    size_t length = bytes.length < FEED_BYTES ? bytes.length : FEED_BYTES;
    read_part(connection, as_slice_of(bytes.data, length), now_ms);
    bytes = as_slice_of(bytes.data + length, bytes.length - length);
  }
}

void as_connection_on_written(as_connection *connection, size_t length, double now_ms) {
  connection->bytes_out += length;
  if (connection->state == AS_CONNECTION_GREETING) {
    connection->greeting.written += length;
    return;
  }
  if (connection->state != AS_CONNECTION_READY) return;
  const as_operation *first = first_operation(connection);
  /* What is still being sent cannot be answered, and the peer does take it. */
  if (first != NULL && first->end > connection->written)
    connection->silent_since_ms = now_ms;
  connection->written += length;
  assert(connection->written <= connection->submitted);
  while (connection->unsent != &connection->queue) {
    as_operation *each = AS_LIST_OWNER(connection->unsent, as_operation, queue_node);
    if (each->begin >= connection->written) return;
    each->attempts++;
    connection->unsent = connection->unsent->next;
  }
}

/* What becomes of an operation when its stream is gone, or when none could be made. */
static void survive_close(as_connection *connection, as_operation *operation,
                          bool was_ready, as_slice reason, double now_ms) {
  bool fails = !was_ready && operation->attempts == 0;
  if (fails)
    as_operations_complete(connection->operations, operation, connection->close_status,
                           reason, now_ms);
  if (fails || operation->is_abandoned) {
    as_operations_unqueue(connection->operations, operation);
    return;
  }
  as_operation_forget_replies(operation);
}

static void connect_again(as_connection *connection, double now_ms) {
  if (connection->has_progressed) {
    start_connecting(connection, now_ms);
    return;
  }
  double doubled = connection->backoff_ms * 2;
  connection->backoff_ms = fmin(fmax(doubled, BACKOFF_FIRST_MS), BACKOFF_LAST_MS);
  connection->retry_at_ms = now_ms + connection->backoff_ms;
  connection->state = AS_CONNECTION_BACKOFF;
}

void as_connection_on_closed(as_connection *connection, as_slice reason, double now_ms) {
  bool was_ready = connection->is_stream_ready;
  bool was_ours = connection->state == AS_CONNECTION_CLOSING;
  if (connection->state == AS_CONNECTION_IDLE ||
      connection->state == AS_CONNECTION_BACKOFF)
    return;
  if (!was_ours) set_close_reason(connection, AS_ERR_UNAVAILABLE, reason);
  if (was_ready && is_owed_a_reply(connection)) {
    connection->has_victim = true;
    connection->victim = connection->greeting.identity;
  }
  connection->is_stream_ready = false;
  connection->is_action_due = false;
  as_operation *next;
  for (as_operation *each = first_operation(connection); each != NULL; each = next) {
    next = operation_after(connection, each);
    survive_close(connection, each, was_ready, as_buffer_slice(&connection->close_reason),
                  now_ms);
  }
  rewind_output(connection);
  if (!was_ready) connection->has_progressed = false;
  if (as_list_is_empty(&connection->queue))
    connection->state = AS_CONNECTION_IDLE;
  else
    connect_again(connection, now_ms);
}

static double health_deadline_ms(const as_connection *connection) {
  if (!is_owed_a_reply(connection)) return INFINITY;
  return connection->silent_since_ms + connection->config->health_timeout_ms;
}

double as_connection_deadline_ms(const as_connection *connection) {
  switch (connection->state) {
    case AS_CONNECTION_CONNECTING:
    case AS_CONNECTION_GREETING:
      return connection->connect_deadline_ms;
    case AS_CONNECTION_READY:
      return health_deadline_ms(connection);
    case AS_CONNECTION_BACKOFF:
      return connection->retry_at_ms;
    case AS_CONNECTION_IDLE:
    case AS_CONNECTION_CLOSING:
      return INFINITY;
  }
  return INFINITY;
}

void as_connection_on_time(as_connection *connection, double now_ms) {
  if (now_ms < as_connection_deadline_ms(connection)) return;
  char reason[96];
  if (connection->state == AS_CONNECTION_BACKOFF) {
    start_connecting(connection, now_ms);
    return;
  }
  if (connection->state == AS_CONNECTION_READY)
    snprintf(reason, sizeof reason, "the server was silent for %.0f ms",
             connection->config->health_timeout_ms);
  else
    snprintf(reason, sizeof reason, "no connection within connect_timeout_ms = %.0f",
             connection->config->connect_timeout_ms);
  break_stream(connection, AS_ERR_UNAVAILABLE, reason);
}

as_slice as_connection_next_write(const as_connection *connection) {
  const as_greeting *greeting = &connection->greeting;
  if (connection->state == AS_CONNECTION_GREETING)
    return as_slice_of(greeting->bytes.data + greeting->written,
                       greeting->bytes.length - greeting->written);
  bool has_unwritten = connection->written < connection->submitted;
  if (connection->state != AS_CONNECTION_READY || !has_unwritten)
    return as_slice_of("", 0);
  return as_slice_of(connection->output.data +
                         (connection->written - connection->output_begin),
                     connection->submitted - connection->written);
}

as_slice as_connection_trouble(const as_connection *connection) {
  if (connection->is_stream_ready) return as_slice_of("", 0);
  return as_buffer_slice(&connection->close_reason);
}

bool as_connection_validate(const as_connection *connection) {
  uint64_t position = connection->output_begin;
  const as_list_node *unsent = &connection->queue;
  for (const as_operation *each = first_operation(connection); each != NULL;
       each = operation_after(connection, each)) {
    bool is_unsent = each->begin >= connection->written;
    if (!each->is_queued || each->is_unwanted || each->begin < position ||
        each->end < each->begin)
      return false;
    if (is_unsent && unsent == &connection->queue) unsent = &each->queue_node;
    position = each->end;
  }
  return position <= output_end(connection) && connection->unsent == unsent &&
         connection->output_begin <= connection->written &&
         connection->written <= connection->submitted &&
         connection->submitted <= output_end(connection);
}
