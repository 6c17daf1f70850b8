/* SPDX-License-Identifier: MIT */
/* What the connections of a store have in common under TLS, as a Lua object.
 *
 *   core.tls{ ca, cert, key, server_name, insecure } -> tls | nil, message, option
 *       all but `insecure` are strings or nil; message: what is wrong with the file that
 *       `option` names ("ca", "cert", "key"), or, without an option, with OpenSSL
 */
#ifndef AS_BINDING_TLS_H
#define AS_BINDING_TLS_H

#include <lua.h>

#include "io/tls.h"

/* Sets `tls` in the module table at the top of the stack. */
void as_binding_tls_open(lua_State *L);

/* The object at a stack index; raises for anything else. */
const as_tls *as_binding_tls_check(lua_State *L, int index);

#endif
