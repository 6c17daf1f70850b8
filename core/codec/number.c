/* SPDX-License-Identifier: MIT */
/* Both directions go through a decimal: digits d1 d2 ... dk and an exponent, meaning the
 * integer d1d2...dk times ten to the exponent.
 *
 * Reading. Up to 2^53 the digits are a double, and ten to the 22 is one too, so one
 * multiplication or division rounds right (Clinger 1990). Anything else goes to strtod as
 * an integer with an exponent: no decimal point, hence no locale. No double needs more
 * than 767 digits to be told from its neighbours' midpoints, so digits beyond MAX_DIGITS
 * only matter as "there was something": one final 1 stands for them.
 *
 * Writing. Decimals of at most 15 digits survive the way to a normal double and back, so
 * if 15 digits read back, these without final zeros are the shortest. Otherwise 16 or 17
 * are needed. Below the normal range precision shrinks and all lengths are tried. A power
 * of two has a neighbour half as far below as above: there the nearest decimal of a
 * length may fail although the next one up reads back. */
#include "codec/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
  MAX_DIGITS = 780,
  SAFE_DIGITS = 15,   /* any decimal this short survives a normal double */
  ENOUGH_DIGITS = 17, /* any double survives a decimal this long */
  EXACT_POWER = 22,   /* ten to this is a double */
  EXPONENT_LIMIT = 99999,
};

typedef struct decimal {
  size_t count;
  int64_t exponent;
  char digits[MAX_DIGITS + 1];
} decimal;

static bool is_digit(uint8_t byte) {
  return byte >= '0' && byte <= '9';
}

static int64_t read_exponent(const uint8_t *text, const uint8_t *end) {
  const int64_t LARGE = INT64_C(1) << 50; /* more than any text has digits */
  bool is_negative = text < end && *text == '-';
  if (text < end && !is_digit(*text)) text++;
  int64_t exponent = 0;
  for (; text < end && is_digit(*text) && exponent < LARGE; text++) {
    exponent = exponent * 10 + (*text - '0');
  }
  return is_negative ? -exponent : exponent;
}

static void decimal_read(decimal *number, as_slice token) {
  const uint8_t *end = token.data + token.length;
  bool in_fraction = false, has_rest = false;
  number->count = 0;
  number->exponent = 0;
  for (const uint8_t *at = token.data; at < end; at++) {
    if (*at == 'e' || *at == 'E') {
      number->exponent += read_exponent(at + 1, end);
      break;
    }
    if (*at == '.') in_fraction = true;
    if (!is_digit(*at)) continue;
    if (number->count == MAX_DIGITS) {
      has_rest |= *at != '0';
      number->exponent += !in_fraction;
      continue;
    }
    if (number->count > 0 || *at != '0') number->digits[number->count++] = (char)*at;
    number->exponent -= in_fraction;
  }
  if (!has_rest) return;
  number->digits[number->count++] = '1';
  number->exponent--;
}

static double read_by_strtod(const decimal *number) {
  char text[MAX_DIGITS + 16];
  int64_t exponent = number->exponent;
  if (exponent > EXPONENT_LIMIT) exponent = EXPONENT_LIMIT;
  if (exponent < -EXPONENT_LIMIT) exponent = -EXPONENT_LIMIT;
  memcpy(text, number->digits, number->count);
  snprintf(text + number->count, sizeof text - number->count, "e%d", (int)exponent);
  return strtod(text, NULL);
}

