/* SPDX-License-Identifier: MIT */
/* The keys of a store as a Lua object (codec/keyring.h).
 *
 *   core.keyring(keys, primary, is_required) -> keyring
 *       keys: { [id, 0 to 255] = string of 32 bytes }, of which copies are taken;
 * primary: one of the ids keyring:encrypt(stored, session, generation, type, id) ->
 * stored | E keyring:decrypt(stored, session, generation, type, id, max_bytes) -> stored
 * | E as it was before encrypt; what is not encrypted is given as it stands
 *   keyring:decode(...) -> value | E        keyring:json_decode(...) -> text | E
 *       the same, and core.decode, core.json_decode of it
 *   keyring:key_id(stored) -> id of the key, nil when it is not encrypted
 *   keyring:close()                         wipes the keys; done by __gc too
 *
 * E is nil, message, code. A generation is a number, 0 for a session that has none. A
 * closed keyring has no keys: all that is encrypted is `corrupt`. */
#ifndef AS_BINDING_KEYRING_H
#define AS_BINDING_KEYRING_H

#include <lua.h>

/* Sets `keyring` in the module table at the top of the stack. */
void as_binding_keyring_open(lua_State *L);

#endif
