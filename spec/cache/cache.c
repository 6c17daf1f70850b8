/* SPDX-License-Identifier: MIT */
/* Random operations on a cache against plain arrays, all of it validated after each step;
 * then the same while allocations fail. */
#include "cache/cache.h"

#include <math.h>
#include <string.h>

#include "check.h"

enum { KEYS = 300, SESSIONS = 3, TYPES = 4, STEPS = 20000, QUEUES = 2, LONGEST = 40 };
enum { FAILING_STEPS = 400 };

typedef struct record {
  char id[LONGEST];
  as_cache_key key;
  uint32_t entry; /* 0: not in the cache */
  uint8_t value[LONGEST];
  size_t length;
  double expires_ms;
  bool is_queued[QUEUES];
  bool is_ranked;
} record;

typedef struct world {
  check_mem mem;
  as_cache *cache;
  as_cache_structure *queues[QUEUES];
  as_cache_structure *heap;
  as_cache_structure *ghost;
  as_cache_structure *sketch;
  record records[KEYS];
} world;

static as_cache_structure *make(world *w, as_cache_kind kind) {
  as_cache_structure *made = as_cache_new_structure(w->cache, kind, 4);
  while (made == NULL) {
    CHECK(w->mem.failed > 0);
    CHECK(as_cache_validate(w->cache));
    made = as_cache_new_structure(w->cache, kind, 4);
  }
  return made;
}

static void make_structures(world *w) {
  for (int i = 0; i < QUEUES; i++) w->queues[i] = make(w, AS_CACHE_QUEUE);
  w->heap = make(w, AS_CACHE_HEAP);
  w->ghost = make(w, AS_CACHE_GHOST);
  w->sketch = make(w, AS_CACHE_SKETCH);
}

static void begin(world *w, uint64_t first, uint64_t last, uint32_t unit_bytes) {
  memset(w, 0, sizeof *w);
  check_mem_init(&w->mem, first, last);
  as_cache_config config = {1e6, unit_bytes, check_random(1000)};
  while (as_cache_new(&w->mem.mem, &config, &w->cache) != AS_OK) {
    CHECK(w->mem.failed > 0 && w->mem.mem.used_bytes == 0);
  }
  make_structures(w);
  for (uint32_t i = 0; i < KEYS; i++) {
    record *r = &w->records[i];
    r->expires_ms = HUGE_VAL;
    int length = snprintf(r->id, sizeof r->id, "%.*s%u", (int)check_random(20),
                          "a long beginning that differs", i / (SESSIONS * TYPES));
    r->key = (as_cache_key){i % SESSIONS, i / SESSIONS % TYPES,
                            as_slice_of(r->id, (size_t)length)};
    for (uint32_t j = 0; j < i; j++) { /* no key twice */
      const as_cache_key *other = &w->records[j].key;
      if (other->session == r->key.session && other->type == r->key.type &&
          as_slice_equals(other->id, r->key.id))
        r->key.id.length = 0;
    }
  }
}

static void end(world *w) {
  as_cache_del(w->cache);
  CHECK(w->mem.mem.used_bytes == 0);
}

static const authstate_cache_entry *entry_of(const world *w, const record *r) {
  return as_cache_entry_of(w->cache, r->entry);
}

static as_slice random_value(record *r) {
  r->length = check_random(LONGEST);
  for (size_t i = 0; i < r->length; i++) r->value[i] = (uint8_t)check_random(256);
  return as_slice_of(r->value, r->length);
}

static void put_in(world *w, record *r) {
  uint64_t failed = w->mem.failed;
  as_slice value = random_value(r);
  as_status status = as_cache_insert(w->cache, &r->key, value, &r->entry);
  if (status == AS_OK) return;
  CHECK(status == AS_ERR_OOM && w->mem.failed > failed);
  CHECK(as_cache_peek(w->cache, &r->key) == 0);
  r->entry = 0;
}

static void take_out(world *w, record *r) {
  as_cache_delete(w->cache, r->entry);
  r->entry = 0;
  r->expires_ms = HUGE_VAL;
  r->is_ranked = false;
  for (int i = 0; i < QUEUES; i++) r->is_queued[i] = false;
}

static void replace(world *w, record *r) {
  record before = *r;
  if (as_cache_replace(w->cache, r->entry, random_value(r)) == AS_OK) return;
  CHECK(w->mem.failed > 0);
  *r = before;
}

static void set_expiry(world *w, record *r) {
  double expires_ms = check_random(4) == 0 ? HUGE_VAL : check_random(1000);
  as_cache_set_expiry(w->cache, r->entry, expires_ms);
  r->expires_ms = expires_ms;
}

static void push(world *w, record *r, int i) {
  as_cache_queue *queue = &w->queues[i]->as.queue;
  uint64_t failed = w->mem.failed;
  as_status status = as_cache_queue_push(queue, r->entry);
  if (status == AS_OK) {
    CHECK(queue->seen.newest == r->entry);
    r->is_queued[i] = true;
    return;
  }
  CHECK(status == AS_ERR_OOM && w->mem.failed > failed);
  CHECK(r->is_queued[1 - i] && !r->is_queued[i]);
}

