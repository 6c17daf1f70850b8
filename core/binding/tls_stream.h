/* SPDX-License-Identifier: MIT */
/* One connection under TLS as a Lua object, for drivers whose sockets are not ours.
 *
 *   core.tls_stream(tls, host) -> stream | nil, message
 *       tls from core.tls; host: the name or address that is connected to
 *   stream:handshake() -> boolean, whether it is done | nil, message
 *   stream:feed(bytes)               what the socket has received; raises without memory
 *   stream:output(most) -> bytes     to be sent next, at most so many; "" for nothing
 *   stream:write(bytes) -> n         how many it has taken; they come out of `output`
 *                       | nil, message: the stream is lost
 *   stream:read() -> bytes           of the other side; "" for none now
 *                  | nil, message    the stream has ended
 */
#ifndef AS_BINDING_TLS_STREAM_H
#define AS_BINDING_TLS_STREAM_H

#include <lua.h>

/* Sets `tls_stream` in the module table at the top of the stack. */
void as_binding_tls_stream_open(lua_State *L);

#endif
