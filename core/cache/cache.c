/* SPDX-License-Identifier: MIT */
/* The slab has the entries, the index finds them by key, the groups by session and type
 * and by when they expire. Tables that go by entry number (links, heaps) grow with the
 * slab and before it, so that an operation of a policy needs memory only to put an entry
 * into several queues; ghosts and sketches do without. */
#include "cache/cache.h"

#include <math.h>
#include <string.h>

struct as_cache {
  authstate_cache seen;
  as_mem *mem;
  uint64_t origin_ms; /* see tick_of */
  as_cache_slab slab;
  as_cache_index index; /* code of the key -> entry */
  as_cache_groups groups;
  as_cache_structure *structures; /* of the policy */
  as_cache_structure *retired;
  uint32_t structure_count;
  as_cache_slab nothing; /* for those that are retired */
};

/* Makes what Lua sees true again. */
static void show(as_cache *cache) {
  authstate_cache *seen = &cache->seen;
  const authstate_cache_heap *expiry = &cache->groups.expiry.seen;
  double units = (double)cache->slab.unit_bytes;
  seen->entries = cache->slab.entries;
  seen->slots = cache->slab.slots;
  seen->count = cache->slab.count;
  seen->used_bytes = units > 0 ? units * seen->count : (double)cache->mem->used_bytes;
  seen->next_expiry_ms =
      expiry->count > 0 ? (double)cache->origin_ms + expiry->nodes[1].rank : HUGE_VAL;
}

as_status as_cache_new(as_mem *mem, const as_cache_config *config, as_cache **out_cache) {
  as_cache *cache = as_mem_alloc_zero(mem, sizeof *cache);
  if (cache == NULL) return AS_ERR_OOM;
  cache->mem = mem;
  cache->seen.capacity_bytes = config->capacity_bytes;
  as_cache_slab_init(&cache->slab, mem, config->unit_bytes, config->seed);
  as_cache_slab_init(&cache->nothing, mem, 0, 0);
  as_cache_index_init(&cache->index, mem);
  as_cache_groups_init(&cache->groups, mem, config->seed);
  show(cache);
  *out_cache = cache;
  return AS_OK;
}

void as_cache_retire(as_cache *cache) {
  while (cache->structures != NULL) {
    as_cache_structure *structure = cache->structures;
    cache->structures = structure->next;
    as_cache_structure_retire(structure, &cache->nothing);
    structure->next = cache->retired;
    cache->retired = structure;
  }
  cache->structure_count = 0;
  show(cache);
}

void as_cache_del(as_cache *cache) {
  if (cache == NULL) return;
  as_cache_retire(cache);
  while (cache->retired != NULL) {
    as_cache_structure *structure = cache->retired;
    cache->retired = structure->next;
    as_cache_structure_del(structure);
  }
  as_cache_slab_free(&cache->slab);
  as_cache_index_free(&cache->index);
  as_cache_groups_free(&cache->groups);
  as_mem_free(cache->mem, cache->seen.types,
              cache->seen.type_count * sizeof *cache->seen.types);
  as_mem_free(cache->mem, cache, sizeof *cache);
}

authstate_cache *as_cache_seen(as_cache *cache) {
  return &cache->seen;
}

double as_cache_used_bytes(as_cache *cache) {
  show(cache);
  return cache->seen.used_bytes;
}

as_status as_cache_set_types(as_cache *cache, uint32_t count) {
  authstate_cache *seen = &cache->seen;
  uint32_t old = seen->type_count;
  if (count <= old) return AS_OK;
  if (count > AS_CACHE_MAX_TYPES) return AS_ERR_TOO_LARGE;
  authstate_cache_type *types =
      as_mem_resize(cache->mem, seen->types, old * sizeof *types, count * sizeof *types);
  if (types == NULL) return AS_ERR_OOM;
  for (uint32_t type = old; type < count; type++)
    types[type] = (authstate_cache_type){0, 0, 0, 0};
  seen->types = types;
  seen->type_count = count;
  show(cache);
  return AS_OK;
}

/* ---- entries ----------------------------------------------------------------------- */

/* A time as entries have it. */
static uint64_t whole_ms(double ms) {
  static const double most_ms = 281474976710655;             /* 48 bits */
  if (ms >= 0 && ms < most_ms) return (uint64_t)(int64_t)ms; /* the usual, and quick */
  return ms > 0 ? (uint64_t)most_ms : 0;
}

/* When an entry expires is kept as whole milliseconds from an origin on, rounded down, so
 * that it is never later than it should be. The origin follows the clock before half of
 * what 32 bits hold has passed, so one that expires in more than 24 days expires then. */
