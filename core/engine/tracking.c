/* SPDX-License-Identifier: MIT */
/* The probe key of a connection has its client id in its name, so the subscriber knows
 * whose it is. NOLOOP hides from a connection what it has written itself, so tracking
 * begins without it, and the connection makes the key that it has read. The key is gone
 * in the same transaction: nobody ever sees it, and nothing stays of it anywhere. What
 * the connection reads and writes besides comes before or after all that. */
#include "engine/tracking.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "engine/server_error.h"

/* So many probes in a row may stay unanswered before somebody is told. */
enum { MAX_FAILED_PROBES = 5 };

enum { MAX_PROBE_NAME = 192 };

static const char *const NOT_TOLD =
    "the server does not tell us when a key that we have read changes";

as_status as_tracking_init(as_tracking *tracking, as_mem *mem,
                           const as_subscriber_config *config, as_connection *connections,
                           uint32_t count) {
  memset(tracking, 0, sizeof *tracking);
  tracking->connections = connections;
  tracking->connection_count = count;
  tracking->check_ms = config->check_ms;
  as_invalidations_init(&tracking->invalidations, mem);
  for (uint32_t i = 0; i < count; i++) connections[i].tracking = tracking;
  return as_subscriber_init(&tracking->subscriber, mem, config, &tracking->invalidations);
}

void as_tracking_free(as_tracking *tracking) {
  as_subscriber_free(&tracking->subscriber);
  as_invalidations_free(&tracking->invalidations);
}

static bool is_tracked(const as_connection *connection) {
  return connection->track_state == AS_TRACK_TRACKED;
}

/* ---- errands ----------------------------------------------------------------------- */

static void name_probe(const as_tracking *tracking, const as_connection *connection,
                       char *out_name) {
  as_slice prefix = tracking->subscriber.config.probe_prefix;
  snprintf(out_name, MAX_PROBE_NAME, "%.*s%" PRId64, (int)prefix.length,
           (const char *)prefix.data, connection->greeting.identity.id);
}

/* Without memory it is tried again when it is due. */
static void send(as_connection *connection, as_request *errand, as_status status,
                 uint32_t commands, double now_ms) {
  if (status == AS_OK)
    as_connection_send_errand(connection, errand, commands, now_ms);
  else
    as_connection_drop_errand(connection, errand);
}

/* So many commands, which the server answers one by one. */
enum { ASK_COMMANDS = 7 };

static as_status write_ask(as_buffer *out, const char *redirect, const char *probe) {
  AS_TRY(
      as_resp_write_words(out, "CLIENT", "TRACKING", "ON", "REDIRECT", redirect, NULL));
  AS_TRY(as_resp_write_words(out, "EXISTS", probe, NULL));
  AS_TRY(as_resp_write_words(out, "MULTI", NULL));
  AS_TRY(as_resp_write_words(out, "HSET", probe, "probe", "1", NULL));
  AS_TRY(as_resp_write_words(out, "HDEL", probe, "probe", NULL));
  AS_TRY(as_resp_write_words(out, "EXEC", NULL));
  return as_resp_write_words(out, "CLIENT", "TRACKING", "ON", "REDIRECT", redirect,
                             "NOLOOP", NULL);
}

static void ask(as_tracking *tracking, as_connection *connection, double now_ms) {
  char id[24];
  char probe[MAX_PROBE_NAME];
  as_request *errand = as_connection_begin_errand(connection, AS_ERRAND_TRACK);
  connection->track_state = AS_TRACK_ASKED;
  connection->track_due_ms = now_ms + tracking->check_ms;
  if (errand == NULL) return;
  snprintf(id, sizeof id, "%" PRId64, tracking->subscriber.greeting.identity.id);
  name_probe(tracking, connection, probe);
  as_status status = write_ask(&connection->output, id, probe);
  send(connection, errand, status, ASK_COMMANDS, now_ms);
}

static void check(as_tracking *tracking, as_connection *connection, double now_ms) {
  as_request *errand = as_connection_begin_errand(connection, AS_ERRAND_CHECK);
  connection->track_due_ms = now_ms + tracking->check_ms;
  if (errand == NULL) return;
  connection->is_check_owed = true;
  as_status status =
      as_resp_write_words(&connection->output, "CLIENT", "TRACKINGINFO", NULL);
  send(connection, errand, status, 1, now_ms);
}

