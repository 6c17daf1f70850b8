/* SPDX-License-Identifier: MIT */
/* The same conversation again and again, with the 1st, 2nd, ... nth allocation failing,
 * those of hiredis' reader too: a command that fails has changed nothing and succeeds
 * when repeated; an event that fails costs at most the connection. All operations end
 * with their own replies, and all memory is given back.
 * Usage: allocation SEED FAILURES_IN_A_ROW. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "engine/engine.h"
#include "failing_heap.h"

/* Operations number 0 to 11 are commands of their own; then come reads and plain writes
 * in lanes. The script is long, so that loading it again needs memory. */
enum {
  COMMANDS = 12,
  READS_END = 24,
  OPERATIONS = 36,
  LANES = 2,
  MAX_TURNS = 1000,
  SCRIPT_BYTES = 5000,
  MAX_WORDS = 64
};

static const char info[] = "$74\r\n_\r\nredis_version:7.0.15\r\n"
                           "run_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";

/* The conversation: the engine, and the server's side of one stream. */
typedef struct talk {
  as_mem mem;
  as_engine *engine;
  as_lane *lanes[LANES];
  double now_ms;
  uint8_t received[65536]; /* requests not answered yet */
  size_t received_length;
  uint32_t queued; /* commands since MULTI, MULTI counted */
  uint32_t sets;   /* fields that these set, one a write */
  uint32_t versions;
  bool is_open;
  bool forgot_scripts;
  uint32_t slots[OPERATIONS]; /* by number */
  bool is_over[OPERATIONS];
} talk;

typedef struct command {
  uint32_t count;
  as_slice words[MAX_WORDS];
} command;

/* ---- the server -------------------------------------------------------------------- */

static void feed(talk *talk, const void *bytes, size_t length) {
  as_engine_on_bytes(talk->engine, 0, as_slice_of(bytes, length), talk->now_ms);
  CHECK(as_engine_validate(talk->engine));
}

static void feed_text(talk *talk, const char *text) {
  feed(talk, text, strlen(text));
}

static void feed_bulk(talk *talk, as_slice word) {
  char text[64];
  snprintf(text, sizeof text, "$%zu\r\n%.*s\r\n", word.length, (int)word.length,
           (const char *)word.data);
  feed_text(talk, text);
}

static void feed_head(talk *talk, char type, uint32_t count) {
  char text[32];
  snprintf(text, sizeof text, "%c%u\r\n", type, (unsigned)count);
  feed_text(talk, text);
}

static bool is_word(const command *command, uint32_t i, const char *text) {
  return i < command->count && as_slice_equals(command->words[i], as_slice_text(text));
}

static void execute(talk *talk, const command *exec) {
  uint32_t queued = talk->queued - 1;
  (void)exec;
  talk->queued = 0;
  feed_head(talk, '*', queued);
  if (queued == 1) {
    feed_text(talk, "$3\r\n002\r\n");
    return;
  }
  for (uint32_t i = 0; i < queued; i++)
    feed_head(talk, ':', i == queued - 2 ? talk->versions : 1);
}

/* The version grows by the number of writes. */
static void queue(talk *talk, const command *command) {
  char text[16];
  talk->queued++;
  if (is_word(command, 0, "HSET")) talk->sets += command->count / 2 - 1;
  if (is_word(command, 0, "HINCRBY")) {
    snprintf(text, sizeof text, "%.*s", (int)command->words[3].length,
             (const char *)command->words[3].data);
    CHECK(strtoul(text, NULL, 10) == talk->sets);
    talk->versions += talk->sets;
  }
  feed_text(talk, "+QUEUED\r\n");
}

/* An array of its number, many times. */
static void many(talk *talk, const command *command) {
  feed_text(talk, "*300\r\n");
  for (int i = 0; i < 300; i++) feed_bulk(talk, command->words[1]);
}

/* The value of a field is its name. */
static void hmget(talk *talk, const command *command) {
  feed_head(talk, '*', command->count - 2);
  for (uint32_t i = 2; i < command->count; i++) feed_bulk(talk, command->words[i]);
}

