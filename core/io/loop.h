/* SPDX-License-Identifier: MIT */
/* as_loop drives engines with epoll: it holds the sockets that they ask for, sends,
 * receives and tells the time. One loop serves all stores of a Lua state. One thread.
 *
 * An engine that was attached is a member, named by a small number. */
#ifndef AS_IO_LOOP_H
#define AS_IO_LOOP_H

#include "engine/engine.h"
#include "io/socket.h"

typedef struct as_loop as_loop;

AS_MUST_USE as_status as_loop_new(as_mem *mem, as_loop **out_loop);

/* Closes all sockets. The engines are not told. NULL is accepted. */
void as_loop_del(as_loop *loop);

/* Takes in an engine with `connections` connections, all to one address (copied). The
 * engine, and the address' TLS, are borrowed until it is detached. */
AS_MUST_USE as_status as_loop_attach(as_loop *loop, as_engine *engine,
                                     uint32_t connections, const as_address *address,
                                     uint32_t *out_member);

/* Closes the sockets of a member; its engine is not told. */
void as_loop_detach(as_loop *loop, uint32_t number);

/* One turn: nothing else can join what was submitted, so it leaves; waits for a socket at
 * most timeout_ms or until the next deadline of an engine, and tells the engines what
 * came. Does not wait when one of them has completions. AS_ERR_SERVER: epoll itself
 * failed (errno). */
AS_MUST_USE as_status as_loop_step(as_loop *loop, double timeout_ms);

/* The same for who waits for one operation only: of a member that has one socket with
 * something owed, it waits in recv, which is quicker than epoll. Other members are not
 * looked at. False: that is not so, or there is something to send that the kernel does
 * not take; nothing was waited for. */
bool as_loop_wait_one(as_loop *loop, uint32_t number, double timeout_ms);

/* A moment of as_clock_now_ms since which the last step has looked at all sockets: what
 * could be read from one then, the engines know. -INFINITY: there was none. */
double as_loop_looked_ms(const as_loop *loop);

/* Sends what the batches of a member have given free, without waiting. */
void as_loop_send(as_loop *loop, uint32_t number);

/* A descriptor that becomes readable when step has something to do. */
int as_loop_fd(const as_loop *loop);

/* When step must be called at the latest, in ms of as_clock_now_ms; INFINITY: never. */
double as_loop_deadline_ms(const as_loop *loop);

/* How many connections of a member were lost, or could not be made, so far. */
uint32_t as_loop_losses(const as_loop *loop, uint32_t number);

#endif
