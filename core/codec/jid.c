/* SPDX-License-Identifier: MIT */
#include "codec/jid.h"

enum { HAS_DEVICE = 8, SERVER_BITS = 7, LENGTH_SHIFT = 4, NOT_OURS = 0x80 };

/* Part of the format: doc/envelope.md. */
static const char *const SERVERS[] = {"s.whatsapp.net", "lid",       "g.us",
                                      "c.us",           "hosted",    "hosted.lid",
                                      "broadcast",      "newsletter"};

static bool is_digit(uint8_t byte) {
  return byte >= '0' && byte <= '9';
}

bool as_digits_read(as_slice text, uint64_t *out_number) {
  uint64_t number = 0;
  if (text.length == 0 || text.length > AS_DIGITS_MAX) return false;
  if (text.data[0] == '0' && text.length > 1) return false;
  for (size_t i = 0; i < text.length; i++) {
    unsigned digit = (unsigned)text.data[i] - '0';
    if (digit > 9) return false;
    if (i == AS_DIGITS_MAX - 1 &&
        (number > UINT64_MAX / 10 ||
         (number == UINT64_MAX / 10 && digit > UINT64_MAX % 10))) {
      return false;
    }
    number = number * 10 + digit;
  }
  *out_number = number;
  return true;
}

size_t as_digits_write(uint64_t number, char out[AS_DIGITS_MAX]) {
  char digits[AS_DIGITS_MAX];
  size_t start = sizeof digits;
  do {
    digits[--start] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  memcpy(out, digits + start, sizeof digits - start);
  return sizeof digits - start;
}

size_t as_number_pack(uint64_t number, uint8_t out[8]) {
  size_t length = number == 0 ? 1 : (size_t)(71 - __builtin_clzll(number)) / 8;
  for (size_t i = length; i > 0; i--) {
    out[i - 1] = (uint8_t)number;
    number >>= 8;
  }
  return length;
}

uint64_t as_number_unpack(const uint8_t *bytes, size_t length) {
  uint64_t number = 0;
  for (size_t i = 0; i < length; i++) number = number << 8 | bytes[i];
  return number;
}

static int find_server(as_slice text) {
  for (int i = 0; i <= SERVER_BITS; i++) {
    if (as_slice_equals(text, as_slice_text(SERVERS[i]))) return i;
  }
  return -1;
}

static size_t count_digits(as_slice text, size_t start) {
  size_t end = start;
  while (end < text.length && is_digit(text.data[end])) end++;
  return end - start;
}

size_t as_jid_pack(as_slice text, uint8_t out[AS_JID_MAX_PACKED]) {
  uint64_t number, device = 0;
  size_t user = count_digits(text, 0), at = user;
  if (user == 0 || at == text.length) return 0;
  bool has_device = text.data[at] == ':';
  if (has_device) {
    size_t length = count_digits(text, ++at);
    if (!as_digits_read(as_slice_of(text.data + at, length), &device)) return 0;
    at += length;
  }
  if (at == text.length || text.data[at] != '@' || device > UINT8_MAX) return 0;
  int server = find_server(as_slice_of(text.data + at + 1, text.length - at - 1));
  if (server < 0 || !as_digits_read(as_slice_of(text.data, user), &number)) return 0;
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
  const char *server = SERVERS[first & SERVER_BITS];
  size_t server_length = strlen(server);
  out[end++] = '@';
  memcpy(out + end, server, server_length);
  *out_taken = head + length;
  return end + server_length;
}
