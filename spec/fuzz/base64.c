/* SPDX-License-Identifier: MIT */
/* The input is read as text, and encoded as bytes. Strict decoding accepts a text exactly
 * if encoding what it stands for gives the text back. */
#include "codec/base64.h"

#include "fuzz.h"

/* What Node does, one character after the other: the value of six bits, or -1. */
static int sextet(uint8_t character) {
  if (character >= 'A' && character <= 'Z') return character - 'A';
  if (character >= 'a' && character <= 'z') return character - 'a' + 26;
  if (character >= '0' && character <= '9') return character - '0' + 52;
  if (character == '+' || character == '-') return 62;
  if (character == '/' || character == '_') return 63;
  return -1;
}

static size_t decode_slowly(as_slice text, uint8_t *out) {
  size_t bits = 0;
  for (size_t i = 0; i < text.length && text.data[i] != '='; i++) {
    int value = sextet(text.data[i]);
    for (int bit = 5; value >= 0 && bit >= 0; bit--, bits++) {
      if (bits % 8 == 0) out[bits / 8] = 0;
      out[bits / 8] |= (uint8_t)((value >> bit & 1) << (7 - bits % 8));
    }
  }
  return bits / 8;
}

static bool encodes_to(as_slice bytes, as_slice text) {
  size_t length = as_base64_encoded_length(bytes.length);
  uint8_t *encoded = malloc(length);
  as_base64_encode(bytes, encoded);
  bool is_same = as_slice_equals(text, as_slice_of(encoded, length));
  free(encoded);
  return is_same;
}

static void decode(as_slice text) {
  uint8_t *expected = malloc(text.length + 1);
  size_t length = decode_slowly(text, expected);
  as_slice bytes = as_slice_of(expected, length);

  EXPECT(as_base64_decode_lenient(text, NULL) == length);
  uint8_t *lenient = malloc(length);
  EXPECT(as_base64_decode_lenient(text, lenient) == length);
  EXPECT(as_slice_equals(as_slice_of(lenient, length), bytes));
  free(lenient);

  size_t strict_length = as_base64_decoded_length(text);
  uint8_t *strict = malloc(strict_length);
  bool is_canonical = as_base64_decode(text, strict);
  EXPECT(is_canonical == encodes_to(bytes, text));
  if (is_canonical) EXPECT(as_slice_equals(as_slice_of(strict, strict_length), bytes));
  free(strict);
  free(expected);
}

static void encode(as_slice bytes) {
  size_t length = as_base64_encoded_length(bytes.length);
  uint8_t *text = malloc(length), *back = malloc(bytes.length);
  as_base64_encode(bytes, text);
  EXPECT(as_base64_decoded_length(as_slice_of(text, length)) == bytes.length);
  EXPECT(as_base64_decode(as_slice_of(text, length), back));
  EXPECT(as_slice_equals(bytes, as_slice_of(back, bytes.length)));
  free(text);
  free(back);
}

void fuzz_base64(as_slice input) {
  decode(input);
  encode(input);
}
