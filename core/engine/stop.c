/* SPDX-License-Identifier: MIT */
#include "engine/stop.h"

#include <math.h>

#include "engine/answer.h"
#include "engine/server_error.h"

enum { PAUSE_FIRST_MS = 10, PAUSE_LAST_MS = 1000, MAX_SCRIPT_RELOADS = 3 };

static const char *const NO_SCRIPT = "NOSCRIPT ";

static bool lacks_script(as_slice error) {
  return as_slice_starts_with(error, NO_SCRIPT);
}

/* Whether no part of a request of which one was refused was carried out. */
static bool is_refused_whole(const as_request *request) {
  size_t count = as_replies_count(&request->replies);
  if (request->is_atomic) return true;
  for (size_t i = 0; i < count; i++) {
    const as_reply *reply = as_replies_at(&request->replies, i);
    if (reply->type != AS_REPLY_ERROR) return false;
    as_slice error = as_replies_text(&request->replies, reply);
    if (!as_server_error_says_later(error) && !lacks_script(error)) return false;
  }
  return count == request->commands;
}

static bool park(as_connection *connection, as_list *list, as_request *request,
                 as_slice bytes) {
  as_buffer_clear(&request->bytes);
  if (as_buffer_append_slice(&request->bytes, bytes) != AS_OK) return false;
  as_list_remove(&request->node);
  as_list_push_back(list, &request->node);
  request->is_parked = true;
  request->is_sealed = false;
  request->is_unwanted = false;
  connection->lanes->parked_bytes += bytes.length;
  as_request_forget_replies(request);
  return true;
}

static bool park_queued(as_connection *connection, as_request *request) {
  as_slice bytes = as_connection_request_bytes(connection, request);
  if (!park(connection, &request->lane->parked, request, bytes)) return false;
  connection->owed -= request->joined;
  request->lane->in_queue--;
  return true;
}

static double longer(double pause_ms) {
  return fmin(fmax(pause_ms * 2, PAUSE_FIRST_MS), PAUSE_LAST_MS);
}

/* The pause begins with the last refusal, and grows once however many there are. */
static void stop(as_connection *connection, as_lane *lane, as_slice error,
                 double now_ms) {
  if (!lacks_script(error)) {
    if (!lane->is_pausing) lane->pause_ms = longer(lane->pause_ms);
    lane->is_pausing = true;
  } else if (lane->is_stopped) {
    return;
  }
  lane->retry_at_ms = now_ms + (lane->is_pausing ? lane->pause_ms : 0);
  lane->stop_status = as_server_error_status(error);
  as_buffer_clear(&lane->stop_reason);
  /* Without memory for the words, the status alone tells. */
  if (as_buffer_append_slice(&lane->stop_reason, error) != AS_OK)
    as_buffer_clear(&lane->stop_reason);
  if (lane->is_stopped) return;
  lane->is_stopped = true;
  as_list_push_back(&connection->lanes->stopped, &lane->stopped_node);
}

/* The server did not carry the request out: its lane stops. */
static bool take_back_refused(as_connection *connection, as_request *request,
                              as_slice error, double now_ms) {
  uint32_t carried_out = is_refused_whole(request) ? 0 : 1;
  if (lacks_script(error)) {
    if (request->script_reloads >= MAX_SCRIPT_RELOADS) return false;
    if (!as_connection_reload_scripts(connection)) return false;
    request->script_reloads++;
  }
  /* Its words stand in the replies, which parking forgets. */
  stop(connection, request->lane, error, now_ms);
  if (!park_queued(connection, request)) return false;
  request->attempts -= 1 - carried_out;
  return true;
}

static as_request *first_parked(const as_lane *lane) {
  as_list_node *node = as_list_first(&lane->parked);
  if (node == NULL) node = as_list_first(&lane->waiting);
  return node ? AS_LIST_OWNER(node, as_request, node) : NULL;
}

static void unpark(as_lanes *lanes, as_request *request) {
  as_list_remove(&request->node);
  request->is_parked = false;
  lanes->parked_bytes -= request->bytes.length;
}

static void drop(as_operations *operations, as_lanes *lanes, as_request *request) {
  as_lane *lane = request->lane;
  as_operations_unqueue(operations, request);
  as_lanes_settle(lanes, lane);
}

/* A write took effect. What was refused before it, and is done later, would undo it, or
 * read what came after it. */
static void end_overtaken(as_connection *connection, as_lane *lane, double now_ms) {
  as_list_node *node;
  while ((node = as_list_first(&lane->parked)) != NULL) {
    as_request *each = AS_LIST_OWNER(node, as_request, node);
    as_status status = lane->stop_status;
    as_slice words = as_buffer_slice(&lane->stop_reason);
    if (each->is_write && each->attempts > 0) { /* on a stream that is lost */
      status = AS_ERR_TIMEOUT;
      words = as_slice_text(as_status_sentence(status));
    }
    unpark(connection->lanes, each);
    as_connection_end(connection, each, status, words, now_ms);
  }
}

