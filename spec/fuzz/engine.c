/* SPDX-License-Identifier: MIT */
/* The input is a program: each byte is something a caller, the driver, the server or time
 * does to an engine, the byte after it how much. The driver keeps to its contract, the
 * server to nothing. Each operation completes once, its status says truly whether it was
 * sent, and in the end all slots, lanes and all memory are given back. What the driver
 * and the server do is done to the connection that was chosen last. */
#include "engine/engine.h"

#include <math.h>

#include "fuzz.h"

enum {
  MAX_LIVE = 16,
  CONNECTIONS = 3,
  LANES = 3,
  LAST_DEADLINE_MS = 2560,
  MAX_EVENTS = 2000,
  MAX_TURNS = 1000
};

typedef enum socket_state { SOCKET_NONE, SOCKET_ASKED, SOCKET_OPEN } socket_state;

typedef struct live_operation {
  uint32_t slot;
  as_request_kind kind;
  uint32_t replies; /* when it ends well */
  bool is_held;
  bool is_over;
} live_operation;

typedef struct world {
  as_engine *engine;
  as_lane *lanes[LANES];
  socket_state sockets[CONNECTIONS];
  uint32_t connection; /* that was chosen */
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

static void be_closed(world *world, uint32_t connection) {
  world->sockets[connection] = SOCKET_NONE;
  as_engine_on_closed(world->engine, connection, as_slice_text("lost"), world->now_ms);
  check(world);
}

static bool is_open(const world *world) {
  return world->sockets[world->connection] == SOCKET_OPEN;
}

static void close_socket(world *world) {
  if (world->sockets[world->connection] != SOCKET_NONE)
    be_closed(world, world->connection);
}

static void be_connected(world *world, uint32_t connection) {
  world->sockets[connection] = SOCKET_OPEN;
  as_engine_on_connected(world->engine, connection, world->now_ms);
  check(world);
}

static void act(world *world, uint8_t amount) {
  as_action action;
  while (as_engine_next_action(world->engine, &action)) {
    if (action.kind == AS_ACTION_CLOSE) {
      /* Of a socket, or of one we were late to ask for. */
      be_closed(world, action.connection);
      continue;
    }
    EXPECT(world->sockets[action.connection] == SOCKET_NONE);
    world->sockets[action.connection] = SOCKET_ASKED;
    if (amount % 8 == 7) return; /* connecting takes longer */
    be_connected(world, action.connection);
  }
  for (uint32_t i = 0; i < CONNECTIONS; i++)
    if (world->sockets[i] == SOCKET_ASKED) be_connected(world, i);
}

static void write_some(world *world, uint8_t amount) {
  as_slice bytes = as_engine_next_write(world->engine, world->connection);
  if (!is_open(world) || bytes.length == 0) return;
  size_t length = amount < 128 ? bytes.length : 1 + (amount - 128u) % bytes.length;
  free(fuzz_copy(as_slice_of(bytes.data, length)));
  as_engine_on_written(world->engine, world->connection, length, world->now_ms);
  check(world);
}

static void feed(world *world, as_slice bytes) {
  if (!is_open(world)) return;
  uint8_t *exact = fuzz_copy(bytes);
  as_engine_on_bytes(world->engine, world->connection, as_slice_of(exact, bytes.length),
                     world->now_ms);
  free(exact);
  check(world);
}

static void feed_reply(world *world, uint8_t amount) {
  feed(world, as_slice_text(REPLIES[amount % REPLY_COUNT]));
}

/* What an honest server says to the greeting. */
static void greet(world *world) {
  if (!is_open(world)) return;
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

static double deadline_of(const world *world, uint8_t amount) {
  return amount >= 128 ? INFINITY : world->now_ms + 1 + 20 * amount;
}

/* A submission was taken, or a bound was reached. */
static void settle(world *world, live_operation *live, as_status status,
                   as_request_kind kind, uint32_t replies) {
  EXPECT(status == AS_OK || status == AS_ERR_OVERLOADED);
  live->is_held = status == AS_OK;
  live->is_over = false;
  live->kind = kind;
  live->replies = replies;
  check(world);
}

static void submit(world *world, as_lane *lane, uint8_t amount) {
  live_operation *live = free_place(world);
  bool is_atomic = amount & 1, is_script = amount & 2, is_given_up = (amount & 12) == 12;
  if (live == NULL) return;
  as_status status = as_engine_begin(world->engine, lane, is_atomic, world->now_ms);
  EXPECT(status == AS_OK || status == AS_ERR_OVERLOADED);
  if (status != AS_OK) return;
  uint32_t commands = 1 + (amount >> 2) % 3;
  write_commands(world, commands, is_script);
  if (is_given_up) {
    as_engine_rollback(world->engine);
    check(world);
    return;
  }
  status = as_engine_submit(world->engine, 0, world->now_ms, deadline_of(world, amount),
                            &live->slot);
  settle(world, live, status, AS_REQUEST_COMMANDS, commands);
}

static as_slice field_at(uint32_t number) {
  static const char *const FIELDS[] = {"a", "b", "", "a longer one"};
  return as_slice_text(FIELDS[number % 4]);
}

static as_hash *hash_of(world *world, as_lane *lane, uint32_t number) {
  as_hash *hash = NULL;
  as_slice key = as_slice_text(number % 2 ? "k" : "l");
  EXPECT(as_engine_hash(world->engine, lane, key, &hash) == AS_OK);
  return hash;
}

/* The lane and the hash, how many fields, the first of them, under which generation. */
static void read(world *world, uint8_t amount) {
  live_operation *live = free_place(world);
  as_slice fields[3];
  uint32_t count = 1 + (amount >> 3) % 3;
  if (live == NULL) return;
  as_hash *hash = hash_of(world, world->lanes[amount % LANES], amount >> 2);
  for (uint32_t i = 0; i < count; i++) fields[i] = field_at((amount >> 4) + i);
  as_status status =
      as_engine_read(world->engine, hash, fields, count, (amount >> 5) % 2 ? 7 : -1, 0,
                     world->now_ms, deadline_of(world, amount), &live->slot);
  settle(world, live, status, AS_REQUEST_READ, count);
}

static void change(world *world, uint8_t amount) {
  live_operation *live = free_place(world);
  as_lane *lane = world->lanes[amount % LANES];
  if (live == NULL) return;
  as_status status = as_engine_begin_write(world->engine, lane, world->now_ms);
  EXPECT(status == AS_OK || status == AS_ERR_OVERLOADED);
  if (status != AS_OK) return;
  for (uint32_t i = 0; i <= (amount >> 3) % 3; i++) {
    as_hash *hash = hash_of(world, lane, (amount >> 2) + i);
    as_slice field = field_at((amount >> 4) + i);
    if (i == 1)
      EXPECT(as_engine_remove(world->engine, hash, field) == AS_OK);
    else
      EXPECT(as_engine_set(world->engine, hash, field, field) == AS_OK);
  }
  if ((amount & 96) == 96) {
    as_engine_rollback(world->engine);
    check(world);
    return;
  }
  status = as_engine_submit(world->engine, 0, world->now_ms, deadline_of(world, amount),
                            &live->slot);
  settle(world, live, status, AS_REQUEST_WRITE, 0);
}

static void open_lane(world *world, uint32_t number) {
  static const char *const META_KEYS[LANES] = {"meta", "another", "a third"};
  EXPECT(as_engine_open_lane(world->engine, as_slice_text(META_KEYS[number]),
                             &world->lanes[number]) == AS_OK);
}

/* A session is let go, whatever is owed to it, and opened again. */
static void replace_lane(world *world, uint32_t number) {
  as_engine_close_lane(world->engine, world->lanes[number]);
  check(world);
  open_lane(world, number);
}

static void flush(world *world) {
  as_engine_flush(world->engine, world->now_ms);
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
  EXPECT(completion->attempts > 0 && completion->reply_count == live->replies);
  EXPECT(completion->kind == live->kind);
  if (live->kind == AS_REQUEST_READ)
    EXPECT(completion->first_reply + live->replies <=
           as_replies_count(completion->replies));
  if (live->kind != AS_REQUEST_COMMANDS) return;
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

static void step_in_lanes(world *world, uint8_t kind, uint8_t amount) {
  switch (kind) {
    case 12:
      world->connection = amount % CONNECTIONS;
      return;
    case 13:
      read(world, amount);
      return;
    case 14:
      change(world, amount);
      return;
    case 15:
      flush(world);
      return;
    case 16:
      submit(world, world->lanes[amount % LANES], amount);
      return;
    default:
      replace_lane(world, amount % LANES);
  }
}

static void step(world *world, as_slice *program) {
  uint8_t kind = fuzz_take_byte(program) % 18;
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
      submit(world, NULL, amount);
      return;
    case 9:
      cancel(world, live_at(world, amount));
      return;
    case 10:
      release(world, live_at(world, amount));
      return;
    case 11:
      pull(world);
      return;
    default:
      step_in_lanes(world, kind, amount);
  }
}

/* A server that answers each command of the chosen connection, greetings too. */
static void answer_connection(world *world) {
  close_socket(world);
  for (int turn = 0; as_engine_is_owed(world->engine, world->connection); turn++) {
    EXPECT(turn < MAX_TURNS);
    if (!is_open(world)) {
      pass_time(world, LAST_DEADLINE_MS);
      act(world, 0);
      greet(world);
    }
    write_some(world, 0);
    feed_reply(world, 0);
    act(world, 7); /* what it asks for is done in the next turn */
  }
}

/* After everything: what was released before it was sent is still executed. */
static void answer_all(world *world) {
  flush(world);
  for (world->connection = 0; world->connection < CONNECTIONS; world->connection++)
    answer_connection(world);
  EXPECT(as_engine_queued_operations(world->engine) == 0);
}

/* The callers give up, the socket goes, and nothing may be left. */
static void end(world *world) {
  for (world->connection = 0; world->connection < CONNECTIONS; world->connection++)
    close_socket(world);
  world->connection = 0;
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
  EXPECT(as_engine_lanes(world->engine) == LANES);
}

void fuzz_engine(as_slice program) {
  static const as_engine_config CONFIG = {
      .pool_size = CONNECTIONS,
      .batch = {.size = 6, .window_ms = 50},
      .max_operations = 10,
      .max_queued_bytes = 2000,
      .connection = {.connect_timeout_ms = 100,
                     .health_timeout_ms = 300,
                     .max_age_ms = 2000,
                     .retries = true,
                     .greeting = {.password = "secret",
                                  .scripts = {{(const uint8_t *)"x", 1}},
                                  .script_count = 1}}};
  as_mem mem;
  world world = {.now_ms = 0};
  as_mem_init(&mem);
  EXPECT(as_engine_new(&mem, &CONFIG, &world.engine) == AS_OK);
  for (uint32_t i = 0; i < LANES; i++) open_lane(&world, i);
  for (int i = 0; i < MAX_EVENTS && program.length > 0; i++) step(&world, &program);
  end(&world);
  as_engine_del(world.engine);
  EXPECT(mem.used_bytes == 0);
}
