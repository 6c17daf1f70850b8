/* SPDX-License-Identifier: MIT */
/* A message is an array of "message", the channel, and an array of keys, or nil when all
 * keys are gone (FLUSHALL). In subscribed mode a PING is answered by an array, too. */
#include "engine/subscriber.h"

#include <math.h>
#include <stdlib.h>

enum {
  BACKOFF_FIRST_MS = 10,
  BACKOFF_LAST_MS = 1000,
  REFUSED_MS = 60000,
  PATIENCE = 3 /* times check_ms: then a silent connection is given up */
};

static const char *const CHANNEL = "__redis__:invalidate";

as_status as_subscriber_init(as_subscriber *subscriber, as_mem *mem,
                             const as_subscriber_config *config,
                             as_invalidations *invalidations) {
  memset(subscriber, 0, sizeof *subscriber);
  subscriber->config = *config;
  subscriber->config.greeting.script_count = 0;
  subscriber->config.greeting.database = 0;
  subscriber->invalidations = invalidations;
  as_greeting_init(&subscriber->greeting, mem, &subscriber->config.greeting);
  as_replies_init(&subscriber->message, mem);
  as_buffer_init(&subscriber->output, mem);
  as_buffer_init(&subscriber->probed, mem);
  return as_resp_reader_init(&subscriber->reader, mem);
}

void as_subscriber_free(as_subscriber *subscriber) {
  as_greeting_free(&subscriber->greeting);
  as_replies_free(&subscriber->message);
  as_buffer_free(&subscriber->output);
  as_buffer_free(&subscriber->probed);
  as_resp_reader_free(&subscriber->reader);
}

static void start_connecting(as_subscriber *subscriber, double now_ms) {
  subscriber->state = AS_SUBSCRIBER_CONNECTING;
  subscriber->is_action_due = true;
  subscriber->connect_deadline_ms = now_ms + subscriber->config.connect_timeout_ms;
}

void as_subscriber_want(as_subscriber *subscriber, bool is_wanted, double now_ms) {
  subscriber->is_wanted = is_wanted;
  if (!is_wanted || subscriber->state != AS_SUBSCRIBER_IDLE) return;
  if (subscriber->retry_at_ms > now_ms)
    subscriber->state = AS_SUBSCRIBER_BACKOFF;
  else
    start_connecting(subscriber, now_ms);
}

static bool is_open(const as_subscriber *subscriber) {
  return subscriber->state == AS_SUBSCRIBER_GREETING ||
         subscriber->state == AS_SUBSCRIBER_SUBSCRIBING ||
         subscriber->state == AS_SUBSCRIBER_READY;
}

void as_subscriber_break(as_subscriber *subscriber, const char *why) {
  if (subscriber->state == AS_SUBSCRIBER_READY)
    as_invalidations_put_flush(subscriber->invalidations, why);
  if (!is_open(subscriber) && subscriber->state != AS_SUBSCRIBER_CONNECTING) return;
  subscriber->state = AS_SUBSCRIBER_CLOSING;
  subscriber->is_action_due = true;
}

void as_subscriber_refuse(as_subscriber *subscriber, as_slice words, double now_ms) {
  as_invalidations_put_refused(subscriber->invalidations, words);
  subscriber->retry_at_ms = now_ms + REFUSED_MS;
  as_subscriber_break(subscriber, "refused");
}

/* ---- messages ---------------------------------------------------------------------- */

static bool take_probe(as_subscriber *subscriber, as_slice key) {
  as_slice prefix = subscriber->config.probe_prefix;
  char digits[24];
  if (key.length <= prefix.length || key.length - prefix.length >= sizeof digits)
    return false;
  if (memcmp(key.data, prefix.data, prefix.length) != 0) return false;
  size_t length = key.length - prefix.length;
  memcpy(digits, key.data + prefix.length, length);
  digits[length] = '\0';
  int64_t id = strtoll(digits, NULL, 10);
  /* Without memory the probe is made again. */
  (void)!as_buffer_append(&subscriber->probed, &id, sizeof id);
  return true;
}

/* Whether the node at `index` is this text. */
static bool says(const as_replies *message, size_t index, const char *text) {
  if (index >= as_replies_count(message)) return false;
  const as_reply *node = as_replies_at(message, index);
  return node->type == AS_REPLY_STRING &&
         as_slice_equals(as_replies_text(message, node), as_slice_text(text));
}