bool as_stop_take_back(as_connection *connection, as_request *request, double now_ms) {
  as_lane *lane = request->lane;
  if (lane == NULL) return false;
  /* Of one that nobody waits for the replies are not kept. */
  const as_reply *error = request->wanted > 0 ? as_answer_error(request) : NULL;
  if (error != NULL) {
    as_slice text = as_server_error_cause(as_replies_text(&request->replies, error));
    bool is_script = request->kind == AS_REQUEST_COMMANDS;
    bool is_refused = connection->config->retries && as_server_error_says_later(text);
    if (is_refused || (is_script && lacks_script(text)))
      return take_back_refused(connection, request, text, now_ms);
  }
  if (lane->is_stopped && !request->is_write)
    return request->wanted > 0 && park_queued(connection, request);
  if (lane->is_stopped) end_overtaken(connection, lane, now_ms);
  if (request->wanted > 0 && error == NULL) lane->pause_ms = 0;
  return false;
}

bool as_stop_take_along(as_connection *connection, as_request *request) {
  const as_lane *lane = request->lane;
  return lane != NULL && lane->is_stopped && park_queued(connection, request);
}

void as_stop_park_new(as_connection *connection, as_request *request, double now_ms) {
  as_slice bytes = as_connection_request_bytes(connection, request);
  bool is_parked = park(connection, &request->lane->waiting, request, bytes);
  as_connection_rollback(connection, request);
  if (is_parked) return;
  as_connection_end(connection, request, AS_ERR_OOM,
                    as_slice_text(as_status_sentence(AS_ERR_OOM)), now_ms);
}

static void fail_sent_in(as_connection *connection, as_lane *lane, as_slice words,
                         double now_ms) {
  as_list_node *next;
  as_lane_owe(lane); /* it may be closed, and this may be the last that it owes */
  for (as_list_node *node = as_list_first(&lane->parked); node != NULL; node = next) {
    as_request *each = AS_LIST_OWNER(node, as_request, node);
    next = as_list_after(&lane->parked, node);
    if (!each->is_write || each->attempts == 0) continue;
    unpark(connection->lanes, each);
    as_connection_end(connection, each, AS_ERR_TIMEOUT, words, now_ms);
  }
  as_lanes_settle(connection->lanes, lane);
}

void as_stop_fail_sent(as_connection *connection, as_slice words, double now_ms) {
  as_list_node *next;
  const as_list *stopped = &connection->lanes->stopped;
  for (as_list_node *node = as_list_first(stopped); node != NULL; node = next) {
    as_lane *lane = AS_LIST_OWNER(node, as_lane, stopped_node);
    next = as_list_after(stopped, node);
    if (lane->connection == connection->number)
      fail_sent_in(connection, lane, words, now_ms);
  }
}

/* Sends a request that was parked. Without memory it ends; one that was sent on a stream
 * that is lost may have been carried out. *is_resending: such a write was sent again. */
static void send_again(as_connection *connection, as_request *request, bool *is_resending,
                       double now_ms) {
  bool is_sent_write = as_request_is_sent_write(request);
  unpark(connection->lanes, request);
  *is_resending |= is_sent_write && request->wanted > 0;
  if (request->wanted == 0 && !(is_sent_write && *is_resending)) {
    drop(connection->operations, connection->lanes, request);
    return;
  }
  as_connection_begin(connection, request);
  as_status status =
      as_buffer_append_slice(&connection->output, as_buffer_slice(&request->bytes));
  if (status == AS_OK) {
    as_connection_submit(connection, request, now_ms);
    return;
  }
  if (request->is_write && request->attempts > 0) status = AS_ERR_TIMEOUT;
  as_connection_end(connection, request, status,
                    as_slice_text(as_status_sentence(status)), now_ms);
}

void as_stop_end_if_due(as_connection *connection, as_lane *lane, double now_ms) {
  as_request *request;
  bool is_resending = false;
  if (!lane->is_stopped || now_ms < as_stop_deadline_ms(lane)) return;
  lane->is_stopped = false;
  lane->is_pausing = false;
  as_list_remove(&lane->stopped_node);
  as_lane_owe(lane); /* dropping the last request may free a lane that nobody holds */
  while ((request = first_parked(lane)) != NULL)
    send_again(connection, request, &is_resending, now_ms);
  as_lanes_settle(connection->lanes, lane);
}

double as_stop_deadline_ms(const as_lane *lane) {
  return lane->in_queue == 0 ? lane->retry_at_ms : INFINITY;
}

void as_stop_drop(as_operations *operations, as_lanes *lanes, as_lane *lane) {
  as_request *request;
  as_lane_owe(lane);
  while ((request = first_parked(lane)) != NULL) {
    unpark(lanes, request);
    drop(operations, lanes, request);
  }
  as_lanes_settle(lanes, lane);
}
