/* SPDX-License-Identifier: MIT */
/* On x86-64, whose processors nearly all have SSSE3, 12 bytes and 16 characters are done
 * at once, as Mula and Lemire describe it ("Faster Base64 Encoding and Decoding using
 * AVX2 Instructions", ACM Transactions on the Web, 2018); the rest, and other machines,
 * byte by byte. */
#include "codec/base64.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_BLOCKS 1
#include <immintrin.h>
#define BLOCK_FUNCTION static __attribute__((target("ssse3")))
#else
#define HAS_BLOCKS 0
#endif

/* 24 characters are at least 16 bytes, padding or not. */
enum { BLOCK_BYTES = 12, BLOCK_CHARACTERS = 16, LEAST_CHARACTERS = 24 };

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

#if HAS_BLOCKS
static bool has_blocks(void) {
  return __builtin_cpu_supports("ssse3");
}

/* Encodes 12 bytes; 16 are read. */
BLOCK_FUNCTION void encode_block(const uint8_t *bytes, uint8_t *out) {
  /* From a value of six bits to what is added to it: A, a, ten digits, + and /. */
  const __m128i SHIFTS = _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                       '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                       '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
  __m128i in = _mm_loadu_si128((const __m128i *)(const void *)bytes);
  /* Each group of three bytes a b c becomes four: b a c b. */
  in = _mm_shuffle_epi8(in,
                        _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10));
  __m128i odd = _mm_mulhi_epu16(_mm_and_si128(in, _mm_set1_epi32(0x0FC0FC00)),
                                _mm_set1_epi32(0x04000040));
  __m128i even = _mm_mullo_epi16(_mm_and_si128(in, _mm_set1_epi32(0x003F03F0)),
                                 _mm_set1_epi32(0x01000010));
  __m128i values = _mm_or_si128(odd, even);
  /* 13 for A to Z, 0 for a to z, 1 to 10 for digits, 11 and 12 for + and /. */
  __m128i range = _mm_subs_epu8(values, _mm_set1_epi8(51));
  __m128i is_upper = _mm_cmpgt_epi8(_mm_set1_epi8(26), values);
  range = _mm_or_si128(range, _mm_and_si128(is_upper, _mm_set1_epi8(13)));
  __m128i characters = _mm_add_epi8(values, _mm_shuffle_epi8(SHIFTS, range));
  _mm_storeu_si128((__m128i *)(void *)out, characters);
}

/* Encodes from the front while 16 bytes can be read; returns how many bytes. */
static size_t encode_blocks(as_slice bytes, uint8_t *out) {
  size_t done = 0;
  if (!has_blocks()) return 0;
  for (; bytes.length - done >= BLOCK_CHARACTERS; done += BLOCK_BYTES) {
    encode_block(bytes.data + done, out + done / 3 * 4);
  }
  return done;
}

/* Decodes 16 characters to 12 bytes; 16 are written. False: none of the alphabet. */
BLOCK_FUNCTION bool decode_block(const uint8_t *text, uint8_t *out) {
  /* A character is right when the bits of its two halves have nothing in common. */
  const __m128i LOW = _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                    0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A);
  const __m128i HIGH = _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10,
                                     0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
  /* What is added to it then, by its upper half; / has a place of its own. */
  const __m128i SHIFTS =
      _mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128i slash = _mm_set1_epi8(0x2F);
  __m128i in = _mm_loadu_si128((const __m128i *)(const void *)text);
  __m128i upper = _mm_and_si128(_mm_srli_epi32(in, 4), slash);
  __m128i wrong = _mm_and_si128(_mm_shuffle_epi8(LOW, _mm_and_si128(in, slash)),
                                _mm_shuffle_epi8(HIGH, upper));
  if (_mm_movemask_epi8(_mm_cmpgt_epi8(wrong, _mm_setzero_si128())) != 0) return false;
  __m128i place = _mm_add_epi8(_mm_cmpeq_epi8(in, slash), upper);
  __m128i values = _mm_add_epi8(in, _mm_shuffle_epi8(SHIFTS, place));
  __m128i pairs = _mm_maddubs_epi16(values, _mm_set1_epi32(0x01400140));
  __m128i groups = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00011000));
  groups = _mm_shuffle_epi8(
      groups, _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
  _mm_storeu_si128((__m128i *)(void *)out, groups);
  return true;
}

/* Decodes from the front while 16 bytes can be written; gives how many characters. */
static bool decode_blocks(as_slice text, uint8_t *out, size_t *out_done) {
  size_t done = 0;
  *out_done = 0;
  if (!has_blocks()) return true;
  for (; text.length - done >= LEAST_CHARACTERS; done += BLOCK_CHARACTERS) {
    if (!decode_block(text.data + done, out + done / 4 * 3)) return false;
  }
  *out_done = done;
  return true;
}
#else
static size_t encode_blocks(as_slice bytes, uint8_t *out) {
  (void)bytes;
  (void)out;
  return 0;
}

static bool decode_blocks(as_slice text, uint8_t *out, size_t *out_done) {
  (void)text;
  (void)out;
  *out_done = 0;
  return true;
}
#endif

void as_base64_encode(as_slice bytes, uint8_t *out) {
  size_t done = encode_blocks(bytes, out);
  const uint8_t *at = bytes.data + done;
  size_t left = bytes.length - done;
  out += done / 3 * 4;
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
  size_t done;
  if (!decode_blocks(text, out, &done)) return false;
  const uint8_t *at = text.data + done, *end = text.data + text.length;
  bool is_padded = end[-1] == '=';
  if (is_padded) end -= 4;
  out += done / 4 * 3;
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
