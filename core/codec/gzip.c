/* SPDX-License-Identifier: MIT */
#include "codec/gzip.h"

#include <zlib.h>

enum { GZIP_WINDOW_BITS = 15 + 16, OUTPUT_STEP_BYTES = 64 * 1024 };

/* Inflates until the input is used up; leaves a new member to begin after each end. */
static as_status inflate_all(z_stream *stream, size_t max_bytes, as_buffer *out,
                             const char **out_reason) {
  size_t start = out->length;
  for (;;) {
    AS_TRY(as_buffer_reserve(out, OUTPUT_STEP_BYTES));
    stream->next_out = out->data + out->length;
    stream->avail_out = OUTPUT_STEP_BYTES;
    int result = inflate(stream, Z_NO_FLUSH);
    out->length += OUTPUT_STEP_BYTES - stream->avail_out;
    if (out->length - start > max_bytes) {
      *out_reason = "the content is larger than the limit";
      return AS_ERR_TOO_LARGE;
    }
    if (result == Z_STREAM_END && stream->avail_in == 0) return AS_OK;
    if (result == Z_STREAM_END && inflateReset(stream) == Z_OK) continue;
    if (result == Z_OK && (stream->avail_in > 0 || stream->avail_out == 0)) continue;
    if (result == Z_MEM_ERROR) return AS_ERR_OOM;
    bool is_short = result == Z_OK || result == Z_BUF_ERROR;
    *out_reason = is_short ? "the gzip data is truncated" : "the gzip data is damaged";
    return AS_ERR_CORRUPT;
  }
}

as_status as_gunzip(as_slice bytes, size_t max_bytes, as_buffer *out,
                    const char **out_reason) {
  size_t start = out->length;
  z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes.data,
                     .avail_in = (uInt)bytes.length};
  *out_reason = as_status_sentence(AS_ERR_OOM);
  if (bytes.length > UINT32_MAX) {
    *out_reason = "the gzip data is larger than 4 GiB";
    return AS_ERR_TOO_LARGE;
  }
  if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK) return AS_ERR_OOM;
  as_status status = inflate_all(&stream, max_bytes, out, out_reason);
  inflateEnd(&stream);
  if (status != AS_OK) out->length = start;
  return status;
}
