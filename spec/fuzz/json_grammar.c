/* SPDX-License-Identifier: MIT */
/* Each function takes one rule of RFC 8259 off the front of the text, or says no. */
#include "json_grammar.h"

typedef struct text {
  const uint8_t *at;
  const uint8_t *end;
  int levels_left;
} text;

static bool value(text *text);

static int next(const text *text) {
  return text->at < text->end ? *text->at : -1;
}

static bool take(text *text, int byte) {
  if (next(text) != byte) return false;
  text->at++;
  return true;
}

static bool take_between(text *text, int low, int high) {
  if (next(text) < low || next(text) > high) return false;
  text->at++;
  return true;
}

static void ws(text *text) {
  while (take(text, ' ') || take(text, '\t') || take(text, '\n') || take(text, '\r')) {
  }
}

static bool word(text *text, const char *letters) {
  for (; *letters != '\0'; letters++)
    if (!take(text, *letters)) return false;
  return true;
}

static bool digits(text *text) {
  if (!take_between(text, '0', '9')) return false;
  while (take_between(text, '0', '9')) {
  }
  return true;
}

static bool number(text *text) {
  take(text, '-');
  if (!take(text, '0') && !digits(text)) return false;
  if (take(text, '.') && !digits(text)) return false;
  if (!take(text, 'e') && !take(text, 'E')) return true;
  if (!take(text, '+')) take(text, '-');
  return digits(text);
}

static bool hex_digit(text *text) {
  return take_between(text, '0', '9') || take_between(text, 'A', 'F') ||
         take_between(text, 'a', 'f');
}

static bool escape(text *text) {
  if (take(text, 'u'))
    return hex_digit(text) && hex_digit(text) && hex_digit(text) && hex_digit(text);
  return next(text) > 0 && strchr("\"\\/bfnrt", next(text)) != NULL &&
         take(text, next(text));
}

static bool tail(text *text) {
  return take_between(text, 0x80, 0xBF);
}

/* The productions of RFC 3629, section 4. */
static bool utf8_many(text *text) {
  if (take_between(text, 0xC2, 0xDF)) return tail(text);
  if (take(text, 0xE0)) return take_between(text, 0xA0, 0xBF) && tail(text);
  if (take(text, 0xED)) return take_between(text, 0x80, 0x9F) && tail(text);
  if (take_between(text, 0xE1, 0xEF)) return tail(text) && tail(text);
  if (take(text, 0xF0)) return take_between(text, 0x90, 0xBF) && tail(text) && tail(text);
  if (take_between(text, 0xF1, 0xF3)) return tail(text) && tail(text) && tail(text);
  return take(text, 0xF4) && take_between(text, 0x80, 0x8F) && tail(text) && tail(text);
}

static bool string(text *text) {
  if (!take(text, '"')) return false;
  while (!take(text, '"')) {
    bool is_character = take(text, '\\')
                            ? escape(text)
                            : take_between(text, 0x20, 0x7F) || utf8_many(text);
    if (!is_character) return false;
  }
  return true;
}

static bool member(text *text) {
  ws(text);
  if (!string(text)) return false;
  ws(text);
  return take(text, ':') && value(text);
}

/* What stands between the brackets, and the closing one. */
static bool list(text *text, bool (*item)(struct text *text), int close) {
  if (text->levels_left-- == 0) return false;
  ws(text);
  if (!take(text, close)) {
    do {
      if (!item(text)) return false;
    } while (take(text, ','));
    if (!take(text, close)) return false;
  }
  text->levels_left++;
  return true;
}

static bool bare_value(text *text) {
  if (take(text, '[')) return list(text, value, ']');
  if (take(text, '{')) return list(text, member, '}');
  switch (next(text)) {
    case '"':
      return string(text);
    case 'n':
      return word(text, "null");
    case 't':
      return word(text, "true");
    case 'f':
      return word(text, "false");
    default:
      return number(text);
  }
}

static bool value(text *text) {
  ws(text);
  if (!bare_value(text)) return false;
  ws(text);
  return true;
}

bool json_grammar_accepts(as_slice slice, int max_levels) {
  text text = {slice.data, slice.data + slice.length, max_levels};
  return value(&text) && text.at == text.end;
}
