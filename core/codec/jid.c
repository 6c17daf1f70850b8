/* SPDX-License-Identifier: MIT */
#include "codec/jid.h"

#include <endian.h>

enum { HAS_DEVICE = 8, SERVER_BITS = 7, LENGTH_SHIFT = 4, NOT_OURS = 0x80 };

/* Part of the format: doc/envelope.md. */
#define SERVER(name)                                                                     \
  { name, sizeof(name) - 1 }
static const struct {
  const char *name;
  size_t length;
} SERVERS[SERVER_BITS + 1] = {
    SERVER("s.whatsapp.net"), SERVER("lid"),        SERVER("g.us"),
    SERVER("c.us"),           SERVER("hosted"),     SERVER("hosted.lid"),
    SERVER("broadcast"),      SERVER("newsletter"),
};

/* ---- digits, eight at once
 * ------------------------------------------------------------- */

enum { WORD = sizeof(uint64_t) };

static const uint64_t ZEROS = UINT64_C(0x3030303030303030); /* eight characters 0 */

static uint64_t load_word(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return le64toh(word);
}

/* The highest bit of each byte that is no digit; first character lowest. */
static uint64_t mark_others(uint64_t word) {
  const uint64_t HIGHS = UINT64_C(0x8080808080808080), LOWS = ~HIGHS;
  uint64_t digits = word ^ ZEROS;
  return (((digits & LOWS) + UINT64_C(0x7676767676767676)) | digits) & HIGHS;
}

/* The number that eight digits are. */
static uint64_t number_of_word(uint64_t word) {
  word ^= ZEROS;
  word = (word * 10 + (word >> 8)) & UINT64_C(0x00FF00FF00FF00FF);
  word = (word * 100 + (word >> 16)) & UINT64_C(0x0000FFFF0000FFFF);
  return (word * 10000 + (word >> 32)) & UINT32_MAX;
}

/* The first `count` of eight characters, 1 to 8, with zeros before them. */
static uint64_t keep_first(uint64_t word, size_t count) {
  size_t bits = 8 * (WORD - count);
  return bits == 0 ? word : word << bits | (ZEROS & ((UINT64_C(1) << bits) - 1));
}

/* Eight characters from `at` on; those behind the text are no digits. */
static uint64_t word_at(as_slice text, size_t at) {
  size_t left = text.length - at;
  if (left >= WORD) return load_word(text.data + at);
  if (text.length >= WORD) {
    return load_word(text.data + text.length - WORD) >> 8 * (WORD - left);
  }
  uint64_t word = 0;
  for (size_t i = 0; i < left; i++) word |= (uint64_t)text.data[at + i] << 8 * i;
  return word;
}

/* The digits that the text has from `start` on; returns how many, 0 when there are none
 * or they are 2^64 or more. */
static size_t read_digits(as_slice text, size_t start, uint64_t *out_number) {
  static const uint32_t POWERS[] = {1,      10,      100,      1000,     10000,
                                    100000, 1000000, 10000000, 100000000};
  uint64_t number = 0;
  size_t at = start, count = WORD;
  while (count == WORD && at < text.length) {
    uint64_t word = word_at(text, at), others = mark_others(word);
    count = others == 0 ? WORD : (size_t)__builtin_ctzll(others) / 8;
    if (count == 0) break;
    if (__builtin_mul_overflow(number, POWERS[count], &number) ||
        __builtin_add_overflow(number, number_of_word(keep_first(word, count)),
                               &number)) {
      return 0;
    }
    at += count;
  }
  *out_number = number;
  return at - start;
}

static bool has_leading_zero(as_slice text, size_t start, size_t count) {
  return text.data[start] == '0' && count > 1;
}

/* At most three digits. */
static bool read_few_digits(as_slice text, uint64_t *out_number) {
  unsigned number = 0;
  for (size_t i = 0; i < text.length; i++) {
    unsigned digit = (unsigned)text.data[i] - '0';
    if (digit > 9) return false;
    number = number * 10 + digit;
  }
  *out_number = number;
  return text.data[0] != '0' || text.length == 1;
}

bool as_digits_read(as_slice text, uint64_t *out_number) {
  if (text.length > 0 && text.length <= 3) return read_few_digits(text, out_number);
  return text.length > 0 && text.length <= AS_DIGITS_MAX &&
         !has_leading_zero(text, 0, text.length) &&
         read_digits(text, 0, out_number) == text.length;
}

/* Eight digits of a number below 10^8: halves are divided at the same time, 2 of four
 * digits, 4 of two, 8 of one. */
static uint64_t word_of_number(uint32_t number) {
  uint64_t parts = number / 10000 | (uint64_t)(number % 10000) << 32;
  uint64_t hundreds = ((parts * 10486) >> 20) & UINT64_C(0x0000007F0000007F);
  parts = hundreds | (parts - 100 * hundreds) << 16;
  uint64_t tens = ((parts * 103) >> 10) & UINT64_C(0x000F000F000F000F);
  parts = tens | (parts - 10 * tens) << 8;
  return parts + ZEROS;
}