enum { HALF_OF_TICKS = 0x7FFFFFFF };

static uint32_t tick_of(const as_cache *cache, double ms) {
  double ticks = ms - (double)cache->origin_ms;
  if (ms >= HUGE_VAL) return AS_CACHE_NEVER;
  if (!(ticks > 0)) return 0;
  return ticks < AS_CACHE_NEVER ? (uint32_t)ticks : AS_CACHE_NEVER - 1;
}

/* What had expired before the new origin has expired then. */
static void move_origin(as_cache *cache) {
  uint64_t now_ms = whole_ms(cache->seen.now_ms);
  if (now_ms <= cache->origin_ms + HALF_OF_TICKS) return;
  uint64_t passed = now_ms - cache->origin_ms;
  for (uint32_t number = 1; number < cache->slab.slots; number++) {
    as_cache_entry *entry = as_cache_slab_at(&cache->slab, number);
    if (!as_cache_has(cache, number) || entry->expires == AS_CACHE_NEVER) continue;
    entry->expires = entry->expires > passed ? entry->expires - (uint32_t)passed : 0;
  }
  cache->origin_ms += passed;
  as_cache_groups_rank(&cache->groups, &cache->slab);
}

static bool has_expired(const as_cache *cache, const as_cache_entry *entry,
                        uint64_t now_ms) {
  return cache->origin_ms + entry->expires <= now_ms && entry->expires < AS_CACHE_NEVER;
}

static void note_use(as_cache_entry *entry, uint64_t now_ms) {
  entry->last_used_low = (uint32_t)now_ms;
  entry->last_used_high = (uint16_t)(now_ms >> 32);
}

static uint32_t find(const as_cache *cache, const as_cache_key *key, uint32_t code) {
  const as_cache_slab *slab = &cache->slab;
  uint32_t at = 0;
  uint32_t number = as_cache_index_first(&cache->index, code, &at);
  for (; number != 0; number = as_cache_index_next(&cache->index, code, &at)) {
    const as_cache_entry *entry = as_cache_slab_at(slab, number);
    if (entry->session == key->session && entry->type == key->type &&
        as_slice_equals(as_cache_slab_id(slab, entry), key->id))
      break;
  }
  return number;
}

uint32_t as_cache_peek(const as_cache *cache, const as_cache_key *key) {
  return find(cache, key, as_cache_key_code(key, cache->slab.seed));
}

bool as_cache_has(const as_cache *cache, uint32_t number) {
  return as_cache_slab_has(&cache->slab, number);
}

static bool is_served(const as_cache *cache, const as_cache_entry *entry,
                      uint64_t now_ms) {
  return (entry->state & AS_CACHE_WITHHELD) == 0 && !has_expired(cache, entry, now_ms);
}

bool as_cache_is_served(const as_cache *cache, uint32_t number, double now_ms) {
  return as_cache_has(cache, number) &&
         is_served(cache, as_cache_slab_at(&cache->slab, number), whole_ms(now_ms));
}

bool as_cache_has_expired(const as_cache *cache, uint32_t number, double now_ms) {
  return as_cache_has(cache, number) &&
         has_expired(cache, as_cache_slab_at(&cache->slab, number), whole_ms(now_ms));
}

void as_cache_withhold(as_cache *cache, uint32_t number) {
  if (as_cache_has(cache, number))
    as_cache_slab_at(&cache->slab, number)->state |= AS_CACHE_WITHHELD;
}

const authstate_cache_entry *as_cache_entry_of(const as_cache *cache, uint32_t number) {
  return as_cache_has(cache, number) ? as_cache_slab_at(&cache->slab, number) : NULL;
}

as_slice as_cache_id(const as_cache *cache, uint32_t number) {
  if (!as_cache_has(cache, number)) return as_slice_of("", 0);
  return as_cache_slab_id(&cache->slab, as_cache_slab_at(&cache->slab, number));
}

as_slice as_cache_value(const as_cache *cache, uint32_t number) {
  if (!as_cache_has(cache, number)) return as_slice_of("", 0);
  return as_cache_slab_value(&cache->slab, as_cache_slab_at(&cache->slab, number));
}