static void reorder(world *w, record *r) {
  int i = (int)check_random(QUEUES);
  as_cache_queue *queue = &w->queues[i]->as.queue;
  switch (check_random(5)) {
    case 0:
      push(w, r, i);
      break;
    case 1:
      as_cache_queue_touch(queue, r->entry);
      break;
    case 2:
      as_cache_queue_remove(queue, r->entry);
      r->is_queued[i] = false;
      break;
    case 3:
      as_cache_heap_put(&w->heap->as.heap, r->entry, check_random(50));
      r->is_ranked = true;
      break;
    default:
      as_cache_heap_remove(&w->heap->as.heap, r->entry);
      r->is_ranked = false;
  }
}

static void remember(world *w, record *r) {
  as_cache_ghost *ghost = &w->ghost->as.ghost;
  if (check_random(3) > 0)
    as_cache_ghost_add(ghost, r->entry);
  else
    as_cache_ghost_remove(ghost, r->entry);
  as_cache_sketch_add(&w->sketch->as.sketch, r->entry);
  CHECK(as_cache_used_bytes(w->cache) > 0);
}

static void read_it(world *w, record *r) {
  double now_ms = check_random(1000);
  uint32_t hits = r->entry != 0 ? entry_of(w, r)->hits : 0;
  uint32_t found = as_cache_find(w->cache, &r->key, now_ms);
  if (r->entry == 0 || r->expires_ms <= now_ms) {
    CHECK(found == 0);
    return;
  }
  CHECK(found == r->entry && entry_of(w, r)->hits == hits + 1);
  CHECK(entry_of(w, r)->last_used_low == now_ms);
}

/* Numbers that name no entry do nothing. */
static void ask_nonsense(world *w) {
  static const uint32_t nonsense[] = {0, 0xFFFFFFFF, 0x7FFFFFFF, 100000};
  uint32_t entry = nonsense[check_random(4)];
  as_cache_delete(w->cache, entry);
  CHECK(as_cache_queue_push(&w->queues[0]->as.queue, entry) == AS_OK);
  as_cache_queue_touch(&w->queues[0]->as.queue, entry);
  as_cache_queue_remove(&w->queues[0]->as.queue, entry);
  as_cache_heap_put(&w->heap->as.heap, entry, 1);
  as_cache_heap_remove(&w->heap->as.heap, entry);
  as_cache_ghost_add(&w->ghost->as.ghost, entry);
  as_cache_ghost_remove(&w->ghost->as.ghost, entry);
  as_cache_sketch_add(&w->sketch->as.sketch, entry);
  CHECK(!as_cache_ghost_has(&w->ghost->as.ghost, entry));
  CHECK(as_cache_sketch_count(&w->sketch->as.sketch, entry) == 0);
  CHECK(as_cache_queue_newer(&w->queues[0]->as.queue, entry) == 0);
  CHECK(as_cache_places(w->cache, entry) == 0);
  CHECK(as_cache_id(w->cache, entry).length == 0);
  CHECK(as_cache_replace(w->cache, entry, as_slice_text("x")) == AS_OK);
  as_cache_set_expiry(w->cache, entry, 1);
}

static void step(world *w) {
  record *r = &w->records[check_random(KEYS)];
  if (r->key.id.length == 0) return;
  uint32_t dice = check_random(16);
  read_it(w, r);
  if (r->entry == 0 && dice < 8) put_in(w, r);
  if (r->entry == 0) return;
  if (dice == 8) take_out(w, r);
  if (dice == 9) replace(w, r);
  if (dice == 10) set_expiry(w, r);
  if (dice >= 11) reorder(w, r);
  if (dice == 15) remember(w, r);
  if (dice == 0) ask_nonsense(w);
}

static void check_record(const world *w, const record *r) {
  CHECK(as_cache_peek(w->cache, &r->key) == r->entry);
  if (r->entry == 0) return;
  as_slice value = as_cache_value(w->cache, r->entry);
  CHECK(as_slice_equals(value, as_slice_of(r->value, r->length)));
  CHECK(as_slice_equals(as_cache_id(w->cache, r->entry), r->key.id));
  uint32_t places = r->is_ranked;
  for (int i = 0; i < QUEUES; i++) places += r->is_queued[i];
  CHECK(as_cache_places(w->cache, r->entry) == places);
}

static double expires_of(const world *w, uint32_t entry) {
  const record *r = w->records;
  while (r->entry != entry) CHECK(++r < w->records + KEYS);
  return r->expires_ms;
}

