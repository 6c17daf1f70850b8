/* SPDX-License-Identifier: MIT */
/* The input is a program: each byte is something a caller, the driver, the server or time
 * does to an engine, the byte after it how much. The driver keeps to its contract, the
 * server to nothing. Each operation completes once, its status says truly whether it was
 * sent, and in the end all slots and all memory are given back. */
#include "engine/engine.h"

#include <math.h>

#include "fuzz.h"

enum { MAX_LIVE = 16, LAST_DEADLINE_MS = 2560, MAX_EVENTS = 2000, MAX_TURNS = 1000 };

typedef enum socket_state { SOCKET_NONE, SOCKET_ASKED, SOCKET_OPEN } socket_state;

typedef struct live_operation {
  uint32_t slot;
  uint32_t commands;
  bool is_held;
  bool is_over;
} live_operation;

typedef struct world {
  as_engine *engine;
  socket_state socket;
  double now_ms;
  live_operation live[MAX_LIVE];
} world;

static const char INFO_REPLY[] =
    "$74\r\n_\r\nredis_version:7.0.15\r\n"
    "run_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";

/* What servers say, so that the fuzzer need not find each word. */
static const char *const REPLIES[] = {
    "+OK\r\n",
    ":7\r\n",
    INFO_REPLY,
    "$3\r\nfoo\r\n",
    "$-1\r\n",
    "*0\r\n",
    "*-1\r\n",
    "*2\r\n+OK\r\n$3\r\nbar\r\n",
    "*2\r\n*1\r\n:1\r\n$0\r\n\r\n",
    "+QUEUED\r\n",
    "-NOSCRIPT No matching script.\r\n",
    "-WRONGTYPE Operation\r\n",
    "-EXECABORT Transaction discarded\r\n",
    "-NOAUTH Authentication required.\r\n",
    "-NOPERM no permission\r\n",
    "-LOADING Redis is loading\r\n",
    "-MASTERDOWN Link is down\r\n",
    "-ERR unknown\r\n",
    "$100\r\nonly the beginning of it",
    "*3\r\n$1\r\n",
};

enum { REPLY_COUNT = sizeof REPLIES / sizeof REPLIES[0] };

static void check(const world *world) {
  EXPECT(as_engine_validate(world->engine));
}

/* ---- the driver and the server ----------------------------------------------------- */

static void be_closed(world *world) {
  world->socket = SOCKET_NONE;
  as_engine_on_closed(world->engine, 0, as_slice_text("lost"), world->now_ms);
  check(world);
}

static void close_socket(world *world) {
  if (world->socket != SOCKET_NONE) be_closed(world);
}

static void act(world *world, uint8_t amount) {
  as_action action;
  while (as_engine_next_action(world->engine, &action)) {
    if (action.kind == AS_ACTION_CLOSE) {
      be_closed(world); /* of a socket, or of one we were late to ask for */
      continue;
    }
    EXPECT(world->socket == SOCKET_NONE);
    world->socket = SOCKET_ASKED;
    if (amount % 8 == 7) return; /* connecting takes longer */
    world->socket = SOCKET_OPEN;
    as_engine_on_connected(world->engine, 0, world->now_ms);
    check(world);
  }
  if (world->socket != SOCKET_ASKED) return;
  world->socket = SOCKET_OPEN;
  as_engine_on_connected(world->engine, 0, world->now_ms);
  check(world);
}

static void write_some(world *world, uint8_t amount) {
  as_slice bytes = as_engine_next_write(world->engine, 0);
  if (world->socket != SOCKET_OPEN || bytes.length == 0) return;
  size_t length = amount < 128 ? bytes.length : 1 + (amount - 128u) % bytes.length;
  free(fuzz_copy(as_slice_of(bytes.data, length)));
  as_engine_on_written(world->engine, 0, length, world->now_ms);
  check(world);
}

