/* SPDX-License-Identifier: MIT */
#include "base/deadlines.h"

void as_deadlines_init(as_deadlines *deadlines, as_mem *mem) {
  as_list_init(&deadlines->in_order);
  as_heap_init(&deadlines->others, mem);
}

void as_deadlines_free(as_deadlines *deadlines) {
  as_heap_free(&deadlines->others);
}

void as_deadline_init(as_deadline *deadline) {
  as_list_init(&deadline->node);
  deadline->heap.key = 0;
  deadline->heap.place = 0;
}

static as_deadline *of_node(as_list_node *node) {
  return AS_LIST_OWNER(node, as_deadline, node);
}

as_status as_deadlines_put(as_deadlines *deadlines, as_deadline *deadline,
                           double due_ms) {
  as_list *list = &deadlines->in_order;
  if (!as_list_is_empty(list) && of_node(list->previous)->heap.key > due_ms)
    return as_heap_put(&deadlines->others, &deadline->heap, due_ms);
  deadline->heap.key = due_ms;
  as_list_push_back(list, &deadline->node);
  return AS_OK;
}

as_deadline *as_deadlines_first(const as_deadlines *deadlines) {
  as_list_node *node = as_list_first(&deadlines->in_order);
  as_heap_node *other = as_heap_first(&deadlines->others);
  if (other == NULL) return node ? of_node(node) : NULL;
  if (node != NULL && of_node(node)->heap.key <= other->key) return of_node(node);
  return AS_HEAP_OWNER(other, as_deadline, heap);
}

bool as_deadline_is_set(const as_deadline *deadline) {
  return deadline->node.next != &deadline->node || deadline->heap.place != 0;
}

bool as_deadlines_validate(const as_deadlines *deadlines) {
  double last_ms = 0;
  for (as_list_node *node = as_list_first(&deadlines->in_order); node != NULL;
       node = as_list_after(&deadlines->in_order, node)) {
    const as_deadline *each = of_node(node);
    if (each->heap.place != 0) return false;
    if (node != deadlines->in_order.next && each->heap.key < last_ms) return false;
    last_ms = each->heap.key;
  }
  return as_heap_validate(&deadlines->others);
}
