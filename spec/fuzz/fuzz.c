/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

fuzz_target *fuzz_target_named(const char *name) {
#define FUZZ_FIND(target)                                                                \
  if (strcmp(name, #target) == 0) return fuzz_##target;
  FUZZ_TARGETS(FUZZ_FIND)
#undef FUZZ_FIND
  return NULL;
}

uint8_t *fuzz_copy(as_slice bytes) {
  uint8_t *copy = malloc(bytes.length);
  EXPECT(copy != NULL || bytes.length == 0);
  if (bytes.length > 0) memcpy(copy, bytes.data, bytes.length);
  return copy;
}

uint8_t fuzz_take_byte(as_slice *input) {
  if (input->length == 0) return 0;
  uint8_t byte = input->data[0];
  *input = as_slice_of(input->data + 1, input->length - 1);
  return byte;
}

/* Marsaglia's xorshift32. */
uint32_t fuzz_random(uint32_t *state, uint32_t below) {
  if (*state == 0) *state = 2463534242u;
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state % below;
}
