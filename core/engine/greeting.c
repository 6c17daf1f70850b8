/* SPDX-License-Identifier: MIT */
/* All commands but the kill leave in one write. Their replies come in the order of the
 * steps below; a step that was not sent is passed over. The kill is decided by the run_id
 * in the reply to INFO, so it follows as a second write. */
#include "engine/greeting.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/resp.h"
#include "engine/server_error.h"

enum { STEP_AUTH, STEP_SELECT, STEP_CLIENT_ID, STEP_INFO, STEP_SCRIPT, STEP_KILL };

/* The oldest server whose scripts replicate by effect and whose TIME a script may use. */
enum { OLDEST_MAJOR_VERSION = 7 };

void as_greeting_init(as_greeting *greeting, as_mem *mem,
                      const as_greeting_config *config) {
  memset(greeting, 0, sizeof *greeting);
  greeting->config = config;
  as_buffer_init(&greeting->bytes, mem);
  as_buffer_init(&greeting->reason, mem);
  as_replies_init(&greeting->reply, mem);
}

void as_greeting_free(as_greeting *greeting) {
  as_buffer_free(&greeting->bytes);
  as_buffer_free(&greeting->reason);
  as_replies_free(&greeting->reply);
}

static as_status write_auth(as_greeting *greeting) {
  const as_greeting_config *config = greeting->config;
  if (config->password == NULL) return AS_OK;
  if (config->user == NULL)
    return as_resp_write_words(&greeting->bytes, "AUTH", config->password, NULL);
  return as_resp_write_words(&greeting->bytes, "AUTH", config->user, config->password,
                             NULL);
}

static as_status write_select(as_greeting *greeting) {
  if (greeting->config->database == 0) return AS_OK;
  char database[16];
  snprintf(database, sizeof database, "%u", greeting->config->database);
  return as_resp_write_words(&greeting->bytes, "SELECT", database, NULL);
}

static as_status write_scripts(as_greeting *greeting) {
  for (uint32_t i = 0; i < greeting->config->script_count; i++)
    AS_TRY(as_greeting_write_script(&greeting->bytes, greeting->config->scripts[i]));
  return AS_OK;
}

as_status as_greeting_write_script(as_buffer *out, as_slice source) {
  AS_TRY(as_resp_write_command(out, 3));
  AS_TRY(as_resp_write_argument(out, as_slice_text("SCRIPT")));
  AS_TRY(as_resp_write_argument(out, as_slice_text("LOAD")));
  return as_resp_write_argument(out, source);
}

static bool has_step(const as_greeting *greeting, uint32_t step) {
  if (step == STEP_AUTH) return greeting->config->password != NULL;
  if (step == STEP_SELECT) return greeting->config->database != 0;
  return true;
}

/* Passes over the steps that were not sent. */
static void settle_step(as_greeting *greeting) {
  while (!has_step(greeting, greeting->next_step)) greeting->next_step++;
}

as_status as_greeting_begin(as_greeting *greeting, const as_client_identity *victim) {
  as_buffer_clear(&greeting->bytes);
  as_buffer_clear(&greeting->reason);
  as_replies_clear(&greeting->reply);
  memset(&greeting->identity, 0, sizeof greeting->identity);
  greeting->has_victim = victim != NULL;
  if (victim != NULL) greeting->victim = *victim;
  greeting->written = 0;
  greeting->next_step = 0;
  greeting->status = AS_OK;
  greeting->says_later = false;
  AS_TRY(write_auth(greeting));
  AS_TRY(write_select(greeting));
  AS_TRY(as_resp_write_words(&greeting->bytes, "CLIENT", "ID", NULL));
  AS_TRY(as_resp_write_words(&greeting->bytes, "INFO", "server", NULL));
  AS_TRY(write_scripts(greeting));
  settle_step(greeting);
  return AS_OK;
}

static as_greeting_result fail(as_greeting *greeting, as_status status, as_slice reason) {
  greeting->status = status;
  as_buffer_clear(&greeting->reason);
  if (as_buffer_append_slice(&greeting->reason, reason) != AS_OK)
    as_buffer_clear(&greeting->reason);
  return AS_GREETING_FAILED;
}

/* The text after "\r\nname:" in an INFO reply, up to the end of its line. */
static as_slice info_field(as_slice info, const char *name) {
  size_t length = strlen(name);
  for (size_t i = 0; i + length < info.length; i++) {
    if (memcmp(info.data + i, name, length) != 0) continue;
    size_t end = i + length;
    while (end < info.length && info.data[end] != '\r') end++;
    return as_slice_of(info.data + i + length, end - i - length);
  }
  return as_slice_of("", 0);
}

