/* SPDX-License-Identifier: MIT */
/* libFuzzer's entry: the environment's FUZZ_TARGET names the target. */
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  const char *name = getenv("FUZZ_TARGET");
  target = name != NULL ? fuzz_target_named(name) : NULL;
  if (target != NULL) return 0;
  fprintf(stderr, "FUZZ_TARGET must name a target, not %s\n",
          name != NULL ? name : "nothing");
  exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  target(as_slice_of(data, size));
  return 0;
}
