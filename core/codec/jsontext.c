/* SPDX-License-Identifier: MIT */
/* The parser is a state machine over "what may come next"; open containers are one bool
 * each, so depth costs no C stack.
 *
 *   state           after                  next
 *   VALUE           begin, ':', ',' in []  a value
 *   FIRST_ELEMENT   '['                    a value or ']'
 *   FIRST_KEY       '{'                    a key or '}'
 *   KEY             ',' in {}              a key
 *   AFTER           a value                ',' or the container's end; end of text
 */
#include "codec/jsontext.h"

#include "codec/utf8.h"

enum { VALUE, FIRST_ELEMENT, FIRST_KEY, KEY, AFTER };

enum { END_OF_TEXT = -1 };

void as_json_reader_init(as_json_reader *reader, as_slice text) {
  reader->text = text;
  reader->offset = 0;
  reader->levels = 0;
  reader->max_levels = AS_CODEC_MAX_LEVELS;
  reader->has_space = false;
  reader->state = VALUE;
  reader->error = (as_json_error){0, ""};
}

static as_status fail(as_json_reader *reader, const char *expected) {
  reader->error = (as_json_error){reader->offset, expected};
  return AS_ERR_CORRUPT;
}

static int peek(const as_json_reader *reader) {
  if (reader->offset == reader->text.length) return END_OF_TEXT;
  return reader->text.data[reader->offset];
}