static as_greeting_result learn_info(as_greeting *greeting, as_slice info) {
  as_slice run_id = info_field(info, "\r\nrun_id:");
  if (run_id.length == AS_RUN_ID_LENGTH)
    memcpy(greeting->identity.run_id, run_id.data, AS_RUN_ID_LENGTH);
  as_slice version = info_field(info, "\r\nredis_version:");
  char text[16] = "";
  memcpy(text, version.data,
         version.length < sizeof text ? version.length : sizeof text - 1);
  if (version.length == 0)
    return fail(greeting, AS_ERR_UNSUPPORTED,
                as_slice_text("the server does not say which version of Redis it is"));
  if (strtol(text, NULL, 10) >= OLDEST_MAJOR_VERSION) return AS_GREETING_CONTINUES;
  char reason[80];
  snprintf(reason, sizeof reason, "the server is Redis %s; %d.0 or newer is needed", text,
           OLDEST_MAJOR_VERSION);
  return fail(greeting, AS_ERR_UNSUPPORTED, as_slice_text(reason));
}

/* After the last script: kill the broken predecessor, or be ready. Bytes of a connection
 * to another run died with it. */
static as_greeting_result end_or_kill(as_greeting *greeting) {
  if (!greeting->has_victim) return AS_GREETING_DONE;
  const char *run_id = greeting->identity.run_id;
  const char *victim_run_id = greeting->victim.run_id;
  if (run_id[0] == '\0' || victim_run_id[0] == '\0') return AS_GREETING_DONE_KILL_REFUSED;
  if (strcmp(run_id, victim_run_id) != 0) return AS_GREETING_DONE;
  if (greeting->victim.id == 0) return AS_GREETING_DONE_KILL_REFUSED;
  char id[24];
  snprintf(id, sizeof id, "%lld", (long long)greeting->victim.id);
  as_status status =
      as_resp_write_words(&greeting->bytes, "CLIENT", "KILL", "ID", id, NULL);
  if (status != AS_OK)
    return fail(greeting, status, as_slice_text(as_status_sentence(status)));
  return AS_GREETING_CONTINUES;
}

/* Steps from STEP_SCRIPT on are one per script, then the kill. */
static uint32_t step_kind(const as_greeting *greeting) {
  if (greeting->next_step < STEP_SCRIPT) return greeting->next_step;
  uint32_t script = greeting->next_step - STEP_SCRIPT;
  return script < greeting->config->script_count ? STEP_SCRIPT : STEP_KILL;
}

/* An answer that only costs knowledge when refused: CLIENT ID and INFO may be forbidden,
 * and then the connection works, but cannot be killed by its successor. */
static bool may_be_refused(uint32_t kind, as_status status) {
  return (kind == STEP_CLIENT_ID || kind == STEP_INFO) &&
         (status == AS_ERR_DENIED || status == AS_ERR_SERVER);
}

static as_greeting_result advance(as_greeting *greeting, uint32_t kind) {
  const as_reply *reply = as_replies_at(&greeting->reply, 0);
  as_slice text = as_replies_text(&greeting->reply, reply);
  bool is_error = reply->type == AS_REPLY_ERROR;
  /* Not refused: the next stream asks again. */
  if (is_error && as_server_error_says_later(text)) {
    greeting->says_later = true;
    return fail(greeting, as_server_error_status(text), text);
  }
  if (kind == STEP_KILL)
    return is_error ? AS_GREETING_DONE_KILL_REFUSED : AS_GREETING_DONE;
  if (is_error) {
    as_status status = as_server_error_status(text);
    if (!may_be_refused(kind, status)) return fail(greeting, status, text);
  }
  if (kind == STEP_CLIENT_ID && reply->type == AS_REPLY_INTEGER)
    greeting->identity.id = reply->integer;
  if (kind == STEP_INFO && reply->type == AS_REPLY_STRING) {
    as_greeting_result result = learn_info(greeting, text);
    if (result == AS_GREETING_FAILED) return result;
  }
  greeting->next_step++;
  settle_step(greeting);
  if (step_kind(greeting) == STEP_KILL) return end_or_kill(greeting);
  return AS_GREETING_CONTINUES;
}

as_greeting_result as_greeting_on_reply(as_greeting *greeting) {
  as_greeting_result result = advance(greeting, step_kind(greeting));
  as_replies_clear(&greeting->reply);
  return result;
}
