/* SPDX-License-Identifier: MIT */
/* as_invalidations is what a near cache must be told, in the order in which it came:
 *
 *   KEY      somebody else has changed this key
 *   LOST     what was read over this stream is not watched any more
 *   FLUSH    nothing is watched any more, or all has changed; why
 *   REFUSED  the server does not let us watch; its words
 *
 * It is bounded: when nobody takes it, one FLUSH stands for all. */
#ifndef AS_ENGINE_INVALIDATIONS_H
#define AS_ENGINE_INVALIDATIONS_H

#include "engine/reply.h"

typedef enum as_invalidation_kind {
  AS_INVALIDATION_KEY,
  AS_INVALIDATION_LOST,
  AS_INVALIDATION_FLUSH,
  AS_INVALIDATION_REFUSED
} as_invalidation_kind;

/* `text` is valid until the next put or clear. */
typedef struct as_invalidation {
  as_invalidation_kind kind;
  as_slice text;   /* KEY, REFUSED; FLUSH: why, a word */
  uint32_t stream; /* LOST */
} as_invalidation;

typedef struct as_invalidations {
  as_replies list;
  bool is_incomplete; /* some were dropped */
} as_invalidations;

void as_invalidations_init(as_invalidations *invalidations, as_mem *mem);
void as_invalidations_free(as_invalidations *invalidations);

/* Without memory, and beyond the bound, the list is incomplete. */
void as_invalidations_put_key(as_invalidations *invalidations, as_slice key);
void as_invalidations_put_lost(as_invalidations *invalidations, uint32_t stream);
void as_invalidations_put_flush(as_invalidations *invalidations, const char *why);
void as_invalidations_put_refused(as_invalidations *invalidations, as_slice words);

/* How many there are, the FLUSH for dropped ones included. */
size_t as_invalidations_count(const as_invalidations *invalidations);

/* The one at `index`, from 0 on. */
as_invalidation as_invalidations_at(const as_invalidations *invalidations, size_t index);

void as_invalidations_clear(as_invalidations *invalidations);

#endif