static void evalsha(talk *talk, const command *command) {
  if (talk->forgot_scripts)
    feed_text(talk, "-NOSCRIPT No matching script.\r\n");
  else
    feed_bulk(talk, command->words[2]);
}

static void script(talk *talk, const command *command) {
  (void)command;
  talk->forgot_scripts = false;
  feed_text(talk, "$1\r\nx\r\n");
}

static void client(talk *talk, const command *command) {
  feed_text(talk, is_word(command, 1, "ID") ? ":7\r\n" : "+OK\r\n");
}

static void tell_info(talk *talk, const command *command) {
  (void)command;
  feed(talk, info, sizeof info - 1);
}

static void echo(talk *talk, const command *command) {
  feed_bulk(talk, command->words[1]);
}

static void fail(talk *talk, const command *command) {
  (void)command;
  feed_text(talk, "-WRONGTYPE x\r\n");
}

/* The generation of every session. */
static void hget(talk *talk, const command *command) {
  (void)command;
  feed_text(talk, "$1\r\n7\r\n");
}

static void multi(talk *talk, const command *command) {
  (void)command;
  talk->queued = 1;
  talk->sets = 0;
  feed_text(talk, "+OK\r\n");
}

static void answer(talk *talk, const command *command) {
  static const struct {
    const char *name;
    void (*answer)(struct talk *talk, const struct command *command);
  } answers[] = {{"INFO", tell_info},  {"CLIENT", client}, {"SCRIPT", script},
                 {"EVALSHA", evalsha}, {"MANY", many},     {"FAIL", fail},
                 {"ECHO", echo},       {"HMGET", hmget},   {"HGET", hget},
                 {"MULTI", multi}};
  if (is_word(command, 0, "EXEC")) {
    execute(talk, command);
    return;
  }
  if (talk->queued > 0) {
    queue(talk, command);
    return;
  }
  for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
    if (!is_word(command, 0, answers[i].name)) continue;
    answers[i].answer(talk, command);
    return;
  }
  feed_text(talk, "+OK\r\n");
}

/* Reads the number of a line that begins with `type`; false when the line is not whole.
 */
static bool read_number(const talk *talk, size_t *at, char type, size_t *out_number) {
  const uint8_t *begin = talk->received + *at;
  size_t left = talk->received_length - *at;
  const uint8_t *end = left > 0 ? memchr(begin, '\n', left) : NULL;
  if (end == NULL) return false;
  CHECK(*begin == (uint8_t)type);
  *out_number = strtoul((const char *)begin + 1, NULL, 10);
  *at += (size_t)(end - begin) + 1;
  return true;
}

/* The length of the first command, 0 when it is not whole. */
static size_t read_command(const talk *talk, command *out) {
  size_t at = 0, count, length;
  if (!read_number(talk, &at, '*', &count)) return 0;
  CHECK(count > 0 && count <= MAX_WORDS);
  for (out->count = 0; out->count < count; out->count++) {
    if (!read_number(talk, &at, '$', &length)) return 0;
    out->words[out->count] = as_slice_of(talk->received + at, length);
    at += length + 2;
    if (at > talk->received_length) return 0;
  }
  return at;
}

static void serve(talk *talk) {
  command command;
  size_t length;
  while ((length = read_command(talk, &command)) > 0) {
    answer(talk, &command);
    if (!talk->is_open || length > talk->received_length) return;
    talk->received_length -= length;
    memmove(talk->received, talk->received + length, talk->received_length);
  }
}

/* ---- the driver -------------------------------------------------------------------- */

static void lose(talk *talk) {
  talk->is_open = false;
  talk->received_length = 0;
  talk->queued = 0;
  as_engine_on_closed(talk->engine, 0, as_slice_text("lost"), talk->now_ms);
  CHECK(as_engine_validate(talk->engine));
}

