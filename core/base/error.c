/* SPDX-License-Identifier: MIT */
#include "base/error.h"

const char *as_status_code(as_status status) {
  switch (status) {
    case AS_OK:
      return "ok";
#define AS_ERROR_CODE(name, number, code, sentence)                                      \
  case AS_ERR_##name:                                                                    \
    return code;
      AS_ERROR_MAP(AS_ERROR_CODE)
#undef AS_ERROR_CODE
  }
  return "server";
}

const char *as_status_sentence(as_status status) {
  switch (status) {
    case AS_OK:
      return "done";
#define AS_ERROR_SENTENCE(name, number, code, sentence)                                  \
  case AS_ERR_##name:                                                                    \
    return sentence;
      AS_ERROR_MAP(AS_ERROR_SENTENCE)
#undef AS_ERROR_SENTENCE
  }
  return "unknown status";
}
