/* SPDX-License-Identifier: MIT */
/* Starting a daemon, and asking about processes. */
#ifndef AS_IO_PROCESS_H
#define AS_IO_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Starts argv[0] (looked up in PATH) in a session of its own, not as our child, with
 * /dev/null as standard input and output and `log_path` appended as standard error.
 * It inherits no descriptor but `kept_fd` (-1: none). Returns 0, or the errno of what
 * failed, exec included. */
int as_process_start_daemon(char *const argv[], const char *log_path, int kept_fd);

/* This process, and the user that it acts as. */
pid_t as_process_id(void);
uid_t as_process_user(void);

/* A number that is 0 at first, and 0 again in a child after each fork, whatever is
 * written to it: so a process knows with one look at its memory that it is another one.
 * NULL: the system has no such memory (MADV_WIPEONFORK, Linux 4.14). */
uint32_t *as_process_mark_new(void);
void as_process_mark_del(uint32_t *mark);

/* Ends a process with SIGKILL. Returns 0 or errno. */
int as_process_kill(pid_t pid);

/* Whether it is the first time that this process asks so for `name`, whichever Lua state
 * asks. It is kept in the environment, which a child inherits but does not share. */
bool as_process_is_first(const char *name);

#endif
