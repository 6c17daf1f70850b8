/* SPDX-License-Identifier: MIT */
/* as_sink is who receives a stored value as it is unpacked, piece after piece: what
 * builds Lua values, and what writes JSON text. Slices are valid during the call only. A
 * function that fails ends the unpacking with its status. */
#ifndef AS_CODEC_SINK_H
#define AS_CODEC_SINK_H

#include "base/error.h"
#include "codec/tree.h"

typedef struct as_sink as_sink;

struct as_sink {
  /* Begin and end of an array or object. `count` is how many elements or members come,
   * as far as is known, to make room for. */
  as_status (*open)(as_sink *sink, bool is_object, size_t count);
  as_status (*close)(as_sink *sink, bool is_object);
  /* A member's name, before its value: a number of names.h, or WTF-8 text. */
  as_status (*name)(as_sink *sink, int name);
  as_status (*key)(as_sink *sink, as_slice text);
  /* Values. */
  as_status (*text)(as_sink *sink, as_slice text); /* WTF-8 */
  as_status (*bytes)(as_sink *sink, as_slice bytes, as_byte_form form);
  as_status (*number)(as_sink *sink, double number);
  as_status (*word)(as_sink *sink, as_tree_kind kind); /* null, false, true */
  as_byte_form form;    /* of bytes that are stored without one */
  bool wants_byte_maps; /* objects that stand for bytes come as bytes; see byte_map.h */
};

#endif
