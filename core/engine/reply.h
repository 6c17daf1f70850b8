/* SPDX-License-Identifier: MIT */
/* as_replies holds what the server answered to one operation: the nodes of its replies
 * in the order of the wire (an array, then its elements, depth first) over one run of
 * bytes. Reading is a walk with a cursor, so nothing but two growing blocks is needed.
 *
 *   *2 $3 foo *1 :7      nodes: ARRAY(2) STRING("foo") ARRAY(1) INTEGER(7)
 */
#ifndef AS_ENGINE_REPLY_H
#define AS_ENGINE_REPLY_H

#include "base/buffer.h"

typedef enum as_reply_type {
  AS_REPLY_STRING,
  AS_REPLY_STATUS,
  AS_REPLY_ERROR,
  AS_REPLY_INTEGER,
  AS_REPLY_NIL,
  AS_REPLY_ARRAY
} as_reply_type;

typedef struct as_reply {
  as_reply_type type;
  int64_t integer; /* INTEGER: the value; ARRAY: how many elements follow */
  size_t offset;   /* STRING, STATUS, ERROR: where its bytes begin */
  size_t length;
} as_reply;

typedef struct as_replies {
  as_buffer nodes; /* as_reply after as_reply */
  as_buffer bytes;
} as_replies;

void as_replies_init(as_replies *replies, as_mem *mem);
void as_replies_free(as_replies *replies);

/* Forgets all nodes; keeps the memory unless it is more than a usual reply needs. */
void as_replies_clear(as_replies *replies);

/* Forgets the nodes from index `count` on. */
void as_replies_truncate(as_replies *replies, size_t count);

static inline size_t as_replies_count(const as_replies *replies) {
  return replies->nodes.length / sizeof(as_reply);
}

/* The node at `index`; valid until the next push. */
static inline const as_reply *as_replies_at(const as_replies *replies, size_t index) {
  return (const as_reply *)(const void *)replies->nodes.data + index;
}

/* The bytes of a STRING, STATUS or ERROR node; valid until the next push. */
static inline as_slice as_replies_text(const as_replies *replies, const as_reply *reply) {
  if (reply->length == 0) return as_slice_of("", 0);
  return as_slice_of(replies->bytes.data + reply->offset, reply->length);
}

/* The index after the node at `index` and all below it. */
size_t as_replies_skip(const as_replies *replies, size_t index);

AS_MUST_USE as_status as_replies_push(as_replies *replies, as_reply_type type,
                                      int64_t integer, as_slice text);

#endif
