/* SPDX-License-Identifier: MIT */
/* Starting a daemon, and asking about processes. */
#ifndef AS_IO_PROCESS_H
#define AS_IO_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* Starts argv[0] (looked up in PATH) in a session of its own, not as our child, with
 * /dev/null as standard input and output and `log_path` appended as standard error.
 * It inherits no descriptor but `kept_fd` (-1: none). Returns 0, or the errno of what
 * failed, exec included. */
int as_process_start_daemon(char *const argv[], const char *log_path, int kept_fd);

/* This process, and the user that it acts as. */
pid_t as_process_id(void);
uid_t as_process_user(void);

/* Ends a process with SIGKILL. Returns 0 or errno. */
int as_process_kill(pid_t pid);

#endif
