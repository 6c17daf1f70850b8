/* SPDX-License-Identifier: MIT */
/* as_deadlines holds what is due at a time. Most deadlines are later than those that came
 * before, since most callers wait equally long: these stand in a list, where coming and
 * going costs next to nothing. Others stand in a heap. */
#ifndef AS_BASE_DEADLINES_H
#define AS_BASE_DEADLINES_H

#include "base/heap.h"
#include "base/list.h"

typedef struct as_deadline {
  as_list_node node; /* in the list, when it is there */
  as_heap_node heap; /* key: when it is due, in ms; in the heap, when it is there */
} as_deadline;

typedef struct as_deadlines {
  as_list in_order; /* as_deadline through node, earliest first */
  as_heap others;
} as_deadlines;

void as_deadlines_init(as_deadlines *deadlines, as_mem *mem);
void as_deadlines_free(as_deadlines *deadlines);

/* Makes a deadline that stands nowhere. */
void as_deadline_init(as_deadline *deadline);

/* Puts in one that stands nowhere. AS_ERR_OOM: unchanged. */
AS_MUST_USE as_status as_deadlines_put(as_deadlines *deadlines, as_deadline *deadline,
                                       double due_ms);

/* Takes one out; no effect on one that stands nowhere. */
static inline void as_deadlines_remove(as_deadlines *deadlines, as_deadline *deadline) {
  as_list_remove(&deadline->node);
  if (deadline->heap.place != 0) as_heap_remove(&deadlines->others, &deadline->heap);
}

/* The one that is due first, NULL when there is none. */
as_deadline *as_deadlines_first(const as_deadlines *deadlines);

/* Whether it stands anywhere. */
bool as_deadline_is_set(const as_deadline *deadline);

/* Whether the list is in order and the heap one; for tests. */
bool as_deadlines_validate(const as_deadlines *deadlines);

#endif