static void act(talk *talk) {
  as_action action;
  while (as_engine_next_action(talk->engine, &action)) {
    if (action.kind == AS_ACTION_CLOSE) {
      lose(talk);
      continue;
    }
    talk->is_open = true;
    as_engine_on_connected(talk->engine, 0, talk->now_ms);
    CHECK(as_engine_validate(talk->engine));
  }
}

static void write_some(talk *talk, size_t most) {
  as_slice bytes = as_engine_next_write(talk->engine, 0);
  if (!talk->is_open || bytes.length == 0) return;
  size_t length = bytes.length < most ? bytes.length : most;
  CHECK(talk->received_length + length < sizeof talk->received);
  memcpy(talk->received + talk->received_length, bytes.data, length);
  talk->received_length += length;
  as_engine_on_written(talk->engine, 0, length, talk->now_ms);
  CHECK(as_engine_validate(talk->engine));
}

static void check_reply(const as_completion *completion, int number) {
  char expected[16];
  if (completion->kind == AS_REQUEST_WRITE) {
    CHECK(completion->number > 0 && completion->reply_count == 0);
    return;
  }
  snprintf(expected, sizeof expected, "%03d", number);
  const as_reply *first = as_replies_at(completion->replies, completion->first_reply);
  size_t count = first->type == AS_REPLY_ARRAY ? (size_t)first->integer : 0;
  if (completion->kind == AS_REQUEST_READ) {
    CHECK(completion->reply_count == 2 && count == 0);
    CHECK(as_slice_equals(as_replies_text(completion->replies, first + 1),
                          as_slice_text("shared")));
  }
  for (size_t i = count ? 1 : 0; i <= count; i++)
    CHECK(as_slice_equals(as_replies_text(completion->replies, first + i),
                          as_slice_text(expected)));
  CHECK(as_replies_skip(completion->replies, completion->first_reply) ==
        completion->first_reply + count + 1);
}

static int number_of(const talk *talk, uint32_t slot) {
  for (int number = 0; number < OPERATIONS; number++)
    if (!talk->is_over[number] && talk->slots[number] == slot) return number;
  CHECK(!"a completion of no operation");
  return -1;
}

static void submit(talk *talk, int number);

/* An operation that was not executed may fail for want of memory: never sent, or its
 * script could not be loaded again. One whose script was missing fails also when a write
 * behind it took effect meanwhile. A plain write whose stream was lost, and that could
 * not be sent again before what came behind it, is of unknown outcome. All are submitted
 * again. */
static void pull(talk *talk) {
  as_completion completion;
  while (as_engine_next_completion(talk->engine, &completion)) {
    int number = number_of(talk, completion.slot);
    bool has_no_script = completion.status == AS_ERR_SERVER &&
                         (completion.message.length == 0 || /* no memory for the words */
                          as_slice_starts_with(completion.message, "NOSCRIPT "));
    bool is_unknown =
        completion.status == AS_ERR_TIMEOUT && completion.kind == AS_REQUEST_WRITE;
    bool is_retried =
        has_no_script || ((completion.attempts == 0 || is_unknown) && heap.failed > 0);
    if (completion.status == AS_OK)
      check_reply(&completion, number);
    else if (number < COMMANDS && number % 6 == 5)
      CHECK(completion.status == AS_ERR_WRONG_TYPE || is_retried);
    else
      CHECK(is_retried);
    as_engine_release(talk->engine, completion.slot);
    talk->is_over[number] = true;
    CHECK(as_engine_validate(talk->engine));
    if (completion.status != AS_OK && completion.status != AS_ERR_WRONG_TYPE)
      submit(talk, number);
  }
}

/* ---- operations -------------------------------------------------------------------- */

static as_status write_command(talk *talk, const char *name, const char *number) {
  bool is_script = strcmp(name, "EVALSHA") == 0;
  AS_TRY(as_engine_command(talk->engine, is_script ? 3 : 2));
  AS_TRY(as_engine_argument(talk->engine, as_slice_text(name)));
  if (is_script) AS_TRY(as_engine_argument(talk->engine, as_slice_text("x")));
  return as_engine_argument(talk->engine, as_slice_text(number));
}

