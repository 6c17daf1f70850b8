/* SPDX-License-Identifier: MIT */
#include "cache/structure.h"

static void init(as_cache_structure *structure, const as_cache_slab *slab, uint8_t number,
                 uint32_t sample) {
  switch (structure->kind) {
    case AS_CACHE_QUEUE:
      as_cache_queue_init(&structure->as.queue, slab, number);
      break;
    case AS_CACHE_HEAP:
      as_cache_heap_init(&structure->as.heap, slab);
      break;
    case AS_CACHE_GHOST:
      as_cache_ghost_init(&structure->as.ghost, slab);
      break;
    case AS_CACHE_SKETCH:
      as_cache_sketch_init(&structure->as.sketch, slab, sample);
      break;
  }
}

void as_cache_structure_empty(as_cache_structure *structure) {
  switch (structure->kind) {
    case AS_CACHE_QUEUE:
      as_cache_queue_free(&structure->as.queue);
      break;
    case AS_CACHE_HEAP:
      as_cache_heap_free(&structure->as.heap);
      break;
    case AS_CACHE_GHOST:
      as_cache_ghost_free(&structure->as.ghost);
      break;
    case AS_CACHE_SKETCH:
      as_cache_sketch_free(&structure->as.sketch);
      break;
  }
}

as_status as_cache_structure_new(const as_cache_slab *slab, as_cache_kind kind,
                                 uint8_t number, uint32_t sample,
                                 as_cache_structure **out_structure) {
  as_cache_structure *structure = as_mem_alloc_zero(slab->mem, sizeof *structure);
  if (structure == NULL) return AS_ERR_OOM;
  structure->kind = kind;
  init(structure, slab, number, sample);
  as_status status = as_cache_structure_reserve(structure, slab->slots);
  if (status != AS_OK) {
    as_mem_free(slab->mem, structure, sizeof *structure);
    return status;
  }
  *out_structure = structure;
  return AS_OK;
}

static as_mem *mem_of(const as_cache_structure *structure) {
  const as_cache_slab *slabs[] = {structure->as.queue.slab, structure->as.heap.slab,
                                  structure->as.ghost.slab, structure->as.sketch.slab};
  return slabs[structure->kind]->mem;
}

void as_cache_structure_del(as_cache_structure *structure) {
  as_mem *mem = mem_of(structure);
  as_cache_structure_empty(structure);
  as_mem_free(mem, structure, sizeof *structure);
}

void as_cache_structure_retire(as_cache_structure *structure,
                               const as_cache_slab *nothing) {
  as_cache_structure_empty(structure);
  init(structure, nothing, 1, 1);
  structure->is_retired = true;
}

as_status as_cache_structure_reserve(as_cache_structure *structure, uint32_t slots) {
  if (structure->kind == AS_CACHE_HEAP)
    return as_cache_heap_reserve(&structure->as.heap, slots);
  return AS_OK;
}

bool as_cache_structure_has(const as_cache_structure *structure, uint32_t entry) {
  if (structure->kind == AS_CACHE_QUEUE)
    return as_cache_queue_has(&structure->as.queue, entry);
  return structure->kind == AS_CACHE_HEAP &&
         as_cache_heap_has(&structure->as.heap, entry);
}

void as_cache_structure_remove(as_cache_structure *structure, uint32_t entry) {
  if (structure->kind == AS_CACHE_QUEUE)
    as_cache_queue_remove(&structure->as.queue, entry);
  else if (structure->kind == AS_CACHE_HEAP)
    as_cache_heap_remove(&structure->as.heap, entry);
  else if (structure->kind == AS_CACHE_SKETCH)
    as_cache_sketch_forget(&structure->as.sketch, entry);
}

bool as_cache_structure_validate(const as_cache_structure *structure) {
  switch (structure->kind) {
    case AS_CACHE_QUEUE:
      return as_cache_queue_validate(&structure->as.queue);
    case AS_CACHE_HEAP:
      return as_cache_heap_validate(&structure->as.heap);
    case AS_CACHE_GHOST:
      return as_cache_ghost_validate(&structure->as.ghost);
    case AS_CACHE_SKETCH:
      break;
  }
  return true;
}

static size_t content_bytes(const as_cache_structure *structure) {
  const as_cache_queue *queue = &structure->as.queue;
  const as_cache_heap *heap = &structure->as.heap;
  const as_cache_ghost *ghost = &structure->as.ghost;
  const as_cache_sketch *sketch = &structure->as.sketch;
  switch (structure->kind) {
    case AS_CACHE_QUEUE:
      return queue->capacity * sizeof *queue->links;
    case AS_CACHE_HEAP:
      return as_cache_heap_bytes(heap);
    case AS_CACHE_GHOST:
      return as_cache_index_bytes(&ghost->index) + ghost->capacity * sizeof *ghost->ring;
    case AS_CACHE_SKETCH:
      break;
  }
  return as_cache_sketch_bytes(sketch);
}

size_t as_cache_structure_bytes(const as_cache_structure *structure) {
  return sizeof *structure + content_bytes(structure);
}
