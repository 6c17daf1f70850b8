/* SPDX-License-Identifier: MIT */
/* as_cache_queue is an order of entries, from the oldest to the newest, as a policy makes
 * it. It holds numbers, and never more than one place for each. What makes no sense has
 * no effect: to take out what is not in it, to put in what is no entry. So a faulty
 * policy harms itself alone. */
#ifndef AS_CACHE_QUEUE_H
#define AS_CACHE_QUEUE_H

#include "cache/slab.h"

typedef struct as_cache_link {
  uint32_t older; /* 0: the oldest; AS_CACHE_UNLINKED: not in the queue */
  uint32_t newer; /* 0: the newest */
} as_cache_link;

enum { AS_CACHE_UNLINKED = 0xFFFFFFFF };

typedef struct as_cache_queue {
  authstate_cache_queue seen;
  const as_cache_slab *slab;
  as_cache_link *links; /* by entry */
  uint32_t capacity;
} as_cache_queue;

/* An empty queue of entries of a slab, which outlives it. */
void as_cache_queue_init(as_cache_queue *queue, const as_cache_slab *slab);
void as_cache_queue_free(as_cache_queue *queue);

/* Makes room for the entries below `capacity`. AS_ERR_OOM: unchanged. */
AS_MUST_USE as_status as_cache_queue_reserve(as_cache_queue *queue, uint32_t capacity);

/* Puts in an entry as the newest, also when it is in the queue. */
void as_cache_queue_push(as_cache_queue *queue, uint32_t entry);

void as_cache_queue_remove(as_cache_queue *queue, uint32_t entry);

/* Makes an entry of the queue the newest; none that is not in it. */
void as_cache_queue_touch(as_cache_queue *queue, uint32_t entry);

static inline bool as_cache_queue_has(const as_cache_queue *queue, uint32_t entry) {
  return entry < queue->capacity && queue->links[entry].older != AS_CACHE_UNLINKED;
}

/* The neighbours of an entry; 0 at the end and for what is not in the queue. */
static inline uint32_t as_cache_queue_newer(const as_cache_queue *queue, uint32_t entry) {
  return as_cache_queue_has(queue, entry) ? queue->links[entry].newer : 0;
}

static inline uint32_t as_cache_queue_older(const as_cache_queue *queue, uint32_t entry) {
  return as_cache_queue_has(queue, entry) ? queue->links[entry].older : 0;
}

/* An entry has another size than before: so many bytes more. */
void as_cache_queue_resize(as_cache_queue *queue, uint32_t entry, double more_bytes);

/* Whether both directions tell the same order, and count and bytes are of those in it. */
bool as_cache_queue_validate(const as_cache_queue *queue);

#endif
