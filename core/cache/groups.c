/* SPDX-License-Identifier: MIT */
#include "cache/groups.h"

#include <string.h>

enum { FIRST_CAPACITY = 32 };

void as_cache_groups_init(as_cache_groups *groups, as_mem *mem, uint64_t seed) {
  memset(groups, 0, sizeof *groups);
  groups->mem = mem;
  groups->seed = seed;
  as_cache_index_init(&groups->index, mem);
  as_cache_heap_init_numbers(&groups->expiry, mem);
}

void as_cache_groups_free(as_cache_groups *groups) {
  as_cache_index_free(&groups->index);
  as_cache_heap_free(&groups->expiry);
  as_mem_free(groups->mem, groups->groups, groups->capacity * sizeof *groups->groups);
  as_cache_groups_init(groups, groups->mem, groups->seed);
}

as_status as_cache_groups_reserve(as_cache_groups *groups) {
  uint32_t old = groups->capacity;
  AS_TRY(as_cache_index_reserve(&groups->index));
  if (groups->free != 0) return AS_OK;
  uint32_t capacity = old ? old * 2 : FIRST_CAPACITY;
  AS_TRY(as_cache_heap_reserve(&groups->expiry, capacity));
  as_cache_group *grown = as_mem_resize(groups->mem, groups->groups, old * sizeof *grown,
                                        capacity * sizeof *grown);
  if (grown == NULL) return AS_ERR_OOM;
  memset(grown + old, 0, (capacity - old) * sizeof *grown);
  for (uint32_t number = capacity - 1; number >= (old ? old : 1); number--) {
    grown[number].last = groups->free;
    groups->free = number;
  }
  groups->groups = grown;
  groups->capacity = capacity;
  return AS_OK;
}

static uint32_t code_of(const as_cache_groups *groups, uint32_t session, uint32_t type) {
  as_cache_key key = {session, type, as_slice_of("", 0)};
  return as_cache_key_code(&key, groups->seed);
}

static uint32_t find(const as_cache_groups *groups, uint32_t code, uint32_t session,
                     uint32_t type) {
  uint32_t at = 0;
  uint32_t number = as_cache_index_first(&groups->index, code, &at);
  for (; number != 0; number = as_cache_index_next(&groups->index, code, &at)) {
    const as_cache_group *group = &groups->groups[number];
    if (group->session == session && group->type == type) break;
  }
  return number;
}

static uint32_t group_of(const as_cache_groups *groups, const as_cache_entry *entry) {
  uint32_t code = code_of(groups, entry->session, entry->type);
  return find(groups, code, entry->session, entry->type);
}

/* The group of an entry, made when there is none. */
static uint32_t open_group(as_cache_groups *groups, const as_cache_entry *entry) {
  uint32_t code = code_of(groups, entry->session, entry->type);
  uint32_t found = find(groups, code, entry->session, entry->type);
  if (found != 0) return found;
  found = groups->free;
  groups->free = groups->groups[found].last;
  groups->groups[found] = (as_cache_group){entry->session, entry->type, 0, 0};
  as_cache_index_put(&groups->index, code, found);
  return found;
}

static void end_group(as_cache_groups *groups, uint32_t number) {
  as_cache_group *group = &groups->groups[number];
  uint32_t code = code_of(groups, group->session, group->type);
  as_cache_index_remove(&groups->index, code, number);
  group->last = groups->free;
  groups->free = number;
}

/* Another entry is the first of a group. */
static void note_first(as_cache_groups *groups, const as_cache_slab *slab,
                       uint32_t number) {
  uint32_t first = groups->groups[number].first;
  uint32_t expires = first ? as_cache_slab_at(slab, first)->expires : AS_CACHE_NEVER;
  if (expires < AS_CACHE_NEVER)
    as_cache_heap_put(&groups->expiry, number, expires);
  else
    as_cache_heap_remove(&groups->expiry, number);
}

/* Links an entry behind those of its group that do not expire later. */
static void link(as_cache_group *group, as_cache_slab *slab, uint32_t number) {
  as_cache_entry *entry = as_cache_slab_at(slab, number);
  uint32_t before = group->last;
  uint32_t behind = 0;
  while (before != 0 && as_cache_slab_at(slab, before)->expires > entry->expires) {
    behind = before;
    before = as_cache_slab_at(slab, before)->before;
  }
  entry->before = before;
  entry->behind = behind;
  if (behind != 0)
    as_cache_slab_at(slab, behind)->before = number;
  else
    group->last = number;
  if (before != 0)
    as_cache_slab_at(slab, before)->behind = number;
  else
    group->first = number;
}