static double decimal_value(const decimal *number) {
  static const double POWERS[EXACT_POWER + 1] = {
      1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  if (number->count > ENOUGH_DIGITS) return read_by_strtod(number);
  int64_t mantissa = 0;
  for (size_t i = 0; i < number->count; i++) {
    mantissa = mantissa * 10 + (number->digits[i] - '0');
  }
  int64_t exponent = number->exponent;
  if (exponent == 0 || mantissa == 0) return (double)mantissa;
  bool is_exact = mantissa <= AS_NUMBER_MAX_INTEGER && FLT_EVAL_METHOD == 0 &&
                  exponent >= -EXACT_POWER && exponent <= EXACT_POWER;
  if (!is_exact) return read_by_strtod(number);
  return exponent < 0 ? (double)mantissa / POWERS[-exponent]
                      : (double)mantissa * POWERS[exponent];
}

double as_number_parse(as_slice token) {
  decimal number;
  decimal_read(&number, token);
  double value = decimal_value(&number);
  return token.length > 0 && token.data[0] == '-' ? -value : value;
}

bool as_number_is_integer(double value, int64_t *out_integer) {
  const double LIMIT = (double)AS_NUMBER_MAX_INTEGER;
  if (!(value >= -LIMIT && value <= LIMIT)) return false;
  *out_integer = (int64_t)value;
  return (double)*out_integer == value;
}

/* Takes the digits of a positive value, rounded to `precision` of them, out of what
 * printf writes, whatever its decimal point is. */
static void decimal_print(decimal *number, double value, int precision) {
  char text[64];
  int length = snprintf(text, sizeof text, "%.*e", precision - 1, value);
  decimal_read(number, as_slice_of(text, (size_t)length));
  number->exponent = 1 - precision;
  const char *mark = strchr(text, 'e');
  number->exponent +=
      read_exponent((const uint8_t *)mark + 1, (const uint8_t *)text + length);
}

/* Adds one to the last digit. */
static void decimal_step_up(decimal *number) {
  size_t i = number->count;
  while (i > 0 && number->digits[i - 1] == '9') number->digits[--i] = '0';
  if (i > 0) {
    number->digits[i - 1]++;
    return;
  }
  number->digits[0] = '1';
  number->exponent++;
}

static bool is_power_of_two(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (bits << 12) == 0;
}

static void decimal_shortest(decimal *number, double value) {
  int precision = value >= DBL_MIN ? SAFE_DIGITS : 1;
  for (; precision <= ENOUGH_DIGITS; precision++) {
    decimal_print(number, value, precision);
    if (decimal_value(number) == value) break;
    if (!is_power_of_two(value)) continue;
    decimal_step_up(number);
    if (decimal_value(number) == value) break;
  }
  while (number->count > 1 && number->digits[number->count - 1] == '0') {
    number->count--;
    number->exponent++;
  }
}

static char *put(char *at, const char *text, size_t length) {
  memcpy(at, text, length);
  return at + length;
}

static char *put_zeros(char *at, int64_t count) {
  while (count-- > 0) *at++ = '0';
  return at;
}

static char *put_integer(char *at, int64_t integer) {
  char digits[AS_NUMBER_MAX_CHARS];
  size_t start = sizeof digits;
  uint64_t rest = integer < 0 ? -(uint64_t)integer : (uint64_t)integer;
  do {
    digits[--start] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  if (integer < 0) *at++ = '-';
  return put(at, digits + start, sizeof digits - start);
}

/* ECMA-262, Number::toString, steps 6 to 12; k and n as named there. */
static char *put_decimal(char *at, const decimal *number) {
  const char *digits = number->digits;
  int64_t k = (int64_t)number->count;
  int64_t n = k + number->exponent;
  if (k <= n && n <= 21) {
    at = put(at, digits, (size_t)k);
    return put_zeros(at, n - k);
  }
  if (0 < n && n <= 21) {
    at = put(at, digits, (size_t)n);
    *at++ = '.';
    return put(at, digits + n, (size_t)(k - n));
  }
  if (-6 < n && n <= 0) {
    at = put(at, "0.", 2);
    at = put_zeros(at, -n);
    return put(at, digits, (size_t)k);
  }
  *at++ = digits[0];
  if (k > 1) {
    *at++ = '.';
    at = put(at, digits + 1, (size_t)(k - 1));
  }
  at = put(at, n > 0 ? "e+" : "e-", 2);
  return put_integer(at, n > 0 ? n - 1 : 1 - n);
}

size_t as_number_format(double value, char out[AS_NUMBER_MAX_CHARS]) {
  int64_t integer;
  if (as_number_is_integer(value, &integer)) {
    return (size_t)(put_integer(out, integer) - out);
  }
  decimal number = {0};
  char *at = out;
  if (value < 0) *at++ = '-';
  decimal_shortest(&number, fabs(value));
  return (size_t)(put_decimal(at, &number) - out);
}

/* A plain token of few digits is canonical as it stands: it is the only decimal so short
 * that reads as its value. */
static bool is_plainly_canonical(as_slice token, double value) {
  if (token.length > SAFE_DIGITS || memchr(token.data, 'e', token.length) != NULL ||
      memchr(token.data, 'E', token.length) != NULL) {
    return false;
  }
  if (memchr(token.data, '.', token.length) != NULL) {
    return token.data[token.length - 1] != '0' && fabs(value) >= 1e-6;
  }
  return value != 0 || token.length == 1;
}

bool as_number_is_canonical(as_slice token, double value) {
  if (!isfinite(value)) return false;
  if (is_plainly_canonical(token, value)) return true;
  char text[AS_NUMBER_MAX_CHARS];
  size_t length = as_number_format(value, text);
  return as_slice_equals(token, as_slice_of(text, length));
}
