/* SPDX-License-Identifier: MIT */
/* Sockets are level-triggered. A socket is watched for writing only while it connects or
 * while the kernel did not take all the engine wants to send. */
#include "io/loop.h"

#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/clock.h"

enum {
  RECEIVE_BYTES = 64 * 1024,
  RECEIVES_PER_TURN = 16, /* one fast peer does not keep the loop from the others */
  EVENTS_PER_TURN = 32
};

typedef struct as_channel {
  as_socket peer;
  uint32_t events; /* watched; 0: the descriptor is not in the epoll set */
} as_channel;

struct as_loop {
  as_mem *mem;
  as_engine *engine;
  as_address address;
  int epoll_fd;
  uint32_t channel_count;
  uint32_t losses;
  as_channel *channels;
  uint8_t block[RECEIVE_BYTES];
};

as_status as_loop_new(as_mem *mem, as_engine *engine, uint32_t connections,
                      const as_address *address, as_loop **out_loop) {
  as_loop *loop = as_mem_alloc_zero(mem, sizeof *loop);
  if (loop == NULL) return AS_ERR_OOM;
  as_status status = AS_ERR_OOM;
  loop->mem = mem;
  loop->engine = engine;
  loop->address = *address;
  loop->epoll_fd = -1;
  loop->channels = as_mem_alloc_zero(mem, connections * sizeof *loop->channels);
  if (loop->channels == NULL) goto fail;
  loop->channel_count = connections;
  for (uint32_t i = 0; i < connections; i++) as_socket_init(&loop->channels[i].peer);
  status = AS_ERR_UNSUPPORTED;
  loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (loop->epoll_fd < 0) goto fail;
  *out_loop = loop;
  return AS_OK;
fail:
  as_loop_del(loop);
  return status;
}

void as_loop_del(as_loop *loop) {
  if (loop == NULL) return;
  for (uint32_t i = 0; i < loop->channel_count; i++)
    as_socket_close(&loop->channels[i].peer);
  if (loop->epoll_fd >= 0) close(loop->epoll_fd);
  as_mem_free(loop->mem, loop->channels, loop->channel_count * sizeof *loop->channels);
  as_mem_free(loop->mem, loop, sizeof *loop);
}

/* Watches a channel's descriptor for `events`; a closed descriptor leaves epoll itself.
 */
static void watch(as_loop *loop, uint32_t index, uint32_t events) {
  as_channel *channel = &loop->channels[index];
  if (channel->events == events) return;
  struct epoll_event event = {.events = events, .data.u32 = index};
  int operation = channel->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(loop->epoll_fd, operation, channel->peer.fd, &event) == 0)
    channel->events = events;
}

static void close_channel(as_loop *loop, uint32_t index, const char *reason) {
  as_channel *channel = &loop->channels[index];
  as_socket_close(&channel->peer);
  channel->events = 0;
  loop->losses++;
  as_engine_on_closed(loop->engine, index, as_slice_text(reason), as_clock_now_ms());
}

/* No longer watches a channel's descriptor, which may be followed by a new one. */
static void unwatch(as_loop *loop, uint32_t index) {
  as_channel *channel = &loop->channels[index];
  (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, channel->peer.fd, NULL);
  channel->events = 0;
}

/* After connect or finish_connect succeeded, on a descriptor that is not watched. */
static void on_connect_progress(as_loop *loop, uint32_t index) {
  as_channel *channel = &loop->channels[index];
  if (channel->peer.state == AS_SOCKET_OPEN) {
    watch(loop, index, EPOLLIN);
    as_engine_on_connected(loop->engine, index, as_clock_now_ms());
    return;
  }
  watch(loop, index, EPOLLOUT);
}

static void act(as_loop *loop, const as_action *action) {
  char reason[AS_SOCKET_REASON_SIZE] = "closed";
  as_channel *channel = &loop->channels[action->connection];
  if (action->kind == AS_ACTION_CONNECT &&
      as_socket_connect(&channel->peer, &loop->address, reason)) {
    on_connect_progress(loop, action->connection);
    return;
  }
  close_channel(loop, action->connection, reason);
}

