/* SPDX-License-Identifier: MIT */
/* The input is read as text, as digits and as a jid, and compared with what a slow reader
 * makes of it; then as packed jids, and as a number. What is taken comes back. */
#include "codec/jid.h"

#include <inttypes.h>

#include "fuzz.h"

static const char *const SERVERS[] = {"s.whatsapp.net", "lid",       "g.us",
                                      "c.us",           "hosted",    "hosted.lid",
                                      "broadcast",      "newsletter"};

enum { SERVER_COUNT = sizeof SERVERS / sizeof *SERVERS, MAX_DEVICE = 255 };

/* A block whose end is the text's end, so that reading beyond it is seen. */
static as_slice text_of(const char *text) {
  size_t length = strlen(text);
  return as_slice_of(fuzz_copy(as_slice_of(text, length)), length);
}

/* Digits as strtoull reads them, when printf writes them so again. */
static bool read_slowly(as_slice text, uint64_t *out_number) {
  char copy[AS_DIGITS_MAX + 1], again[AS_DIGITS_MAX + 1];
  if (text.length == 0 || text.length > AS_DIGITS_MAX) return false;
  memcpy(copy, text.data, text.length);
  copy[text.length] = '\0';
  *out_number = strtoull(copy, NULL, 10);
  snprintf(again, sizeof again, "%" PRIu64, *out_number);
  return strlen(copy) == text.length && strcmp(copy, again) == 0;
}

/* ---- numbers ----------------------------------------------------------------------- */

static void check_number(uint64_t number) {
  char expected[AS_DIGITS_ROOM], text[AS_DIGITS_ROOM];
  uint8_t packed[8];
  uint64_t back = ~number;
  size_t length = as_digits_write(number, text);
  snprintf(expected, sizeof expected, "%" PRIu64, number);
  EXPECT(strlen(expected) == length && memcmp(expected, text, length) == 0);
  EXPECT(as_digits_read(as_slice_of(text, length), &back) && back == number);
  size_t bytes = as_number_pack(number, packed);
  EXPECT(bytes >= 1 && bytes <= sizeof packed && (bytes == 1 || packed[0] != 0));
  uint8_t *exact = fuzz_copy(as_slice_of(packed, bytes));
  EXPECT(as_number_unpack(exact, bytes) == number);
  free(exact);
}

static void check_digits(as_slice text) {
  uint64_t number = 0, slow = 0;
  bool is_number = as_digits_read(text, &number);
  EXPECT(is_number == read_slowly(text, &slow));
  if (is_number) {
    EXPECT(number == slow);
    check_number(number);
  }
}

/* ---- jids -------------------------------------------------------------------------- */

static const uint8_t *find(as_slice text, char sign) {
  return text.length > 0 ? memchr(text.data, sign, text.length) : NULL;
}

static as_slice between(const uint8_t *start, const uint8_t *end) {
  return as_slice_of(start, (size_t)(end - start));
}

static bool is_jid(as_slice text) {
  const uint8_t *sign = find(text, '@'), *end = text.data + text.length;
  uint64_t number;
  if (sign == NULL) return false;
  as_slice user = between(text.data, sign), server = between(sign + 1, end);
  const uint8_t *colon = find(user, ':');
  if (colon != NULL) {
    if (!read_slowly(between(colon + 1, sign), &number) || number > MAX_DEVICE) {
      return false;
    }
    user = between(user.data, colon);
  }
  for (size_t i = 0; i < SERVER_COUNT; i++) {
    if (as_slice_equals(server, as_slice_text(SERVERS[i]))) {
      return read_slowly(user, &number);
    }
  }
  return false;
}

/* Packed bytes that begin with a jid give a text, and that the same text again. */
static void check_packed(as_slice bytes) {
  char text[AS_JID_MAX_TEXT], again[AS_JID_MAX_TEXT];
  uint8_t packed[AS_JID_MAX_PACKED];
  size_t taken = 0, taken_again = 0;
  size_t length = as_jid_unpack(bytes, text, &taken);
  if (length == 0) return;
  EXPECT(taken >= 2 && taken <= AS_JID_MAX_PACKED && taken <= bytes.length);
  EXPECT(length <= AS_JID_MAX_TEXT && is_jid(as_slice_of(text, length)));
  size_t shortest = as_jid_pack(as_slice_of(text, length), packed);
  EXPECT(shortest > 0 && shortest <= taken);
  size_t same = as_jid_unpack(as_slice_of(packed, shortest), again, &taken_again);
  EXPECT(same == length && memcmp(again, text, length) == 0 && taken_again == shortest);
}

static void check_jid(as_slice text) {
  uint8_t packed[AS_JID_MAX_PACKED];
  char back[AS_JID_MAX_TEXT];
  size_t taken = 0, length = as_jid_pack(text, packed);
  EXPECT((length > 0) == is_jid(text));
  if (length == 0) return;
  EXPECT(length <= AS_JID_MAX_PACKED);
  uint8_t *exact = fuzz_copy(as_slice_of(packed, length));
  size_t back_length = as_jid_unpack(as_slice_of(exact, length), back, &taken);
  EXPECT(taken == length);
  EXPECT(as_slice_equals(as_slice_of(back, back_length), text));
  EXPECT(as_jid_unpack(as_slice_of(exact, length - 1), back, &taken) == 0);
  free(exact);
}

/* The input's number and choices as a jid, which random bytes hardly ever are. */
static void check_made(as_slice input) {
  uint64_t number = 0;
  char text[AS_JID_MAX_TEXT];
  uint8_t choice = fuzz_take_byte(&input), device = fuzz_take_byte(&input);
  memcpy(&number, input.data, input.length < 8 ? input.length : 8);
  check_number(number);
  const char *server = SERVERS[choice % SERVER_COUNT];
  if (choice & SERVER_COUNT) {
    snprintf(text, sizeof text, "%" PRIu64 ":%u@%s", number, device, server);
  } else {
    snprintf(text, sizeof text, "%" PRIu64 "@%s", number, server);
  }
  as_slice made = text_of(text);
  EXPECT(is_jid(made));
  check_jid(made);
  free((void *)made.data);
}

void fuzz_jid(as_slice input) {
  check_digits(input);
  check_jid(input);
  check_packed(input);
  if (input.length > 2) check_made(input);
}
