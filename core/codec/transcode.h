/* SPDX-License-Identifier: MIT */
/* Between JSON text and CBOR.
 *
 *   JSON                                      CBOR
 *   {"type":"Buffer","data":"<base64>"}       byte string
 *   other objects                             map with text keys, in the same order
 *   arrays, true, false, null                 the same
 *   numbers                                   integer up to 2^53, else float
 *   strings, keys                             text string
 *   strings, keys with a lone surrogate       tag 262, byte string: its JSON text
 *   a whole text stringify never writes       tag 262, byte string: the text as it is
 *
 * Exact: if JSON.stringify could have written the text (no white space; numbers and
 * escapes in its form; no key twice in an object) it becomes structure, and transcoding
 * back gives the same bytes. Any other JSON text is kept whole under tag 262, so back and
 * forth is the identity for all JSON. A Buffer is taken as bytes only in exactly this
 * form with canonical base64.
 *
 * Structure: always structure, for reading. Numbers are what JSON.parse makes of them,
 * 1e400 an infinity; text strings may be WTF-8; a key given twice appears twice. Such
 * CBOR is for as_cbor_reader with has_infinity and is never stored. */
#ifndef AS_CODEC_TRANSCODE_H
#define AS_CODEC_TRANSCODE_H

#include "base/buffer.h"
#include "codec/codec.h"
#include "codec/key_set.h"

/* What transcoding keeps between texts, so that none allocates anew. Owns its memory. */
typedef struct as_transcoder {
  as_key_set keys;
  as_buffer wide_heads;
} as_transcoder;

/* How a byte string is written in JSON. */
typedef enum as_byte_form {
  AS_BYTE_FORM_BASE64, /* {"type":"Buffer","data":"AQI="} */
  AS_BYTE_FORM_ARRAY,  /* {"type":"Buffer","data":[1,2]} */
  AS_BYTE_FORM_OBJECT, /* {"0":1,"1":2} */
} as_byte_form;

void as_transcoder_init(as_transcoder *transcoder, as_mem *mem);
void as_transcoder_free(as_transcoder *transcoder);

/* Append one CBOR item to `out`. AS_ERR_CORRUPT: not JSON; error has words and the
 * offset. After any failure `out` is as it was. The text must not lie in `out`. */
AS_MUST_USE as_status as_transcode_json_exact(as_transcoder *transcoder, as_slice json,
                                              as_buffer *out, as_codec_error *error);
AS_MUST_USE as_status as_transcode_json_structure(as_transcoder *transcoder,
                                                  as_slice json, as_buffer *out,
                                                  as_codec_error *error);

/* Appends the JSON text of one stored CBOR item, checking all of it: the result is always
 * valid JSON. AS_ERR_CORRUPT: not a value that we store. After any failure `out` is as it
 * was. */
AS_MUST_USE as_status as_transcode_cbor(as_slice cbor, as_byte_form form, as_buffer *out,
                                        as_codec_error *error);

/* Fails as as_transcode_json_exact does when the text is not JSON; allocates nothing. */
AS_MUST_USE as_status as_transcode_json_check(as_slice json, as_codec_error *error);

#endif
