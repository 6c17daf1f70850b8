/* SPDX-License-Identifier: MIT */
/* as_loop drives an engine with epoll: it holds the sockets that the engine asks for,
 * sends, receives and tells the time. One thread. */
#ifndef AS_IO_LOOP_H
#define AS_IO_LOOP_H

#include "engine/engine.h"
#include "io/socket.h"

typedef struct as_loop as_loop;

/* A loop for an engine with `connections` connections, all to one address (copied). The
 * engine is borrowed and must outlive the loop. */
AS_MUST_USE as_status as_loop_new(as_mem *mem, as_engine *engine, uint32_t connections,
                                  const as_address *address, as_loop **out_loop);

/* Closes all sockets. The engine is not told. NULL is accepted. */
void as_loop_del(as_loop *loop);

/* One turn: does what the engine asks, waits for a socket at most timeout_ms or until the
 * engine's next deadline, and tells the engine what came. Does not wait when the engine
 * has completions. AS_ERR_SERVER: epoll itself failed (errno). */
AS_MUST_USE as_status as_loop_step(as_loop *loop, double timeout_ms);

/* How many connections were lost, or could not be made, since the loop is there. */
uint32_t as_loop_losses(const as_loop *loop);

#endif
