/* SPDX-License-Identifier: MIT */
/* as_cache_structure is one of the things that a policy orders entries with. Those of a
 * policy that is done with are retired: empty for ever, and harmless to whoever still has
 * their address. */
#ifndef AS_CACHE_STRUCTURE_H
#define AS_CACHE_STRUCTURE_H

#include "cache/ghost.h"
#include "cache/heap.h"
#include "cache/queue.h"
#include "cache/sketch.h"

typedef enum as_cache_kind {
  AS_CACHE_QUEUE,
  AS_CACHE_HEAP,
  AS_CACHE_GHOST,
  AS_CACHE_SKETCH
} as_cache_kind;

typedef struct as_cache_structure {
  struct as_cache_structure *next; /* among those of its owner */
  as_cache_kind kind;
  bool is_retired;
  union {
    as_cache_queue queue;
    as_cache_heap heap;
    as_cache_ghost ghost;
    as_cache_sketch sketch;
  } as;
} as_cache_structure;

/* An empty one with room for the entries of the slab. `number`: of a queue, `sample`: of
 * a sketch. AS_ERR_OOM. */
AS_MUST_USE as_status as_cache_structure_new(const as_cache_slab *slab,
                                             as_cache_kind kind, uint8_t number,
                                             uint32_t sample,
                                             as_cache_structure **out_structure);

/* Frees it, and only it. */
void as_cache_structure_del(as_cache_structure *structure);

/* Gives back what it holds; it goes on empty. */
void as_cache_structure_empty(as_cache_structure *structure);

/* The same for ever. `nothing`: a slab without entries, which outlives it. */
void as_cache_structure_retire(as_cache_structure *structure,
                               const as_cache_slab *nothing);

/* Makes room for the entries below `slots`, where entries need some. AS_ERR_OOM: what is
 * in it is unchanged. */
AS_MUST_USE as_status as_cache_structure_reserve(as_cache_structure *structure,
                                                 uint32_t slots);

/* Whether an entry has a place in it; never in a ghost or sketch. */
bool as_cache_structure_has(const as_cache_structure *structure, uint32_t entry);

/* Takes an entry out that is about to be deleted. */
void as_cache_structure_remove(as_cache_structure *structure, uint32_t entry);

bool as_cache_structure_validate(const as_cache_structure *structure);

/* What it has allocated, itself included. */
size_t as_cache_structure_bytes(const as_cache_structure *structure);

#endif
