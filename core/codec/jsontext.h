/* SPDX-License-Identifier: MIT */
/* JSON text, RFC 8259: a pull parser over a complete text. Canonical means here: as
 * JSON.stringify writes it.
 *
 *   as_json_reader reader;
 *   as_json_event event;
 *   as_json_reader_init(&reader, text);
 *   do AS_TRY(as_json_next(&reader, &event)); while (event.kind != AS_JSON_END);
 *
 * The parser borrows the text and allocates nothing; its events borrow from the text. */
#ifndef AS_CODEC_JSONTEXT_H
#define AS_CODEC_JSONTEXT_H

#include "base/slice.h"
#include "codec/codec.h"

enum {
  /* The objects of a session text around a value; see session_text.h. */
  AS_JSON_MAX_OUTER_LEVELS = 3,
  AS_JSON_MAX_LEVELS = AS_CODEC_MAX_LEVELS + AS_JSON_MAX_OUTER_LEVELS,
};

typedef enum as_json_kind {
  AS_JSON_END, /* the text is complete; only white space followed the value */
  AS_JSON_NULL,
  AS_JSON_FALSE,
  AS_JSON_TRUE,
  AS_JSON_NUMBER,
  AS_JSON_STRING,
  AS_JSON_KEY, /* a member's name; its value is the next event */
  AS_JSON_ARRAY,
  AS_JSON_ARRAY_END,
  AS_JSON_OBJECT,
  AS_JSON_OBJECT_END,
} as_json_kind;

typedef struct as_json_event {
  as_json_kind kind;
  bool is_canonical;     /* strings and keys: written as JSON.stringify writes them */
  bool has_surrogate;    /* strings and keys: at least one lone surrogate */
  size_t offset;         /* where it begins */
  size_t decoded_length; /* strings and keys: bytes of as_json_string_decode */
  as_slice text;         /* the token; of a string or key what is between the quotes */
} as_json_event;

/* What was wrong: the text does not go on at `offset` as `expected` says ("a value",
 * "',' or '}'", "end of text"). Static storage. */
typedef struct as_json_error {
  size_t offset;
  const char *expected;
} as_json_error;

typedef struct as_json_reader {
  as_slice text;
  size_t offset; /* the next byte to read */
  int levels;    /* arrays and objects that are open */
  int max_levels;
  bool has_space; /* white space was seen outside of strings */
  uint8_t state;
  as_json_error error; /* after AS_ERR_CORRUPT */
  bool is_object[AS_JSON_MAX_LEVELS];
} as_json_reader;

/* Starts at the beginning of a text, which may be empty (then the first event fails). */
void as_json_reader_init(as_json_reader *reader, as_slice text);

/* The next event. AS_ERR_CORRUPT: not JSON, or nested too deep; reader->error says where
 * and what was expected. No further call then. */
AS_MUST_USE as_status as_json_next(as_json_reader *reader, as_json_event *out_event);

/* Leaves the array or object whose begin was the last event: the caller has read the rest
 * of it, up to `offset`, by itself. */
void as_json_leave(as_json_reader *reader, size_t offset);

/* Reads on to the end of the text, to find errors only. */
AS_MUST_USE as_status as_json_skip_rest(as_json_reader *reader);

/* Turns reader->error into words, "not JSON at byte 12: expected a value"; returns
 * AS_ERR_CORRUPT. */
AS_MUST_USE as_status as_json_fail(const as_json_reader *reader, as_codec_error *error);

/* Writes the WTF-8 of a string or key event: event->decoded_length bytes. */
void as_json_string_decode(const as_json_event *event, uint8_t *out);

#endif