/* Those of reads and plain writes are not in order, so that they need memory. */
static double deadline_of(const talk *talk, int number) {
  return talk->now_ms + 1e9 - (number < COMMANDS ? 0 : number);
}

static as_status try_commands(talk *talk, int number, const char *text) {
  static const char *const names[] = {"ECHO", "EVALSHA", "ECHO", "MANY", "ECHO", "FAIL"};
  as_lane *lane = number < 6 ? NULL : talk->lanes[number % LANES];
  AS_TRY(as_engine_begin(talk->engine, lane, number == 2, talk->now_ms));
  as_status status = write_command(talk, names[number % 6], text);
  if (status == AS_OK)
    return as_engine_submit(talk->engine, 0, talk->now_ms, deadline_of(talk, number),
                            &talk->slots[number]);
  as_engine_rollback(talk->engine);
  return status;
}

static as_status try_hash(talk *talk, int number, int which, as_hash **out_hash) {
  as_slice key = as_slice_text(which % 3 == 0 ? "k" : "l");
  return as_engine_hash(talk->engine, talk->lanes[number % LANES], key, out_hash);
}

static as_status try_read(talk *talk, int number, const char *text) {
  as_hash *hash;
  as_slice fields[2] = {as_slice_text(text), as_slice_text("shared")};
  AS_TRY(try_hash(talk, number, number, &hash));
  return as_engine_read(talk->engine, hash, fields, 2, number % 4 == 0 ? 7 : -1, 0,
                        talk->now_ms, deadline_of(talk, number), &talk->slots[number]);
}

static as_status change(talk *talk, int number, as_slice field) {
  as_hash *hash;
  AS_TRY(try_hash(talk, number, number, &hash));
  if (number % 5 == 4) AS_TRY(as_engine_remove(talk->engine, hash, field));
  AS_TRY(try_hash(talk, number, number + 1, &hash));
  return as_engine_set(talk->engine, hash, field, field);
}

static as_status try_write(talk *talk, int number, const char *text) {
  as_lane *lane = talk->lanes[number % LANES];
  AS_TRY(as_engine_begin_write(talk->engine, lane, talk->now_ms));
  as_status status = change(talk, number, as_slice_text(text));
  if (status == AS_OK)
    return as_engine_submit(talk->engine, 0, talk->now_ms, deadline_of(talk, number),
                            &talk->slots[number]);
  as_engine_rollback(talk->engine);
  return status;
}

static as_status try_submit(talk *talk, int number) {
  char text[16];
  snprintf(text, sizeof text, "%03d", number);
  if (number < COMMANDS) return try_commands(talk, number, text);
  return number < READS_END ? try_read(talk, number, text)
                            : try_write(talk, number, text);
}

/* What was collected in the lane before may have been sealed, so bytes are compared for
 * those without a lane only. */
static void submit(talk *talk, int number) {
  uint32_t operations = as_engine_queued_operations(talk->engine);
  size_t bytes = as_engine_queued_bytes(talk->engine);
  uint64_t failed = heap.failed;
  as_status status;
  while ((status = try_submit(talk, number)) != AS_OK) {
    CHECK(status == AS_ERR_OOM && heap.failed > failed);
    CHECK(as_engine_queued_operations(talk->engine) == operations);
    CHECK(number >= 6 || as_engine_queued_bytes(talk->engine) == bytes);
    CHECK(as_engine_validate(talk->engine));
    failed = heap.failed;
  }
  talk->is_over[number] = false;
  CHECK(as_engine_validate(talk->engine));
  CHECK(as_engine_queued_operations(talk->engine) == operations + 1);
}

static bool is_all_over(const talk *talk) {
  for (int number = 0; number < OPERATIONS; number++)
    if (!talk->is_over[number]) return false;
  return true;
}

static void submit_in_order(talk *talk) {
  for (int number = 0; number < OPERATIONS; number++) submit(talk, number);
}

/* Reads and writes of both lanes in turn, so that some seal what others have begun. */
static void submit_all(talk *talk) {
  for (int i = 0; i < OPERATIONS; i++) submit(talk, i * 7 % OPERATIONS);
}

