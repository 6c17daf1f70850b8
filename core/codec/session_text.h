/* SPDX-License-Identifier: MIT */
/* as_session_text walks the JSON text of a whole session
 *
 *   { "creds": { ... }, "keys": { "<type>": { "<id>": <record>, ... }, ... } }
 *
 * and gives each record's exact text. The order of the members is free; either may be
 * missing, creds may be null. Anything else at these levels is an error: a member of
 * another name, a type or an id that comes twice, a value that is not an object. */
#ifndef AS_CODEC_SESSION_TEXT_H
#define AS_CODEC_SESSION_TEXT_H

#include "base/buffer.h"
#include "codec/jsontext.h"
#include "codec/key_set.h"

typedef enum as_session_record_kind {
  AS_SESSION_CREDS,
  AS_SESSION_KEY,
  AS_SESSION_END,
} as_session_record_kind;

typedef struct as_session_record {
  as_session_record_kind kind;
  as_slice type; /* AS_SESSION_KEY: WTF-8, borrowed from the walk or its text */
  as_slice id;   /* AS_SESSION_KEY: the same */
  as_slice text; /* the record's JSON, without the white space around it */
} as_session_record;

typedef struct as_session_text {
  as_json_reader reader;
  as_key_set names;  /* members, types and ids seen */
  as_buffer decoded; /* names that had escapes; never moves once it has memory */
  as_slice type;
  uint64_t groups[AS_JSON_MAX_OUTER_LEVELS]; /* names of the open objects */
} as_session_text;

/* Starts on a text, which must outlive the walk. Memory is taken from `mem` as needed. */
void as_session_text_init(as_session_text *walk, as_slice text, as_mem *mem);

/* Gives the memory back. */
void as_session_text_free(as_session_text *walk);

/* The next record; AS_SESSION_END when the whole text was read. What a record borrows
 * stays until as_session_text_free. AS_ERR_CORRUPT: not JSON or not a session; the
 * message has the byte and what was expected. No call after a failure or the end. */
AS_MUST_USE as_status as_session_text_next(as_session_text *walk,
                                           as_session_record *out_record,
                                           as_codec_error *error);

#endif