static void take_keys(as_subscriber *subscriber) {
  const as_replies *message = &subscriber->message;
  for (size_t i = 4; i < as_replies_count(message); i++) {
    as_slice key = as_replies_text(message, as_replies_at(message, i));
    if (!take_probe(subscriber, key))
      as_invalidations_put_key(subscriber->invalidations, key);
  }
}

/* BUSY, MISCONF and the like answer a PING as well. */
static bool is_error(const as_replies *message) {
  return as_replies_at(message, 0)->type == AS_REPLY_ERROR;
}

static void take_message(as_subscriber *subscriber) {
  const as_replies *message = &subscriber->message;
  size_t count = as_replies_count(message);
  bool is_answer = says(message, 1, "pong") || is_error(message);
  if (is_answer && subscriber->is_ping_owed) {
    subscriber->is_ping_owed = false;
    subscriber->ping_at_ms = subscriber->asked_ms + subscriber->config.check_ms;
  } else if (says(message, 1, "message") && says(message, 2, CHANNEL) && count > 3) {
    if (as_replies_at(message, 3)->type == AS_REPLY_ARRAY)
      take_keys(subscriber);
    else
      as_invalidations_put_flush(subscriber->invalidations, "flushed");
  } else {
    as_subscriber_break(subscriber, "subscriber");
  }
}

static void take_subscription(as_subscriber *subscriber, double now_ms) {
  const as_replies *message = &subscriber->message;
  const as_reply *first = as_replies_at(message, 0);
  if (first->type == AS_REPLY_ERROR) {
    as_subscriber_refuse(subscriber, as_replies_text(message, first), now_ms);
  } else if (!says(message, 1, "subscribe")) {
    as_subscriber_break(subscriber, "subscriber");
  } else {
    subscriber->state = AS_SUBSCRIBER_READY;
    subscriber->backoff_ms = 0;
    subscriber->ping_at_ms = subscriber->asked_ms + subscriber->config.check_ms;
  }
}

/* Who cannot be named cannot be redirected to, and without a run_id nobody knows whether
 * the name is one of this run. */
static void end_greeting(as_subscriber *subscriber, double now_ms) {
  const as_client_identity *identity = &subscriber->greeting.identity;
  if (identity->id == 0 || identity->run_id[0] == '\0') {
    as_subscriber_refuse(subscriber, as_slice_text("CLIENT ID or INFO is not allowed"),
                         now_ms);
    return;
  }
  subscriber->state = AS_SUBSCRIBER_SUBSCRIBING;
  subscriber->asked_ms = now_ms;
  if (as_resp_write_words(&subscriber->output, "SUBSCRIBE", CHANNEL, NULL) != AS_OK)
    as_subscriber_break(subscriber, "subscriber");
}

static void take_greeting(as_subscriber *subscriber, double now_ms) {
  switch (as_greeting_on_reply(&subscriber->greeting)) {
    case AS_GREETING_CONTINUES:
      return;
    case AS_GREETING_DONE:
    case AS_GREETING_DONE_KILL_REFUSED:
      end_greeting(subscriber, now_ms);
      return;
    case AS_GREETING_FAILED: /* data connections say why */
      as_subscriber_break(subscriber, "subscriber");
      return;
  }
}

/* Whether there was a whole reply. */
static bool read_one(as_subscriber *subscriber, double now_ms) {
  bool is_greeting = subscriber->state == AS_SUBSCRIBER_GREETING;
  as_replies *target = is_greeting ? &subscriber->greeting.reply : &subscriber->message;
  bool is_complete;
  if (as_resp_reader_next(&subscriber->reader, target, &is_complete) != AS_OK) {
    as_subscriber_break(subscriber, "subscriber");
    return false;
  }
  if (!is_complete) return false;
  if (is_greeting) {
    take_greeting(subscriber, now_ms);
    return true;
  }
  if (subscriber->state == AS_SUBSCRIBER_SUBSCRIBING)
    take_subscription(subscriber, now_ms);
  else
    take_message(subscriber);
  as_replies_clear(&subscriber->message);
  return true;
}

/* ---- events ------------------------------------------------------------------------ */

void as_subscriber_on_connected(as_subscriber *subscriber, double now_ms) {
  (void)now_ms;
  if (subscriber->state != AS_SUBSCRIBER_CONNECTING) return;
  subscriber->state = AS_SUBSCRIBER_GREETING;
  as_replies_clear(&subscriber->message);
  as_buffer_clear(&subscriber->output);
  as_buffer_clear(&subscriber->probed);
  subscriber->written = 0;
  subscriber->is_ping_owed = false;
  as_status status = as_resp_reader_reset(&subscriber->reader);
  if (status == AS_OK) status = as_greeting_begin(&subscriber->greeting, NULL);
  if (status != AS_OK) as_subscriber_break(subscriber, "subscriber");
}

