/* SPDX-License-Identifier: MIT */
/* Each status has a code and a sentence of its own; a number that is none has some, too.
 */
#include "base/error.h"

#include <string.h>

#include "check.h"

static const as_status STATUSES[] = {AS_OK,
#define STATUS(name, number, code, sentence) AS_ERR_##name,
                                     AS_ERROR_MAP(STATUS)
#undef STATUS
};

enum { COUNT = sizeof STATUSES / sizeof STATUSES[0] };

int main(void) {
  for (int i = 0; i < COUNT; i++) {
    CHECK(strlen(as_status_code(STATUSES[i])) > 0);
    CHECK(strlen(as_status_sentence(STATUSES[i])) > 0);
    for (int j = 0; j < i; j++) {
      CHECK(strcmp(as_status_code(STATUSES[i]), as_status_code(STATUSES[j])) != 0);
      CHECK(strcmp(as_status_sentence(STATUSES[i]), as_status_sentence(STATUSES[j])) !=
            0);
    }
  }
  CHECK(strcmp(as_status_code(AS_OK), "ok") == 0);
  CHECK(strcmp(as_status_code((as_status)-1000), "server") == 0);
  CHECK(strcmp(as_status_sentence((as_status)-1000), "unknown status") == 0);
  return 0;
}
