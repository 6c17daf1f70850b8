/* SPDX-License-Identifier: MIT */
/* The output buffer is a window of the endless stream of request bytes:
 *
 *   output_begin        written         submitted
 *   |--- kept for resend ---|--- to be sent ---|--- being built ---
 *   [ 7 ][ 8 ][ 9 ][ 10 ] ...
 *
 * The queue holds the requests in stream order, so the bytes of its first one are the
 * oldest that are still needed. When a stream is lost, the requests nobody waits for are
 * taken out, the rest moves together, and `written` returns to the beginning. */
#include "engine/connection.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "engine/answer.h"
#include "engine/stop.h"
#include "engine/tracking.h"

enum {
  BACKOFF_FIRST_MS = 10,
  BACKOFF_LAST_MS = 1000,
  FEED_BYTES = 16 * 1024,  /* hiredis moves all it holds with every KiB it has read */
  TRIM_BYTES = 64 * 1024,  /* answered bytes are dropped when they are this many */
  KEPT_BYTES = 1024 * 1024 /* an idle connection keeps at most this much memory */
};

static const uint64_t REASON_LENGTH = 512;

static const char *const NOT_KILLED =
    "the connection broke and the server does not let us end it";
static const char *const NOT_SENT =
    "not sent: an earlier write of the session may still be executed, since its "
    "connection broke and the server does not let us end it";

