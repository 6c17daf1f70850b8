/* SPDX-License-Identifier: MIT */
/* as_lane keeps the order of one session: everything that is submitted in it goes over
 * one connection, in the order of submission. It moves to another connection only when
 * none of its requests is owed a reply and nothing of it can still be on its way to the
 * server.
 *
 * When the server says that it did not carry out a request, and that it may later
 * (LOADING, BUSY, NOSCRIPT, ...), the lane is stopped: what was sent behind the request
 * is taken back as its replies come, what is submitted waits, and all is sent again in
 * order (PROTOCOL 1.3). A write behind it that did take effect cannot be taken back; it
 * is complete, and what stood before it can no longer be done in order: that ends with
 * the server's words, not carried out.
 *
 * as_hash is a Redis hash of a lane. as_collection is what is asked of a hash between two
 * flushes: fields to read, or fields with values to set and fields to delete. */
#ifndef AS_ENGINE_LANE_H
#define AS_ENGINE_LANE_H

#include "base/buffer.h"
#include "base/list.h"
#include "base/map.h"
#include "engine/request.h"

enum { AS_LANE_UNPLACED = 0xFFFFFFFF };

typedef struct as_lane {
  as_list_node node; /* among the lanes of the engine */
  as_list hashes;    /* as_hash through node */
  as_request *open;  /* what is being collected in it, NULL when nothing */
  uint32_t connection;
  uint32_t owed;             /* its requests that are collected, in a queue or parked */
  uint32_t in_queue;         /* those in the connection's queue */
  uint32_t holders;          /* those who opened it and have not closed it */
  uint32_t code;             /* of its meta key */
  as_list_node bucket_node;  /* among those with a code like its own */
  as_buffer meta_key;        /* of the session */
  bool has_lost_writes;      /* in a stream that is gone and was not killed yet */
  double quarantine_ends_ms; /* until then it refuses writes; 0: it does not */
  uint32_t resend_round;     /* of its connection, in which a sent write stays; 0: none */
  bool is_resending;         /* a plain write went out a second time, on this stream */
  bool is_stopped;
  bool is_pausing;           /* stopped for pause_ms, not for want of a script alone */
  as_list_node stopped_node; /* among those that are stopped */
  as_list parked;            /* as_request through node: taken back, in stream order */
  as_list waiting;           /* as_request: submitted since, behind all taken back */
  double retry_at_ms;        /* when they are sent again, once in_queue is 0 */
  double pause_ms;           /* how long it was stopped the last time, in a row */
  as_status stop_status;     /* what the server said */
  as_buffer stop_reason;
} as_lane;

typedef struct as_hash {
  as_list_node node; /* among the hashes of its lane */
  as_lane *lane;
  as_buffer key;
  struct as_collection *open; /* NULL: nothing is asked of it now */
} as_hash;

typedef struct as_field_place {
  uint32_t offset; /* in fields, of the field's bytes */
  uint32_t length;
} as_field_place;

typedef struct as_collection {
  as_list_node node; /* among those of the request that is being collected, or free */
  as_hash *hash;
  as_buffer fields;    /* encoded arguments: READ: fields; WRITE: fields and values */
  as_buffer deletions; /* WRITE: encoded fields */
  as_buffer places;    /* READ: as_field_place by element */
  as_map elements;     /* READ: element by field */
  uint32_t field_count;
  uint32_t deletion_count;
  uint32_t number; /* among the collections of its request */
  uint32_t draft; /* the last draft that asked something of it; and what it had before: */
  size_t draft_fields;
  size_t draft_deletions;
  uint32_t draft_field_count;
  uint32_t draft_deletion_count;
} as_collection;

/* The lanes. Owns every lane, hash and collection. */
typedef struct as_lanes {
  as_mem *mem;
  as_list all;
  as_list free;         /* collections, through node */
  as_list *buckets;     /* as_lane through bucket_node, by code */
  size_t bucket_count;  /* a power of two, or 0 */
  uint32_t quarantines; /* lanes that are in quarantine */
  uint32_t losses;      /* lanes that have lost writes */
  as_list stopped;      /* as_lane through stopped_node */
  size_t parked_bytes;  /* of requests that are parked */
  uint32_t count;
} as_lanes;

void as_lanes_init(as_lanes *lanes, as_mem *mem);
void as_lanes_free(as_lanes *lanes);

/* The lane, held, of a session whose meta key is `meta_key` (copied): there is one at a
 * time, whoever holds it, since what is owed in it comes before what will be submitted.
 * An empty key is nobody's: a lane of its own. */
AS_MUST_USE as_status as_lanes_open(as_lanes *lanes, as_slice meta_key,
                                    as_lane **out_lane);

/* One who opened it is done with it, and with its hashes; it goes as soon as nobody holds
 * it, nothing is owed, and no lost write of it can still be executed. */
void as_lanes_close(as_lanes *lanes, as_lane *lane);

/* A stream is gone amid a write of this lane, whether anybody waits for it or not. */
void as_lanes_lose_write(as_lanes *lanes, as_lane *lane);

/* The lost stream of a connection was killed; or it could not be, and lanes that have
 * lost writes in it refuse writes until `quarantine_ends_ms` (0: it was killed). */
void as_lanes_end_losses(as_lanes *lanes, uint32_t connection, double quarantine_ends_ms);

/* Whether a lane refuses writes now. */
static inline bool as_lane_is_in_quarantine(const as_lane *lane, double now_ms) {
  return lane->quarantine_ends_ms > now_ms;
}

/* Ends quarantines whose time is over. */
void as_lanes_end_quarantines(as_lanes *lanes, double now_ms);

/* One of its requests is collected or queued; or no longer. */
void as_lane_owe(as_lane *lane);
void as_lanes_settle(as_lanes *lanes, as_lane *lane);

/* The hash of a lane with this key (copied); made when there is none. Valid as long as
 * the lane is held. */
AS_MUST_USE as_status as_lane_hash(as_lanes *lanes, as_lane *lane, as_slice key,
                                   as_hash **out_hash);

/* The collection of a hash; an empty one at the end of `request` when it has none. */
AS_MUST_USE as_status as_lanes_collect(as_lanes *lanes, as_hash *hash,
                                       as_request *request,
                                       as_collection **out_collection);

/* Gives back the memory of collections that are free. */
void as_lanes_trim(as_lanes *lanes);

/* Forgets a collection: it was sealed, or will not be. */
void as_lanes_forget(as_lanes *lanes, as_collection *collection);

#endif
