/* SPDX-License-Identifier: MIT */
#include "codec/utf8.h"

static bool is_continuation(uint8_t byte) {
  return (byte & 0xC0) == 0x80;
}

static uint64_t load_word(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static size_t ascii_prefix(const uint8_t *data, size_t length) {
  const uint64_t HIGHS = UINT64_C(0x8080808080808080);
  size_t i = 0;
  for (; length - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
    if (load_word(data + i) & HIGHS) break;
  }
  /* The last bytes, with some that have been looked at. */
  bool is_end = length - i < sizeof(uint64_t) && length >= sizeof(uint64_t);
  if (is_end && !(load_word(data + length - sizeof(uint64_t)) & HIGHS)) return length;
  while (i < length && data[i] < 0x80) i++;
  return i;
}

size_t as_utf8_sequence(const uint8_t *data, size_t length) {
  uint8_t lead = data[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (length < size) return 0;
  uint8_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (data[1] < lowest || data[1] > highest) return 0;
  for (size_t i = 2; i < size; i++) {
    if (!is_continuation(data[i])) return 0;
  }
  return size;
}

size_t as_utf8_surrogate(const uint8_t *data, size_t length) {
  bool is_surrogate = length >= 3 && data[0] == 0xED && data[1] >= 0xA0 &&
                      data[1] <= 0xBF && is_continuation(data[2]);
  return is_surrogate ? 3 : 0;
}

as_utf8_form as_utf8_check(as_slice text) {
  as_utf8_form form = AS_UTF8_STRICT;
  bool after_high = false;
  size_t i = 0;
  for (;;) {
    size_t ascii = ascii_prefix(text.data + i, text.length - i);
    i += ascii;
    if (i == text.length) return form;
    size_t size = as_utf8_sequence(text.data + i, text.length - i);
    if (size > 0) {
      after_high = false;
    } else {
      size = as_utf8_surrogate(text.data + i, text.length - i);
      bool is_high = size > 0 && text.data[i + 1] < 0xB0;
      if (size == 0 || (after_high && ascii == 0 && !is_high)) return AS_UTF8_INVALID;
      after_high = is_high;
      form = AS_UTF8_SURROGATES;
    }
    i += size;
  }
}

size_t as_utf8_size(uint32_t code_point) {
  return code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
}

size_t as_utf8_put(uint32_t code_point, uint8_t *out) {
  static const uint8_t LEADS[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
  size_t size = as_utf8_size(code_point);
  for (size_t i = size - 1; i > 0; i--) {
    out[i] = (uint8_t)(0x80 | (code_point & 0x3F));
    code_point >>= 6;
  }
  out[0] = (uint8_t)(LEADS[size] | code_point);
  return size;
}
