/* SPDX-License-Identifier: MIT */
/* Random puts, finds and clears against a plain array. */
#include "base/map.h"

#include <string.h>

#include "check.h"

enum { KEYS = 3000, STEPS = 60000, LONGEST = 24, PROBES = 16 };

/* What the map must tell: the keys, and which of them were put in. */
typedef struct model {
  char keys[KEYS][LONGEST];
  size_t lengths[KEYS];
  bool is_in[KEYS];
  uint32_t count;
  uint32_t calls; /* of key_of */
} model;

static model world;

static as_slice key_at(uint32_t number) {
  return as_slice_of(world.keys[number], world.lengths[number]);
}

/* Of a copy that ends where the key does, so that reading beyond it is seen. */
static uint32_t code_at(uint32_t number) {
  as_slice key = key_at(number);
  uint8_t *copy = malloc(key.length);
  memcpy(copy, key.data, key.length);
  uint32_t code = as_map_code(as_slice_of(copy, key.length));
  free(copy);
  return code;
}

static as_slice key_of(const void *owner, uint32_t number) {
  CHECK(owner == &world && number < KEYS && world.is_in[number]);
  world.calls++;
  return key_at(number);
}

/* All keys differ: some in their length alone, some in their first or last byte. */
static void make_keys(void) {
  static const char filler[LONGEST] = {0};
  for (uint32_t i = 0; i < KEYS; i++) {
    size_t extra = check_random(LONGEST - 2 * sizeof i);
    bool is_first = check_random(2) == 0;
    memcpy(world.keys[i], filler, LONGEST);
    memcpy(world.keys[i] + (is_first ? 0 : extra), &i, sizeof i);
    world.lengths[i] = extra + sizeof i;
    memcpy(world.keys[i] + world.lengths[i], &i, is_first ? 0 : sizeof i);
    world.lengths[i] += is_first ? 0 : sizeof i;
  }
}

static uint32_t find(const as_map *map, uint32_t number) {
  world.calls = 0;
  uint32_t found = as_map_find(map, key_at(number), code_at(number), key_of, &world);
  CHECK(world.calls <= PROBES);
  CHECK(found == AS_MAP_NONE || as_slice_equals(key_at(found), key_at(number)));
  CHECK(found == AS_MAP_NONE || world.is_in[found]);
  return found;
}

static void put(as_map *map, uint32_t number) {
  if (find(map, number) != AS_MAP_NONE) return;
  CHECK(as_map_put(map, code_at(number), number) == AS_OK);
  world.is_in[number] = true;
  world.count++;
}

static void clear(as_map *map) {
  as_map_clear(map);
  memset(world.is_in, 0, sizeof world.is_in);
  world.count = 0;
  CHECK(map->count == 0);
  for (uint32_t i = 0; i < KEYS; i += 7) CHECK(find(map, i) == AS_MAP_NONE);
}

/* A map may miss what is there, but seldom. */
static void check_misses(const as_map *map) {
  uint32_t missed = 0;
  for (uint32_t i = 0; i < KEYS; i++)
    if (world.is_in[i] && find(map, i) == AS_MAP_NONE) missed++;
  CHECK(missed <= 2 + world.count / 20);
}

static void check_random_order(uint32_t stamp) {
  check_mem mem;
  as_map map;
  check_mem_init(&mem, 0, 0);
  as_map_init(&map, &mem.mem);
  map.stamp = stamp;
  clear(&map);
  for (int i = 0; i < STEPS; i++) {
    put(&map, check_random(KEYS));
    (void)find(&map, check_random(KEYS));
    CHECK(map.count <= map.capacity / 2 && map.count <= world.count);
    if (check_random(4000) != 0) continue;
    check_misses(&map);
    clear(&map);
  }
  check_misses(&map);
  as_map_free(&map);
  CHECK(mem.mem.used_bytes == 0);
  as_map_free(&map);
}

/* The stamp goes round: what was put in before 2^32 clears is not there again. */
static void check_wrap(bool has_memory) {
  check_mem mem;
  as_map map;
  check_mem_init(&mem, 0, 0);
  as_map_init(&map, &mem.mem);
  clear(&map);
  if (has_memory)
    for (uint32_t i = 0; i < 100; i++) put(&map, i);
  map.stamp = UINT32_MAX - 2;
  for (int i = 0; i < 6; i++) {
    clear(&map);
    for (uint32_t j = 0; has_memory && j < 100; j++) put(&map, j);
    if (has_memory) check_misses(&map);
  }
  for (uint32_t i = 0; i < 100; i++) put(&map, i);
  CHECK(map.count > 90);
  check_misses(&map);
  as_map_free(&map);
}

/* Strings of each length that differ in one byte have other codes, whatever is behind
 * them; the empty one has one. */
static void check_code(void) {
  uint32_t same = 0;
  CHECK(as_map_code(as_slice_of("", 0)) == as_map_code(as_slice_of(NULL, 0)));
  for (size_t length = 1; length <= 40; length++) {
    uint8_t *bytes = calloc(length + 1, 1);
    uint32_t code = as_map_code(as_slice_of(bytes, length));
    for (size_t i = 0; i < length; i++) {
      bytes[i] = (uint8_t)(1 + check_random(255));
      if (as_map_code(as_slice_of(bytes, length)) == code) same++;
      bytes[i] = 0;
    }
    bytes[length] = (uint8_t)(1 + check_random(255));
    CHECK(as_map_code(as_slice_of(bytes, length)) == code);
    free(bytes);
  }
  CHECK(same < 3);
}

/* The same bytes again and again: they fill their places and no more, and searching for
 * them takes no longer. */
static void check_bound(void) {
  check_mem mem;
  as_map map;
  check_mem_init(&mem, 0, 0);
  as_map_init(&map, &mem.mem);
  clear(&map);
  world.is_in[5] = true;
  for (int i = 0; i < 10000; i++) CHECK(as_map_put(&map, code_at(5), 5) == AS_OK);
  CHECK(map.count <= PROBES);
  CHECK(find(&map, 5) == 5);
  CHECK(find(&map, 6) == AS_MAP_NONE);
  as_map_free(&map);
}

/* A put without memory leaves the map as it was. */
static void check_failure(uint64_t failing_call) {
  check_mem mem;
  as_map map;
  check_mem_init(&mem, failing_call, failing_call);
  as_map_init(&map, &mem.mem);
  clear(&map);
  for (uint32_t i = 0; i < 1000; i++) {
    as_map before = map;
    size_t used_bytes = mem.mem.used_bytes;
    uint64_t failed = mem.failed;
    as_status status = as_map_put(&map, code_at(i), i);
    CHECK((status == AS_OK) == (mem.failed == failed));
    if (status != AS_OK) {
      CHECK(status == AS_ERR_OOM && mem.mem.used_bytes == used_bytes);
      CHECK(memcmp(&before, &map, sizeof map) == 0);
      CHECK(as_map_put(&map, code_at(i), i) == AS_OK);
    }
    world.is_in[i] = true;
    world.count++;
  }
  check_misses(&map);
  CHECK(mem.failed == 1);
  as_map_free(&map);
  CHECK(mem.mem.used_bytes == 0);
}

int main(int argc, char **argv) {
  check_begin(argc, argv);
  make_keys();
  check_code();
  check_random_order(1);
  check_random_order(UINT32_MAX - 3);
  check_wrap(true);
  check_wrap(false);
  check_bound();
  for (uint64_t call = 1; call <= 6; call++) check_failure(call);
  return 0;
}
