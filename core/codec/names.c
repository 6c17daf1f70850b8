/* SPDX-License-Identifier: MIT */
#include "codec/names.h"

typedef struct name {
  const char *text;
  uint8_t length;
  bool is_bytes;
} name;

static const name NAMES[] = {
#define NAME(constant, text, is_bytes) {text, sizeof(text) - 1, is_bytes},
    AS_NAMES(NAME)
#undef NAME
};

_Static_assert(AS_NAMES_COUNT <= AS_NAMES_MAX, "too many names");

/* Where the search for a name begins: names differ in length and in their middle. */
static size_t first_slot(const uint8_t *text, size_t length) {
  uint32_t hash = (uint32_t)length * 31 + text[0] * 7u + text[length / 2] * 101u +
                  text[length - 1] * 17u;
  return hash % AS_NAMES_SLOTS;
}

void as_names_index_init(as_names_index *index) {
  memset(index->slots, 0, sizeof index->slots);
  for (size_t i = 0; i < AS_NAMES_COUNT; i++) {
    size_t slot = first_slot((const uint8_t *)NAMES[i].text, NAMES[i].length);
    while (index->slots[slot] != 0) slot = (slot + 1) % AS_NAMES_SLOTS;
    index->slots[slot] = (uint8_t)(i + 1);
  }
}

int as_names_find(const as_names_index *index, as_slice text) {
  if (text.length == 0) return AS_NAME_OTHER;
  size_t slot = first_slot(text.data, text.length);
  for (; index->slots[slot] != 0; slot = (slot + 1) % AS_NAMES_SLOTS) {
    int number = index->slots[slot] - 1;
    const name *found = &NAMES[number];
    if (found->length == text.length &&
        memcmp(found->text, text.data, text.length) == 0) {
      return number;
    }
  }
  return AS_NAME_OTHER;
}

as_slice as_names_at(size_t number) {
  return as_slice_of(NAMES[number].text, NAMES[number].length);
}

bool as_names_is_bytes(int number) {
  return number != AS_NAME_OTHER && NAMES[number].is_bytes;
}

bool as_names_text_is_bytes(as_slice text) {
  for (size_t i = 0; i < AS_NAMES_COUNT; i++) {
    if (as_slice_equals(as_names_at(i), text)) return NAMES[i].is_bytes;
  }
  return false;
}
