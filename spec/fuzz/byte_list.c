/* SPDX-License-Identifier: MIT */
/* The input is read as a list of numbers, "1,2,255", and written as one. A list is taken
 * exactly when it is what writing its bytes gives. */
#include "codec/byte_list.h"

#include "fuzz.h"

/* What reading may look at in front of a list, brackets included. */
static const char BEFORE[] = "\"data\":[";

enum { BEFORE_LENGTH = sizeof BEFORE - 1 };

/* Writes the list of some bytes slowly. */
static void write_slowly(as_slice bytes, as_buffer *out) {
  char text[8];
  for (size_t i = 0; i < bytes.length; i++) {
    snprintf(text, sizeof text, i > 0 ? ",%u" : "%u", bytes.data[i]);
    EXPECT(as_buffer_append_slice(out, as_slice_text(text)) == AS_OK);
  }
}

/* Reads the list between brackets at the end of a block of its own. */
static bool read(as_slice list, as_buffer *out) {
  size_t length = BEFORE_LENGTH + list.length, count = 0;
  uint8_t *block = malloc(length + 1);
  EXPECT(block != NULL);
  memcpy(block, BEFORE, BEFORE_LENGTH);
  if (list.length > 0) memcpy(block + BEFORE_LENGTH, list.data, list.length);
  block[length] = ']';
  const uint8_t *start = block + BEFORE_LENGTH, *end = block + length;
  size_t room = as_byte_list_room(start, end);
  uint8_t *bytes = malloc(room);
  EXPECT(bytes != NULL);
  bool is_list = as_byte_list_read(start, end, bytes, &count);
  if (is_list) {
    EXPECT(count <= room);
    EXPECT(as_buffer_append_slice(out, as_slice_of(bytes, count)) == AS_OK);
  }
  free(bytes);
  free(block);
  return is_list;
}

static void check_text(as_slice list, as_mem *mem) {
  as_buffer bytes, expected;
  as_buffer_init(&bytes, mem);
  as_buffer_init(&expected, mem);
  bool is_list = read(list, &bytes);
  write_slowly(as_buffer_slice(&bytes), &expected);
  if (is_list) EXPECT(as_slice_equals(as_buffer_slice(&expected), list));
  as_buffer_free(&bytes);
  as_buffer_free(&expected);
}

/* What is written is right, and is read; with one character changed it is not, unless
 * that too is a list. */
static void check_bytes(as_slice bytes, as_mem *mem) {
  as_buffer list, expected, back;
  as_buffer_init(&list, mem);
  as_buffer_init(&expected, mem);
  as_buffer_init(&back, mem);
  EXPECT(as_byte_list_write(&list, bytes) == AS_OK);
  write_slowly(bytes, &expected);
  EXPECT(as_slice_equals(as_buffer_slice(&list), as_buffer_slice(&expected)));
  EXPECT(read(as_buffer_slice(&list), &back));
  EXPECT(as_slice_equals(as_buffer_slice(&back), bytes));
  if (list.length > 0) {
    uint32_t state = (uint32_t)list.length + bytes.data[0];
    list.data[fuzz_random(&state, (uint32_t)list.length)] =
        (uint8_t) ",,0192[]- .\xB0"[fuzz_random(&state, 12)];
    check_text(as_buffer_slice(&list), mem);
  }
  as_buffer_free(&list);
  as_buffer_free(&expected);
  as_buffer_free(&back);
}

void fuzz_byte_list(as_slice input) {
  as_mem mem;
  as_mem_init(&mem);
  check_text(input, &mem);
  check_bytes(input, &mem);
  EXPECT(mem.used_bytes == 0);
}
