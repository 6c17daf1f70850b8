/* SPDX-License-Identifier: MIT */
/* as_byte_map recognises a map that stands for bytes: what Baileys' reviver, now or in
 * earlier versions, turns into a Buffer. These are objects of exactly two members
 *
 *   {"type":"Buffer","data":"AQI="}     {"buffer":true,"data":"AQI="}
 *   {"type":"Buffer","data":[1,2]}      ... or "value" for "data"
 *
 * in either order, where base64 is read as Node reads it, and {"0":1,"1":2}, keys 0 to
 * n - 1 in any order, under a name that holds bytes (names.h). */
#ifndef AS_CODEC_BYTE_MAP_H
#define AS_CODEC_BYTE_MAP_H

#include "codec/cbor.h"

/* No field that holds bytes is as long; a longer {"0":1,...} stays an object. */
enum { AS_BYTE_MAP_MAX_INDEXED = 4096 };

typedef struct as_byte_map {
  enum { AS_BYTE_MAP_BASE64, AS_BYTE_MAP_ARRAY, AS_BYTE_MAP_INDEXED } form;
  size_t length;         /* bytes that the map stands for */
  as_slice base64;       /* AS_BYTE_MAP_BASE64 */
  as_cbor_reader values; /* else: at the first element or pair */
} as_byte_map;

/* Looks at a map of `count` pairs whose head `reader` has just passed and whose name in
 * the object around it is `name` (empty: none). True: the reader is behind the map.
 * False: it is another map, or one that does not read; the reader stays. */
bool as_byte_map_match(as_cbor_reader *reader, size_t count, as_slice name,
                       as_byte_map *out_map);

/* Writes the map's bytes, map->length of them. */
void as_byte_map_write(const as_byte_map *map, uint8_t *out);

#endif