static char *put_word(char *at, uint64_t word) {
  word = htole64(word);
  memcpy(at, &word, sizeof word);
  return at + sizeof word;
}

/* Without the zeros in front; all eight bytes are written. */
static char *put_first_word(char *at, uint32_t number) {
  uint64_t word = word_of_number(number);
  unsigned zeros = number == 0 ? WORD - 1 : (unsigned)__builtin_ctzll(word ^ ZEROS) / 8;
  put_word(at, word >> 8 * zeros);
  return at + WORD - zeros;
}

size_t as_digits_write(uint64_t number, char out[AS_DIGITS_ROOM]) {
  const uint64_t PART = UINT64_C(100000000);
  uint64_t upper = number / PART;
  char *at = out;
  if (upper >= PART) {
    at = put_first_word(at, (uint32_t)(upper / PART));
    at = put_word(at, word_of_number((uint32_t)(upper % PART)));
  } else if (upper > 0) {
    at = put_first_word(at, (uint32_t)upper);
  } else {
    return (size_t)(put_first_word(at, (uint32_t)number) - out);
  }
  return (size_t)(put_word(at, word_of_number((uint32_t)(number % PART))) - out);
}

/* ---- numbers in few bytes
 * -------------------------------------------------------------- */

size_t as_number_pack(uint64_t number, uint8_t out[8]) {
  size_t length = number == 0 ? 1 : (size_t)(71 - __builtin_clzll(number)) / 8;
  uint64_t word = htobe64(number << 8 * (WORD - length));
  memcpy(out, &word, sizeof word);
  return length;
}

static uint64_t load_half(const uint8_t *at) {
  uint32_t half;
  memcpy(&half, at, sizeof half);
  return be32toh(half);
}

uint64_t as_number_unpack(const uint8_t *bytes, size_t length) {
  uint64_t number = 0;
  if (length >= WORD / 2) { /* two halves, which may share bytes */
    size_t rest = length - WORD / 2;
    return load_half(bytes) << 8 * rest | load_half(bytes + rest);
  }
  for (size_t i = 0; i < length; i++) number = number << 8 | bytes[i];
  return number;
}

static int find_server(as_slice text) {
  /* Nearly always: compared in line. */
  static const char USUAL[] = "s.whatsapp.net";
  if (text.length == sizeof USUAL - 1 &&
      memcmp(text.data, USUAL, sizeof USUAL - 1) == 0) {
    return 0;
  }
  for (int i = 0; i <= SERVER_BITS; i++) {
    if (text.length == SERVERS[i].length &&
        memcmp(text.data, SERVERS[i].name, text.length) == 0) {
      return i;
    }
  }
  return -1;
}

/* ---- jids
 * ------------------------------------------------------------------------------ */

/* A number as JavaScript writes it; returns how many digits, 0: no such number. */
static size_t take_number(as_slice text, size_t start, uint64_t *out_number) {
  size_t count = read_digits(text, start, out_number);
  return count > 0 && has_leading_zero(text, start, count) ? 0 : count;
}

size_t as_jid_pack(as_slice text, uint8_t out[AS_JID_MAX_PACKED]) {
  uint64_t number, device = 0;
  size_t at = take_number(text, 0, &number);
  if (at == 0 || at == text.length) return 0;
  bool has_device = text.data[at] == ':';
  if (has_device) {
    size_t count = take_number(text, ++at, &device);
    if (count == 0) return 0;
    at += count;
  }
  if (at == text.length || text.data[at] != '@' || device > UINT8_MAX) return 0;
  int server = find_server(as_slice_of(text.data + at + 1, text.length - at - 1));
  if (server < 0) return 0;
  size_t head = 1;
  if (has_device) out[head++] = (uint8_t)device;
  size_t length = as_number_pack(number, out + head);
  out[0] = (uint8_t)(server | (has_device ? HAS_DEVICE : 0) |
                     (int)(length - 1) << LENGTH_SHIFT);
  return head + length;
}

size_t as_jid_unpack(as_slice bytes, char out[AS_JID_MAX_TEXT], size_t *out_taken) {
  if (bytes.length < 2 || (bytes.data[0] & NOT_OURS) != 0) return 0;
  uint8_t first = bytes.data[0];
  bool has_device = (first & HAS_DEVICE) != 0;
  size_t head = has_device ? 2 : 1, length = (size_t)(first >> LENGTH_SHIFT) + 1;
  if (bytes.length < head + length) return 0;
  size_t end = as_digits_write(as_number_unpack(bytes.data + head, length), out);
  if (has_device) {
    out[end++] = ':';
    end += as_digits_write(bytes.data[1], out + end);
  }
  unsigned server = first & SERVER_BITS;
  out[end++] = '@';
  memcpy(out + end, SERVERS[server].name, SERVERS[server].length);
  *out_taken = head + length;
  return end + SERVERS[server].length;
}
