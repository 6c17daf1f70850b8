/* SPDX-License-Identifier: MIT */
/* as_request is what goes over the wire together: one or more commands, and the replies
 * they get. It serves the operations of one or more callers, who each wait for a part of
 * the replies.
 *
 *   COMMANDS   whatever one caller asked for; MULTI and EXEC around it when is_atomic
 *   READ       HMGET of one or more hashes of a lane, joined from the reads of many
 *              callers, and at the end the generation of the session (PROTOCOL 3.4)
 *   WRITE      MULTI, HSET and HDEL of one or more hashes of a lane, joined from the
 *              plain writes of many callers, the new version, EXISTS of all keys, EXEC
 *
 *   collected in a lane ---sealed---> in a connection's queue ---answered---> kept until
 *   its last operation is released ---> free */
#ifndef AS_ENGINE_REQUEST_H
#define AS_ENGINE_REQUEST_H

#include "base/list.h"
#include "engine/reply.h"

struct as_lane;

typedef enum as_request_kind {
  AS_REQUEST_COMMANDS,
  AS_REQUEST_READ,
  AS_REQUEST_WRITE
} as_request_kind;

/* What a connection says for itself: nobody waits for it, and it is not said again on
 * another stream. */
typedef enum as_errand {
  AS_ERRAND_NONE,
  AS_ERRAND_SCRIPTS, /* the scripts are loaded again */
  AS_ERRAND_TRACK,   /* see tracking.h, like the next two */
  AS_ERRAND_CHECK,
  AS_ERRAND_PAUSE
} as_errand;

typedef struct as_request {
  as_list_node node;    /* among those collected, in its connection's queue, or free */
  as_list operations;   /* as_operation through request_node, in order of submission */
  struct as_lane *lane; /* whose order it keeps; NULL: nobody's */
  uint32_t connection;  /* whose queue it stands in, or will */
  as_request_kind kind;
  as_errand errand;         /* for the connection itself */
  bool is_atomic;           /* wrapped in MULTI and EXEC */
  bool is_queued;           /* collected, or in a queue: replies are owed, or will be */
  bool is_sealed;           /* its bytes stand in the connection's output */
  bool is_write;            /* it may change what is stored */
  bool is_parked;           /* it waits in its stopped lane, to be sent again */
  bool is_unwanted;         /* nobody wants it, and no byte of it is on this stream */
  bool asks_generation;     /* READ: the last command asks for it */
  uint32_t wanted;          /* operations that no caller gave up */
  uint32_t commands;        /* replies that matter */
  uint32_t joined;          /* operations that were ever joined */
  uint32_t attempts;        /* streams on which any byte of it went out */
  double sent_ms;           /* when its first byte went out last; 0: never */
  uint32_t script_reloads;  /* how often its scripts had to be loaded again */
  uint32_t replies_seen;    /* replies read from the wire so far */
  uint32_t commands_walked; /* measured, while it is sent in parts */
  size_t replies_counted;   /* nodes of those replies that matter */
  uint64_t walked_bytes;    /* length of the commands walked */
  uint64_t begin; /* its bytes in the connection's output stream: [begin, end) */
  uint64_t end;
  as_list collections; /* as_collection through node, while it is collected */
  as_buffer touched;   /* WRITE: by operation, the numbers (uint32_t) of its commands;
                          while it is collected, twice the number of the collection, and
                          one more for its HDEL. READ: room to deal out replies */
  as_buffer bytes;     /* while it is parked: what is to be sent */
  as_replies replies;
} as_request;

/* The requests that are free. Owns those; the others have one owner each. */
typedef struct as_requests {
  as_mem *mem;
  as_list free;
} as_requests;

void as_requests_init(as_requests *requests, as_mem *mem);
void as_requests_free(as_requests *requests);

/* A request, all fields as new. */
AS_MUST_USE as_status as_requests_take(as_requests *requests, as_request **out_request);

/* Gives a request back: it serves no operation and stands in no queue. */
void as_requests_give(as_requests *requests, as_request *request);

/* Frees one that will not be given back, when all ends. */
void as_request_del(as_mem *mem, as_request *request);

/* Whether it is a plain write that went out on a stream, and may have been carried out.
 */
static inline bool as_request_is_sent_write(const as_request *request) {
  return request->kind == AS_REQUEST_WRITE && request->attempts > 0;
}

/* Forgets the replies read so far: the request will be sent again. */
void as_request_forget_replies(as_request *request);

/* How many replies the wire brings for it. */
uint32_t as_request_wire_replies(const as_request *request);

#endif
