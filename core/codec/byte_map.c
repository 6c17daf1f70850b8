/* SPDX-License-Identifier: MIT */
#include "codec/byte_map.h"

#include "codec/base64.h"
#include "codec/names.h"
#include "codec/utf8.h"

static bool is_text(const as_cbor_item *item, const char *text) {
  return item->kind == AS_CBOR_TEXT && as_slice_equals(item->bytes, as_slice_text(text));
}

static bool next(as_cbor_reader *reader, as_cbor_item *out_item) {
  return as_cbor_next(reader, out_item) == AS_OK;
}

static bool next_byte(as_cbor_reader *reader, uint8_t *out_byte) {
  as_cbor_item item;
  if (!next(reader, &item) || item.kind != AS_CBOR_INTEGER) return false;
  if (item.number < 0 || item.number > UINT8_MAX) return false;
  *out_byte = (uint8_t)item.number;
  return true;
}

/* The value of "data": base64 text or an array of bytes. */
static bool match_data(as_cbor_reader *reader, as_byte_map *map) {
  as_cbor_item item;
  if (!next(reader, &item)) return false;
  if (item.kind == AS_CBOR_TEXT) {
    /* A stored value has a tag for lone surrogates; other text is not stored at all. */
    if (as_utf8_check(item.bytes) != AS_UTF8_STRICT) return false;
    map->form = AS_BYTE_MAP_BASE64;
    map->base64 = item.bytes;
    map->length = as_base64_decode_lenient(item.bytes, NULL);
    return true;
  }
  if (item.kind != AS_CBOR_ARRAY) return false;
  map->form = AS_BYTE_MAP_ARRAY;
  map->length = item.count;
  map->values = *reader;
  uint8_t byte;
  for (size_t i = 0; i < item.count; i++) {
    if (!next_byte(reader, &byte)) return false;
  }
  return true;
}

static bool match_buffer(as_cbor_reader *reader, as_byte_map *map) {
  bool has_mark = false, has_data = false;
  as_cbor_item key, mark;
  for (int i = 0; i < 2; i++) {
    if (!next(reader, &key)) return false;
    if (is_text(&key, "data") || is_text(&key, "value")) {
      if (has_data || !match_data(reader, map)) return false;
      has_data = true;
      continue;
    }
    bool is_type = is_text(&key, "type");
    if (!is_type && !is_text(&key, "buffer")) return false;
    if (!next(reader, &mark)) return false;
    if (!(is_type ? is_text(&mark, "Buffer") : mark.kind == AS_CBOR_TRUE)) return false;
    has_mark = true;
  }
  return has_mark && has_data;
}

/* A key that is an index below `limit`, in the one form that JavaScript writes. */
static bool next_index(as_cbor_reader *reader, size_t limit, size_t *out_index) {
  as_cbor_item key;
  if (!next(reader, &key) || key.kind != AS_CBOR_TEXT) return false;
  size_t length = key.bytes.length, index = 0;
  if (length == 0 || length > 4 || (length > 1 && key.bytes.data[0] == '0')) return false;
  for (size_t i = 0; i < length; i++) {
    uint8_t digit = key.bytes.data[i];
    if (digit < '0' || digit > '9') return false;
    index = index * 10 + (size_t)(digit - '0');
  }
  *out_index = index;
  return index < limit;
}

static bool match_indexed(as_cbor_reader *reader, size_t count, as_byte_map *map) {
  uint8_t seen[AS_BYTE_MAP_MAX_INDEXED / 8] = {0}; /* no key comes twice */
  map->form = AS_BYTE_MAP_INDEXED;
  map->length = count;
  map->values = *reader;
  for (size_t i = 0; i < count; i++) {
    size_t index;
    uint8_t byte;
    if (!next_index(reader, count, &index) || !next_byte(reader, &byte)) return false;
    uint8_t bit = (uint8_t)(1 << index % 8);
    if (seen[index / 8] & bit) return false;
    seen[index / 8] |= bit;
  }
  return true;
}

/* Most maps are neither: their first key tells. */
static bool begins_with_digit(const as_cbor_reader *reader) {
  size_t left = reader->value.length - reader->offset;
  const uint8_t *at = reader->value.data + reader->offset;
  return left >= 2 && at[0] > AS_CBOR_FIRST_TEXT && at[0] <= AS_CBOR_FIRST_TEXT + 4 &&
         at[1] >= '0' && at[1] <= '9';
}

/* The same for a Buffer: its first key is one of four. */
static bool begins_as_buffer(const as_cbor_reader *reader) {
  if (reader->value.length - reader->offset < 2) return false;
  const uint8_t *at = reader->value.data + reader->offset;
  switch (at[0] - AS_CBOR_FIRST_TEXT) {
    case 4:
      return at[1] == 't' || at[1] == 'd'; /* type, data */
    case 5:
      return at[1] == 'v'; /* value */
    case 6:
      return at[1] == 'b'; /* buffer */
    default:
      return false;
  }
}

bool as_byte_map_match(as_cbor_reader *reader, size_t count, as_slice name,
                       as_byte_map *out_map) {
  as_codec_error ignored;
  as_cbor_reader ahead = *reader;
  ahead.error = &ignored;
  bool is_match;
  if (count == 0) return false; /* what follows is not its key */
  if (begins_with_digit(reader)) {
    is_match = count <= AS_BYTE_MAP_MAX_INDEXED && as_names_text_is_bytes(name) &&
               match_indexed(&ahead, count, out_map);
  } else {
    is_match = count == 2 && begins_as_buffer(reader) && match_buffer(&ahead, out_map);
  }
  if (!is_match) return false;
  ahead.error = reader->error;
  *reader = ahead;
  return true;
}

void as_byte_map_write(const as_byte_map *map, uint8_t *out) {
  if (map->form == AS_BYTE_MAP_BASE64) {
    as_base64_decode_lenient(map->base64, out);
    return;
  }
  as_codec_error ignored;
  as_cbor_reader values = map->values;
  values.error = &ignored;
  for (size_t i = 0; i < map->length; i++) {
    size_t index = i;
    bool is_read =
        map->form == AS_BYTE_MAP_ARRAY || next_index(&values, map->length, &index);
    /* as_byte_map_match has read all of it before. */
    if (!is_read || !next_byte(&values, &out[index])) return;
  }
}
