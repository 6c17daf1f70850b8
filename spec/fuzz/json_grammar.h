/* SPDX-License-Identifier: MIT */
/* JSON a second time, as the grammar of RFC 8259 reads, slow and recursive, for comparing
 * what the core's parser accepts. */
#ifndef SPEC_FUZZ_JSON_GRAMMAR_H
#define SPEC_FUZZ_JSON_GRAMMAR_H

#include "base/slice.h"

/* Whether all of `text` is one JSON text in UTF-8 with at most `max_levels` arrays and
 * objects inside each other. */
bool json_grammar_accepts(as_slice text, int max_levels);

#endif
