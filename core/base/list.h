/* SPDX-License-Identifier: MIT */
/* as_list is an intrusive doubly linked ring with a sentinel. It owns nothing: an object
 * that can stand in a list holds an as_list_node and is found back with AS_LIST_OWNER.
 * A node that is in no list points at itself. */
#ifndef AS_BASE_LIST_H
#define AS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct as_list_node {
  struct as_list_node *previous;
  struct as_list_node *next;
} as_list_node;

typedef as_list_node as_list;

/* The object of type `type` whose member `member` is `node`. */
#define AS_LIST_OWNER(node, type, member)                                                \
  ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void as_list_init(as_list *list) {
  list->previous = list;
  list->next = list;
}

static inline bool as_list_is_empty(const as_list *list) {
  return list->next == list;
}

static inline void as_list_push_back(as_list *list, as_list_node *node) {
  node->previous = list->previous;
  node->next = list;
  list->previous->next = node;
  list->previous = node;
}

static inline void as_list_push_front(as_list *list, as_list_node *node) {
  as_list_push_back(list->next, node);
}

/* Takes a node out of the list it is in; no effect on one that is in none. */
static inline void as_list_remove(as_list_node *node) {
  node->previous->next = node->next;
  node->next->previous = node->previous;
  as_list_init(node);
}

/* The oldest node, NULL when empty. */
static inline as_list_node *as_list_first(const as_list *list) {
  return as_list_is_empty(list) ? NULL : list->next;
}

/* The node after `node`, NULL at the end. */
static inline as_list_node *as_list_after(const as_list *list, const as_list_node *node) {
  return node->next == list ? NULL : node->next;
}

#endif
