/* SPDX-License-Identifier: MIT */
/* Random appends and drops against a plain array, with an allocator that fails. */
#include "base/buffer.h"

#include "check.h"

enum { LIMIT = 100000, STEPS = 5000 };

static uint8_t model[LIMIT];
static size_t model_length;

static void check_same(const as_buffer *buffer) {
  CHECK(buffer->length == model_length && buffer->capacity >= buffer->length);
  CHECK(model_length == 0 || memcmp(buffer->data, model, model_length) == 0);
  as_slice all = as_buffer_slice(buffer);
  CHECK(all.data == buffer->data && all.length == buffer->length);
}

static as_status append_some(as_buffer *buffer, const uint8_t *bytes, size_t length) {
  switch (check_random(3)) {
    case 0:
      return as_buffer_append(buffer, bytes, length);
    case 1:
      return as_buffer_append_slice(buffer, as_slice_of(bytes, length));
    default:
      if (length == 1) return as_buffer_append_byte(buffer, bytes[0]);
      AS_TRY(as_buffer_reserve(buffer, length));
      CHECK(buffer->capacity - buffer->length >= length);
      return as_buffer_append(buffer, bytes, length);
  }
}

static void append(as_buffer *buffer, check_mem *mem) {
  uint8_t bytes[300];
  size_t length = check_random(check_random(2) ? 2 : 300);
  if (model_length + length > LIMIT) return;
  for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)check_random(256);
  uint64_t failed = mem->failed;
  size_t used_bytes = mem->mem.used_bytes;
  as_status status = append_some(buffer, bytes, length);
  CHECK((status == AS_OK) == (mem->failed == failed));
  if (status == AS_OK) {
    memcpy(model + model_length, bytes, length);
    model_length += length;
    return;
  }
  CHECK(status == AS_ERR_OOM && mem->mem.used_bytes == used_bytes);
}

static void drop(as_buffer *buffer) {
  size_t length = check_random((uint32_t)model_length + 1);
  as_buffer_drop_front(buffer, length);
  memmove(model, model + length, model_length - length);
  model_length -= length;
}

static void run(uint64_t first, uint64_t last) {
  check_mem mem;
  as_buffer buffer;
  check_mem_init(&mem, first, last);
  as_buffer_init(&buffer, &mem.mem);
  model_length = 0;
  for (int i = 0; i < STEPS; i++) {
    uint32_t kind = check_random(100);
    if (kind < 90) {
      append(&buffer, &mem);
    } else if (kind < 98) {
      drop(&buffer);
    } else if (kind < 99) {
      as_buffer_clear(&buffer);
      model_length = 0;
    } else {
      as_buffer_free(&buffer);
      model_length = 0;
      CHECK(mem.mem.used_bytes == 0);
    }
    check_same(&buffer);
    CHECK(mem.mem.used_bytes == buffer.capacity);
  }
  as_buffer_free(&buffer);
  as_buffer_free(&buffer);
  CHECK(mem.mem.used_bytes == 0);
}

/* Sizes that no memory has must not wrap around. */
static void check_huge(void) {
  check_mem mem;
  as_buffer buffer;
  check_mem_init(&mem, 0, 0);
  as_buffer_init(&buffer, &mem.mem);
  CHECK(as_buffer_append(&buffer, "abc", 3) == AS_OK);
  for (int shift = 0; shift < 3; shift++) {
    CHECK(as_buffer_reserve(&buffer, SIZE_MAX >> shift) == AS_ERR_OOM);
    CHECK(as_buffer_reserve(&buffer, (SIZE_MAX >> shift) - 3) == AS_ERR_OOM);
  }
  CHECK(buffer.length == 3 && memcmp(buffer.data, "abc", 3) == 0);
  as_buffer_free(&buffer);
}

/* Appending byte by byte moves the bytes a logarithmic number of times. */
static void check_growth(void) {
  check_mem mem;
  as_buffer buffer;
  check_mem_init(&mem, 0, 0);
  as_buffer_init(&buffer, &mem.mem);
  for (int i = 0; i < 1 << 20; i++) CHECK(as_buffer_append_byte(&buffer, 1) == AS_OK);
  CHECK(mem.calls <= 20);
  as_buffer_free(&buffer);
}

static void check_slices(void) {
  CHECK(as_slice_equals(as_slice_of(NULL, 0), as_slice_text("")));
  CHECK(as_slice_equals(as_slice_text("abc"), as_slice_of("abcd", 3)));
  CHECK(!as_slice_equals(as_slice_text("abc"), as_slice_text("abd")));
  CHECK(!as_slice_equals(as_slice_text("abc"), as_slice_text("ab")));
  CHECK(as_slice_starts_with(as_slice_text("abc"), "ab"));
  CHECK(as_slice_starts_with(as_slice_text("abc"), ""));
  CHECK(!as_slice_starts_with(as_slice_text("ab"), "abc"));
}

int main(int argc, char **argv) {
  check_begin(argc, argv);
  run(0, 0);
  for (uint64_t call = 1; call < 20; call++) run(call, call + check_random(5));
  check_huge();
  check_growth();
  check_slices();
  return 0;
}
