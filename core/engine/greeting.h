/* SPDX-License-Identifier: MIT */
/* as_greeting is what a new connection says before its first operation, and what it
 * learns from the answers:
 *
 *   AUTH [user] password     if a password is configured
 *   SELECT db                if it is not 0
 *   CLIENT ID                to be killed by, should this connection break
 *   INFO server              run_id and version
 *   SCRIPT LOAD source       for every script (it is neither replicated nor persisted)
 *   CLIENT KILL ID old       if a broken connection to the same run may still have bytes
 *                            on their way: after the reply none of them can execute
 */
#ifndef AS_ENGINE_GREETING_H
#define AS_ENGINE_GREETING_H

#include "engine/reply.h"

enum { AS_RUN_ID_LENGTH = 40, AS_GREETING_MAX_SCRIPTS = 8 };

/* What every connection of an engine says; borrowed by the connections. */
typedef struct as_greeting_config {
  const char *user;     /* NULL: the default user */
  const char *password; /* NULL: no AUTH */
  uint32_t database;
  as_slice scripts[AS_GREETING_MAX_SCRIPTS];
  uint32_t script_count;
} as_greeting_config;

/* A connection as the server knows it. */
typedef struct as_client_identity {
  int64_t id; /* 0: unknown */
  char run_id[AS_RUN_ID_LENGTH + 1];
} as_client_identity;

typedef enum as_greeting_result {
  AS_GREETING_CONTINUES,
  AS_GREETING_DONE,
  AS_GREETING_DONE_KILL_REFUSED, /* ready, but old bytes may still execute */
  AS_GREETING_FAILED             /* `status` and `reason` say why */
} as_greeting_result;

typedef struct as_greeting {
  const as_greeting_config *config;
  as_buffer bytes; /* to be sent */
  size_t written;  /* how many of them went out */
  as_replies reply;
  uint32_t next_step;
  as_client_identity identity; /* learned */
  as_client_identity victim;   /* whom to kill, if has_victim */
  bool has_victim;
  as_status status; /* once it failed, like the next two */
  as_buffer reason;
  bool says_later; /* the server refused for now, not for good */
} as_greeting;

void as_greeting_init(as_greeting *greeting, as_mem *mem,
                      const as_greeting_config *config);
void as_greeting_free(as_greeting *greeting);

/* Begins anew for a connection just made. `victim` is copied; NULL: nobody to kill. */
AS_MUST_USE as_status as_greeting_begin(as_greeting *greeting,
                                        const as_client_identity *victim);

/* Takes one whole reply, which stands in greeting->reply. May append to `bytes`. */
as_greeting_result as_greeting_on_reply(as_greeting *greeting);

/* Appends SCRIPT LOAD of one source. */
AS_MUST_USE as_status as_greeting_write_script(as_buffer *out, as_slice source);

#endif