void as_subscriber_on_bytes(as_subscriber *subscriber, as_slice bytes, double now_ms) {
  subscriber->bytes_in += bytes.length;
  if (!is_open(subscriber)) return;
  if (as_resp_reader_feed(&subscriber->reader, bytes) != AS_OK) {
    as_subscriber_break(subscriber, "subscriber");
    return;
  }
  while (is_open(subscriber) && read_one(subscriber, now_ms)) continue;
}

void as_subscriber_on_written(as_subscriber *subscriber, size_t length) {
  subscriber->bytes_out += length;
  if (subscriber->state == AS_SUBSCRIBER_GREETING) {
    subscriber->greeting.written += length;
    return;
  }
  subscriber->written += length;
  if (subscriber->written < subscriber->output.length) return;
  as_buffer_clear(&subscriber->output);
  subscriber->written = 0;
}

void as_subscriber_on_closed(as_subscriber *subscriber, double now_ms) {
  if (subscriber->state == AS_SUBSCRIBER_IDLE ||
      subscriber->state == AS_SUBSCRIBER_BACKOFF)
    return;
  bool was_ready = subscriber->state == AS_SUBSCRIBER_READY;
  if (was_ready) as_invalidations_put_flush(subscriber->invalidations, "subscriber");
  subscriber->is_action_due = false;
  subscriber->is_ping_owed = false;
  if (subscriber->retry_at_ms <= now_ms) {
    subscriber->backoff_ms =
        fmin(fmax(2 * subscriber->backoff_ms, BACKOFF_FIRST_MS), BACKOFF_LAST_MS);
    subscriber->retry_at_ms = now_ms + (was_ready ? 0 : subscriber->backoff_ms);
  }
  subscriber->state = AS_SUBSCRIBER_IDLE;
  as_subscriber_want(subscriber, subscriber->is_wanted, now_ms);
}

static void ping(as_subscriber *subscriber, double now_ms) {
  if (subscriber->is_ping_owed ||
      as_resp_write_words(&subscriber->output, "PING", NULL) != AS_OK) {
    as_subscriber_break(subscriber, "silence");
    return;
  }
  subscriber->is_ping_owed = true;
  subscriber->asked_ms = now_ms;
  subscriber->ping_at_ms = now_ms + PATIENCE * subscriber->config.check_ms;
}

void as_subscriber_on_time(as_subscriber *subscriber, double now_ms) {
  if (now_ms < as_subscriber_deadline_ms(subscriber)) return;
  if (subscriber->state == AS_SUBSCRIBER_READY) {
    ping(subscriber, now_ms);
  } else if (subscriber->state == AS_SUBSCRIBER_BACKOFF) {
    subscriber->state = AS_SUBSCRIBER_IDLE;
    as_subscriber_want(subscriber, subscriber->is_wanted, now_ms);
  } else {
    as_subscriber_break(subscriber, "subscriber");
  }
}

as_slice as_subscriber_next_write(const as_subscriber *subscriber) {
  const as_greeting *greeting = &subscriber->greeting;
  if (subscriber->state == AS_SUBSCRIBER_GREETING)
    return as_slice_of(greeting->bytes.data + greeting->written,
                       greeting->bytes.length - greeting->written);
  if (!is_open(subscriber)) return as_slice_of("", 0);
  return as_slice_of(subscriber->output.data + subscriber->written,
                     subscriber->output.length - subscriber->written);
}

double as_subscriber_deadline_ms(const as_subscriber *subscriber) {
  switch (subscriber->state) {
    case AS_SUBSCRIBER_CONNECTING:
    case AS_SUBSCRIBER_GREETING:
    case AS_SUBSCRIBER_SUBSCRIBING:
      return subscriber->connect_deadline_ms;
    case AS_SUBSCRIBER_READY:
      return subscriber->ping_at_ms;
    case AS_SUBSCRIBER_BACKOFF:
      return subscriber->is_wanted ? subscriber->retry_at_ms : INFINITY;
    case AS_SUBSCRIBER_IDLE:
    case AS_SUBSCRIBER_CLOSING:
      return INFINITY;
  }
  return INFINITY;
}

bool as_subscriber_is_owed(const as_subscriber *subscriber) {
  return (is_open(subscriber) && !as_subscriber_is_ready(subscriber)) ||
         subscriber->is_ping_owed || as_subscriber_next_write(subscriber).length > 0;
}