static void feed(world *world, as_slice bytes) {
  if (world->socket != SOCKET_OPEN) return;
  uint8_t *exact = fuzz_copy(bytes);
  as_engine_on_bytes(world->engine, 0, as_slice_of(exact, bytes.length), world->now_ms);
  free(exact);
  check(world);
}

static void feed_reply(world *world, uint8_t amount) {
  feed(world, as_slice_text(REPLIES[amount % REPLY_COUNT]));
}

/* What an honest server says to the greeting. */
static void greet(world *world) {
  if (world->socket != SOCKET_OPEN) return;
  write_some(world, 0);
  feed(world, as_slice_text("+OK\r\n:7\r\n"));
  feed(world, as_slice_text(INFO_REPLY));
  feed(world, as_slice_text("$1\r\nx\r\n"));
  write_some(world, 0);
}

static void pass_time(world *world, double ms) {
  world->now_ms += ms;
  as_engine_on_time(world->engine, world->now_ms);
  check(world);
  EXPECT(as_engine_deadline_ms(world->engine) > world->now_ms);
}

/* ---- the callers ------------------------------------------------------------------- */

static live_operation *free_place(world *world) {
  for (int i = 0; i < MAX_LIVE; i++)
    if (!world->live[i].is_held) return &world->live[i];
  return NULL;
}

static void write_commands(world *world, uint32_t count, bool is_script) {
  static const uint8_t LONG_ARGUMENT[300] = {1};
  for (uint32_t i = 0; i < count; i++) {
    as_slice name = as_slice_text(is_script ? "EVALSHA" : "SET");
    EXPECT(as_engine_command(world->engine, 2) == AS_OK);
    EXPECT(as_engine_argument(world->engine, name) == AS_OK);
    EXPECT(as_engine_argument(world->engine,
                              as_slice_of(LONG_ARGUMENT, i == 2 ? 300 : 1)) == AS_OK);
  }
}

static void submit(world *world, uint8_t amount) {
  live_operation *live = free_place(world);
  bool is_atomic = amount & 1, is_script = amount & 2, is_given_up = (amount & 12) == 12;
  if (live == NULL) return;
  as_status status = as_engine_begin(world->engine, is_atomic);
  EXPECT(status == AS_OK || status == AS_ERR_OVERLOADED);
  if (status != AS_OK) return;
  live->commands = 1 + (amount >> 2) % 3;
  live->is_over = false;
  write_commands(world, live->commands, is_script);
  if (is_given_up) {
    as_engine_rollback(world->engine);
    check(world);
    return;
  }
  double deadline_ms = amount >= 128 ? INFINITY : world->now_ms + 1 + 20 * amount;
  status = as_engine_submit(world->engine, world->now_ms, deadline_ms, &live->slot);
  EXPECT(status == AS_OK || status == AS_ERR_OVERLOADED);
  live->is_held = status == AS_OK;
  check(world);
}

static live_operation *live_at(world *world, uint8_t amount) {
  live_operation *live = &world->live[amount % MAX_LIVE];
  return live->is_held ? live : NULL;
}

static void release(world *world, live_operation *live) {
  as_completion completion;
  if (live == NULL) return;
  EXPECT(as_engine_completion(world->engine, live->slot, &completion) == live->is_over);
  as_engine_release(world->engine, live->slot);
  live->is_held = false;
  check(world);
}

static void cancel(world *world, live_operation *live) {
  if (live == NULL) return;
  as_engine_cancel(world->engine, live->slot, world->now_ms);
  check(world);
}

static live_operation *live_of(world *world, uint32_t slot) {
  for (int i = 0; i < MAX_LIVE; i++)
    if (world->live[i].is_held && world->live[i].slot == slot) return &world->live[i];
  EXPECT(!"a completion of no operation");
  return NULL;
}

