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

/* The script is long, so that loading it again needs memory. */
enum { OPERATIONS = 12, MAX_TURNS = 1000, SCRIPT_BYTES = 5000 };

static const char info[] = "$74\r\n_\r\nredis_version:7.0.15\r\n"
                           "run_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";

/* The conversation: the engine, and the server's side of one stream. */
typedef struct talk {
  as_mem mem;
  as_engine *engine;
  double now_ms;
  uint8_t received[65536]; /* requests not answered yet */
  size_t received_length;
  bool is_open;
  bool forgot_scripts;
  uint32_t slots[OPERATIONS]; /* by number */
  bool is_over[OPERATIONS];
} talk;

/* ---- the server -------------------------------------------------------------------- */

static void feed(talk *talk, const void *bytes, size_t length) {
  as_engine_on_bytes(talk->engine, 0, as_slice_of(bytes, length), talk->now_ms);
  CHECK(as_engine_validate(talk->engine));
}

static void feed_text(talk *talk, const char *text) {
  feed(talk, text, strlen(text));
}

/* The large reply: a number as an array of it, many times. */
static void feed_many(talk *talk, int number) {
  char text[32];
  feed_text(talk, "*300\r\n");
  for (int i = 0; i < 300; i++) {
    snprintf(text, sizeof text, "$3\r\n%03d\r\n", number);
    feed_text(talk, text);
  }
}

static void answer(talk *talk, const char *command) {
  char text[64];
  int number;
  if (strstr(command, "INFO") != NULL) {
    feed(talk, info, sizeof info - 1);
  } else if (strstr(command, "\r\nID\r\n") != NULL) {
    feed_text(talk, ":7\r\n");
  } else if (strstr(command, "LOAD") != NULL) {
    talk->forgot_scripts = false;
    feed_text(talk, "$1\r\nx\r\n");
  } else if (strstr(command, "EVALSHA") != NULL && talk->forgot_scripts) {
    feed_text(talk, "-NOSCRIPT No matching script.\r\n");
  } else if (sscanf(command, "*2\r\n$4\r\nMANY\r\n$3\r\n%d", &number) == 1) {
    feed_many(talk, number);
  } else if (sscanf(command, "*2\r\n$4\r\nFAIL\r\n$3\r\n%d", &number) == 1) {
    snprintf(text, sizeof text, "-WRONGTYPE %03d\r\n", number);
    feed_text(talk, text);
  } else if (sscanf(command, "*2\r\n$4\r\nECHO\r\n$3\r\n%d", &number) == 1 ||
             sscanf(command, "*3\r\n$7\r\nEVALSHA\r\n$1\r\nx\r\n$3\r\n%d", &number) ==
                 1) {
    snprintf(text, sizeof text, "$3\r\n%03d\r\n", number);
    feed_text(talk, text);
  } else if (strstr(command, "EXEC") != NULL) {
    feed_text(talk, "*1\r\n$3\r\n002\r\n");
  } else {
    feed_text(talk, "+OK\r\n");
  }
}

/* The commands that are whole; a number has three digits, so lengths are simple. */
static size_t command_length(const char *bytes, size_t length) {
  size_t at = 0;
  int arguments;
  if (sscanf(bytes, "*%d\r\n", &arguments) != 1) return 0;
  const char *line = memchr(bytes, '\n', length);
  if (line == NULL) return 0;
  at = (size_t)(line - bytes) + 1;
  for (int i = 0; i < arguments; i++) {
    size_t argument;
    if (at >= length || sscanf(bytes + at, "$%zu\r\n", &argument) != 1) return 0;
    line = memchr(bytes + at, '\n', length - at);
    if (line == NULL) return 0;
    at = (size_t)(line - bytes) + 1 + argument + 2;
  }
  return at <= length ? at : 0;
}

static void serve(talk *talk) {
  static char command[2 * SCRIPT_BYTES];
  size_t length;
  while ((length = command_length((const char *)talk->received, talk->received_length))) {
    CHECK(length < sizeof command);
    memcpy(command, talk->received, length);
    command[length] = '\0';
    talk->received_length -= length;
    memmove(talk->received, talk->received + length, talk->received_length);
    talk->received[talk->received_length] = '\0';
    answer(talk, command);
  }
}

