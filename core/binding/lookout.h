/* SPDX-License-Identifier: MIT */
/* What can be read from sockets of somebody else, as a Lua object; see io/lookout.h.
 *
 *   core.lookout() -> lookout | nil, message
 *   lookout:add(fd, "bytes" | "end") -> true | nil, message
 *   lookout:remove(fd)
 *   lookout:receive(fd) -> bytes, "" for none | nil, message: the stream has ended
 *   lookout:address() -> light userdata, for authstate_lookout_next (binding/ffi.h)
 *   lookout:close()
 *   core.marked_sockets() -> { fd, ... } | nil, message    all of this process
 *   core.is_marked(fd) -> boolean
 */
#ifndef AS_BINDING_LOOKOUT_H
#define AS_BINDING_LOOKOUT_H

#include <lua.h>

/* Sets the functions in the module table at the top of the stack. */
void as_binding_lookout_open(lua_State *L);

#endif
