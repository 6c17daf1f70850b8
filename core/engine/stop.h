/* SPDX-License-Identifier: MIT */
/* Stopping a lane: what becomes of its requests when the server did not carry one out and
 * may do so later. See lane.h for the rule. */
#ifndef AS_ENGINE_STOP_H
#define AS_ENGINE_STOP_H

#include "engine/connection.h"

/* All replies of a request of the connection's queue, its first, are there. Takes it back
 * if the server asks for that, or if its lane is stopped and it may be sent again. False:
 * it is complete, with the replies that it has. */
bool as_stop_take_back(as_connection *connection, as_request *request, double now_ms);

/* The stream is gone: takes back a request of a stopped lane, which would overtake the
 * parked ones. False: it stays in the queue. */
bool as_stop_take_along(as_connection *connection, as_request *request);

/* The stream that is gone could not be killed: writes that were taken along and may still
 * be executed end as `timeout`, with these words. */
void as_stop_fail_sent(as_connection *connection, as_slice words, double now_ms);

/* Parks a request that was just written to the end of the output, in a lane that is
 * stopped. Without memory it completes as such. */
void as_stop_park_new(as_connection *connection, as_request *request, double now_ms);

/* Sends what is parked in a stopped lane, if its time has come. */
void as_stop_end_if_due(as_connection *connection, as_lane *lane, double now_ms);

/* When end_if_due will do something; INFINITY: not before a reply comes. */
double as_stop_deadline_ms(const as_lane *lane);

/* Gives back what is parked, when all ends. */
void as_stop_drop(as_operations *operations, as_lanes *lanes, as_lane *lane);

#endif
