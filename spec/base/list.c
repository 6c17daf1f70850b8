/* SPDX-License-Identifier: MIT */
/* Random moves of nodes between two lists against plain arrays. */
#include "base/list.h"

#include <string.h>

#include "check.h"

enum { NODES = 40, STEPS = 20000, LISTS = 2 };

typedef struct item {
  int number;
  as_list_node node;
} item;

static item items[NODES];
static as_list lists[LISTS];
static int model[LISTS][NODES];
static int counts[LISTS];

/* Takes a number out of the arrays. */
static void model_remove(int number) {
  for (int list = 0; list < LISTS; list++)
    for (int i = 0; i < counts[list]; i++) {
      if (model[list][i] != number) continue;
      int rest = counts[list] - i - 1;
      memmove(&model[list][i], &model[list][i + 1], (size_t)rest * sizeof(int));
      counts[list]--;
      return;
    }
}

static void check_lists(void) {
  for (int list = 0; list < LISTS; list++) {
    int i = 0;
    const as_list_node *last = &lists[list];
    for (as_list_node *node = as_list_first(&lists[list]); node != NULL;
         node = as_list_after(&lists[list], node)) {
      CHECK(i < counts[list]);
      CHECK(AS_LIST_OWNER(node, item, node)->number == model[list][i]);
      CHECK(node->previous == last);
      last = node;
      i++;
    }
    CHECK(i == counts[list] && as_list_is_empty(&lists[list]) == (i == 0));
  }
}

int main(int argc, char **argv) {
  check_begin(argc, argv);
  for (int list = 0; list < LISTS; list++) as_list_init(&lists[list]);
  for (int i = 0; i < NODES; i++) {
    items[i].number = i;
    as_list_init(&items[i].node);
  }
  for (int i = 0; i < STEPS; i++) {
    item *one = &items[check_random(NODES)];
    as_list_remove(&one->node);
    as_list_remove(&one->node);
    model_remove(one->number);
    if (check_random(3) > 0) {
      int list = (int)check_random(LISTS);
      as_list_push_back(&lists[list], &one->node);
      model[list][counts[list]++] = one->number;
    }
    check_lists();
  }
  return 0;
}