/* The groups name all entries, and what expires first is known. */
static void check_lists(world *w) {
  double first_ms = HUGE_VAL;
  uint32_t count = 0;
  for (uint32_t i = 0; i < KEYS; i++) {
    const record *r = &w->records[i];
    if (r->entry == 0) continue;
    count++;
    CHECK(as_cache_first(w->cache, r->key.session, r->key.type) != 0);
    if (r->expires_ms < first_ms) first_ms = r->expires_ms;
  }
  CHECK(as_cache_seen(w->cache)->count == count);
  CHECK(as_cache_seen(w->cache)->next_expiry_ms == first_ms);
  uint32_t expired = as_cache_expired(w->cache, first_ms);
  CHECK((expired == 0) == (count == 0 || first_ms == HUGE_VAL));
  CHECK(expired == 0 || expires_of(w, expired) == first_ms);
  CHECK(as_cache_first(w->cache, SESSIONS, 0) == 0);
}

static void drop_group(world *w) {
  uint32_t session = check_random(SESSIONS);
  uint32_t type = check_random(TYPES);
  uint32_t entry;
  while ((entry = as_cache_first(w->cache, session, type)) != 0) {
    record *r = w->records;
    while (r->entry != entry) CHECK(++r < w->records + KEYS);
    CHECK(r->key.session == session && r->key.type == type);
    take_out(w, r);
  }
  CHECK(as_cache_validate(w->cache));
}

static void run(world *w, int steps) {
  for (int i = 0; i < steps; i++) {
    step(w);
    CHECK(as_cache_validate(w->cache));
    if (check_random(500) == 0) drop_group(w);
    if (check_random(50) > 0) continue;
    for (uint32_t j = 0; j < KEYS; j++)
      if (w->records[j].key.id.length > 0) check_record(w, &w->records[j]);
    check_lists(w);
  }
}

/* After another policy came, what the old one had is empty, and does nothing. */
static void check_retired(world *w) {
  world old = *w;
  as_cache_retire(w->cache);
  CHECK(as_cache_validate(w->cache));
  for (uint32_t i = 0; i < KEYS; i++) {
    record *r = &w->records[i];
    r->is_ranked = r->is_queued[0] = r->is_queued[1] = false;
    if (r->entry == 0) continue;
    CHECK(as_cache_queue_push(&old.queues[0]->as.queue, r->entry) == AS_OK);
    as_cache_heap_put(&old.heap->as.heap, r->entry, 1);
    as_cache_ghost_add(&old.ghost->as.ghost, r->entry);
    as_cache_sketch_add(&old.sketch->as.sketch, r->entry);
  }
  CHECK(old.queues[0]->as.queue.seen.count == 0 && old.heap->as.heap.seen.count == 0);
  CHECK(old.ghost->as.ghost.seen.count == 0);
  CHECK(as_cache_validate(w->cache));
  make_structures(w);
  run(w, FAILING_STEPS);
}

/* Without entries all tables can go, and come again. */
static void check_release(world *w) {
  as_cache_release(w->cache);
  CHECK(as_cache_validate(w->cache));
  for (uint32_t i = 0; i < KEYS; i++)
    if (w->records[i].entry != 0) take_out(w, &w->records[i]);
  size_t before = w->mem.mem.used_bytes;
  as_cache_release(w->cache);
  CHECK(as_cache_validate(w->cache) && w->mem.mem.used_bytes < before / 4);
  run(w, FAILING_STEPS);
}

static void check_limits(world *w) {
  as_cache_key key = {0, AS_CACHE_MAX_TYPES, as_slice_text("x")};
  uint32_t entry = 0;
  CHECK(as_cache_insert(w->cache, &key, key.id, &entry) == AS_ERR_TOO_LARGE);
  as_cache_seen(w->cache)->capacity_bytes = 200;
  key.type = 1;
  static uint8_t large[300];
  CHECK(as_cache_insert(w->cache, &key, as_slice_of(large, sizeof large), &entry) ==
        AS_ERR_TOO_LARGE);
  CHECK(as_cache_validate(w->cache));
  int made = 0;
  while (as_cache_new_structure(w->cache, AS_CACHE_QUEUE, 0) != NULL) made++;
  CHECK(made == AS_CACHE_MAX_STRUCTURES - QUEUES - 3);
  CHECK(as_cache_validate(w->cache));
}

static void check_units(world *w) {
  begin(w, 0, 0, 7);
  run(w, FAILING_STEPS);
  CHECK(as_cache_used_bytes(w->cache) == 7.0 * as_cache_seen(w->cache)->count);
  end(w);
}

int main(int argc, char **argv) {
  static world w;
  check_begin(argc, argv);
  begin(&w, 0, 0, 0);
  run(&w, STEPS);
  check_retired(&w);
  check_release(&w);
  check_limits(&w);
  end(&w);
  check_units(&w);
  uint64_t failed = 1;
  for (uint64_t call = 1; failed > 0; call++) {
    begin(&w, call, call + check_random(3), 0);
    run(&w, FAILING_STEPS);
    failed = w.mem.failed;
    end(&w);
  }
  as_cache_del(NULL);
  return 0;
}
