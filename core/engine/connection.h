/* SPDX-License-Identifier: MIT */
/* as_connection is one ordered stream to one server: a queue of requests, their bytes,
 * and the state of the socket that the driver holds for it.
 *
 *   IDLE ----submit----> CONNECTING ---connected--> GREETING ---answered--> READY
 *    ^                      ^   |                      |                      |
 *    |                      |   | closed               | closed, refused      | closed,
 *    | nothing queued       |   v                      v                      | broken,
 *    +------------------- BACKOFF <-----------------------------------------+ old
 *
 * What is submitted in IDLE soon after an attempt has failed waits in BACKOFF, too: a
 * server that is away, full or refuses us is not asked anew by each of many calls.
 *
 * Rules (PROTOCOL section 1):
 * - A slot in the queue is given up only when its reply came or its stream is gone; an
 *   abandoned operation keeps its place and its reply is dropped.
 * - The request bytes of an operation are kept until its reply came. When the stream
 *   breaks, they are sent again on the next one, in the same order: every write carries a
 *   token that makes a second arrival harmless. Before that, the broken connection is
 *   killed, so that none of its bytes can execute later.
 * - When the old stream cannot be killed, what was sent on it ends as `timeout`, and
 *   lanes with writes among that refuse writes for quarantine_ms: until then bytes of the
 *   old stream may still be executed.
 * - An operation no byte of which went out fails as `unavailable` when the server cannot
 *   be reached; one that was sent waits for the next stream until its deadline, and all
 *   do when the server says that it will serve us later (LOADING, BUSY).
 */
#ifndef AS_ENGINE_CONNECTION_H
#define AS_ENGINE_CONNECTION_H

#include "engine/greeting.h"
#include "engine/lane.h"
#include "engine/operation.h"
#include "engine/resp.h"

typedef enum as_connection_state {
  AS_CONNECTION_IDLE,
  AS_CONNECTION_CONNECTING, /* the driver was, or is about to be, asked to connect */
  AS_CONNECTION_GREETING,
  AS_CONNECTION_READY,
  AS_CONNECTION_CLOSING, /* the driver was, or is about to be, asked to close */
  AS_CONNECTION_BACKOFF  /* waits before it connects again */
} as_connection_state;

struct as_tracking;

/* Whether the server watches what is read over the present stream; see tracking.h. */
typedef enum as_track_state {
  AS_TRACK_NONE,
  AS_TRACK_ASKED,
  AS_TRACK_ANSWERED,
  AS_TRACK_TOLD,
  AS_TRACK_PAUSED,
  AS_TRACK_TRACKED
} as_track_state;

typedef struct as_connection_config {
  as_greeting_config greeting;
  const char *connect_hint;  /* behind the words that nobody answers; NULL: none */
  double connect_timeout_ms; /* for the socket and the greeting together */
  double health_timeout_ms;  /* silence while replies are owed */
  double
      max_age_ms; /* an older stream is replaced when nothing is owed; INFINITY: none */
  bool retries;   /* what the server says to do later is done again */
  double longest_backoff_ms; /* between attempts to connect, at most; 0: a second */
  double quarantine_ms; /* how long a lane refuses writes after a stream that had some of
                           its writes could not be killed */
  uint64_t seed;        /* of the jitter between attempts to connect */
} as_connection_config;

