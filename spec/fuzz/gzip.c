/* SPDX-License-Identifier: MIT */
/* The input is unpacked as it stands. Then it is packed by zlib, in one member or two,
 * and unpacked: whole, with too small a limit, cut off, and with one byte changed. The
 * first three bytes choose where. */
#include "codec/gzip.h"

#include <zlib.h>

#include "fuzz.h"

enum { MAX_BYTES = 1 << 20, GZIP_WINDOW_BITS = 15 + 16 };

static void pack(as_slice content, as_buffer *out) {
  z_stream stream = {.next_in = (Bytef *)(uintptr_t)content.data,
                     .avail_in = (uInt)content.length};
  EXPECT(deflateInit2(&stream, 6, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) ==
         Z_OK);
  size_t bound = deflateBound(&stream, (uLong)content.length);
  EXPECT(as_buffer_reserve(out, bound) == AS_OK);
  stream.next_out = out->data + out->length;
  stream.avail_out = (uInt)bound;
  EXPECT(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out->length += bound - stream.avail_out;
  deflateEnd(&stream);
}

/* Unpacks behind what is there already, which must stay. */
static as_status unpack(as_slice packed, size_t max_bytes, as_buffer *out) {
  const char *reason = NULL;
  as_buffer_clear(out);
  EXPECT(as_buffer_append(out, "kept", 4) == AS_OK);
  as_status status = as_gunzip(packed, max_bytes, out, &reason);
  EXPECT(as_slice_starts_with(as_buffer_slice(out), "kept"));
  if (status == AS_OK) {
    EXPECT(out->length - 4 <= max_bytes);
    as_buffer_drop_front(out, 4);
    return status;
  }
  EXPECT(status == AS_ERR_CORRUPT || status == AS_ERR_TOO_LARGE);
  EXPECT(reason != NULL && reason[0] != '\0' && out->length == 4);
  return status;
}

static void check_whole(as_slice packed, as_slice content, as_buffer *out) {
  EXPECT(unpack(packed, content.length, out) == AS_OK);
  EXPECT(as_slice_equals(as_buffer_slice(out), content));
  if (content.length > 0)
    EXPECT(unpack(packed, content.length - 1, out) == AS_ERR_TOO_LARGE);
}

/* The checksum sees any change of the content; some of the header may be anything. */
static void check_changed(as_buffer *packed, size_t place, uint8_t change,
                          as_slice content, as_buffer *out) {
  packed->data[place] ^= change;
  if (unpack(as_buffer_slice(packed), MAX_BYTES, out) == AS_OK)
    EXPECT(as_slice_equals(as_buffer_slice(out), content));
  packed->data[place] ^= change;
}

void fuzz_gzip(as_slice input) {
  as_mem mem;
  as_buffer packed, out;
  as_mem_init(&mem);
  as_buffer_init(&packed, &mem);
  as_buffer_init(&out, &mem);
  (void)unpack(input, MAX_BYTES, &out);

  size_t where = fuzz_take_byte(&input);
  where = where << 8 | fuzz_take_byte(&input);
  uint8_t change = fuzz_take_byte(&input);
  pack(input, &packed);
  check_whole(as_buffer_slice(&packed), input, &out);
  size_t place = where % packed.length;
  EXPECT(unpack(as_slice_of(packed.data, place), MAX_BYTES, &out) == AS_ERR_CORRUPT);
  check_changed(&packed, place, change, input, &out);

  size_t first = where % (input.length + 1);
  as_buffer_clear(&packed);
  pack(as_slice_of(input.data, first), &packed);
  pack(as_slice_of(input.data + first, input.length - first), &packed);
  check_whole(as_buffer_slice(&packed), input, &out);
  as_buffer_free(&packed);
  as_buffer_free(&out);
  EXPECT(mem.used_bytes == 0);
}
