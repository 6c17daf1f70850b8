/* SPDX-License-Identifier: MIT */
/* Random puts and removes against a plain array. */
#include "base/deadlines.h"

#include "check.h"

enum { COUNT = 200, STEPS = 20000 };

typedef struct item {
  as_deadline deadline;
  double due_ms; /* below 0: it stands nowhere */
} item;

static item items[COUNT];

static double first_due_ms(void) {
  double first = 1e300;
  for (int i = 0; i < COUNT; i++)
    if (items[i].due_ms >= 0 && items[i].due_ms < first) first = items[i].due_ms;
  return first;
}

static void begin(as_deadlines *deadlines, check_mem *mem) {
  as_deadlines_init(deadlines, &mem->mem);
  for (int i = 0; i < COUNT; i++) {
    as_deadline_init(&items[i].deadline);
    items[i].due_ms = -1;
  }
}

static void check(const as_deadlines *deadlines) {
  const as_deadline *first = as_deadlines_first(deadlines);
  double due_ms = first_due_ms();
  CHECK(as_deadlines_validate(deadlines));
  CHECK((first == NULL) == (due_ms == 1e300));
  CHECK(first == NULL || first->heap.key == due_ms);
  for (int i = 0; i < COUNT; i++)
    CHECK(as_deadline_is_set(&items[i].deadline) == (items[i].due_ms >= 0));
}

static void take(as_deadlines *deadlines, item *each) {
  as_deadlines_remove(deadlines, &each->deadline);
  each->due_ms = -1;
}

/* Most come in order, as those of callers who wait equally long; some do not. */
static void step(as_deadlines *deadlines, double now_ms) {
  item *each = &items[check_random(COUNT)];
  double wait_ms = check_random(3) == 0 ? check_random(300) : 100;
  if (check_random(4) == 0 && as_deadlines_first(deadlines) != NULL)
    each = AS_LIST_OWNER(as_deadlines_first(deadlines), item, deadline);
  if (each->due_ms >= 0 || check_random(8) == 0) {
    take(deadlines, each);
    return;
  }
  CHECK(as_deadlines_put(deadlines, &each->deadline, now_ms + wait_ms) == AS_OK);
  each->due_ms = now_ms + wait_ms;
}

static void check_order(void) {
  check_mem mem;
  as_deadlines deadlines;
  check_mem_init(&mem, 0, 0);
  begin(&deadlines, &mem);
  check(&deadlines);
  for (int i = 0; i < STEPS; i++) {
    step(&deadlines, i / 3);
    if (i % 7 == 0) check(&deadlines);
  }
  double last_ms = -1;
  as_deadline *first;
  while ((first = as_deadlines_first(&deadlines)) != NULL) {
    CHECK(first->heap.key >= last_ms);
    last_ms = first->heap.key;
    take(&deadlines, AS_LIST_OWNER(first, item, deadline));
    check(&deadlines);
  }
  as_deadlines_free(&deadlines);
  CHECK(mem.mem.used_bytes == 0);
}

/* Those in order need no memory; a put without memory leaves all as it was. */
static void check_failure(uint64_t failing_call) {
  check_mem mem;
  as_deadlines deadlines;
  check_mem_init(&mem, failing_call, failing_call);
  begin(&deadlines, &mem);
  for (int i = 0; i < COUNT; i++) {
    double due_ms = i < COUNT / 2 ? (double)i : (double)check_random(50);
    uint64_t failed = mem.failed;
    as_status status = as_deadlines_put(&deadlines, &items[i].deadline, due_ms);
    CHECK((status == AS_OK) == (mem.failed == failed));
    CHECK(status == AS_OK || i >= COUNT / 2);
    if (status != AS_OK) {
      check(&deadlines);
      CHECK(as_deadlines_put(&deadlines, &items[i].deadline, due_ms) == AS_OK);
    }
    items[i].due_ms = due_ms;
    check(&deadlines);
  }
  CHECK(mem.failed == 1);
  for (int i = 0; i < COUNT; i++) take(&deadlines, &items[i]);
  check(&deadlines);
  as_deadlines_free(&deadlines);
  CHECK(mem.mem.used_bytes == 0);
}

int main(int argc, char **argv) {
  check_begin(argc, argv);
  check_order();
  for (uint64_t call = 1; call < 4; call++) check_failure(call);
  return 0;
}
