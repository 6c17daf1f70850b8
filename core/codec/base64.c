/* SPDX-License-Identifier: MIT */
#include "codec/base64.h"

static const char ALPHABET[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* What sextet() gives for a character outside of both alphabets, and the mark it adds to
 * the two characters that only the url-safe alphabet has. */
enum { NONE = 0xFF, URL_SAFE = 0x40 };

/* Six bits plus one, so that 0 is no character. */
/* clang-format off */
static const uint8_t SEXTETS[256] = {
    ['A'] = 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45,
    46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    ['+'] = 63, ['/'] = 64, ['-'] = (62 | URL_SAFE) + 1, ['_'] = (63 | URL_SAFE) + 1,
};
/* clang-format on */

static uint8_t sextet(uint8_t character) {
  return (uint8_t)(SEXTETS[character] - 1);
}

size_t as_base64_encoded_length(size_t length) {
  return (length + 2) / 3 * 4;
}

size_t as_base64_decoded_length(as_slice text) {
  size_t length = text.length / 4 * 3;
  if (length == 0 || text.data[text.length - 1] != '=') return length;
  return length - (text.data[text.length - 2] == '=' ? 2 : 1);
}

void as_base64_encode(as_slice bytes, uint8_t *out) {
  const uint8_t *at = bytes.data;
  size_t left = bytes.length;
  for (; left >= 3; left -= 3, at += 3, out += 4) {
    uint32_t group = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
    out[0] = (uint8_t)ALPHABET[group >> 18];
    out[1] = (uint8_t)ALPHABET[group >> 12 & 63];
    out[2] = (uint8_t)ALPHABET[group >> 6 & 63];
    out[3] = (uint8_t)ALPHABET[group & 63];
  }
  if (left == 0) return;
  uint32_t group = (uint32_t)at[0] << 16 | (left == 2 ? (uint32_t)at[1] << 8 : 0);
  out[0] = (uint8_t)ALPHABET[group >> 18];
  out[1] = (uint8_t)ALPHABET[group >> 12 & 63];
  out[2] = left == 2 ? (uint8_t)ALPHABET[group >> 6 & 63] : '=';
  out[3] = '=';
}

/* The last group, with one or two =: false unless the bits left over are zero. */
static bool decode_last(const uint8_t *at, uint8_t *out) {
  bool has_two = at[2] != '=';
  uint8_t a = sextet(at[0]), b = sextet(at[1]), c = has_two ? sextet(at[2]) : 0;
  if ((a | b | c) > 63 || (has_two ? c & 3 : b & 15) != 0) return false;
  out[0] = (uint8_t)(a << 2 | b >> 4);
  if (has_two) out[1] = (uint8_t)(b << 4 | c >> 2);
  return true;
}

bool as_base64_decode(as_slice text, uint8_t *out) {
  if (text.length == 0) return true;
  if (text.length % 4 != 0) return false;
  const uint8_t *at = text.data, *end = text.data + text.length;
  bool is_padded = end[-1] == '=';
  if (is_padded) end -= 4;
  for (; at < end; at += 4, out += 3) {
    uint8_t a = sextet(at[0]), b = sextet(at[1]), c = sextet(at[2]), d = sextet(at[3]);
    if ((a | b | c | d) > 63) return false;
    out[0] = (uint8_t)(a << 2 | b >> 4);
    out[1] = (uint8_t)(b << 4 | c >> 2);
    out[2] = (uint8_t)(c << 6 | d);
  }
  return !is_padded || decode_last(at, out);
}

size_t as_base64_decode_lenient(as_slice text, uint8_t *out) {
  uint32_t bits = 0;
  unsigned held = 0;
  size_t count = 0;
  for (size_t i = 0; i < text.length && text.data[i] != '='; i++) {
    uint8_t six = sextet(text.data[i]);
    if (six == NONE) continue;
    bits = (bits << 6 | (six & 63)) & 0xFFFF;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    if (out != NULL) out[count] = (uint8_t)(bits >> held);
    count++;
  }
  return count;
}