static void check_completion(const as_completion *completion,
                             const live_operation *live) {
  EXPECT(completion->elapsed_ms >= 0);
  if (completion->status == AS_ERR_TIMEOUT) EXPECT(completion->attempts > 0);
  if (completion->status == AS_ERR_UNAVAILABLE)
    EXPECT(completion->attempts == 0 ||
           as_slice_starts_with(completion->message, "MASTERDOWN ") ||
           as_slice_starts_with(completion->message, "ERR max number of clients"));
  if (completion->status != AS_OK) {
    EXPECT(completion->reply_count == 0 && completion->message.length > 0);
    return;
  }
  EXPECT(completion->attempts > 0 && completion->reply_count == live->commands);
  size_t end = completion->first_reply;
  for (uint32_t i = 0; i < completion->reply_count; i++) {
    EXPECT(end < as_replies_count(completion->replies));
    end = as_replies_skip(completion->replies, end);
  }
  EXPECT(end == as_replies_count(completion->replies));
}

static void pull(world *world) {
  as_completion completion;
  while (as_engine_next_completion(world->engine, &completion)) {
    live_operation *live = live_of(world, completion.slot);
    EXPECT(!live->is_over);
    check_completion(&completion, live);
    live->is_over = true;
    check(world);
  }
  EXPECT(!as_engine_has_completions(world->engine));
}

/* ---- the program ------------------------------------------------------------------- */

static void step(world *world, as_slice *program) {
  uint8_t kind = fuzz_take_byte(program) % 12;
  uint8_t amount = fuzz_take_byte(program);
  size_t length = amount < program->length ? amount : program->length;
  switch (kind) {
    case 0:
      act(world, amount);
      return;
    case 1:
      write_some(world, amount);
      return;
    case 2:
      feed(world, as_slice_of(program->data, length));
      *program = as_slice_of(program->data + length, program->length - length);
      return;
    case 3:
    case 4:
      feed_reply(world, amount);
      return;
    case 5:
      greet(world);
      return;
    case 6:
      close_socket(world);
      return;
    case 7:
      pass_time(world, amount);
      return;
    case 8:
      submit(world, amount);
      return;
    case 9:
      cancel(world, live_at(world, amount));
      return;
    case 10:
      release(world, live_at(world, amount));
      return;
    default:
      pull(world);
  }
}

/* A server that answers each command, after everything: what was released before it was
 * sent is still executed. */
static void answer_all(world *world) {
  for (int turn = 0; as_engine_queued_operations(world->engine) > 0; turn++) {
    EXPECT(turn < MAX_TURNS);
    if (world->socket == SOCKET_NONE) {
      pass_time(world, LAST_DEADLINE_MS);
      act(world, 0);
      greet(world);
    }
    write_some(world, 0);
    feed_reply(world, 0);
    act(world, 0);
  }
}

/* The callers give up, the socket goes, and nothing may be left. */
static void end(world *world) {
  close_socket(world);
  pass_time(world, LAST_DEADLINE_MS);
  for (int i = 0; i < MAX_LIVE; i++) cancel(world, live_at(world, (uint8_t)i));
  pull(world);
  for (int i = 0; i < MAX_LIVE; i++) {
    live_operation *live = live_at(world, (uint8_t)i);
    if (live != NULL) EXPECT(live->is_over);
    release(world, live);
  }
  answer_all(world);
  EXPECT(as_engine_queued_bytes(world->engine) == 0);
}

void fuzz_engine(as_slice program) {
  static const as_engine_config CONFIG = {
      .pool_size = 1,
      .max_operations = 10,
      .max_queued_bytes = 2000,
      .connection = {.connect_timeout_ms = 100,
                     .health_timeout_ms = 300,
                     .greeting = {.password = "secret",
                                  .scripts = {{(const uint8_t *)"x", 1}},
                                  .script_count = 1}}};
  as_mem mem;
  world world = {.now_ms = 0};
  as_mem_init(&mem);
  EXPECT(as_engine_new(&mem, &CONFIG, &world.engine) == AS_OK);
  for (int i = 0; i < MAX_EVENTS && program.length > 0; i++) step(&world, &program);
  end(&world);
  as_engine_del(world.engine);
  EXPECT(mem.used_bytes == 0);
}
