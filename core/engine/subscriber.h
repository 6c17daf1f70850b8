/* SPDX-License-Identifier: MIT */
/* as_subscriber is the connection on which the server tells which keys of ours others
 * have changed. It says AUTH, CLIENT ID, INFO, then SUBSCRIBE __redis__:invalidate, and
 * from then on only PING.
 *
 *   IDLE --wanted--> CONNECTING --> GREETING --> SUBSCRIBING --> READY
 *    ^                   |             |              |            |
 *    +---- not wanted --- BACKOFF <----+--------------+------------+
 *
 * A server that refuses is asked again after a minute. An answer tells what was so when
 * it was asked: check_ms after that, and while there is none, what was read may have
 * changed without our knowing. */
#ifndef AS_ENGINE_SUBSCRIBER_H
#define AS_ENGINE_SUBSCRIBER_H

#include "engine/greeting.h"
#include "engine/invalidations.h"
#include "engine/resp.h"

typedef enum as_subscriber_state {
  AS_SUBSCRIBER_IDLE,
  AS_SUBSCRIBER_CONNECTING,
  AS_SUBSCRIBER_GREETING,
  AS_SUBSCRIBER_SUBSCRIBING,
  AS_SUBSCRIBER_READY,
  AS_SUBSCRIBER_CLOSING,
  AS_SUBSCRIBER_BACKOFF
} as_subscriber_state;

typedef struct as_subscriber_config {
  as_greeting_config greeting; /* without scripts and database */
  as_slice probe_prefix; /* keys that begin so are not told to the cache; borrowed */
  double connect_timeout_ms;
  double check_ms;
} as_subscriber_config;

typedef struct as_subscriber {
  as_subscriber_config config;
  as_subscriber_state state;
  bool is_action_due;
  bool is_wanted;    /* somebody reads what it is to watch */
  bool is_ping_owed; /* no answer to the last PING yet */
  as_greeting greeting;
  as_resp_reader reader;
  as_replies message;
  as_buffer output;
  size_t written;
  as_invalidations *invalidations; /* borrowed */
  as_buffer probed;                /* int64_t: ids in the names of probe keys */
  double connect_deadline_ms;
  double asked_ms;   /* when the last PING, or SUBSCRIBE, was said */
  double ping_at_ms; /* READY: the next one, or when the last one's answer is overdue */
  double retry_at_ms;
  double backoff_ms;
  uint64_t bytes_out; /* statistics: all bytes sent and received */
  uint64_t bytes_in;
} as_subscriber;

AS_MUST_USE as_status as_subscriber_init(as_subscriber *subscriber, as_mem *mem,
                                         const as_subscriber_config *config,
                                         as_invalidations *invalidations);
void as_subscriber_free(as_subscriber *subscriber);

/* Connects, if it does not yet, and stays connected; or need not any more. */
void as_subscriber_want(as_subscriber *subscriber, bool is_wanted, double now_ms);

/* The server refused something that tracking needs. */
void as_subscriber_refuse(as_subscriber *subscriber, as_slice words, double now_ms);

/* Gives the connection up; `why` is that of the flush. */
void as_subscriber_break(as_subscriber *subscriber, const char *why);

static inline bool as_subscriber_is_ready(const as_subscriber *subscriber) {
  return subscriber->state == AS_SUBSCRIBER_READY;
}

/* Events and outputs; see engine.h. */
void as_subscriber_on_connected(as_subscriber *subscriber, double now_ms);
void as_subscriber_on_bytes(as_subscriber *subscriber, as_slice bytes, double now_ms);
void as_subscriber_on_written(as_subscriber *subscriber, size_t length);
void as_subscriber_on_closed(as_subscriber *subscriber, double now_ms);
void as_subscriber_on_time(as_subscriber *subscriber, double now_ms);
as_slice as_subscriber_next_write(const as_subscriber *subscriber);
double as_subscriber_deadline_ms(const as_subscriber *subscriber);

/* Whether it has something to send, or waits for an answer. */
bool as_subscriber_is_owed(const as_subscriber *subscriber);

#endif