/* ---- the driver -------------------------------------------------------------------- */

static void lose(talk *talk) {
  talk->is_open = false;
  talk->received_length = 0;
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
  talk->received[talk->received_length] = '\0';
  as_engine_on_written(talk->engine, 0, length, talk->now_ms);
  CHECK(as_engine_validate(talk->engine));
}

static void check_reply(const as_completion *completion, int number) {
  char expected[16];
  snprintf(expected, sizeof expected, "%03d", number);
  const as_reply *first = as_replies_at(completion->replies, completion->first_reply);
  size_t count = first->type == AS_REPLY_ARRAY ? (size_t)first->integer : 0;
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
 * script could not be loaded again. It is submitted again. */
static void pull(talk *talk) {
  as_completion completion;
  while (as_engine_next_completion(talk->engine, &completion)) {
    int number = number_of(talk, completion.slot);
    bool has_no_script = completion.status == AS_ERR_SERVER &&
                         (completion.message.length == 0 || /* no memory for the words */
                          as_slice_starts_with(completion.message, "NOSCRIPT "));
    bool is_unexecuted = completion.attempts == 0 || has_no_script;
    bool is_retried = is_unexecuted && heap.failed > 0;
    if (completion.status == AS_OK)
      check_reply(&completion, number);
    else if (number % 6 == 5)
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

static as_status try_submit(talk *talk, int number) {
  static const char *const names[] = {"ECHO", "EVALSHA", "ECHO", "MANY", "ECHO", "FAIL"};
  char text[16];
  snprintf(text, sizeof text, "%03d", number);
  AS_TRY(as_engine_begin(talk->engine, NULL, number == 2, talk->now_ms));
  as_status status = write_command(talk, names[number % 6], text);
  if (status != AS_OK) {
    as_engine_rollback(talk->engine);
    return status;
  }
  return as_engine_submit(talk->engine, 0, talk->now_ms, talk->now_ms + 1e9,
                          &talk->slots[number]);
}

static void submit(talk *talk, int number) {
  uint32_t operations = as_engine_queued_operations(talk->engine);
  size_t bytes = as_engine_queued_bytes(talk->engine);
  uint64_t failed = heap.failed;
  as_status status;
  while ((status = try_submit(talk, number)) != AS_OK) {
    CHECK(status == AS_ERR_OOM && heap.failed > failed);
    CHECK(as_engine_queued_operations(talk->engine) == operations);
    CHECK(as_engine_queued_bytes(talk->engine) == bytes);
    CHECK(as_engine_validate(talk->engine));
    failed = heap.failed;
  }
  talk->is_over[number] = false;
  CHECK(as_engine_queued_operations(talk->engine) == operations + 1);
}

static bool is_all_over(const talk *talk) {
  for (int number = 0; number < OPERATIONS; number++)
    if (!talk->is_over[number]) return false;
  return true;
}

static void submit_all(talk *talk) {
  for (int number = 0; number < OPERATIONS; number++) submit(talk, number);
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

static void converse(talk *talk) {
  submit_all(talk);
  finish(talk);
  submit_all(talk);
  lose_after(talk, 200);
  finish(talk);
  submit_all(talk);
  talk->forgot_scripts = true;
  finish(talk);
  submit_all(talk);
  lose_after(talk, SIZE_MAX);
  finish(talk);
}

/* Returns whether any allocation failed. */
static bool run(uint64_t first, uint64_t in_a_row) {
  static talk talk;
  memset(&talk, 0, sizeof talk);
  as_mem_init(&talk.mem);
  for (int number = 0; number < OPERATIONS; number++) talk.is_over[number] = true;
  as_engine_config config = {.pool_size = 1,
                             .max_operations = 100,
                             .max_queued_bytes = 100000,
                             .batch = {.size = 100, .window_ms = 10},
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
