/* SPDX-License-Identifier: MIT */
/* Clock, random bytes, digests, and what the embedded server needs of the system.
 *
 *   core.now_ms() -> ms, monotonic           core.sleep_ms(ms)
 *   core.random(n) -> n bytes, 1 to 256
 *   core.sha1_hex(bytes) -> 40 hex digits    core.sha256_hex(bytes) -> 64 hex digits
 *   core.gunzip(bytes, max_bytes) -> bytes | nil, message
 *   core.make_directory(path) -> true | nil, message
 *   core.real_path(path) -> absolute path of what is there | nil, message
 *   core.check_directory(path) -> true | nil, fault
 *       fault: missing not_a_directory foreign open_to_others not_writable
 *   core.lock_open(path, is_inheritable) -> fd | nil, message
 *   core.lock_try(fd, "shared" | "exclusive") -> boolean      core.lock_close(fd)
 *   core.start_daemon(argv, log_path, kept_fd) -> true | nil, message
 *   core.process_mark() -> userdata whose block is the address of a uint32_t that is 0
 *       again after each fork (io/process.h); freed with it | nil
 *   core.is_yieldable() -> whether the coroutine that runs could yield now
 *   core.is_first(name) -> whether no Lua state of this process has asked so before
 *   core.is_terminal(fd) -> boolean
 *   core.cores() -> processors online        core.memory_bytes() -> of the machine
 */
#ifndef AS_BINDING_SYSTEM_H
#define AS_BINDING_SYSTEM_H

#include <lua.h>

/* Sets the functions in the module table at the top of the stack. */
void as_binding_system_open(lua_State *L);

#endif
