/* SPDX-License-Identifier: MIT */
/* Makes Lua values of replies. On failure the functions say why in walk->error and push
 * which value could not be opened: its place in an array, from 1, or its field. */
#ifndef AS_BINDING_REPLY_H
#define AS_BINDING_REPLY_H

#include <lua.h>

#include "binding/workspace.h"
#include "codec/codec.h"
#include "engine/reply.h"

typedef enum as_shape {
  AS_SHAPE_RAW,       /* strings, numbers, false for nil, tables of these */
  AS_SHAPE_VALUE,     /* a stored value becomes a Lua value, each one of an array too */
  AS_SHAPE_JSON,      /* the same, as JSON text */
  AS_SHAPE_VALUE_MAP, /* field and value in turn become { [field] = Lua value } */
  AS_SHAPE_JSON_MAP   /* the same, as JSON text */
} as_shape;

/* Added to the shape of a read of one field: drain gives out its value. */
enum { AS_SHAPE_ALONE = 16 };

/* A walk over the nodes of one completion. */
typedef struct as_reply_walk {
  lua_State *L;
  const as_replies *replies;
  size_t index; /* of the next node */
  size_t max_value_bytes;
  as_workspace *workspace; /* taken, for values */
  as_codec_error error;
} as_reply_walk;

/* Pushes the next reply. */
AS_MUST_USE as_status as_reply_push(as_reply_walk *walk, as_shape shape);

/* Pushes the next field that was read, nil when it is absent. RAW: the stored bytes. */
AS_MUST_USE as_status as_reply_push_field(as_reply_walk *walk, as_shape shape);

/* The same for `count` fields: an array, absent ones are holes. */
AS_MUST_USE as_status as_reply_push_fields(as_reply_walk *walk, as_shape shape,
                                           uint32_t count);

#endif
