/* SPDX-License-Identifier: MIT */
/* Sizes that zlib cannot count, and files that are none. */
#include "codec/gzip.h"

#include "check.h"

int main(void) {
  as_mem mem;
  as_buffer out;
  const char *reason = NULL;
  as_mem_init(&mem);
  as_buffer_init(&out, &mem);
  as_slice huge = as_slice_of("", (size_t)UINT32_MAX + 1); /* not read */
  CHECK(as_gunzip(huge, SIZE_MAX, &out, &reason) == AS_ERR_TOO_LARGE);
  CHECK(strcmp(reason, "the gzip data is larger than 4 GiB") == 0);
  CHECK(as_gunzip(as_slice_text(""), SIZE_MAX, &out, &reason) == AS_ERR_CORRUPT);
  CHECK(strcmp(reason, "the gzip data is truncated") == 0);
  CHECK(as_gunzip(as_slice_text("{\"creds\":1}"), 9, &out, &reason) == AS_ERR_CORRUPT);
  CHECK(strcmp(reason, "the gzip data is damaged") == 0);
  CHECK(out.length == 0);
  as_buffer_free(&out);
  CHECK(mem.used_bytes == 0);
  return 0;
}
