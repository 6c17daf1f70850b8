/* SPDX-License-Identifier: MIT */
/* as_sink is who receives a stored value as it is unpacked, piece after piece: what
 * builds Lua values, and what writes JSON text. Slices are valid during the call only. A
 * function that fails ends the unpacking with its status. */
#ifndef AS_CODEC_SINK_H
#define AS_CODEC_SINK_H

#include "base/error.h"
#include "codec/tree.h"

typedef struct as_sink as_sink;

/* Records that some sinks make at once of their values, in this order. */
typedef enum as_sink_record {
  AS_RECORD_STATE,        /* registrationId, pubKey, privKey, lastRemoteEphemeralKey,
                             previousCounter, rootKey, baseKey, baseKeyType, closed, used,
                             created, remoteIdentityKey, _chains */
  AS_RECORD_CHAIN,        /* counter, key, chainType; no messageKeys */
  AS_RECORD_CLOSED_CHAIN, /* counter, chainType; no key, no messageKeys */
} as_sink_record;

/* Device numbers, which are many, are below this. */
enum { AS_SINK_FEW_DIGITS = 100 };

typedef struct as_sink_calls {
  /* Begin and end of an array or object. `count` is how many elements or members come,
   * as far as is known, to make room for. */
  as_status (*open)(as_sink *sink, bool is_object, size_t count);
  as_status (*close)(as_sink *sink, bool is_object);
  /* A member's name, before its value: a number of names.h, or WTF-8 text. */
  as_status (*name)(as_sink *sink, int name);
  as_status (*key)(as_sink *sink, as_slice text);
  /* Values. */
  as_status (*text)(as_sink *sink, as_slice text); /* WTF-8 */
  /* Base64 is the form of bytes that are stored without one. */
  as_status (*bytes)(as_sink *sink, as_slice bytes, as_byte_form form);
  as_status (*number)(as_sink *sink, double number);
  as_status (*word)(as_sink *sink, as_tree_kind kind); /* null, false, true */
  /* Text that is the digits of a number below AS_SINK_FEW_DIGITS. NULL: it is text. */
  as_status (*few_digits)(as_sink *sink, unsigned number);
  /* A record's values come between these. NULL: it comes member by member. */
  as_status (*open_record)(as_sink *sink, as_sink_record record);
  as_status (*close_record)(as_sink *sink, as_sink_record record);
  bool wants_byte_maps; /* objects that stand for bytes come as bytes; see byte_map.h */
} as_sink_calls;

/* The first member of every sink. */
struct as_sink {
  const as_sink_calls *calls;
};

#endif
