/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

void as_heap_init(as_heap *heap, as_mem *mem) {
  as_buffer_init(&heap->places, mem);
}

void as_heap_free(as_heap *heap) {
  as_buffer_free(&heap->places);
}

size_t as_heap_count(const as_heap *heap) {
  return heap->places.length / sizeof(as_heap_node *);
}

/* The node at a 1-based place. */
static as_heap_node **at(const as_heap *heap, size_t place) {
  return (as_heap_node **)(void *)heap->places.data + (place - 1);
}

static void set(as_heap *heap, size_t place, as_heap_node *node) {
  *at(heap, place) = node;
  node->place = place;
}

static void sift_up(as_heap *heap, as_heap_node *node, size_t place) {
  while (place > 1 && (*at(heap, place / 2))->key > node->key) {
    set(heap, place, *at(heap, place / 2));
    place /= 2;
  }
  set(heap, place, node);
}

static void sift_down(as_heap *heap, as_heap_node *node, size_t place) {
  size_t count = as_heap_count(heap);
  for (;;) {
    size_t child = place * 2;
    if (child > count) break;
    if (child < count && (*at(heap, child + 1))->key < (*at(heap, child))->key) child++;
    if ((*at(heap, child))->key >= node->key) break;
    set(heap, place, *at(heap, child));
    place = child;
  }
  set(heap, place, node);
}

as_status as_heap_put(as_heap *heap, as_heap_node *node, double key) {
  AS_TRY(as_buffer_append(&heap->places, &node, sizeof node));
  node->key = key;
  sift_up(heap, node, as_heap_count(heap));
  return AS_OK;
}

void as_heap_remove(as_heap *heap, as_heap_node *node) {
  if (node->place == 0) return;
  size_t place = node->place;
  as_heap_node *last = *at(heap, as_heap_count(heap));
  heap->places.length -= sizeof last;
  node->place = 0;
  if (last == node) return;
  if (place > 1 && (*at(heap, place / 2))->key > last->key)
    sift_up(heap, last, place);
  else
    sift_down(heap, last, place);
}

as_heap_node *as_heap_first(const as_heap *heap) {
  return as_heap_count(heap) ? *at(heap, 1) : NULL;
}

bool as_heap_validate(const as_heap *heap) {
  for (size_t place = 1; place <= as_heap_count(heap); place++) {
    if ((*at(heap, place))->place != place) return false;
    if (place > 1 && (*at(heap, place / 2))->key > (*at(heap, place))->key) return false;
  }
  return true;
}
