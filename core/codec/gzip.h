/* SPDX-License-Identifier: MIT */
/* Files compressed by gzip (RFC 1952), by zlib. */
#ifndef AS_CODEC_GZIP_H
#define AS_CODEC_GZIP_H

#include "base/buffer.h"

/* Appends the whole content, of all members, to `out`. AS_ERR_CORRUPT: damaged or
 * truncated; AS_ERR_TOO_LARGE: more than max_bytes. *out_reason is then a sentence with
 * static storage, and `out` is as it was. */
AS_MUST_USE as_status as_gunzip(as_slice bytes, size_t max_bytes, as_buffer *out,
                                const char **out_reason);

#endif
