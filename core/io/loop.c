/* SPDX-License-Identifier: MIT */
/* Sockets are level-triggered. A socket is watched for writing only while it connects or
 * while the kernel did not take all the engine wants to send. Descriptors block, and each
 * transfer says that it will not (MSG_DONTWAIT), so that a lone caller can wait in recv
 * with SO_RCVTIMEO: two system calls a round trip instead of three. */
#include "io/loop.h"

#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/buffer.h"
#include "io/clock.h"

enum {
  RECEIVE_BYTES = 64 * 1024,
  RECEIVES_PER_TURN = 16, /* one fast peer does not keep the loop from the others */
  EVENTS_PER_LOOK = 32,
  LOOKS_PER_TURN = 8
};

/* A wait that took longer is followed by another look: when in it the sockets were looked
 * at, nobody knows. */
static const double LONG_WAIT_MS = 1;

typedef struct as_channel {
  as_socket peer;
  uint32_t events; /* watched; 0: the descriptor is not in the epoll set */
} as_channel;

typedef struct member {
  as_loop *loop;
  uint32_t number;
  as_engine *engine; /* NULL: the place is free */
  as_address address;
  uint32_t channel_count;
  uint32_t losses;
  as_channel *channels;
} member;

struct as_loop {
  as_mem *mem;
  int epoll_fd;
  double looked_ms;
  as_buffer members; /* member * after member * */
  uint8_t block[RECEIVE_BYTES];
};

as_status as_loop_new(as_mem *mem, as_loop **out_loop) {
  as_loop *loop = as_mem_alloc_zero(mem, sizeof *loop);
  if (loop == NULL) return AS_ERR_OOM;
  loop->mem = mem;
  loop->looked_ms = -INFINITY;
  as_buffer_init(&loop->members, mem);
  loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (loop->epoll_fd < 0) {
    as_loop_del(loop);
    return AS_ERR_UNSUPPORTED;
  }
  *out_loop = loop;
  return AS_OK;
}

static uint32_t member_count(const as_loop *loop) {
  return (uint32_t)(loop->members.length / sizeof(member *));
}

static member *member_at(const as_loop *loop, uint32_t number) {
  return ((member **)(void *)loop->members.data)[number];
}

void as_loop_del(as_loop *loop) {
  if (loop == NULL) return;
  for (uint32_t i = 0; i < member_count(loop); i++) {
    as_loop_detach(loop, i);
    as_mem_free(loop->mem, member_at(loop, i), sizeof(member));
  }
  as_buffer_free(&loop->members);
  if (loop->epoll_fd >= 0) close(loop->epoll_fd);
  as_mem_free(loop->mem, loop, sizeof *loop);
}

/* A place that is free. */
static as_status take_place(as_loop *loop, member **out_member) {
  for (uint32_t i = 0; i < member_count(loop); i++) {
    *out_member = member_at(loop, i);
    if ((*out_member)->engine == NULL) return AS_OK;
  }
  member *added = as_mem_alloc_zero(loop->mem, sizeof *added);
  if (added == NULL) return AS_ERR_OOM;
  added->loop = loop;
  added->number = member_count(loop);
  as_status status = as_buffer_append(&loop->members, &added, sizeof added);
  if (status != AS_OK) as_mem_free(loop->mem, added, sizeof *added);
  *out_member = added;
  return status;
}

as_status as_loop_attach(as_loop *loop, as_engine *engine, uint32_t connections,
                         const as_address *address, uint32_t *out_member) {
  member *place;
  AS_TRY(take_place(loop, &place));
  place->channels = as_mem_alloc_zero(loop->mem, connections * sizeof *place->channels);
  if (place->channels == NULL) return AS_ERR_OOM;
  place->engine = engine;
  place->address = *address;
  place->channel_count = connections;
  place->losses = 0;
  for (uint32_t i = 0; i < connections; i++)
    as_socket_init(&place->channels[i].peer, loop->mem);
  *out_member = place->number;
  return AS_OK;
}

void as_loop_detach(as_loop *loop, uint32_t number) {
  member *each = member_at(loop, number);
  if (each->engine == NULL) return;
  for (uint32_t i = 0; i < each->channel_count; i++)
    as_socket_close(&each->channels[i].peer);
  as_mem_free(loop->mem, each->channels, each->channel_count * sizeof *each->channels);
  each->channels = NULL;
  each->channel_count = 0;
  each->engine = NULL;
}

/* Watches a channel's descriptor for `events`; a closed descriptor leaves epoll itself.
 */
