/* SPDX-License-Identifier: MIT */
/* Runs files through a target, without libFuzzer: replay TARGET FILE... Prints the name
 * of each file before it is run, so the last one is the one that failed. Without
 * arguments: prints the names of the targets. */
#include "fuzz.h"

enum { MAX_BYTES = 1 << 20 };

static void run_file(fuzz_target *target, const char *path) {
  uint8_t *content = malloc(MAX_BYTES);
  FILE *file = fopen(path, "rb");
  EXPECT(file != NULL && content != NULL);
  size_t length = fread(content, 1, MAX_BYTES, file);
  EXPECT(length < MAX_BYTES && feof(file));
  fclose(file);
  puts(path);
  fflush(stdout);
  uint8_t *exact = fuzz_copy(as_slice_of(content, length));
  target(as_slice_of(exact, length));
  free(exact);
  free(content);
}

static void print_names(void) {
#define PRINT_NAME(name) puts(#name);
  FUZZ_TARGETS(PRINT_NAME)
#undef PRINT_NAME
}

int main(int argc, char **argv) {
  if (argc == 1) {
    print_names();
    return 0;
  }
  fuzz_target *target = fuzz_target_named(argv[1]);
  if (target == NULL) {
    fprintf(stderr, "no target is named %s\n", argv[1]);
    return 2;
  }
  for (int i = 2; i < argc; i++) run_file(target, argv[i]);
  return 0;
}