uint32_t as_cache_hit(as_cache *cache, const as_cache_key *key, double now_ms) {
  uint32_t code = as_cache_key_code(key, cache->slab.seed);
  uint32_t number = find(cache, key, code);
  if (number == 0) return 0;
  as_cache_entry *entry = as_cache_slab_at(&cache->slab, number);
  uint64_t whole = whole_ms(now_ms);
  if (!is_served(cache, entry, whole)) return 0;
  cache->seen.types[key->type].hits++;
  cache->seen.now_ms = now_ms;
  entry->hits++;
  note_use(entry, whole);
  as_cache_slab_note_code(&cache->slab, number, code); /* a policy may ask for it */
  return number;
}

uint32_t as_cache_find(as_cache *cache, const as_cache_key *key, double now_ms) {
  uint32_t number = as_cache_hit(cache, key, now_ms);
  if (number == 0 && key->type < cache->seen.type_count)
    cache->seen.types[key->type].misses++;
  return number;
}

static as_status reserve(as_cache *cache) {
  uint32_t slots = as_cache_slab_wanted(&cache->slab);
  AS_TRY(as_cache_index_reserve(&cache->index));
  AS_TRY(as_cache_groups_reserve(&cache->groups));
  if (slots == cache->slab.slots) return AS_OK;
  for (as_cache_structure *each = cache->structures; each != NULL; each = each->next)
    AS_TRY(as_cache_structure_reserve(each, slots));
  return as_cache_slab_reserve(&cache->slab, slots);
}

/* Adds what an entry has to the counters of its type, or takes it away. */
static void count_bytes(as_cache *cache, const authstate_cache_entry *entry, int sign) {
  cache->seen.types[entry->type].bytes += sign * (double)entry->size_bytes;
}

static bool is_too_large(const as_cache *cache, size_t id_length, size_t value_length) {
  double bytes = (double)as_cache_slab_size(&cache->slab, id_length, value_length);
  return bytes > cache->seen.capacity_bytes;
}

static as_status insert(as_cache *cache, const as_cache_key *key, as_slice value,
                        uint32_t *out_number) {
  uint32_t code = as_cache_key_code(key, cache->slab.seed);
  if (key->type >= AS_CACHE_MAX_TYPES) return AS_ERR_TOO_LARGE;
  if (is_too_large(cache, key->id.length, value.length)) return AS_ERR_TOO_LARGE;
  AS_TRY(as_cache_set_types(cache, key->type + 1));
  AS_TRY(reserve(cache));
  AS_TRY(as_cache_slab_take(&cache->slab, key, value, out_number));
  as_cache_entry *entry = as_cache_slab_at(&cache->slab, *out_number);
  note_use(entry, whole_ms(cache->seen.now_ms));
  entry->inserted_low = entry->last_used_low;
  entry->inserted_high = entry->last_used_high;
  entry->expires = AS_CACHE_NEVER;
  as_cache_slab_note_code(&cache->slab, *out_number, code);
  as_cache_index_put(&cache->index, code, *out_number);
  as_cache_groups_add(&cache->groups, &cache->slab, *out_number);
  cache->seen.types[key->type].count++;
  count_bytes(cache, entry, 1);
  return AS_OK;
}

as_status as_cache_insert(as_cache *cache, const as_cache_key *key, as_slice value,
                          uint32_t *out_number) {
  as_status status = insert(cache, key, value, out_number);
  show(cache); /* tables may have grown also when it failed */
  return status;
}

static as_status replace(as_cache *cache, uint32_t number, as_slice value) {
  if (!as_cache_has(cache, number)) return AS_OK;
  as_cache_entry *entry = as_cache_slab_at(&cache->slab, number);
  double old = entry->size_bytes;
  if (is_too_large(cache, entry->id_length, value.length)) return AS_ERR_TOO_LARGE;
  count_bytes(cache, entry, -1);
  as_status status = as_cache_slab_replace(&cache->slab, number, value);
  entry = as_cache_slab_at(&cache->slab, number);
  count_bytes(cache, entry, 1);
  for (as_cache_structure *each = cache->structures; each != NULL; each = each->next)
    if (each->kind == AS_CACHE_QUEUE)
      as_cache_queue_resize(&each->as.queue, number, entry->size_bytes - old);
  return status;
}

as_status as_cache_replace(as_cache *cache, uint32_t number, as_slice value) {
  as_status status = replace(cache, number, value);
  show(cache);
  return status;
}

void as_cache_set_expiry(as_cache *cache, uint32_t number, double expires_ms) {
  if (!as_cache_has(cache, number)) return;
  move_origin(cache);
  as_cache_slab_at(&cache->slab, number)->expires = tick_of(cache, expires_ms);
  as_cache_groups_move(&cache->groups, &cache->slab, number);
  show(cache);
}

