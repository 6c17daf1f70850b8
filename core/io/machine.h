/* SPDX-License-Identifier: MIT */
/* What the machine has. The limits of a container are not looked at. */
#ifndef AS_IO_MACHINE_H
#define AS_IO_MACHINE_H

/* How many processors are online; -1 with errno when the system does not tell. */
long as_machine_cores(void);

/* Bytes of memory, used or not; -1 with errno when the system does not tell. */
double as_machine_memory_bytes(void);

#endif