static void unlink(as_cache_group *group, as_cache_slab *slab, uint32_t number) {
  const as_cache_entry *entry = as_cache_slab_at(slab, number);
  if (entry->behind != 0)
    as_cache_slab_at(slab, entry->behind)->before = entry->before;
  else
    group->last = entry->before;
  if (entry->before != 0)
    as_cache_slab_at(slab, entry->before)->behind = entry->behind;
  else
    group->first = entry->behind;
}

void as_cache_groups_add(as_cache_groups *groups, as_cache_slab *slab, uint32_t number) {
  uint32_t group = open_group(groups, as_cache_slab_at(slab, number));
  link(&groups->groups[group], slab, number);
  if (groups->groups[group].first == number) note_first(groups, slab, group);
}

void as_cache_groups_move(as_cache_groups *groups, as_cache_slab *slab, uint32_t number) {
  uint32_t group = group_of(groups, as_cache_slab_at(slab, number));
  uint32_t first = groups->groups[group].first;
  unlink(&groups->groups[group], slab, number);
  link(&groups->groups[group], slab, number);
  if (first == number || groups->groups[group].first == number)
    note_first(groups, slab, group);
}

void as_cache_groups_remove(as_cache_groups *groups, as_cache_slab *slab,
                            uint32_t number) {
  uint32_t group = group_of(groups, as_cache_slab_at(slab, number));
  bool was_first = groups->groups[group].first == number;
  unlink(&groups->groups[group], slab, number);
  if (was_first) note_first(groups, slab, group);
  if (groups->groups[group].first == 0) end_group(groups, group);
}

void as_cache_groups_rank(as_cache_groups *groups, const as_cache_slab *slab) {
  for (uint32_t number = 1; number < groups->capacity; number++)
    if (groups->groups[number].first != 0) note_first(groups, slab, number);
}

uint32_t as_cache_groups_expiring(const as_cache_groups *groups) {
  const authstate_cache_heap *heap = &groups->expiry.seen;
  return heap->count > 0 ? groups->groups[heap->nodes[1].entry].first : 0;
}

uint32_t as_cache_groups_first(const as_cache_groups *groups, uint32_t session,
                               uint32_t type) {
  uint32_t found = find(groups, code_of(groups, session, type), session, type);
  return found == 0 ? 0 : groups->groups[found].first;
}

size_t as_cache_groups_bytes(const as_cache_groups *groups) {
  return as_cache_index_bytes(&groups->index) + as_cache_heap_bytes(&groups->expiry) +
         groups->capacity * sizeof *groups->groups;
}

/* How many entries a group lists, all its own and in order; UINT32_MAX: some are not. */
static uint32_t count_group(const as_cache_groups *groups, const as_cache_slab *slab,
                            uint32_t number) {
  const as_cache_group *group = &groups->groups[number];
  uint32_t before = 0;
  uint32_t count = 0;
  uint32_t expires = 0;
  for (uint32_t at = group->first; at != 0; count++) {
    if (!as_cache_slab_has(slab, at) || count > slab->slots) return UINT32_MAX;
    const as_cache_entry *entry = as_cache_slab_at(slab, at);
    if (entry->before != before) return UINT32_MAX;
    if (entry->session != group->session || entry->type != group->type) return UINT32_MAX;
    if (entry->expires < expires) return UINT32_MAX;
    expires = entry->expires;
    before = at;
    at = entry->behind;
  }
  return count == 0 || group->last == before ? count : UINT32_MAX;
}

/* Whether the heap knows when the first of a group expires. */
static bool is_ranked(const as_cache_groups *groups, const as_cache_slab *slab,
                      uint32_t number) {
  uint32_t first = groups->groups[number].first;
  uint32_t expires = first ? as_cache_slab_at(slab, first)->expires : AS_CACHE_NEVER;
  uint32_t place = groups->expiry.places[number];
  if (place == 0) return expires == AS_CACHE_NEVER;
  return groups->expiry.seen.nodes[place].rank == expires;
}

bool as_cache_groups_validate(const as_cache_groups *groups, const as_cache_slab *slab) {
  uint32_t listed = 0;
  uint32_t used = 0;
  for (uint32_t number = 1; number < groups->capacity; number++) {
    uint32_t count = count_group(groups, slab, number);
    if (count == UINT32_MAX || !is_ranked(groups, slab, number)) return false;
    listed += count;
    used += count > 0;
  }
  return used == groups->index.count && as_cache_index_validate(&groups->index) &&
         as_cache_heap_validate(&groups->expiry) && listed == slab->count;
}