void as_tracking_pause(as_connection *connection, double now_ms) {
  if (connection->track_state == AS_TRACK_NONE) return;
  as_tracking_on_lost(connection);
  connection->track_state = AS_TRACK_PAUSED;
  connection->track_due_ms = now_ms + connection->tracking->check_ms;
  as_request *errand = as_connection_begin_errand(connection, AS_ERRAND_PAUSE);
  if (errand == NULL) return;
  as_status status =
      as_resp_write_words(&connection->output, "CLIENT", "TRACKING", "OFF", NULL);
  send(connection, errand, status, 1, now_ms);
}

/* ---- what they answer -------------------------------------------------------------- */

/* The first error of an errand, empty when there is none: those behind it follow from
 * it. */
static as_slice error_in(const as_request *request) {
  size_t count = as_replies_count(&request->replies);
  for (size_t i = 0; i < count; i++) {
    const as_reply *reply = as_replies_at(&request->replies, i);
    if (reply->type == AS_REPLY_ERROR) return as_replies_text(&request->replies, reply);
  }
  return as_slice_of("", 0);
}

/* Whether the server is only not able to do it now: it has no memory, is a replica, ...
 */
static bool is_for_now(as_slice error) {
  if (as_server_error_says_later(error)) return true;
  switch (as_server_error_status(error)) {
    case AS_ERR_OOM:
    case AS_ERR_READONLY:
    case AS_ERR_LOADING:
    case AS_ERR_UNAVAILABLE:
    case AS_ERR_CLUSTER_DOWN:
    case AS_ERR_DISK:
    case AS_ERR_NOT_DURABLE:
      return true;
    default:
      return false;
  }
}

/* Somebody is told when it has not succeeded so many times. */
static void note_failed_probe(as_tracking *tracking, as_slice words) {
  if (++tracking->failed_probes == MAX_FAILED_PROBES)
    as_invalidations_put_refused(&tracking->invalidations, words);
}

static as_slice text_at(const as_replies *replies, size_t index) {
  const as_reply *node = as_replies_at(replies, index);
  bool is_text = node->type == AS_REPLY_STRING || node->type == AS_REPLY_STATUS;
  return is_text ? as_replies_text(replies, node) : as_slice_of("", 0);
}

/* Whether the reply to TRACKINGINFO says that all is as it was asked for. */
static bool is_right_info(const as_replies *replies, int64_t redirect) {
  bool is_on = false;
  bool is_redirected = false;
  size_t count = as_replies_count(replies);
  for (size_t i = 0; i < count; i++) {
    as_slice text = text_at(replies, i);
    if (as_slice_equals(text, as_slice_text("on"))) is_on = true;
    if (as_slice_equals(text, as_slice_text("broken_redirect"))) return false;
    if (as_slice_equals(text, as_slice_text("redirect")) && i + 1 < count) {
      const as_reply *id = as_replies_at(replies, i + 1);
      is_redirected = id->type == AS_REPLY_INTEGER && id->integer == redirect;
    }
  }
  return is_on && is_redirected;
}

static void become_tracked(as_tracking *tracking, as_connection *connection,
                           double now_ms) {
  connection->track_state = AS_TRACK_TRACKED;
  connection->track_stream = ++tracking->streams;
  connection->track_due_ms = now_ms + tracking->check_ms;
  connection->is_check_owed = connection->is_check_overdue = false;
  tracking->failed_probes = 0;
}

void as_tracking_on_errand(as_connection *connection, const as_request *request,
                           double now_ms) {
  as_tracking *tracking = connection->tracking;
  as_subscriber *subscriber = &tracking->subscriber;
  as_slice error = error_in(request);
  bool is_fine = error.length == 0;
  if (!is_fine && !is_for_now(error)) {
    as_subscriber_refuse(subscriber, error, now_ms);
    return;
  }
  if (request->errand == AS_ERRAND_TRACK && !is_fine) {
    note_failed_probe(tracking, error);
    connection->track_state = AS_TRACK_PAUSED;
  }
  if (request->errand == AS_ERRAND_TRACK && is_fine) {
    if (connection->track_state == AS_TRACK_TOLD)
      become_tracked(tracking, connection, now_ms);
    else if (connection->track_state == AS_TRACK_ASKED)
      connection->track_state = AS_TRACK_ANSWERED;
  }
  if (request->errand != AS_ERRAND_CHECK || !is_tracked(connection)) return;
  connection->is_check_owed = connection->is_check_overdue = false;
  if (!is_fine || is_right_info(&request->replies, subscriber->greeting.identity.id))
    return;
  as_tracking_on_lost(connection);
}

