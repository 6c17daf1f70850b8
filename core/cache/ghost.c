/* SPDX-License-Identifier: MIT */
/* A ring of codes in the order they came, and an index from each code to its turn. A code
 * that is forgotten or comes again leaves its old place in the ring behind, which counts
 * no more because the index names another turn. When the ring is full of such places it
 * is written anew, else it doubles. Turns are numbered anew with it, so they do not
 * run out. */
#include "cache/ghost.h"

enum { FIRST_CAPACITY = 64, LAST_TURN = 0x7FFFFFFF };

void as_cache_ghost_init(as_cache_ghost *ghost, const as_cache_slab *slab) {
  memset(ghost, 0, sizeof *ghost);
  ghost->slab = slab;
  as_cache_index_init(&ghost->index, slab->mem);
  ghost->oldest = ghost->next = 1;
}

void as_cache_ghost_free(as_cache_ghost *ghost) {
  as_mem_free(ghost->slab->mem, ghost->ring, ghost->capacity * sizeof *ghost->ring);
  as_cache_index_free(&ghost->index);
  as_cache_ghost_init(ghost, ghost->slab);
}

static uint32_t turn_of(const as_cache_ghost *ghost, uint32_t code) {
  uint32_t at = 0;
  return as_cache_index_first(&ghost->index, code, &at);
}

static uint32_t *ring_at(const as_cache_ghost *ghost, uint32_t turn) {
  return &ghost->ring[turn & (ghost->capacity - 1)];
}

static void forget(as_cache_ghost *ghost, uint32_t code) {
  uint32_t turn = turn_of(ghost, code);
  if (turn == 0) return;
  as_cache_index_remove(&ghost->index, code, turn);
  ghost->seen.count--;
}

static void forget_oldest(as_cache_ghost *ghost) {
  uint32_t turn = ghost->oldest++;
  uint32_t code = *ring_at(ghost, turn);
  if (turn_of(ghost, code) == turn) forget(ghost, code);
}

/* Puts those that are remembered into another ring, in order, from turn 1 on. */
static void write_anew(as_cache_ghost *ghost, uint32_t *ring, uint32_t capacity) {
  uint32_t next = 1;
  for (uint32_t turn = ghost->oldest; turn != ghost->next; turn++) {
    uint32_t code = *ring_at(ghost, turn);
    if (turn_of(ghost, code) != turn) continue;
    as_cache_index_remove(&ghost->index, code, turn);
    /* A turn that was given before is that of another code, or behind this one. */
    as_cache_index_put(&ghost->index, code, next);
    ring[next++ & (capacity - 1)] = code;
  }
  as_mem_free(ghost->index.mem, ghost->ring, ghost->capacity * sizeof *ring);
  ghost->ring = ring;
  ghost->capacity = capacity;
  ghost->oldest = 1;
  ghost->next = next;
}

/* A ring with room for one more. Where there is no memory the oldest is forgotten. */
static bool reserve(as_cache_ghost *ghost) {
  uint32_t used = ghost->next - ghost->oldest;
  if (used < ghost->capacity && ghost->next < LAST_TURN) return true;
  uint32_t capacity = ghost->capacity ? ghost->capacity : FIRST_CAPACITY;
  if (ghost->seen.count > capacity / 2) capacity *= 2;
  uint32_t *ring = as_mem_alloc(ghost->index.mem, capacity * sizeof *ring);
  if (ring != NULL) {
    write_anew(ghost, ring, capacity);
    return true;
  }
  if (ghost->capacity == 0 || ghost->next >= LAST_TURN) return false;
  forget_oldest(ghost);
  return true;
}

void as_cache_ghost_add(as_cache_ghost *ghost, uint32_t entry) {
  if (!as_cache_slab_has(ghost->slab, entry)) return;
  uint32_t code = as_cache_slab_code(ghost->slab, entry);
  forget(ghost, code);
  while (ghost->seen.count >= ghost->slab->count) forget_oldest(ghost);
  if (as_cache_index_reserve(&ghost->index) != AS_OK || !reserve(ghost)) return;
  *ring_at(ghost, ghost->next) = code;
  as_cache_index_put(&ghost->index, code, ghost->next++);
  ghost->seen.count++;
}

bool as_cache_ghost_has(const as_cache_ghost *ghost, uint32_t entry) {
  return as_cache_slab_has(ghost->slab, entry) &&
         turn_of(ghost, as_cache_slab_code(ghost->slab, entry)) != 0;
}

void as_cache_ghost_remove(as_cache_ghost *ghost, uint32_t entry) {
  if (as_cache_slab_has(ghost->slab, entry))
    forget(ghost, as_cache_slab_code(ghost->slab, entry));
}

bool as_cache_ghost_validate(const as_cache_ghost *ghost) {
  uint32_t count = 0;
  if (ghost->next - ghost->oldest > ghost->capacity) return false;
  for (uint32_t turn = ghost->oldest; turn != ghost->next; turn++)
    if (turn_of(ghost, *ring_at(ghost, turn)) == turn) count++;
  return count == ghost->seen.count && count == ghost->index.count &&
         as_cache_index_validate(&ghost->index);
}