void as_cache_delete(as_cache *cache, uint32_t number) {
  if (!as_cache_has(cache, number)) return;
  const as_cache_entry *entry = as_cache_slab_at(&cache->slab, number);
  for (as_cache_structure *each = cache->structures; each != NULL; each = each->next)
    as_cache_structure_remove(each, number);
  cache->seen.types[entry->type].count--;
  count_bytes(cache, entry, -1);
  as_cache_groups_remove(&cache->groups, &cache->slab, number);
  uint32_t code = as_cache_slab_code(&cache->slab, number);
  as_cache_index_remove(&cache->index, code, number);
  as_cache_slab_give(&cache->slab, number);
  show(cache);
}

void as_cache_release(as_cache *cache) {
  if (cache->slab.count > 0) return;
  for (as_cache_structure *each = cache->structures; each != NULL; each = each->next)
    as_cache_structure_empty(each);
  as_cache_slab_free(&cache->slab);
  as_cache_index_free(&cache->index);
  as_cache_groups_free(&cache->groups);
  show(cache);
}

uint32_t as_cache_expired(const as_cache *cache, double now_ms) {
  if (cache->seen.next_expiry_ms > now_ms) return 0;
  return as_cache_groups_expiring(&cache->groups);
}

uint32_t as_cache_first(const as_cache *cache, uint32_t session, uint32_t type) {
  return as_cache_groups_first(&cache->groups, session, type);
}

/* ---- what a policy orders them with ------------------------------------------------ */

as_cache_structure *as_cache_new_structure(as_cache *cache, as_cache_kind kind,
                                           uint32_t sample) {
  as_cache_structure *structure = NULL;
  if (cache->structure_count == AS_CACHE_MAX_STRUCTURES) return NULL;
  uint8_t number = (uint8_t)(cache->structure_count + 1);
  as_status status =
      as_cache_structure_new(&cache->slab, kind, number, sample, &structure);
  if (status == AS_OK) {
    structure->next = cache->structures;
    cache->structures = structure;
    cache->structure_count++;
  }
  show(cache);
  return structure;
}

uint32_t as_cache_places(const as_cache *cache, uint32_t number) {
  uint32_t places = 0;
  for (const as_cache_structure *each = cache->structures; each != NULL;
       each = each->next)
    places += as_cache_structure_has(each, number);
  return places;
}

/* ---- validate ---------------------------------------------------------------------- */

static size_t list_bytes(const as_cache_structure *first) {
  size_t bytes = 0;
  for (; first != NULL; first = first->next) bytes += as_cache_structure_bytes(first);
  return bytes;
}

static bool validate_structures(const as_cache *cache) {
  uint32_t count = 0;
  for (const as_cache_structure *each = cache->structures; each != NULL;
       each = each->next) {
    if (each->is_retired || !as_cache_structure_validate(each)) return false;
    count++;
  }
  return count == cache->structure_count;
}

static bool validate_entries(const as_cache *cache) {
  for (uint32_t number = 1; number < cache->slab.slots; number++) {
    if (!as_cache_has(cache, number)) continue;
    const as_cache_entry *entry = as_cache_slab_at(&cache->slab, number);
    as_cache_key key = {entry->session, entry->type,
                        as_cache_slab_id(&cache->slab, entry)};
    if (as_cache_peek(cache, &key) != number) return false;
  }
  return cache->index.count == cache->slab.count;
}

static bool validate_counters(const as_cache *cache) {
  double count = 0;
  double bytes = 0;
  double held = 0;
  for (uint32_t type = 0; type < cache->seen.type_count; type++) {
    count += cache->seen.types[type].count;
    bytes += cache->seen.types[type].bytes;
  }
  for (uint32_t number = 1; number < cache->slab.slots; number++)
    held += as_cache_slab_at(&cache->slab, number)->size_bytes;
  return bytes == held && count == cache->slab.count;
}

static size_t all_bytes(const as_cache *cache) {
  return sizeof *cache + as_cache_slab_bytes(&cache->slab) +
         as_cache_index_bytes(&cache->index) + as_cache_groups_bytes(&cache->groups) +
         list_bytes(cache->structures) + list_bytes(cache->retired) +
         cache->seen.type_count * sizeof *cache->seen.types;
}

bool as_cache_validate(const as_cache *cache) {
  return cache->mem->used_bytes == all_bytes(cache) &&
         as_cache_slab_validate(&cache->slab) && as_cache_index_validate(&cache->index) &&
         as_cache_groups_validate(&cache->groups, &cache->slab) &&
         validate_structures(cache) && validate_entries(cache) &&
         validate_counters(cache);
}