static void flush_channel(as_loop *loop, uint32_t index) {
  as_channel *channel = &loop->channels[index];
  char reason[AS_SOCKET_REASON_SIZE];
  while (channel->peer.state == AS_SOCKET_OPEN) {
    as_slice bytes = as_engine_next_write(loop->engine, index);
    if (bytes.length == 0) {
      watch(loop, index, EPOLLIN);
      return;
    }
    size_t length = 0;
    switch (as_socket_send(&channel->peer, bytes, &length, reason)) {
      case AS_TRANSFER_SOME:
        as_engine_on_written(loop->engine, index, length, as_clock_now_ms());
        break;
      case AS_TRANSFER_LATER:
        watch(loop, index, EPOLLIN | EPOLLOUT);
        return;
      case AS_TRANSFER_BROKEN:
        close_channel(loop, index, reason);
        return;
    }
  }
}

/* Does all the engine asks for now; what it does may make the engine ask for more. */
static void obey_engine(as_loop *loop) {
  as_action action;
  for (uint32_t i = 0; i < loop->channel_count; i++) flush_channel(loop, i);
  while (as_engine_next_action(loop->engine, &action)) {
    act(loop, &action);
    flush_channel(loop, action.connection);
  }
}

static void receive(as_loop *loop, uint32_t index) {
  as_channel *channel = &loop->channels[index];
  char reason[AS_SOCKET_REASON_SIZE];
  for (int turn = 0; turn < RECEIVES_PER_TURN; turn++) {
    size_t length = 0;
    switch (
        as_socket_receive(&channel->peer, loop->block, RECEIVE_BYTES, &length, reason)) {
      case AS_TRANSFER_SOME:
        as_engine_on_bytes(loop->engine, index, as_slice_of(loop->block, length),
                           as_clock_now_ms());
        break;
      case AS_TRANSFER_LATER:
        return;
      case AS_TRANSFER_BROKEN:
        close_channel(loop, index, reason);
        return;
    }
    if (length < RECEIVE_BYTES) return;
  }
}

static void on_event(as_loop *loop, const struct epoll_event *event) {
  uint32_t index = event->data.u32;
  as_channel *channel = &loop->channels[index];
  char reason[AS_SOCKET_REASON_SIZE];
  if (channel->peer.state == AS_SOCKET_CONNECTING) {
    unwatch(loop, index);
    if (as_socket_finish_connect(&channel->peer, &loop->address, reason))
      on_connect_progress(loop, index);
    else
      close_channel(loop, index, reason);
    return;
  }
  if (channel->peer.state == AS_SOCKET_OPEN && (event->events & ~(uint32_t)EPOLLOUT))
    receive(loop, index);
}

/* How long to sleep, rounded up: a deadline must be over when epoll returns. */
static int wait_ms(const as_loop *loop, double timeout_ms) {
  double until_deadline = as_engine_deadline_ms(loop->engine) - as_clock_now_ms();
  double wait = ceil(fmin(timeout_ms, until_deadline));
  if (wait <= 0) return 0;
  return wait > 3600e3 ? 3600 * 1000 : (int)wait;
}

as_status as_loop_step(as_loop *loop, double timeout_ms) {
  struct epoll_event events[EVENTS_PER_TURN];
  obey_engine(loop);
  if (as_engine_has_completions(loop->engine)) timeout_ms = 0;
  int count =
      epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, wait_ms(loop, timeout_ms));
  if (count < 0 && errno != EINTR) return AS_ERR_SERVER;
  for (int i = 0; i < count; i++) on_event(loop, &events[i]);
  as_engine_on_time(loop->engine, as_clock_now_ms());
  obey_engine(loop);
  return AS_OK;
}

uint32_t as_loop_losses(const as_loop *loop) {
  return loop->losses;
}
