/* SPDX-License-Identifier: MIT */
/* Each eight bytes of the input are a double. What is written for it reads back as the
 * same double, by the core and by the C library, and no shorter decimal does. */
#include "codec/number.h"

#include <math.h>

#include "fuzz.h"

/* The significant digits of a JavaScript number: without the zeros around them. */
static int count_digits(const char *text) {
  int count = 0, zeros = 0;
  for (; *text != '\0' && *text != 'e'; text++) {
    if (*text < '0' || *text > '9') continue;
    zeros = *text == '0' ? zeros + 1 : 0;
    count += count > 0 || *text != '0';
  }
  return count - (count > 0 ? zeros : 0);
}

static void check_shortest(double value, int digits) {
  char text[64];
  if (digits <= 1) return;
  snprintf(text, sizeof text, "%.*e", digits - 2, value);
  EXPECT(strtod(text, NULL) != value);
}

static void check_number(double value) {
  char text[AS_NUMBER_MAX_CHARS + 1];
  size_t length = as_number_format(value, text);
  EXPECT(length < sizeof text);
  text[length] = '\0';
  as_slice token = as_slice_of(text, length);
  EXPECT(strtod(text, NULL) == value);
  EXPECT(as_number_parse(token) == value);
  EXPECT(as_number_is_canonical(token, value));
  int64_t integer;
  bool is_integer = as_number_is_integer(value, &integer);
  EXPECT(is_integer == (value == floor(value) && fabs(value) <= 0x1p53));
  if (!is_integer) check_shortest(value, count_digits(text));
}

void fuzz_number(as_slice input) {
  double value;
  for (; input.length >= sizeof value;
       input = as_slice_of(input.data + sizeof value, input.length - sizeof value)) {
    memcpy(&value, input.data, sizeof value);
    if (isfinite(value)) check_number(value);
  }
}
