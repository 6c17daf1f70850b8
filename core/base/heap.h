/* SPDX-License-Identifier: MIT */
/* as_heap is a binary min-heap of intrusive nodes ordered by a double (a deadline, a
 * rank). It owns only its array of pointers. A node knows its place, so removing any
 * node is O(log n). */
#ifndef AS_BASE_HEAP_H
#define AS_BASE_HEAP_H

#include "base/buffer.h"

typedef struct as_heap_node {
  double key;
  size_t place; /* 1-based index in the heap; 0: in none */
} as_heap_node;

typedef struct as_heap {
  as_buffer places; /* as_heap_node * after as_heap_node * */
} as_heap;

/* The object of type `type` whose member `member` is `node`. */
#define AS_HEAP_OWNER(node, type, member)                                                \
  ((type *)(void *)((char *)(node)-offsetof(type, member)))

void as_heap_init(as_heap *heap, as_mem *mem);
void as_heap_free(as_heap *heap);

/* Puts in a node that is in no heap. AS_ERR_OOM: unchanged. */
AS_MUST_USE as_status as_heap_put(as_heap *heap, as_heap_node *node, double key);

/* Takes a node out; no effect on one that is in none. */
void as_heap_remove(as_heap *heap, as_heap_node *node);

/* The node with the smallest key, NULL when empty. */
as_heap_node *as_heap_first(const as_heap *heap);

size_t as_heap_count(const as_heap *heap);

/* Whether every node is where it says and no parent is larger than a child. */
bool as_heap_validate(const as_heap *heap);

#endif