typedef struct as_connection {
  const as_connection_config *config; /* NULL: not there */
  uint32_t number;                    /* in its pool */
  as_operations *operations;          /* borrowed, like the lanes; the engine owns them */
  as_lanes *lanes;
  as_connection_state state;
  bool is_action_due;    /* CONNECTING or CLOSING: the driver has not been told yet */
  as_list queue;         /* as_request, oldest first */
  uint32_t owed;         /* operations in it */
  uint32_t reloads_owed; /* requests in it that load the scripts again: 0 or 1 */
  as_list_node *unsent;  /* the first in it no byte of which is written; its end: none */
  bool has_unwanted;     /* some of those are abandoned */
  uint32_t resend_round; /* of asking which writes are sent again */
  as_buffer output;      /* request bytes from stream position output_begin on */
  uint64_t output_begin;
  uint64_t submitted; /* bytes before this position may be sent */
  uint64_t written;   /* bytes before this position were sent on this stream */
  as_resp_reader reader;
  as_greeting greeting;
  as_client_identity victim; /* a broken stream whose bytes may still be on their way */
  bool has_victim;           /* it must be killed before anything is sent again */
  bool is_stream_ready;      /* the stream was greeted, and is not closed yet */
  bool has_progressed;       /* an operation was answered on this stream */
  bool is_put_off;  /* the last stream was refused for now: all wait for the next */
  bool is_retiring; /* it sends no more, and is closed once all is answered */
  double retire_at_ms;
  double connect_deadline_ms;
  double silent_since_ms; /* last byte received, or first byte owed an answer */
  double retry_at_ms;     /* no earlier attempt to connect */
  double backoff_ms;
  uint64_t random;        /* state of the jitter */
  as_status close_status; /* of what fails, and why: the last failure of a stream */
  as_buffer close_reason;
  struct as_tracking *tracking; /* NULL: nothing is tracked */
  as_track_state track_state;
  uint32_t track_stream; /* TRACKED: its number, else 0 */
  double track_due_ms;   /* when it is checked, or asked again */
  bool is_check_owed;
  bool is_check_overdue; /* it is not answered when the next one is due */
  uint32_t streams;      /* statistics: how many were made ready */
  uint64_t bytes_out;    /* statistics: all bytes sent and received */
  uint64_t bytes_in;
} as_connection;

AS_MUST_USE as_status as_connection_init(as_connection *connection, as_mem *mem,
                                         const as_connection_config *config,
                                         as_operations *operations, as_lanes *lanes);
void as_connection_free(as_connection *connection);

/* Begins a request: what is appended to connection->output from now on belongs to
 * it, until submit or rollback. One at a time. */
void as_connection_begin(as_connection *connection, as_request *request);
void as_connection_rollback(as_connection *connection, as_request *request);
void as_connection_submit(as_connection *connection, as_request *request, double now_ms);

/* The bytes of a request of the queue, or of the one that is being submitted; valid until
 * the next event. */
as_slice as_connection_request_bytes(const as_connection *connection,
                                     const as_request *request);

/* Loads the scripts again, behind what is queued, unless that is queued already. False:
 * there are none, or no memory. */
bool as_connection_reload_scripts(as_connection *connection);

/* Begins an errand: its commands are appended to connection->output, then it is sent, in
 * its turn, or dropped. NULL: no memory. */
as_request *as_connection_begin_errand(as_connection *connection, as_errand errand);
void as_connection_send_errand(as_connection *connection, as_request *request,
                               uint32_t commands, double now_ms);
void as_connection_drop_errand(as_connection *connection, as_request *request);

/* Ends a request of a lane that stands neither in the queue nor in the output: its
 * callers are told, and it is gone. */
void as_connection_end(as_connection *connection, as_request *request, as_status status,
                       as_slice message, double now_ms);

/* The caller was told; the slot stays until its reply is read. A request that nobody
 * wants any more and that was not sent stays until the discard that must follow. */
void as_connection_abandon(as_connection *connection, as_operation *operation);

/* Takes the unwanted requests that were not sent out of the queue and the stream. One
 * pass for all, since many may reach their deadline together. */
void as_connection_discard(as_connection *connection);

/* Events; see engine.h. */
void as_connection_on_connected(as_connection *connection, double now_ms);
void as_connection_on_bytes(as_connection *connection, as_slice bytes, double now_ms);
void as_connection_on_written(as_connection *connection, size_t length, double now_ms);
void as_connection_on_closed(as_connection *connection, as_slice reason, double now_ms);
void as_connection_on_time(as_connection *connection, double now_ms);

/* Outputs; see engine.h. */
as_slice as_connection_next_write(const as_connection *connection);
double as_connection_deadline_ms(const as_connection *connection);

/* Why there is no ready stream: the reason of the last failure; empty when there is one
 * or none failed yet. Valid until the next event. */
as_slice as_connection_trouble(const as_connection *connection);

/* The status that goes with it; AS_ERR_UNAVAILABLE when there is none. */
AS_MUST_USE as_status as_connection_trouble_status(const as_connection *connection);

/* Gives back the memory of a stream that is empty. */
void as_connection_trim(as_connection *connection);

/* Request bytes of submitted operations that wait for a reply or to be sent. */
size_t as_connection_queued_bytes(const as_connection *connection);

/* Whether the queue, the stream positions and the slots agree; for tests. */
bool as_connection_validate(const as_connection *connection);

#endif
