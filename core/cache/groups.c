/* SPDX-License-Identifier: MIT */
#include "cache/groups.h"

#include <string.h>

enum { FIRST_CAPACITY = 32 };

void as_cache_groups_init(as_cache_groups *groups, as_mem *mem, uint64_t seed) {
  memset(groups, 0, sizeof *groups);
  groups->mem = mem;
  groups->seed = seed;
  as_cache_index_init(&groups->index, mem);
}

void as_cache_groups_free(as_cache_groups *groups) {
  as_cache_index_free(&groups->index);
  as_mem_free(groups->mem, groups->groups, groups->capacity * sizeof *groups->groups);
  as_cache_groups_init(groups, groups->mem, groups->seed);
}

as_status as_cache_groups_reserve(as_cache_groups *groups) {
  uint32_t old = groups->capacity;
  AS_TRY(as_cache_index_reserve(&groups->index));
  if (groups->free != 0) return AS_OK;
  uint32_t capacity = old ? old * 2 : FIRST_CAPACITY;
  as_cache_group *grown = as_mem_resize(groups->mem, groups->groups, old * sizeof *grown,
                                        capacity * sizeof *grown);
  if (grown == NULL) return AS_ERR_OOM;
  memset(grown + old, 0, (capacity - old) * sizeof *grown);
  for (uint32_t number = capacity - 1; number >= (old ? old : 1); number--) {
    grown[number].next_free = groups->free;
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

void as_cache_groups_add(as_cache_groups *groups, as_cache_slab *slab, uint32_t number) {
  as_cache_entry *entry = as_cache_slab_at(slab, number);
  uint32_t code = code_of(groups, entry->seen.session, entry->seen.type);
  uint32_t found = find(groups, code, entry->seen.session, entry->seen.type);
  if (found == 0) {
    found = groups->free;
    groups->free = groups->groups[found].next_free;
    groups->groups[found] = (as_cache_group){entry->seen.session, entry->seen.type, 0, 0};
    as_cache_index_put(&groups->index, code, found);
  }
  as_cache_group *group = &groups->groups[found];
  entry->group = found;
  entry->group_before = 0;
  entry->group_behind = group->first;
  if (group->first != 0) as_cache_slab_at(slab, group->first)->group_before = number;
  group->first = number;
}

static void end_group(as_cache_groups *groups, uint32_t number) {
  as_cache_group *group = &groups->groups[number];
  uint32_t code = code_of(groups, group->session, group->type);
  as_cache_index_remove(&groups->index, code, number);
  group->next_free = groups->free;
  groups->free = number;
}

void as_cache_groups_remove(as_cache_groups *groups, as_cache_slab *slab,
                            uint32_t number) {
  const as_cache_entry *entry = as_cache_slab_at(slab, number);
  uint32_t before = entry->group_before;
  uint32_t behind = entry->group_behind;
  if (behind != 0) as_cache_slab_at(slab, behind)->group_before = before;
  if (before != 0) {
    as_cache_slab_at(slab, before)->group_behind = behind;
    return;
  }
  groups->groups[entry->group].first = behind;
  if (behind == 0) end_group(groups, entry->group);
}

uint32_t as_cache_groups_first(const as_cache_groups *groups, uint32_t session,
                               uint32_t type) {
  uint32_t found = find(groups, code_of(groups, session, type), session, type);
  return found == 0 ? 0 : groups->groups[found].first;
}

/* How many entries a group lists, all its own; UINT32_MAX: some are not. */
static uint32_t count_group(const as_cache_groups *groups, const as_cache_slab *slab,
                            uint32_t number) {
  const as_cache_group *group = &groups->groups[number];
  uint32_t before = 0;
  uint32_t count = 0;
  for (uint32_t at = group->first; at != 0; count++) {
    if (!as_cache_slab_has(slab, at) || count > slab->slots) return UINT32_MAX;
    const as_cache_entry *entry = as_cache_slab_at(slab, at);
    if (entry->group != number || entry->group_before != before) return UINT32_MAX;
    if (entry->seen.session != group->session || entry->seen.type != group->type)
      return UINT32_MAX;
    before = at;
    at = entry->group_behind;
  }
  return count;
}

bool as_cache_groups_validate(const as_cache_groups *groups, const as_cache_slab *slab) {
  uint32_t listed = 0;
  uint32_t used = 0;
  for (uint32_t number = 1; number < groups->capacity; number++) {
    uint32_t count = count_group(groups, slab, number);
    if (count == UINT32_MAX) return false;
    listed += count;
    used += count > 0;
  }
  return used == groups->index.count && as_cache_index_validate(&groups->index) &&
         listed == as_cache_slab_count(slab);
}
