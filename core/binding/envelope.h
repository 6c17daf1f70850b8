/* SPDX-License-Identifier: MIT */
/* What the envelope needs in a Lua state: the state of its compressors, one for all
 * stores, and how the values of a store are sealed, as a Lua object.
 *
 *   core.sealing { serializer = "cbor" | "json", compressor = "lz4" | "zstd" | "deflate"
 *       | nil, level = number | nil, threshold_bytes = number, min_gain_bytes = number,
 *       min_gain_percent = number } -> sealing
 *     the numbers are needed with a compressor only; see as_sealing */
#ifndef AS_BINDING_ENVELOPE_H
#define AS_BINDING_ENVELOPE_H

#include <lua.h>

#include "codec/envelope.h"

/* How Lua values and JSON texts are sealed. */
typedef struct as_value_sealing {
  uint8_t serializer; /* AS_SERIALIZER_CBOR or AS_SERIALIZER_JSON */
  as_sealing envelope;
} as_value_sealing;

/* Sets `sealing` in the module table at the top of the stack. */
void as_binding_envelope_open(lua_State *L);

/* The sealing at a stack index, with this bound of a stored value; for none (nil) a plain
 * one. Raises for anything else. */
as_value_sealing as_value_sealing_check(lua_State *L, int index, size_t max_value_bytes);

/* Pushes the envelope's state of this Lua state and returns it, as as_workspace_take does
 * with the workspace. Valid until released. */
as_envelope_state *as_envelope_state_take(lua_State *L);

/* Lets the next call use the state. It stays on the stack; what it unpacked is lost. */
void as_envelope_state_release(as_envelope_state *state);

#endif