/* ---- states ------------------------------------------------------------------------ */

void as_tracking_on_lost(as_connection *connection) {
  if (is_tracked(connection))
    as_invalidations_put_lost(&connection->tracking->invalidations,
                              connection->track_stream);
  connection->track_state = AS_TRACK_NONE;
  connection->track_stream = 0;
  connection->is_check_owed = connection->is_check_overdue = false;
}

/* The subscriber was told of probe keys. */
static void take_probes(as_tracking *tracking, double now_ms) {
  as_buffer *probed = &tracking->subscriber.probed;
  for (size_t at = 0; at < probed->length; at += sizeof(int64_t)) {
    int64_t id;
    memcpy(&id, probed->data + at, sizeof id);
    for (uint32_t i = 0; i < tracking->connection_count; i++) {
      as_connection *each = &tracking->connections[i];
      if (each->greeting.identity.id != id) continue;
      if (each->track_state == AS_TRACK_ANSWERED)
        become_tracked(tracking, each, now_ms);
      else if (each->track_state == AS_TRACK_ASKED)
        each->track_state = AS_TRACK_TOLD;
    }
  }
  as_buffer_clear(probed);
}

/* Whether the server is the same run for both. */
static bool is_in_run(const as_tracking *tracking, const as_connection *connection) {
  const char *run_id = tracking->subscriber.greeting.identity.run_id;
  return strcmp(run_id, connection->greeting.identity.run_id) == 0;
}

void as_tracking_settle(as_tracking *tracking, double now_ms) {
  bool is_ready = as_subscriber_is_ready(&tracking->subscriber);
  bool is_wanted = false;
  if (is_ready && tracking->was_ready) take_probes(tracking, now_ms);
  for (uint32_t i = 0; i < tracking->connection_count; i++) {
    as_connection *each = &tracking->connections[i];
    is_wanted = is_wanted || each->is_stream_ready;
    /* What was watched was told to another subscriber, whose loss has flushed all. */
    if (!is_ready || !tracking->was_ready) {
      each->track_state = AS_TRACK_NONE;
      each->track_stream = 0;
    }
    if (is_ready && each->state == AS_CONNECTION_READY &&
        each->track_state == AS_TRACK_NONE && !each->is_retiring &&
        is_in_run(tracking, each))
      ask(tracking, each, now_ms);
  }
  tracking->was_ready = is_ready;
  as_subscriber_want(&tracking->subscriber, is_wanted, now_ms);
}

/* ---- time -------------------------------------------------------------------------- */

static double due_ms(const as_connection *connection) {
  return connection->track_state == AS_TRACK_NONE ? INFINITY : connection->track_due_ms;
}

void as_tracking_on_time(as_tracking *tracking, double now_ms) {
  as_subscriber_on_time(&tracking->subscriber, now_ms);
  for (uint32_t i = 0; i < tracking->connection_count; i++) {
    as_connection *each = &tracking->connections[i];
    if (now_ms < due_ms(each)) continue;
    if (is_tracked(each) && each->is_check_owed) {
      each->is_check_overdue = true;
      each->track_due_ms = now_ms + tracking->check_ms;
    } else if (is_tracked(each)) {
      check(tracking, each, now_ms);
    } else {
      if (each->track_state == AS_TRACK_ASKED || each->track_state == AS_TRACK_ANSWERED)
        note_failed_probe(tracking, as_slice_text(NOT_TOLD));
      each->track_state = AS_TRACK_NONE;
    }
  }
  as_tracking_settle(tracking, now_ms);
}

double as_tracking_deadline_ms(const as_tracking *tracking) {
  double deadline_ms = as_subscriber_deadline_ms(&tracking->subscriber);
  for (uint32_t i = 0; i < tracking->connection_count; i++)
    deadline_ms = fmin(deadline_ms, due_ms(&tracking->connections[i]));
  return deadline_ms;
}

bool as_tracking_is_live(const as_tracking *tracking, double now_ms) {
  const as_subscriber *subscriber = &tracking->subscriber;
  if (!as_subscriber_is_ready(subscriber) || subscriber->is_ping_owed) return false;
  if (now_ms >= subscriber->ping_at_ms) return false;
  for (uint32_t i = 0; i < tracking->connection_count; i++) {
    const as_connection *each = &tracking->connections[i];
    if (is_tracked(each) && each->is_check_overdue) return false;
  }
  return true;
}
