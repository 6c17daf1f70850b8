/* SPDX-License-Identifier: MIT */
#include "cache/heap.h"

#include <math.h>
#include <string.h>

typedef authstate_cache_node node;

static void init(as_cache_heap *heap, as_mem *mem, const as_cache_slab *slab) {
  memset(heap, 0, sizeof *heap);
  heap->mem = mem;
  heap->slab = slab;
}

void as_cache_heap_init(as_cache_heap *heap, const as_cache_slab *slab) {
  init(heap, slab->mem, slab);
}

void as_cache_heap_init_numbers(as_cache_heap *heap, as_mem *mem) {
  init(heap, mem, NULL);
}

void as_cache_heap_free(as_cache_heap *heap) {
  as_mem_free(heap->mem, heap->seen.nodes, heap->capacity * sizeof(node));
  as_mem_free(heap->mem, heap->places, heap->capacity * sizeof *heap->places);
  init(heap, heap->mem, heap->slab);
}

/* Entry numbers begin at 1, so `capacity` nodes are enough for nodes[1] on. */
as_status as_cache_heap_reserve(as_cache_heap *heap, uint32_t capacity) {
  uint32_t old = heap->capacity;
  if (capacity <= old) return AS_OK;
  if (capacity < old + old / 8) capacity = old + old / 8;
  node *nodes = as_mem_alloc(heap->mem, capacity * sizeof *nodes);
  if (nodes == NULL) return AS_ERR_OOM;
  uint32_t *places = as_mem_resize(heap->mem, heap->places, old * sizeof *places,
                                   capacity * sizeof *places);
  if (places == NULL) {
    as_mem_free(heap->mem, nodes, capacity * sizeof *nodes);
    return AS_ERR_OOM;
  }
  if (old > 0) memcpy(nodes, heap->seen.nodes, old * sizeof *nodes);
  memset(places + old, 0, (capacity - old) * sizeof *places);
  as_mem_free(heap->mem, heap->seen.nodes, old * sizeof *nodes);
  heap->seen.nodes = nodes;
  heap->places = places;
  heap->capacity = capacity;
  return AS_OK;
}

static bool is_before(const node *a, const node *b) {
  return a->rank < b->rank || (a->rank == b->rank && a->turn < b->turn);
}

static void set(as_cache_heap *heap, uint32_t place, node moved) {
  heap->seen.nodes[place] = moved;
  heap->places[moved.entry] = place;
}

static void sift_up(as_cache_heap *heap, uint32_t place, node moved) {
  const node *nodes = heap->seen.nodes;
  for (; place > 1 && is_before(&moved, &nodes[place / 2]); place /= 2)
    set(heap, place, nodes[place / 2]);
  set(heap, place, moved);
}

static void sift_down(as_cache_heap *heap, uint32_t place, node moved) {
  const node *nodes = heap->seen.nodes;
  uint32_t count = heap->seen.count;
  for (uint32_t child = place * 2; child <= count; child = place * 2) {
    if (child < count && is_before(&nodes[child + 1], &nodes[child])) child++;
    if (!is_before(&nodes[child], &moved)) break;
    set(heap, place, nodes[child]);
    place = child;
  }
  set(heap, place, moved);
}

static void sift(as_cache_heap *heap, uint32_t place, node moved) {
  if (place > 1 && is_before(&moved, &heap->seen.nodes[place / 2]))
    sift_up(heap, place, moved);
  else
    sift_down(heap, place, moved);
}

void as_cache_heap_put(as_cache_heap *heap, uint32_t entry, double rank) {
  if (entry == 0 || entry >= heap->capacity) return;
  if (heap->slab != NULL && !as_cache_slab_has(heap->slab, entry)) return;
  node moved = {isnan(rank) ? -HUGE_VAL : rank, ++heap->turn, entry};
  if (heap->places[entry] != 0)
    sift(heap, heap->places[entry], moved);
  else
    sift_up(heap, ++heap->seen.count, moved);
}

void as_cache_heap_remove(as_cache_heap *heap, uint32_t entry) {
  if (!as_cache_heap_has(heap, entry)) return;
  uint32_t place = heap->places[entry];
  node last = heap->seen.nodes[heap->seen.count--];
  heap->places[entry] = 0;
  if (last.entry != entry) sift(heap, place, last);
}

bool as_cache_heap_validate(const as_cache_heap *heap) {
  const node *nodes = heap->seen.nodes;
  uint32_t placed = 0;
  for (uint32_t place = 1; place <= heap->seen.count; place++) {
    if (nodes[place].entry >= heap->capacity) return false;
    if (heap->places[nodes[place].entry] != place) return false;
    if (place > 1 && is_before(&nodes[place], &nodes[place / 2])) return false;
  }
  for (uint32_t entry = 0; entry < heap->capacity; entry++)
    if (heap->places[entry] != 0) placed++;
  return placed == heap->seen.count;
}
