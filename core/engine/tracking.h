/* SPDX-License-Identifier: MIT */
/* as_tracking lets the server watch what is read over the connections of a pool
 * (PROTOCOL 4): the subscriber, on which it tells what others have changed, and what each
 * connection must say for that.
 *
 *   NONE      the subscriber or the connection is not there
 *   ASKED     both are, in one run of the server: CLIENT TRACKING ON REDIRECT
 *             <subscriber>, the probe key is read, made and removed in one step, and from
 *             then on what we change ourselves is not told (NOLOOP)
 *   ANSWERED  the server has done so; the subscriber was not told of the probe key yet
 *   TOLD      the other way round
 *   TRACKED   both: what is read from now on is watched
 *   PAUSED    the server cannot do so now, or was told CLIENT TRACKING OFF: it is asked
 *             again after check_ms
 *
 * A tracked connection is asked every check_ms whether it still is (CLIENT TRACKINGINFO).
 * Each time a connection becomes tracked it gets another stream number. */
#ifndef AS_ENGINE_TRACKING_H
#define AS_ENGINE_TRACKING_H

#include "engine/connection.h"
#include "engine/subscriber.h"

typedef struct as_tracking {
  as_subscriber subscriber;
  as_invalidations invalidations;
  as_connection *connections; /* those of the pool */
  uint32_t connection_count;
  double check_ms;
  uint32_t streams;       /* numbers that were given out */
  uint32_t failed_probes; /* in a row; refusals for now count, too */
  bool was_ready;         /* the subscriber, when it was last looked at */
} as_tracking;

/* `connections` are borrowed, and are told of the tracking. */
AS_MUST_USE as_status as_tracking_init(as_tracking *tracking, as_mem *mem,
                                       const as_subscriber_config *config,
                                       as_connection *connections, uint32_t count);
void as_tracking_free(as_tracking *tracking);

/* To be called after each event of the subscriber or of a connection. */
void as_tracking_settle(as_tracking *tracking, double now_ms);

/* All replies of an errand of tracking are there. */
void as_tracking_on_errand(as_connection *connection, const as_request *request,
                           double now_ms);

/* The stream of a connection is gone. */
void as_tracking_on_lost(as_connection *connection);

/* What is sent next over a connection is not watched, nor what was read before. For
 * scripts with very many keys: redis notes all KEYS anew for each command in it that
 * reads, which for thousands of them keeps the server busy for seconds. */
void as_tracking_pause(as_connection *connection, double now_ms);

void as_tracking_on_time(as_tracking *tracking, double now_ms);
double as_tracking_deadline_ms(const as_tracking *tracking);

/* Whether the server tells us now what changes, as far as we know. */
bool as_tracking_is_live(const as_tracking *tracking, double now_ms);

#endif
