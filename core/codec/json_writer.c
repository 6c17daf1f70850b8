/* SPDX-License-Identifier: MIT */
#include "codec/json_writer.h"

#include "codec/number.h"
#include "codec/utf8.h"

static char short_escape(uint8_t byte) {
  switch (byte) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return '\0';
  }
}

/* What JSON.stringify writes for the character at the start of `text`: the length, with
 * the characters in `out`, or 0 when it stands for itself. *out_consumed: its bytes. */
static size_t escape(as_slice text, uint8_t out[6], size_t *out_consumed) {
  static const char HEX[] = "0123456789abcdef";
  uint8_t byte = text.data[0];
  char letter = short_escape(byte);
  *out_consumed = 1;
  out[0] = '\\';
  out[1] = letter != '\0' ? (uint8_t)letter : 'u';
  if (letter != '\0') return 2;
  uint32_t unit = byte;
  if (byte == 0xED && as_utf8_surrogate(text.data, text.length) > 0) {
    unit = 0xD000 | (uint32_t)(text.data[1] & 0x3F) << 6 | (text.data[2] & 0x3F);
    *out_consumed = 3;
  } else if (byte >= 0x20) {
    return 0;
  }
  for (int i = 0; i < 4; i++) out[2 + i] = (uint8_t)HEX[unit >> (12 - 4 * i) & 15];
  return 6;
}

static bool is_plain(uint8_t byte) {
  return byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0xED;
}

/* Whether one of the bytes of a word is `byte`. */
static bool has_byte(uint64_t word, uint8_t byte) {
  uint64_t ones = UINT64_C(0x0101010101010101);
  uint64_t zeroed = word ^ ones * byte;
  return ((zeroed - ones) & ~zeroed & ones * 0x80) != 0;
}

/* How many bytes at the start stand for themselves, at least: eight are looked at in one
 * word. */
static size_t plain_length(as_slice text) {
  uint64_t ones = UINT64_C(0x0101010101010101), word;
  size_t i = 0;
  for (; i + sizeof word <= text.length; i += sizeof word) {
    memcpy(&word, text.data + i, sizeof word);
    bool has_control = ((word - ones * 0x20) & ~word & ones * 0x80) != 0;
    if (has_control || has_byte(word, '"') || has_byte(word, '\\') ||
        has_byte(word, 0xED))
      break;
  }
  while (i < text.length && is_plain(text.data[i])) i++;
  return i;
}

as_status as_json_write_string(as_buffer *out, as_slice text) {
  uint8_t escaped[6];
  size_t start = 0, consumed;
  AS_TRY(as_buffer_reserve(out, text.length + 2));
  AS_TRY(as_buffer_append_byte(out, '"'));
  for (size_t i = plain_length(text); i < text.length; i += consumed) {
    as_slice rest = as_slice_of(text.data + i, text.length - i);
    size_t length = escape(rest, escaped, &consumed);
    if (length > 0) {
      AS_TRY(as_buffer_append(out, text.data + start, i - start));
      AS_TRY(as_buffer_append(out, escaped, length));
      start = i + consumed;
    }
    consumed += plain_length(as_slice_of(rest.data + consumed, rest.length - consumed));
  }
  AS_TRY(as_buffer_append(out, text.data + start, text.length - start));
  return as_buffer_append_byte(out, '"');
}

size_t as_json_string_length(as_slice text) {
  uint8_t escaped[6];
  size_t total = 2, consumed;
  for (size_t i = 0; i < text.length; i += consumed) {
    size_t length =
        escape(as_slice_of(text.data + i, text.length - i), escaped, &consumed);
    total += length > 0 ? length : consumed;
  }
  return total;
}

as_status as_json_write_number(as_buffer *out, double value) {
  char text[AS_NUMBER_MAX_CHARS];
  return as_buffer_append(out, text, as_number_format(value, text));
}
