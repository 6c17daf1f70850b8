/* SPDX-License-Identifier: MIT */
/* WhatsApp addresses (jids), "<digits>@<server>" or "<digits>:<device>@<server>", as a
 * few bytes and back. Only text that comes back the same is taken.
 *
 *   offset  size  meaning
 *   0       1     bits 0-2  server, in the order of SERVERS in jid.c
 *                 bit 3     1: a device follows
 *                 bits 4-6  n - 1, how many bytes the number has, from 1 to 8
 *                 bit 7     0
 *   1       0, 1  device, 0 to 255
 *   1, 2    n     the digits as a number, big endian, no leading zero byte
 *
 * So "5521980007261:8@s.whatsapp.net" is 58 08 05 05 af a8 23 5d. The packed form tells
 * its own length: jids may follow each other. */
#ifndef AS_CODEC_JID_H
#define AS_CODEC_JID_H

#include "base/slice.h"

enum {
  AS_JID_MAX_PACKED = 10, /* bytes; as many are written, whatever it takes */
  AS_JID_MAX_TEXT = 64,
  AS_DIGITS_MAX = 20,
  AS_DIGITS_ROOM = 24, /* what writing digits may touch */
};

/* Writes the packed form and returns its length, or 0 when the text is no such jid. */
size_t as_jid_pack(as_slice text, uint8_t out[AS_JID_MAX_PACKED]);

/* Writes the text of the packed jid that `bytes` begin with, no final NUL, and returns
 * its length; *out_taken is how many bytes it took. 0: no packed jid. */
size_t as_jid_unpack(as_slice bytes, char out[AS_JID_MAX_TEXT], size_t *out_taken);

/* Reads decimal digits, 1 to 20 of them, no leading zero unless it is the only one, below
 * 2^64. False for any other text. */
bool as_digits_read(as_slice text, uint64_t *out_number);

/* Writes the digits and returns how many there are. */
size_t as_digits_write(uint64_t number, char out[AS_DIGITS_ROOM]);

/* A number in the fewest bytes, big endian, at least one; returns how many. All 8 may be
 * written. */
size_t as_number_pack(uint64_t number, uint8_t out[8]);
uint64_t as_number_unpack(const uint8_t *bytes, size_t length);

#endif