static void watch(member *self, uint32_t index, uint32_t events) {
  as_channel *channel = &self->channels[index];
  if (channel->events == events) return;
  struct epoll_event event = {.events = events,
                              .data.u64 = (uint64_t)self->number << 32 | index};
  int operation = channel->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(self->loop->epoll_fd, operation, channel->peer.fd, &event) == 0)
    channel->events = events;
}

static void close_channel(member *self, uint32_t index, const char *reason) {
  as_channel *channel = &self->channels[index];
  as_socket_close(&channel->peer);
  channel->events = 0;
  self->losses++;
  as_engine_on_closed(self->engine, index, as_slice_text(reason), as_clock_now_ms());
}

/* No longer watches a channel's descriptor, which may be followed by a new one. */
static void unwatch(member *self, uint32_t index) {
  as_channel *channel = &self->channels[index];
  (void)epoll_ctl(self->loop->epoll_fd, EPOLL_CTL_DEL, channel->peer.fd, NULL);
  channel->events = 0;
}

/* After connect or finish_connect succeeded, on a descriptor that is not watched. */
static void on_connect_progress(member *self, uint32_t index) {
  as_channel *channel = &self->channels[index];
  if (channel->peer.state == AS_SOCKET_OPEN) {
    watch(self, index, EPOLLIN);
    as_engine_on_connected(self->engine, index, as_clock_now_ms());
    return;
  }
  watch(self, index, channel->peer.is_reading ? EPOLLIN : EPOLLOUT);
}

static void act(member *self, const as_action *action) {
  char reason[AS_SOCKET_REASON_SIZE] = "closed";
  as_channel *channel = &self->channels[action->connection];
  if (action->kind == AS_ACTION_CONNECT &&
      as_socket_connect(&channel->peer, &self->address, reason)) {
    on_connect_progress(self, action->connection);
    return;
  }
  close_channel(self, action->connection, reason);
}

/* Whether the kernel took all there was to send, or the stream broke. */
static bool send_all(member *self, uint32_t index) {
  as_channel *channel = &self->channels[index];
  char reason[AS_SOCKET_REASON_SIZE];
  while (channel->peer.state == AS_SOCKET_OPEN) {
    as_slice bytes = as_engine_next_write(self->engine, index);
    size_t length = 0;
    as_transfer result = bytes.length == 0
                             ? as_socket_flush(&channel->peer, reason)
                             : as_socket_send(&channel->peer, bytes, &length, reason);
    switch (result) {
      case AS_TRANSFER_SOME:
        if (bytes.length == 0) {
          watch(self, index, EPOLLIN);
          return true;
        }
        as_engine_on_written(self->engine, index, length, as_clock_now_ms());
        break;
      case AS_TRANSFER_LATER:
        watch(self, index, EPOLLIN | EPOLLOUT);
        return false;
      case AS_TRANSFER_BROKEN:
        close_channel(self, index, reason);
        return true;
    }
  }
  return true;
}

/* Does all the engine asks for now; what it does may make the engine ask for more. */
static void obey_engine(member *self) {
  as_action action;
  for (uint32_t i = 0; i < self->channel_count; i++) (void)send_all(self, i);
  while (as_engine_next_action(self->engine, &action)) {
    act(self, &action);
    (void)send_all(self, action.connection);
  }
}

void as_loop_send(as_loop *loop, uint32_t number) {
  obey_engine(member_at(loop, number));
}

/* Takes what the socket has, or waits for it when `waits`. */
static void receive(member *self, uint32_t index, bool waits) {
  as_channel *channel = &self->channels[index];
  char reason[AS_SOCKET_REASON_SIZE];
  uint8_t *block = self->loop->block;
  for (int turn = 0; turn < RECEIVES_PER_TURN; turn++) {
    size_t length = 0;
    switch (
        as_socket_receive(&channel->peer, block, RECEIVE_BYTES, waits, &length, reason)) {
      case AS_TRANSFER_SOME:
        as_engine_on_bytes(self->engine, index, as_slice_of(block, length),
                           as_clock_now_ms());
        break;
      case AS_TRANSFER_LATER:
        return;
      case AS_TRANSFER_BROKEN:
        close_channel(self, index, reason);
        return;
    }
    if (channel->peer.is_drained) return;
    waits = false;
  }
}

static void on_event(as_loop *loop, const struct epoll_event *event) {
  uint32_t index = (uint32_t)event->data.u64;
  member *self = member_at(loop, (uint32_t)(event->data.u64 >> 32));
  char reason[AS_SOCKET_REASON_SIZE];
  if (self->engine == NULL) return;
  as_channel *channel = &self->channels[index];
  if (channel->peer.state == AS_SOCKET_CONNECTING) {
    unwatch(self, index);
    if (as_socket_finish_connect(&channel->peer, &self->address, reason))
      on_connect_progress(self, index);
    else
      close_channel(self, index, reason);
    return;
  }
  if (channel->peer.state == AS_SOCKET_OPEN && (event->events & ~(uint32_t)EPOLLOUT))
    receive(self, index, false);
}

