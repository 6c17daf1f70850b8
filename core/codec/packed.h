/* SPDX-License-Identifier: MIT */
/* How a stored value uses CBOR: what its tags mean. RFC 8949 reads all of it as well
 * formed CBOR; doc/envelope.md has the same with examples.
 *
 * Numbers 7 to 15 and 20 are not assigned by IANA; they mean this only behind our
 * envelope's header, where one byte instead of three is worth it. A map's key that is an
 * integer stands for a name of names.h. */
#ifndef AS_CODEC_PACKED_H
#define AS_CODEC_PACKED_H

#include <stdbool.h>
#include <stddef.h>

enum {
  /* Text. */
  AS_TAG_BASE64 = 22, /* bytes (RFC 8949): text, their base64 */
  AS_TAG_DIGITS = 7,  /* unsigned integer, or bytes, big endian: text, the digits */
  AS_TAG_JID = 8,     /* bytes (jid.h): text */
  AS_TAG_JSON = 262,  /* bytes (IANA): the JSON text of a value as it stands */
  /* Bytes, which are {"type":"Buffer","data":"<base64>"} where no tag says else. */
  AS_TAG_JSON_BYTES = 9,   /* any item: a Buffer with the item's JSON text */
  AS_TAG_BYTE_ARRAY = 20,  /* bytes: {"type":"Buffer","data":[1,2]} */
  AS_TAG_BYTE_OBJECT = 60, /* bytes: {"0":1,"1":2} */
  AS_TAG_NUMBERS = 15,     /* bytes: the array [1,2] */
  /* Records. */
  AS_TAG_KEY_PAIR = 10,   /* 64 bytes: {"private": 32, "public": 32} */
  AS_TAG_SESSION = 11,    /* array of states; see pack_record.c */
  AS_TAG_SENDER_KEY = 12, /* array of states */
  AS_TAG_JID_SET = 13,    /* bytes, jids one after the other: {"<jid>": true, ...} */
  AS_TAG_VALUE_MACS = 14, /* bytes, n times 64: {"<base64 of 32>": {"valueMac": 32}} */
  /* Strings that come again (http://cbor.schmorp.de/stringref). */
  AS_TAG_STRINGREF = 25,
  AS_TAG_STRINGREF_NAMESPACE = 256,
};

/* References give at most this many times the bytes of the whole value, so that a small
 * value cannot become large. */
enum { AS_STRINGREF_MAX_RATIO = 16 };

/* Whether a string gets a number, behind `count` others that have one: when it is longer
 * than a reference with that number. */
static inline bool as_stringref_counts(size_t length, size_t count) {
  size_t least = count < 24 ? 3 : count < 256 ? 4 : count < 65536 ? 5 : 7;
  return length >= least;
}

enum {
  AS_KEY_BYTES = 32,   /* a Curve25519 key, a chain key, a seed */
  AS_KEY_TYPE_DJB = 5, /* the byte in front of a public key in most places */
  AS_MAC_ENTRY_BYTES = 64,
};

/* Names with numbers below this are one byte: 0 to 23, -1 to -24. The next are 24, 25 ...
 */
enum { AS_NAMES_SHORT = 48 };

#endif
