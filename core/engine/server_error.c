/* SPDX-License-Identifier: MIT */
#include "engine/server_error.h"

/* The codes are those of redis 7 src/server.c, createSharedObjects. */
static const struct {
  const char *prefix;
  as_status status;
} server_errors[] = {
    {"NOAUTH ", AS_ERR_AUTH},
    {"WRONGPASS ", AS_ERR_AUTH},
    {"ERR invalid password", AS_ERR_AUTH},
    {"ERR AUTH ", AS_ERR_AUTH},
    {"NOPERM ", AS_ERR_DENIED},
    {"DENIED ", AS_ERR_AUTH}, /* protected mode: no password is set */
    {"ERR max number of clients", AS_ERR_UNAVAILABLE},
    {"READONLY ", AS_ERR_READONLY},
    {"OOM ", AS_ERR_OOM},
    {"LOADING ", AS_ERR_LOADING},
    {"MASTERDOWN ", AS_ERR_UNAVAILABLE},
    {"CLUSTERDOWN ", AS_ERR_CLUSTER_DOWN},
    {"MISCONF ", AS_ERR_DISK},
    {"NOREPLICAS ", AS_ERR_NOT_DURABLE},
    {"WRONGTYPE ", AS_ERR_WRONG_TYPE},
};

static const char *const ABORTED = "EXECABORT Transaction discarded because of: ";

static const char *const later[] = {"LOADING ", "BUSY ", "TRYAGAIN "};

as_slice as_server_error_cause(as_slice text) {
  if (!as_slice_starts_with(text, ABORTED)) return text;
  size_t length = strlen(ABORTED);
  return as_slice_of(text.data + length, text.length - length);
}

bool as_server_error_says_later(as_slice text) {
  for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
    if (as_slice_starts_with(text, later[i])) return true;
  return false;
}

as_status as_server_error_status(as_slice text) {
  text = as_server_error_cause(text);
  for (size_t i = 0; i < sizeof server_errors / sizeof server_errors[0]; i++)
    if (as_slice_starts_with(text, server_errors[i].prefix))
      return server_errors[i].status;
  return AS_ERR_SERVER;
}
