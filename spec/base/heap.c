/* SPDX-License-Identifier: MIT */
/* Random puts and removes against a plain array. */
#include "base/heap.h"

#include "check.h"

enum { NODES = 200, STEPS = 20000 };

static as_heap_node nodes[NODES];

static double smallest_key(void) {
  double smallest = 1e300;
  for (int i = 0; i < NODES; i++)
    if (nodes[i].place != 0 && nodes[i].key < smallest) smallest = nodes[i].key;
  return smallest;
}

static size_t nodes_in(void) {
  size_t count = 0;
  for (int i = 0; i < NODES; i++) count += nodes[i].place != 0;
  return count;
}

static void step(as_heap *heap) {
  as_heap_node *node = &nodes[check_random(NODES)];
  bool takes_first = check_random(4) == 0;
  if (takes_first && as_heap_first(heap) != NULL) {
    CHECK(as_heap_first(heap)->key == smallest_key());
    as_heap_remove(heap, as_heap_first(heap));
  } else if (node->place != 0 || check_random(8) == 0) {
    as_heap_remove(heap, node);
    CHECK(node->place == 0);
  } else {
    CHECK(as_heap_put(heap, node, (double)check_random(50)) == AS_OK);
  }
}

static void check_order(void) {
  check_mem mem;
  as_heap heap;
  check_mem_init(&mem, 0, 0);
  as_heap_init(&heap, &mem.mem);
  CHECK(as_heap_first(&heap) == NULL);
  for (int i = 0; i < STEPS; i++) {
    step(&heap);
    CHECK(as_heap_validate(&heap));
    CHECK(as_heap_count(&heap) == nodes_in());
    CHECK((as_heap_first(&heap) == NULL) == (nodes_in() == 0));
  }
  double last = -1;
  while (as_heap_first(&heap) != NULL) {
    CHECK(as_heap_first(&heap)->key >= last);
    last = as_heap_first(&heap)->key;
    as_heap_remove(&heap, as_heap_first(&heap));
    CHECK(as_heap_validate(&heap));
  }
  as_heap_free(&heap);
  CHECK(mem.mem.used_bytes == 0);
}

/* A put without memory leaves heap and node as they were. */
static void check_failure(uint64_t failing_call) {
  check_mem mem;
  as_heap heap;
  check_mem_init(&mem, failing_call, failing_call);
  as_heap_init(&heap, &mem.mem);
  for (int i = 0; i < NODES; i++) {
    size_t used_bytes = mem.mem.used_bytes;
    uint64_t failed = mem.failed;
    as_status status = as_heap_put(&heap, &nodes[i], (double)check_random(50));
    CHECK((status == AS_OK) == (mem.failed == failed));
    CHECK(as_heap_validate(&heap));
    if (status == AS_OK) continue;
    CHECK(status == AS_ERR_OOM);
    CHECK(nodes[i].place == 0 && as_heap_count(&heap) == (size_t)i);
    CHECK(mem.mem.used_bytes == used_bytes);
    CHECK(as_heap_put(&heap, &nodes[i], 1) == AS_OK);
  }
  for (int i = 0; i < NODES; i++) as_heap_remove(&heap, &nodes[i]);
  CHECK(as_heap_count(&heap) == 0);
  as_heap_free(&heap);
  CHECK(mem.mem.used_bytes == 0);
}

/* The owner is found back from its node. */
static void check_owner(void) {
  struct owner {
    int before;
    as_heap_node node;
  } owner = {1, {0, 0}};
  CHECK(AS_HEAP_OWNER(&owner.node, struct owner, node) == &owner);
}

int main(int argc, char **argv) {
  check_begin(argc, argv);
  check_order();
  for (uint64_t call = 1; call < 10; call++) check_failure(call);
  check_owner();
  return 0;
}
