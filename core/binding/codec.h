/* SPDX-License-Identifier: MIT */
/* Values, their stored form and their JSON text, as Lua functions. A stored value and a
 * text are Lua strings; max_bytes is max_value_bytes, 8 MiB when it is left out.
 *
 *   core.encode(value, max_bytes, sealing) -> stored | nil, message, code
 *   core.decode(stored, max_bytes) -> value | nil, message, code
 *   core.json_encode(text, max_bytes, sealing) -> stored | nil, message, code, offset
 *   core.json_decode(stored, max_bytes) -> text | nil, message, code
 *   core.seal(payload, serializer, max_bytes, sealing) -> stored | nil, message, code
 *   core.open(stored, serializer, max_bytes) -> payload | nil, message, code
 *       for the serializer of a Lua script, a number from 4 to 15; payload is false when
 *       the value is of another serializer
 *   core.to_json(value, form) -> text | nil, message, code
 *   core.from_json(text) -> value | nil, message, offset
 *   core.split_session(text) -> session | nil, message, offset
 *   core.bytes from_base64 from_hex is_bytes                  see bytes.h
 *   core.null array_mt array(t)                               see value.h
 *   core.sealing(config) -> sealing                           see envelope.h
 *
 * Codes: `unsupported` for a value that cannot be stored (the caller's mistake: the
 * message names its path), `corrupt` for a text or stored value that cannot be read,
 * `too_large`, `oom`. An offset is the byte that is wrong, from 0. A form is how bytes
 * are written: "base64" (the default), "array" or "object". A session is { creds = text
 * or nil, keys = { [type] = { [id] = text } }, records = how many in keys }. */
#ifndef AS_BINDING_CODEC_H
#define AS_BINDING_CODEC_H

#include <lua.h>

/* Sets these in the module table at the top of the stack. */
void as_binding_codec_open(lua_State *L);

#endif