as_status as_connection_init(as_connection *connection, as_mem *mem,
                             const as_connection_config *config,
                             as_operations *operations, as_lanes *lanes) {
  memset(connection, 0, sizeof *connection);
  connection->config = config;
  /* Neighbouring seeds, mixed. */
  connection->random = (config->seed + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1;
  connection->operations = operations;
  connection->lanes = lanes;
  as_list_init(&connection->queue);
  connection->unsent = &connection->queue;
  as_buffer_init(&connection->output, mem);
  as_buffer_init(&connection->close_reason, mem);
  as_greeting_init(&connection->greeting, mem, &config->greeting);
  return as_resp_reader_init(&connection->reader, mem);
}

/* ---- queue and stream ------------------------------------------------------------- */

static as_request *request_of(as_list_node *node) {
  return AS_LIST_OWNER(node, as_request, node);
}

static as_request *first_request(const as_connection *connection) {
  as_list_node *node = as_list_first(&connection->queue);
  return node ? request_of(node) : NULL;
}

static as_request *request_after(const as_connection *connection,
                                 const as_request *request) {
  as_list_node *node = as_list_after(&connection->queue, &request->node);
  return node ? request_of(node) : NULL;
}

static uint64_t output_end(const as_connection *connection) {
  return connection->output_begin + connection->output.length;
}

static bool is_owed_a_reply(const as_connection *connection) {
  const as_request *first = first_request(connection);
  return first != NULL && first->begin < connection->written;
}

/* Moves the requests from `first` on together, so that they begin at `position`. */
static void pack_output(as_connection *connection, as_list_node *first,
                        uint64_t position) {
  uint8_t *data = connection->output.data;
  for (as_list_node *node = first; node != &connection->queue; node = node->next) {
    as_request *each = request_of(node);
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

/* Forgets all bytes but the requests of the queue: the stream begins again with the
 * first one. */
static void rewind_output(as_connection *connection) {
  connection->unsent = connection->queue.next;
  connection->written = connection->output_begin;
  pack_output(connection, connection->unsent, connection->output_begin);
}

/* Drops request bytes that were answered. */
static void trim_output(as_connection *connection) {
  const as_request *first = first_request(connection);
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

void as_connection_trim(as_connection *connection) {
  if (as_list_is_empty(&connection->queue)) as_buffer_free(&connection->output);
}

size_t as_connection_queued_bytes(const as_connection *connection) {
  const as_request *first = first_request(connection);
  return first ? connection->submitted - first->begin : 0;
}

/* ---- state ------------------------------------------------------------------------ */

static void start_connecting(as_connection *connection, double now_ms) {
  connection->state = AS_CONNECTION_CONNECTING;
  connection->is_action_due = true;
  connection->connect_deadline_ms = now_ms + connection->config->connect_timeout_ms;
}

static void set_close_reason(as_connection *connection, as_status status,
                             as_slice reason) {
  if (reason.length > REASON_LENGTH) reason.length = REASON_LENGTH;
  connection->close_status = status;
  connection->is_put_off = false;
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

void as_connection_begin(as_connection *connection, as_request *request) {
  assert(output_end(connection) == connection->submitted);
  request->begin = output_end(connection);
}

void as_connection_rollback(as_connection *connection, as_request *request) {
  connection->output.length = request->begin - connection->output_begin;
}

void as_connection_end(as_connection *connection, as_request *request, as_status status,
                       as_slice message, double now_ms) {
  as_lane *lane = request->lane;
  as_operations_complete_all(connection->operations, request, status, message, now_ms);
  as_operations_unqueue(connection->operations, request);
  as_lanes_settle(connection->lanes, lane);
}

/* A write that was accepted before its lane came into quarantine. */
static bool is_late_for_quarantine(const as_request *request, double now_ms) {
  return request->is_write && request->lane != NULL &&
         as_lane_is_in_quarantine(request->lane, now_ms);
}

void as_connection_submit(as_connection *connection, as_request *request, double now_ms) {
  request->end = output_end(connection);
  request->is_queued = true;
  if (is_late_for_quarantine(request, now_ms)) {
    as_connection_rollback(connection, request);
    as_connection_end(connection, request, AS_ERR_UNAVAILABLE, as_slice_text(NOT_SENT),
                      now_ms);
    return;
  }
  if (request->lane != NULL && request->lane->is_stopped) {
    as_stop_park_new(connection, request, now_ms);
    return;
  }
  if (request->lane != NULL) request->lane->in_queue++;
  request->is_sealed = true;
  connection->submitted = request->end;
  connection->owed += request->joined;
  as_list_push_back(&connection->queue, &request->node);
  if (connection->unsent == &connection->queue) connection->unsent = &request->node;
  if (connection->state != AS_CONNECTION_IDLE) return;
  if (now_ms < connection->retry_at_ms)
    connection->state = AS_CONNECTION_BACKOFF;
  else
    start_connecting(connection, now_ms);
}

as_slice as_connection_request_bytes(const as_connection *connection,
                                     const as_request *request) {
  return as_slice_of(connection->output.data +
                         (request->begin - connection->output_begin),
                     request->end - request->begin);
}

/* A request leaves the queue for good. */
static void leave_queue(as_connection *connection, as_request *request) {
  as_lane *lane = request->lane;
  connection->owed -= request->joined;
  if (lane != NULL) lane->in_queue--;
  if (request->errand == AS_ERRAND_SCRIPTS) connection->reloads_owed--;
  as_operations_unqueue(connection->operations, request);
  if (lane != NULL) as_lanes_settle(connection->lanes, lane);
}

void as_connection_free(as_connection *connection) {
  as_request *request;
  if (connection->config == NULL) return;
  while ((request = first_request(connection)) != NULL) leave_queue(connection, request);
  as_buffer_free(&connection->output);
  as_buffer_free(&connection->close_reason);
  as_greeting_free(&connection->greeting);
  as_resp_reader_free(&connection->reader);
}

/* Whether a plain write that was sent is sent again. One that nobody waits for is, when
 * one before it in its lane is: alone, that one would bring an older value back. Asked of
 * all requests of the queue, in order, in a new round. */
static bool goes_again(const as_connection *connection, const as_request *request) {
  if (!as_request_is_sent_write(request) || request->lane == NULL) return false;
  as_lane *lane = request->lane;
  if (request->wanted > 0) lane->resend_round = connection->resend_round;
  return lane->is_resending || lane->resend_round == connection->resend_round;
}

void as_connection_abandon(as_connection *connection, as_operation *operation) {
  as_request *request = operation->request;
  operation->is_abandoned = true;
  request->wanted--;
  if (!request->is_queued || !request->is_sealed || request->wanted > 0) return;
  if (request->begin < connection->written) return;
  request->is_unwanted = true;
  connection->has_unwanted = true;
}

void as_connection_discard(as_connection *connection) {
  if (!connection->has_unwanted) return;
  connection->has_unwanted = false;
  as_list_node *last_sent = connection->unsent->previous;
  uint64_t position = request_of(connection->unsent)->begin;
  as_list_node *next;
  connection->resend_round++;
  for (as_list_node *node = connection->unsent; node != &connection->queue; node = next) {
    as_request *each = request_of(node);
    bool is_going_again = goes_again(connection, each);
    next = node->next;
    bool is_leaving =
        each->is_unwanted || (as_request_is_sent_write(each) && each->wanted == 0);
    each->is_unwanted = false;
    if (is_leaving && !is_going_again) leave_queue(connection, each);
  }
  connection->unsent = last_sent->next;
  pack_output(connection, connection->unsent, position);
  trim_output(connection);
}

/* ---- replies ---------------------------------------------------------------------- */

as_request *as_connection_begin_errand(as_connection *connection, as_errand errand) {
  as_request *request;
  if (as_requests_take(&connection->operations->requests, &request) != AS_OK) return NULL;
  request->errand = errand;
  request->connection = connection->number;
  as_connection_begin(connection, request);
  return request;
}

void as_connection_send_errand(as_connection *connection, as_request *request,
                               uint32_t commands, double now_ms) {
  request->commands = commands;
  as_connection_submit(connection, request, now_ms);
}

void as_connection_drop_errand(as_connection *connection, as_request *request) {
  as_connection_rollback(connection, request);
  as_requests_give(&connection->operations->requests, request);
}

bool as_connection_reload_scripts(as_connection *connection) {
  const as_greeting_config *greeting = &connection->config->greeting;
  if (greeting->script_count == 0) return false;
  if (connection->reloads_owed > 0) return true;
  as_request *reload = as_connection_begin_errand(connection, AS_ERRAND_SCRIPTS);
  if (reload == NULL) return false;
  as_status status = AS_OK;
  for (uint32_t i = 0; i < greeting->script_count && status == AS_OK; i++)
    status = as_greeting_write_script(&connection->output, greeting->scripts[i]);
  if (status != AS_OK) {
    as_connection_drop_errand(connection, reload);
    return false;
  }
  connection->reloads_owed++;
  as_connection_send_errand(connection, reload, greeting->script_count, 0);
  return true;
}

/* Closes a connection that is old enough, once nothing is owed to it. */
static void retire_if_quiet(as_connection *connection) {
  if (!connection->is_retiring || is_owed_a_reply(connection)) return;
  connection->has_progressed = true; /* the next one is made at once */
  break_stream(connection, AS_ERR_UNAVAILABLE, "the connection reached max_age_ms");
}

/* All replies of the first request are there. */
static void finish_first(as_connection *connection, as_request *request, double now_ms) {
  as_lane *lane = request->lane;
  connection->has_progressed = true;
  connection->backoff_ms = 0;
  if (lane != NULL) as_lane_owe(lane); /* it must live until the end of this */
  if (!as_stop_take_back(connection, request, now_ms)) {
    if (request->wanted > 0) as_answer_deal(connection->operations, request, now_ms);
    if (request->errand > AS_ERRAND_SCRIPTS)
      as_tracking_on_errand(connection, request, now_ms);
    leave_queue(connection, request);
  }
  if (lane != NULL) {
    as_stop_end_if_due(connection, lane, now_ms);
    as_lanes_settle(connection->lanes, lane);
  }
  trim_output(connection);
  retire_if_quiet(connection);
}

/* In a transaction only errors and the reply of EXEC matter, not "OK" and "QUEUED". */
static void drop_transaction_progress(as_request *request, size_t count_before) {
  bool is_exec = request->replies_seen == as_request_wire_replies(request);
  if (!request->is_atomic || is_exec) return;
  if (as_replies_at(&request->replies, count_before)->type == AS_REPLY_ERROR) return;
  as_replies_truncate(&request->replies, count_before);
}

/* Whether the command that the next reply answers went out whole. The server answers the
 * first commands of a long request while we still send the last. */
static bool is_reply_due(const as_connection *connection, as_request *request) {
  if (request->end <= connection->written) return true;
  const uint8_t *bytes =
      connection->output.data + (request->begin - connection->output_begin);
  for (; request->commands_walked <= request->replies_seen; request->commands_walked++)
    request->walked_bytes += as_resp_command_length(bytes + request->walked_bytes);
  return request->begin + request->walked_bytes <= connection->written;
}

static bool read_request_reply(as_connection *connection, double now_ms) {
  as_request *request = first_request(connection);
  bool is_expected = request != NULL && is_reply_due(connection, request);
  bool is_complete;
  bool is_wanted =
      is_expected && (request->wanted > 0 || request->errand > AS_ERRAND_SCRIPTS);
  as_replies *target = is_wanted ? &request->replies : NULL;
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
  request->replies_seen++;
  if (target != NULL) drop_transaction_progress(request, request->replies_counted);
  request->replies_counted = as_replies_count(&request->replies);
  if (request->replies_seen == as_request_wire_replies(request))
    finish_first(connection, request, now_ms);
  return true;
}

/* Sent operations may still be executed by the broken stream that could not be killed:
 * their outcome stays unknown, and writes behind them are not sent. */
static void fail_unkilled(as_connection *connection, double now_ms) {
  as_request *next;
  double quarantine_ms = connection->config->quarantine_ms;
  as_lanes_end_losses(connection->lanes, connection->number,
                      quarantine_ms > 0 ? now_ms + quarantine_ms : 0);
  as_stop_fail_sent(connection, as_slice_text(NOT_KILLED), now_ms);
  for (as_request *each = first_request(connection); each != NULL; each = next) {
    next = request_after(connection, each);
    bool was_sent = each->attempts > 0;
    if (!was_sent && !is_late_for_quarantine(each, now_ms)) continue;
    as_operations_complete_all(connection->operations, each,
                               was_sent ? AS_ERR_TIMEOUT : AS_ERR_UNAVAILABLE,
                               as_slice_text(was_sent ? NOT_KILLED : NOT_SENT), now_ms);
    leave_queue(connection, each);
  }
  rewind_output(connection);
}

/* Connections of one pool are not replaced all at once. */
static double age_limit_ms(const as_connection *connection) {
  double spread = 0.1 * connection->number / (connection->number + 1.0);
  return connection->config->max_age_ms * (1 - spread);
}

static void become_ready(as_connection *connection, double now_ms) {
  connection->state = AS_CONNECTION_READY;
  connection->has_victim = false;
  connection->is_stream_ready = true;
  connection->has_progressed = false;
  connection->is_retiring = false;
  connection->retire_at_ms = now_ms + age_limit_ms(connection);
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
      fail_unkilled(connection, now_ms);
      become_ready(connection, now_ms);
      return true;
    case AS_GREETING_DONE:
      as_lanes_end_losses(connection->lanes, connection->number, 0);
      become_ready(connection, now_ms);
      return true;
    case AS_GREETING_FAILED:
      set_close_reason(connection, greeting->status, as_buffer_slice(&greeting->reason));
      connection->is_put_off = greeting->says_later && connection->config->retries;
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
      goes_on = read_request_reply(connection, now_ms);
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
  const as_request *first = first_request(connection);
  /* What is still being sent cannot be answered, and the peer does take it. */
  if (first != NULL && first->end > connection->written)
    connection->silent_since_ms = now_ms;
  connection->written += length;
  assert(connection->written <= connection->submitted);
  while (connection->unsent != &connection->queue) {
    as_request *each = request_of(connection->unsent);
    if (each->begin >= connection->written) return;
    each->attempts++;
    each->sent_ms = now_ms;
    if (each->lane != NULL && each->attempts > 1 && as_request_is_sent_write(each))
      each->lane->is_resending = true;
    connection->unsent = connection->unsent->next;
  }
}

/* What becomes of a request when its stream is gone, or when none could be made. */
static void survive_close(as_connection *connection, as_request *request, bool was_ready,
                          as_slice reason, double now_ms) {
  if (request->lane != NULL) request->lane->is_resending = false;
  if (was_ready && request->is_write && request->lane != NULL &&
      request->begin < connection->written)
    as_lanes_lose_write(connection->lanes, request->lane);
  bool fails = !was_ready && request->attempts == 0 && !connection->is_put_off;
  bool is_going_again = goes_again(connection, request);
  if (fails)
    as_operations_complete_all(connection->operations, request, connection->close_status,
                               reason, now_ms);
  if (fails || (request->wanted == 0 && !is_going_again)) {
    leave_queue(connection, request);
    return;
  }
  if (!as_stop_take_along(connection, request)) as_request_forget_replies(request);
}

/* A number from 0.5 to 1: those who lost a server do not all come back at once, nor do
 * the connections of one pool. xorshift64*, S. Vigna, "An experimental exploration of
 * Marsaglia's xorshift generators, scrambled", 2016: the product carries what differs in
 * low bits into high ones. */
static double jitter(as_connection *connection) {
  uint64_t x = connection->random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  connection->random = x;
  x *= UINT64_C(0x2545F4914F6CDD1D);
  return 0.5 + (double)(x >> 12) / 9007199254740992.0;
}

/* When to connect again: at once after a stream that was of use. */
static void set_retry(as_connection *connection, double now_ms) {
  connection->retry_at_ms = now_ms;
  if (connection->has_progressed) return;
  double doubled = connection->backoff_ms * 2;
  double last = connection->config->longest_backoff_ms;
  if (last == 0) last = BACKOFF_LAST_MS;
  connection->backoff_ms = fmin(fmax(doubled, BACKOFF_FIRST_MS), last);
  connection->retry_at_ms += connection->backoff_ms * jitter(connection);
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
  if (connection->tracking != NULL) as_tracking_on_lost(connection);
  connection->resend_round++;
  as_request *next;
  for (as_request *each = first_request(connection); each != NULL; each = next) {
    next = request_after(connection, each);
    survive_close(connection, each, was_ready, as_buffer_slice(&connection->close_reason),
                  now_ms);
  }
  rewind_output(connection);
  if (!was_ready) connection->has_progressed = false;
  set_retry(connection, now_ms);
  connection->state = AS_CONNECTION_BACKOFF;
  if (as_list_is_empty(&connection->queue))
    connection->state = AS_CONNECTION_IDLE;
  else if (connection->retry_at_ms <= now_ms)
    start_connecting(connection, now_ms);
}

static double health_deadline_ms(const as_connection *connection) {
  if (!is_owed_a_reply(connection)) return INFINITY;
  return connection->silent_since_ms + connection->config->health_timeout_ms;
}

static double ready_deadline_ms(const as_connection *connection) {
  double retire_at_ms = connection->is_retiring ? INFINITY : connection->retire_at_ms;
  return fmin(health_deadline_ms(connection), retire_at_ms);
}

double as_connection_deadline_ms(const as_connection *connection) {
  switch (connection->state) {
    case AS_CONNECTION_CONNECTING:
    case AS_CONNECTION_GREETING:
      return connection->connect_deadline_ms;
    case AS_CONNECTION_READY:
      return ready_deadline_ms(connection);
    case AS_CONNECTION_BACKOFF:
      return connection->retry_at_ms;
    case AS_CONNECTION_IDLE:
    case AS_CONNECTION_CLOSING:
      return INFINITY;
  }
  return INFINITY;
}

static void check_ready(as_connection *connection, double now_ms) {
  char reason[96];
  if (now_ms >= health_deadline_ms(connection)) {
    snprintf(reason, sizeof reason, "the server was silent for %.0f ms",
             connection->config->health_timeout_ms);
    break_stream(connection, AS_ERR_UNAVAILABLE, reason);
    return;
  }
  connection->is_retiring = true;
  retire_if_quiet(connection);
}

void as_connection_on_time(as_connection *connection, double now_ms) {
  if (now_ms < as_connection_deadline_ms(connection)) return;
  char reason[160];
  if (connection->state == AS_CONNECTION_BACKOFF) {
    start_connecting(connection, now_ms);
    return;
  }
  if (connection->state == AS_CONNECTION_READY) {
    check_ready(connection, now_ms);
    return;
  }
  const char *hint = connection->config->connect_hint;
  snprintf(reason, sizeof reason, "no connection within connect_timeout_ms = %.0f%s",
           connection->config->connect_timeout_ms, hint != NULL ? hint : "");
  break_stream(connection, AS_ERR_UNAVAILABLE, reason);
}

/* One that retires sends what it has begun to send, and no more. */
static uint64_t send_limit(const as_connection *connection) {
  if (!connection->is_retiring) return connection->submitted;
  if (connection->unsent == &connection->queue) return connection->submitted;
  return request_of(connection->unsent)->begin;
}

as_slice as_connection_next_write(const as_connection *connection) {
  const as_greeting *greeting = &connection->greeting;
  if (connection->state == AS_CONNECTION_GREETING)
    return as_slice_of(greeting->bytes.data + greeting->written,
                       greeting->bytes.length - greeting->written);
  if (connection->state != AS_CONNECTION_READY) return as_slice_of("", 0);
  uint64_t limit = send_limit(connection);
  if (connection->written >= limit) return as_slice_of("", 0);
  return as_slice_of(connection->output.data +
                         (connection->written - connection->output_begin),
                     limit - connection->written);
}

as_slice as_connection_trouble(const as_connection *connection) {
  if (connection->is_stream_ready) return as_slice_of("", 0);
  return as_buffer_slice(&connection->close_reason);
}

as_status as_connection_trouble_status(const as_connection *connection) {
  bool has_trouble = as_connection_trouble(connection).length > 0;
  return has_trouble ? connection->close_status : AS_ERR_UNAVAILABLE;
}

bool as_connection_validate(const as_connection *connection) {
  uint64_t position = connection->output_begin;
  const as_list_node *unsent = &connection->queue;
  uint32_t owed = 0;
  for (const as_request *each = first_request(connection); each != NULL;
       each = request_after(connection, each)) {
    bool is_unsent = each->begin >= connection->written;
    if (!each->is_queued || each->is_unwanted || each->begin < position ||
        each->end < each->begin)
      return false;
    if (is_unsent && unsent == &connection->queue) unsent = &each->node;
    owed += each->joined;
    position = each->end;
  }
  return position <= output_end(connection) && connection->unsent == unsent &&
         owed == connection->owed && connection->output_begin <= connection->written &&
         connection->written <= connection->submitted &&
         connection->submitted <= output_end(connection);
}