static bool is_space(int byte) {
  return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static bool is_digit(int byte) {
  return byte >= '0' && byte <= '9';
}

static void skip_space(as_json_reader *reader) {
  while (is_space(peek(reader))) {
    reader->has_space = true;
    reader->offset++;
  }
}

static as_status open_container(as_json_reader *reader, as_json_event *event,
                                as_json_kind kind) {
  if (reader->levels == reader->max_levels) {
    return fail(reader, "at most 256 levels of arrays and objects");
  }
  bool is_object = kind == AS_JSON_OBJECT;
  reader->is_object[reader->levels++] = is_object;
  reader->state = is_object ? FIRST_KEY : FIRST_ELEMENT;
  reader->offset++;
  event->kind = kind;
  return AS_OK;
}

static void close_container(as_json_reader *reader, as_json_event *event) {
  bool is_object = reader->is_object[--reader->levels];
  reader->state = AFTER;
  reader->offset++;
  event->kind = is_object ? AS_JSON_OBJECT_END : AS_JSON_ARRAY_END;
}

void as_json_leave(as_json_reader *reader, size_t offset) {
  reader->levels--;
  reader->offset = offset;
  reader->state = AFTER;
}

static as_status read_word(as_json_reader *reader, as_json_event *event, const char *word,
                           as_json_kind kind) {
  for (const char *at = word; *at != '\0'; at++) {
    if (peek(reader) != *at) return fail(reader, word);
    reader->offset++;
  }
  event->kind = kind;
  reader->state = AFTER;
  return AS_OK;
}

static as_status skip_digits(as_json_reader *reader) {
  if (!is_digit(peek(reader))) return fail(reader, "a digit");
  while (is_digit(peek(reader))) reader->offset++;
  return AS_OK;
}

static as_status read_number(as_json_reader *reader, as_json_event *event) {
  if (peek(reader) == '-') reader->offset++;
  if (peek(reader) == '0') {
    reader->offset++;
  } else {
    AS_TRY(skip_digits(reader));
  }
  if (peek(reader) == '.') {
    reader->offset++;
    AS_TRY(skip_digits(reader));
  }
  if (peek(reader) == 'e' || peek(reader) == 'E') {
    reader->offset++;
    if (peek(reader) == '+' || peek(reader) == '-') reader->offset++;
    AS_TRY(skip_digits(reader));
  }
  event->kind = AS_JSON_NUMBER;
  event->text =
      as_slice_of(reader->text.data + event->offset, reader->offset - event->offset);
  reader->state = AFTER;
  return AS_OK;
}

static int hex_value(int byte) {
  if (is_digit(byte)) return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

/* The four digits of \uXXXX at data, which are known to be there. */
static uint32_t hex_unit(const uint8_t *data) {
  uint32_t unit = 0;
  for (int i = 0; i < 4; i++) unit = unit << 4 | (uint32_t)hex_value(data[i]);
  return unit;
}

static bool is_lowercase_hex(const uint8_t *data) {
  for (int i = 0; i < 4; i++) {
    if (data[i] >= 'A' && data[i] <= 'F') return false;
  }
  return true;
}

/* Reads four hexadecimal digits at the offset. */
static as_status read_unit(as_json_reader *reader, uint32_t *out_unit) {
  for (int i = 0; i < 4; i++) {
    if (hex_value(peek(reader)) < 0) return fail(reader, "a hexadecimal digit");
    reader->offset++;
  }
  *out_unit = hex_unit(reader->text.data + reader->offset - 4);
  return AS_OK;
}

/* True when \uDC00 to \uDFFF follows: the second half of a pair. */
static bool has_low_surrogate_next(const as_json_reader *reader) {
  const uint8_t *at = reader->text.data + reader->offset;
  if (reader->text.length - reader->offset < 6 || at[0] != '\\' || at[1] != 'u') {
    return false;
  }
  for (int i = 2; i < 6; i++) {
    if (hex_value(at[i]) < 0) return false;
  }
  return as_utf8_is_low_surrogate(hex_unit(at + 2));
}

/* After "\u". JSON.stringify writes so only control characters that have no short form,
 * and lone surrogates. */
static as_status read_unicode_escape(as_json_reader *reader, as_json_event *event) {
  uint32_t unit;
  AS_TRY(read_unit(reader, &unit));
  const uint8_t *digits = reader->text.data + reader->offset - 4;
  bool is_surrogate = as_utf8_is_high_surrogate(unit) || as_utf8_is_low_surrogate(unit);
  if (as_utf8_is_high_surrogate(unit) && has_low_surrogate_next(reader)) {
    reader->offset += 6;
    event->is_canonical = false;
    event->decoded_length += 4;
    return AS_OK;
  }
  bool has_short_form =
      unit == '\b' || unit == '\t' || unit == '\n' || unit == '\f' || unit == '\r';
  bool is_needed = is_surrogate || (unit < 0x20 && !has_short_form);
  event->is_canonical &= is_needed && is_lowercase_hex(digits);
  event->has_surrogate |= is_surrogate;
  event->decoded_length += as_utf8_size(unit);
  return AS_OK;
}

static as_status read_escape(as_json_reader *reader, as_json_event *event) {
  reader->offset++;
  int letter = peek(reader);
  switch (letter) {
    case 'u':
      reader->offset++;
      return read_unicode_escape(reader, event);
    case '/':
      event->is_canonical = false;
      break;
    case '"':
    case '\\':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
      break;
    default:
      return fail(reader, "one of \" \\ / b f n r t u after a backslash");
  }
  reader->offset++;
  event->decoded_length++;
  return AS_OK;
}

/* Eight bytes at once: true when all are ASCII and none is a control character, a quote
 * or a backslash. The test for "a byte is below n" is exact while no byte has its high
 * bit. */
static bool is_plain_word(uint64_t word) {
  const uint64_t ONES = UINT64_C(0x0101010101010101), HIGHS = ONES << 7;
  uint64_t quote = word ^ (ONES * '"'), backslash = word ^ (ONES * '\\');
  uint64_t special = (word - ONES * 0x20) | (quote - ONES) | (backslash - ONES) | word;
  return (special & HIGHS) == 0;
}

static void skip_plain(as_json_reader *reader) {
  const uint8_t *data = reader->text.data;
  size_t i = reader->offset, length = reader->text.length;
  uint64_t word;
  for (; length - i >= sizeof word; i += sizeof word) {
    memcpy(&word, data + i, sizeof word);
    if (!is_plain_word(word)) break;
  }
  while (i < length && data[i] >= 0x20 && data[i] < 0x80 && data[i] != '"' &&
         data[i] != '\\') {
    i++;
  }
  reader->offset = i;
}

/* Reads a string; the offset is at its first quote. */
static as_status read_string(as_json_reader *reader, as_json_event *event) {
  size_t start = ++reader->offset;
  event->is_canonical = true;
  event->has_surrogate = false;
  event->decoded_length = 0;
  for (;;) {
    size_t from = reader->offset;
    skip_plain(reader);
    event->decoded_length += reader->offset - from;
    int byte = peek(reader);
    if (byte == '"') break;
    if (byte == '\\') {
      AS_TRY(read_escape(reader, event));
      continue;
    }
    if (byte == END_OF_TEXT) return fail(reader, "'\"' at the end of the string");
    if (byte < 0x20) return fail(reader, "an escape for the control character");
    size_t size = as_utf8_sequence(reader->text.data + reader->offset,
                                   reader->text.length - reader->offset);
    if (size == 0) return fail(reader, "valid UTF-8");
    reader->offset += size;
    event->decoded_length += size;
  }
  event->text = as_slice_of(reader->text.data + start, reader->offset - start);
  reader->offset++;
  return AS_OK;
}

static as_status read_key(as_json_reader *reader, as_json_event *event,
                          const char *expected) {
  if (peek(reader) != '"') return fail(reader, expected);
  AS_TRY(read_string(reader, event));
  event->kind = AS_JSON_KEY;
  skip_space(reader);
  if (peek(reader) != ':') return fail(reader, "':'");
  reader->offset++;
  reader->state = VALUE;
  return AS_OK;
}

static as_status read_value(as_json_reader *reader, as_json_event *event,
                            const char *expected) {
  int byte = peek(reader);
  switch (byte) {
    case '{':
      return open_container(reader, event, AS_JSON_OBJECT);
    case '[':
      return open_container(reader, event, AS_JSON_ARRAY);
    case '"':
      event->kind = AS_JSON_STRING;
      reader->state = AFTER;
      return read_string(reader, event);
    case 'n':
      return read_word(reader, event, "null", AS_JSON_NULL);
    case 'f':
      return read_word(reader, event, "false", AS_JSON_FALSE);
    case 't':
      return read_word(reader, event, "true", AS_JSON_TRUE);
    default:
      if (byte != '-' && !is_digit(byte)) return fail(reader, expected);
      return read_number(reader, event);
  }
}

/* After a value: returns AS_OK with kind END or an end of container, or moves past a
 * comma and leaves *out_is_comma true. */
static as_status read_after(as_json_reader *reader, as_json_event *event,
                            bool *out_is_comma) {
  int byte = peek(reader);
  *out_is_comma = false;
  if (reader->levels == 0) {
    event->kind = AS_JSON_END;
    return byte == END_OF_TEXT ? AS_OK : fail(reader, "end of text");
  }
  bool is_object = reader->is_object[reader->levels - 1];
  if (byte == ',') {
    reader->offset++;
    reader->state = is_object ? KEY : VALUE;
    *out_is_comma = true;
    return AS_OK;
  }
  if (byte != (is_object ? '}' : ']')) {
    return fail(reader, is_object ? "',' or '}'" : "',' or ']'");
  }
  close_container(reader, event);
  return AS_OK;
}

as_status as_json_next(as_json_reader *reader, as_json_event *out_event) {
  skip_space(reader);
  if (reader->state == AFTER) {
    bool is_comma;
    out_event->offset = reader->offset;
    AS_TRY(read_after(reader, out_event, &is_comma));
    if (!is_comma) return AS_OK;
    skip_space(reader);
  }
  out_event->offset = reader->offset;
  switch (reader->state) {
    case FIRST_KEY:
      if (peek(reader) == '}') break;
      return read_key(reader, out_event, "a string or '}'");
    case KEY:
      return read_key(reader, out_event, "a string");
    case FIRST_ELEMENT:
      if (peek(reader) == ']') break;
      return read_value(reader, out_event, "a value or ']'");
    default:
      return read_value(reader, out_event, "a value");
  }
  close_container(reader, out_event);
  return AS_OK;
}

as_status as_json_skip_rest(as_json_reader *reader) {
  as_json_event event;
  do {
    AS_TRY(as_json_next(reader, &event));
  } while (event.kind != AS_JSON_END);
  return AS_OK;
}

as_status as_json_fail(const as_json_reader *reader, as_codec_error *error) {
  return as_codec_error_set(error, AS_ERR_CORRUPT, reader->error.offset,
                            "not JSON at byte %zu: expected %s", reader->error.offset,
                            reader->error.expected);
}

/* The character a short escape stands for. */
static uint8_t escaped_byte(uint8_t letter) {
  switch (letter) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return letter;
  }
}

/* Decodes the escape at `at` (after the backslash) and returns where it ends. */
static const uint8_t *decode_escape(const uint8_t *at, const uint8_t *end,
                                    uint8_t **out) {
  if (*at != 'u') {
    *(*out)++ = escaped_byte(*at);
    return at + 1;
  }
  uint32_t code_point = hex_unit(at + 1);
  at += 5;
  if (as_utf8_is_high_surrogate(code_point) && end - at >= 6 && at[0] == '\\' &&
      at[1] == 'u') {
    uint32_t low = hex_unit(at + 2);
    if (as_utf8_is_low_surrogate(low)) {
      code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
      at += 6;
    }
  }
  *out += as_utf8_put(code_point, *out);
  return at;
}

void as_json_string_decode(const as_json_event *event, uint8_t *out) {
  const uint8_t *at = event->text.data, *end = at + event->text.length;
  while (at < end) {
    const uint8_t *backslash = memchr(at, '\\', (size_t)(end - at));
    size_t plain = (size_t)((backslash != NULL ? backslash : end) - at);
    memcpy(out, at, plain);
    out += plain;
    if (backslash == NULL) return;
    at = decode_escape(backslash + 1, end, &out);
  }
}
