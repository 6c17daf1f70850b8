/* SPDX-License-Identifier: MIT */
/* A stored value and the Lua value it is. In Lua
 *
 *   objects   are plain tables            null      is the NULL lightuserdata
 *   arrays    have the array metatable    bytes     are bytes objects (bytes.h)
 *   numbers   are numbers                 strings   are WTF-8
 *
 * Bytes are what Baileys' reviver makes a Buffer, in whatever form it was written; see
 * codec/byte_map.h. Functions that push leave the stack as it was when they fail; all say
 * why in *error. Callers have LUA_MINSTACK slots left, less a few. They may raise Lua's
 * out-of-memory error, and nothing leaks then. A workspace is one that the caller has
 * taken. */
#ifndef AS_BINDING_VALUE_H
#define AS_BINDING_VALUE_H

#include <lua.h>

#include "binding/envelope.h"
#include "binding/workspace.h"
#include "codec/codec.h"
#include "codec/names.h"
#include "codec/sink.h"

/* Makes what the functions below keep in the registry, once per Lua state; sets `null`,
 * `array_mt` and `array` in the module table at the top of the stack. Needs
 * as_binding_bytes_open before. */
void as_binding_value_open(lua_State *L);

/* Pushes the Lua value of a stored value. AS_ERR_CORRUPT: it cannot be opened, or is
 * longer than allowed, or its serializer is a Lua script. */
AS_MUST_USE as_status as_value_push(lua_State *L, as_workspace *workspace,
                                    as_slice stored, size_t max_value_bytes,
                                    as_codec_error *error);

/* Pushes the JSON text of a stored value as a Lua string, exactly as it was given. Errors
 * as above. */
AS_MUST_USE as_status as_value_push_json(lua_State *L, as_workspace *workspace,
                                         as_slice stored, size_t max_value_bytes,
                                         as_codec_error *error);

/* Pushes the stored value itself as a Lua string; the rest is as above. */
AS_MUST_USE as_status as_value_push_raw(lua_State *L, as_workspace *workspace,
                                        as_slice stored, size_t max_value_bytes,
                                        as_codec_error *error);

/* One of the three. */
typedef as_status (*as_value_pusher)(lua_State *L, as_workspace *workspace,
                                     as_slice stored, size_t max_value_bytes,
                                     as_codec_error *error);

/* Pushes the Lua value of a JSON text. AS_ERR_CORRUPT: not JSON. */
AS_MUST_USE as_status as_value_push_text(lua_State *L, as_workspace *workspace,
                                         as_slice json, as_codec_error *error);

/* Gives the stored form of the Lua value at `index`, which lies in the workspace until
 * that is used again. AS_ERR_UNSUPPORTED: the value, or one in it, cannot be stored; the
 * message names its path, what it is and what is accepted. AS_ERR_TOO_LARGE: longer than
 * max_value_bytes. */
AS_MUST_USE as_status as_value_encode(lua_State *L, int index,
                                      const as_value_sealing *sealing,
                                      as_workspace *workspace, as_slice *out_stored,
                                      as_codec_error *error);

/* Appends the value without envelope and limit to a buffer of the workspace: one CBOR
 * item. After a failure the buffer is as it was. */
AS_MUST_USE as_status as_value_encode_cbor(lua_State *L, int index,
                                           as_workspace *workspace, as_buffer *out,
                                           as_codec_error *error);

/* The same of a JSON text, from which as_value_push_json gives the same text.
 * AS_ERR_CORRUPT: not JSON; error->offset is the byte. AS_ERR_TOO_LARGE too. */
AS_MUST_USE as_status as_value_encode_json(lua_State *L, as_slice json,
                                           const as_value_sealing *sealing,
                                           as_workspace *workspace, as_slice *out_stored,
                                           as_codec_error *error);

/* Appends the stored form of a payload that some serializer made, and that does not lie
 * in `out`. AS_ERR_TOO_LARGE, AS_ERR_OOM. */
AS_MUST_USE as_status as_value_seal(lua_State *L, as_slice payload, uint8_t serializer,
                                    const as_sealing *sealing, as_buffer *out,
                                    as_codec_error *error);

/* Pushes the table of constants: the name with number n of codec/names.h at n + 1, then
 * what has an AS_CONSTANT. */
void as_value_push_constants(lua_State *L);

enum {
  AS_CONSTANT_ARRAY_METATABLE = AS_NAMES_COUNT + 1,
  AS_CONSTANT_BYTES_METATABLE,
  AS_CONSTANT_MAKE_RECORD, /* and as_sink_record: functions that make records */
  AS_CONSTANT_DIGITS = AS_CONSTANT_MAKE_RECORD + AS_RECORD_CLOSED_CHAIN + 1, /* "0" ... */
  AS_CONSTANTS_COUNT = AS_CONSTANT_DIGITS + AS_SINK_FEW_DIGITS - 1,
};

#endif