static void flush(talk *talk) {
  as_engine_flush(talk->engine, talk->now_ms);
  CHECK(as_engine_validate(talk->engine));
}

static void open_lanes(talk *talk) {
  char meta_key[] = "meta0";
  for (int i = 0; i < LANES; i++) {
    meta_key[4] = (char)('0' + i);
    while (as_engine_open_lane(talk->engine, as_slice_text(meta_key), &talk->lanes[i]) !=
           AS_OK)
      CHECK(heap.failed > 0);
  }
}

static void close_lanes(talk *talk) {
  for (int i = 0; i < LANES; i++) as_engine_close_lane(talk->engine, talk->lanes[i]);
  CHECK(as_engine_validate(talk->engine));
}

/* The socket is lost after the next `most` bytes, whatever they are. */
static void lose_after(talk *talk, size_t most) {
  act(talk);
  write_some(talk, most);
  if (talk->is_open) lose(talk);
  pull(talk);
}

static void finish(talk *talk) {
  for (int turn = 0; !is_all_over(talk); turn++) {
    CHECK(turn < MAX_TURNS);
    act(talk);
    write_some(talk, SIZE_MAX);
    serve(talk);
    pull(talk);
    talk->now_ms += 20;
    as_engine_on_time(talk->engine, talk->now_ms);
    CHECK(as_engine_validate(talk->engine));
  }
  CHECK(as_engine_queued_operations(talk->engine) == 0);
  CHECK(as_engine_queued_bytes(talk->engine) == 0);
}

/* Their lanes are closed while they are owed, which ends them later. Those that failed
 * for want of memory cannot be submitted again, so new lanes come at once. */
static void close_lanes_amid(talk *talk) {
  close_lanes(talk);
  open_lanes(talk);
  finish(talk);
  CHECK(as_engine_lanes(talk->engine) == LANES);
}

static void converse(talk *talk) {
  open_lanes(talk);
  submit_in_order(talk);
  finish(talk);
  submit_all(talk);
  flush(talk);
  lose_after(talk, 200);
  finish(talk);
  submit_all(talk);
  talk->forgot_scripts = true;
  flush(talk);
  finish(talk);
  submit_all(talk);
  flush(talk);
  lose_after(talk, SIZE_MAX);
  finish(talk);
  submit_all(talk);
  close_lanes_amid(talk);
}

/* Returns whether any allocation failed. */
static bool run(uint64_t first, uint64_t in_a_row) {
  static struct talk talk;
  memset(&talk, 0, sizeof talk);
  as_mem_init(&talk.mem);
  for (int number = 0; number < OPERATIONS; number++) talk.is_over[number] = true;
  as_engine_config config = {.pool_size = 1,
                             .max_operations = 100,
                             .max_queued_bytes = 100000,
                             .batch = {.size = 30, .window_ms = 10},
                             .connection = {.connect_timeout_ms = 100,
                                            .health_timeout_ms = 100,
                                            .max_age_ms = 1e9}};
  config.connection.greeting.password = "secret";
  static char script[SCRIPT_BYTES];
  memset(script, ' ', sizeof script);
  config.connection.greeting.scripts[0] = as_slice_of(script, sizeof script);
  config.connection.greeting.script_count = 1;
  failing_heap_begin(first, in_a_row);
  while (as_engine_new(&talk.mem, &config, &talk.engine) != AS_OK) {
    CHECK(heap.failed > 0);
    CHECK(talk.mem.used_bytes == 0);
  }
  converse(&talk);
  as_engine_del(talk.engine);
  failing_heap_end();
  CHECK(talk.mem.used_bytes == 0);
  return heap.failed > 0;
}

int main(int argc, char **argv) {
  check_begin(argc, argv);
  uint64_t in_a_row = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  CHECK(!run(UINT64_MAX, 1));
  uint64_t call = 1;
  while (run(call, in_a_row)) call++;
  printf("%llu\n", (unsigned long long)call - 1);
  as_engine_del(NULL);
  return 0;
}