double as_loop_deadline_ms(const as_loop *loop) {
  double deadline_ms = INFINITY;
  for (uint32_t i = 0; i < member_count(loop); i++) {
    const member *each = member_at(loop, i);
    if (each->engine != NULL)
      deadline_ms = fmin(deadline_ms, as_engine_deadline_ms(each->engine));
  }
  return deadline_ms;
}

/* How long to sleep, rounded up: a deadline must be over afterwards. At most an hour. */
static int wait_ms(double timeout_ms, double deadline_ms) {
  if (timeout_ms <= 0) return 0;
  double until_deadline = deadline_ms - as_clock_now_ms();
  double wait = ceil(fmin(timeout_ms, until_deadline));
  if (wait <= 0) return 0;
  return wait > 3600e3 ? 3600 * 1000 : (int)wait;
}

/* What was submitted leaves. Whether an engine has completions. */
static bool send_members(as_loop *loop) {
  bool has_completions = false;
  for (uint32_t i = 0; i < member_count(loop); i++) {
    member *each = member_at(loop, i);
    if (each->engine == NULL) continue;
    as_engine_flush(each->engine, as_clock_now_ms());
    obey_engine(each);
    has_completions = has_completions || as_engine_has_completions(each->engine);
  }
  return has_completions;
}

static void tell_time(as_loop *loop) {
  for (uint32_t i = 0; i < member_count(loop); i++) {
    member *each = member_at(loop, i);
    if (each->engine == NULL) continue;
    as_engine_on_time(each->engine, as_clock_now_ms());
    obey_engine(each);
  }
}

/* Takes what sockets have. A process that was stopped comes back from epoll_wait without
 * having looked at one (EINTR), and epoll tells of so many at a time. */
static as_status look(as_loop *loop, int wait) {
  struct epoll_event events[EVENTS_PER_LOOK];
  for (int looks = 0; looks < LOOKS_PER_TURN; looks++) {
    loop->looked_ms = as_clock_now_ms();
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_LOOK, wait);
    if (count < 0 && errno != EINTR) return AS_ERR_SERVER;
    for (int i = 0; i < count; i++) on_event(loop, &events[i]);
    bool is_late = wait > 0 && as_clock_now_ms() - loop->looked_ms > LONG_WAIT_MS;
    if (count >= 0 && count < EVENTS_PER_LOOK && !is_late) break;
    wait = 0;
  }
  return AS_OK;
}

as_status as_loop_step(as_loop *loop, double timeout_ms) {
  if (send_members(loop)) timeout_ms = 0;
  AS_TRY(look(loop, wait_ms(timeout_ms, as_loop_deadline_ms(loop))));
  tell_time(loop);
  return AS_OK;
}

double as_loop_looked_ms(const as_loop *loop) {
  return loop->looked_ms;
}

/* The only channel of a member that is open, when none is on its way; else -1. */
static int only_channel(const member *self) {
  int only = -1;
  for (uint32_t i = 0; i < self->channel_count; i++) {
    as_socket_state state = self->channels[i].peer.state;
    if (state == AS_SOCKET_CLOSED || !as_engine_is_owed(self->engine, i)) continue;
    if (state != AS_SOCKET_OPEN || only >= 0) return -1;
    only = (int)i;
  }
  return only;
}

bool as_loop_wait_one(as_loop *loop, uint32_t number, double timeout_ms) {
  member *self = member_at(loop, number);
  as_engine_flush(self->engine, as_clock_now_ms());
  int index = only_channel(self);
  if (index < 0 || as_engine_has_actions(self->engine)) return false;
  if (as_engine_has_completions(self->engine)) return false;
  if (!send_all(self, (uint32_t)index)) return false;
  int wait = wait_ms(timeout_ms, as_engine_deadline_ms(self->engine));
  as_socket *peer = &self->channels[index].peer;
  if (wait == 0 || !as_socket_set_patience(peer, wait)) return false;
  receive(self, (uint32_t)index, true);
  as_engine_on_time(self->engine, as_clock_now_ms());
  return true;
}

int as_loop_fd(const as_loop *loop) {
  return loop->epoll_fd;
}

uint32_t as_loop_losses(const as_loop *loop, uint32_t number) {
  return member_at(loop, number)->losses;
}
