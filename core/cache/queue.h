/* SPDX-License-Identifier: MIT */
/* as_cache_queue is an order of entries, from the oldest to the newest, as a policy makes
 * it. It holds numbers, and never more than one place for each. What makes no sense has
 * no effect: to take out what is not in it, to put in what is no entry. So a faulty
 * policy harms itself alone.
 *
 * The slab has a link for each entry, which the first queue that the entry is put into
 * uses: most policies have it in one at a time. Only a queue into which an entry is put
 * that is in another one needs memory, for links of its own. */
#ifndef AS_CACHE_QUEUE_H
#define AS_CACHE_QUEUE_H

#include "cache/slab.h"

enum { AS_CACHE_UNLINKED = 0xFFFFFFFF };

typedef struct as_cache_queue {
  authstate_cache_queue seen;
  const as_cache_slab *slab;
  as_cache_link *links; /* by entry, of those whose link in the slab is another queue's */
  uint32_t capacity;    /* of these */
  uint8_t number;       /* by which entries name it */
} as_cache_queue;

/* An empty queue of entries of a slab, which outlives it. `number`: 1 to 127, not that of
 * another queue of the slab. */
void as_cache_queue_init(as_cache_queue *queue, const as_cache_slab *slab,
                         uint8_t number);
void as_cache_queue_free(as_cache_queue *queue);

/* Puts in an entry as the newest, also when it is in the queue. AS_ERR_OOM, where it is
 * in another queue too: unchanged. */
AS_MUST_USE as_status as_cache_queue_push(as_cache_queue *queue, uint32_t entry);

void as_cache_queue_remove(as_cache_queue *queue, uint32_t entry);

/* Makes an entry of the queue the newest; none that is not in it. */
void as_cache_queue_touch(as_cache_queue *queue, uint32_t entry);

/* Whether an entry, below `slots`, has its link in the slab for this queue. */
static inline bool as_cache_queue_owns(const as_cache_queue *queue, uint32_t entry) {
  uint8_t state = as_cache_slab_at(queue->slab, entry)->state;
  return (state & ~AS_CACHE_WITHHELD) == queue->number;
}

static inline bool as_cache_queue_has(const as_cache_queue *queue, uint32_t entry) {
  if (entry >= queue->slab->slots) return false;
  return as_cache_queue_owns(queue, entry) ||
         (entry < queue->capacity && queue->links[entry].older != AS_CACHE_UNLINKED);
}

/* The link of an entry of the queue. */
static inline as_cache_link *as_cache_queue_link(const as_cache_queue *queue,
                                                 uint32_t entry) {
  bool is_own = queue->capacity > 0 && !as_cache_queue_owns(queue, entry);
  return is_own ? &queue->links[entry] : &queue->slab->links[entry];
}

/* The neighbours of an entry; 0 at the end and for what is not in the queue. */
static inline uint32_t as_cache_queue_newer(const as_cache_queue *queue, uint32_t entry) {
  return as_cache_queue_has(queue, entry) ? as_cache_queue_link(queue, entry)->newer : 0;
}

static inline uint32_t as_cache_queue_older(const as_cache_queue *queue, uint32_t entry) {
  return as_cache_queue_has(queue, entry) ? as_cache_queue_link(queue, entry)->older : 0;
}

/* An entry has another size than before: so many bytes more. */
void as_cache_queue_resize(as_cache_queue *queue, uint32_t entry, double more_bytes);

/* Whether both directions tell the same order, and count and bytes are of those in it. */
bool as_cache_queue_validate(const as_cache_queue *queue);

#endif
