/* SPDX-License-Identifier: MIT */
/* Reading finds the commas of 64 characters at once, so that the place of each number is
 * known before the one in front of it is read; how long each is, is random, and branches
 * on it would be guessed wrong. */
#include "codec/byte_list.h"

#include <endian.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The number, from 0 to 255 as JSON.stringify writes it, between two separators; any
 * number above 255 for anything else. Without branches, for lengths are random: digits
 * are the last of the three characters before the end. */
static inline uint32_t byte_between(const uint8_t *separator, const uint8_t *end) {
  static const uint32_t DIGITS[] = {0, 0xFF0000, 0xFFFF00, 0xFFFFFF};
  static const uint32_t LEAST[] = {UINT32_MAX, 0, 10, 100};
  size_t length = (size_t)(end - separator) - 1, known = length <= 3 ? length : 0;
  uint32_t c;
  memcpy(&c, end - 4, sizeof c);
  uint32_t digits = (le32toh(c) >> 8 ^ 0x303030) & DIGITS[known];
  uint32_t value =
      (digits & 0xFF) * 100 + (digits >> 8 & 0xFF) * 10 + (digits >> 16 & 0xFF);
  /* A carry comes from a character that is marked itself. */
  uint32_t is_other =
      (((digits + 0x060606) | digits) & 0xF0F0F0) | (value < LEAST[known]);
  return value | (is_other << 8);
}

enum { BLOCK = 64 };

/* A bit for each comma of a block. */
static uint64_t mark_commas(const uint8_t *block) {
  uint64_t marks = 0;
#ifdef __SSE2__
  const __m128i comma = _mm_set1_epi8(',');
  for (int i = 0; i < BLOCK; i += 16) {
    __m128i part = _mm_loadu_si128((const __m128i *)(const void *)(block + i));
    uint32_t found = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(part, comma));
    marks |= (uint64_t)found << i;
  }
#else
  for (int i = 0; i < BLOCK; i++) marks |= (uint64_t)(block[i] == ',') << i;
#endif
  return marks;
}

/* The numbers of a list, as they are read. */
typedef struct byte_list {
  const uint8_t *separator; /* before the next number: the bracket or a comma */
  uint8_t *out;
  uint32_t all; /* above 255 when one number was */
} byte_list;

static byte_list add_marked(byte_list list, const uint8_t *block, uint64_t marks) {
  for (; marks != 0; marks &= marks - 1) {
    const uint8_t *end = block + __builtin_ctzll(marks);
    uint32_t byte = byte_between(list.separator, end);
    list.all |= byte;
    *list.out++ = (uint8_t)byte;
    list.separator = end;
  }
  return list;
}

/* Two commas without a number between them. Without such a block holds 32 at most, which
 * is what keeps the numbers within their room. */
static bool has_neighbours(uint64_t marks) {
  return (marks & marks << 1) != 0;
}

bool as_byte_list_read(const uint8_t *list, const uint8_t *end, uint8_t *out,
                       size_t *out_count) {
  uint8_t rest[BLOCK] = {0};
  byte_list read = {.separator = list - 1};
  read.out = out;
  *out_count = 0;
  if (list == end) return true;
  for (; end - list >= BLOCK; list += BLOCK) {
    uint64_t marks = mark_commas(list);
    if (has_neighbours(marks)) return false;
    read = add_marked(read, list, marks);
  }
  memcpy(rest, list, (size_t)(end - list));
  uint64_t marks = mark_commas(rest);
  if (has_neighbours(marks)) return false;
  read = add_marked(read, list, marks);
  uint32_t last = byte_between(read.separator, end);
  if ((read.all | last) > UINT8_MAX) return false;
  *read.out++ = (uint8_t)last;
  *out_count = (size_t)(read.out - out);
  return true;
}

/* Each byte's digits and the comma behind them. */
/* clang-format off */
static const struct { char text[4]; } LIST_ITEMS[256] = {
    {"0,"}, {"1,"}, {"2,"}, {"3,"}, {"4,"}, {"5,"}, {"6,"}, {"7,"},
    {"8,"}, {"9,"}, {"10,"}, {"11,"}, {"12,"}, {"13,"}, {"14,"}, {"15,"},
    {"16,"}, {"17,"}, {"18,"}, {"19,"}, {"20,"}, {"21,"}, {"22,"}, {"23,"},
    {"24,"}, {"25,"}, {"26,"}, {"27,"}, {"28,"}, {"29,"}, {"30,"}, {"31,"},
    {"32,"}, {"33,"}, {"34,"}, {"35,"}, {"36,"}, {"37,"}, {"38,"}, {"39,"},
    {"40,"}, {"41,"}, {"42,"}, {"43,"}, {"44,"}, {"45,"}, {"46,"}, {"47,"},
    {"48,"}, {"49,"}, {"50,"}, {"51,"}, {"52,"}, {"53,"}, {"54,"}, {"55,"},
    {"56,"}, {"57,"}, {"58,"}, {"59,"}, {"60,"}, {"61,"}, {"62,"}, {"63,"},
    {"64,"}, {"65,"}, {"66,"}, {"67,"}, {"68,"}, {"69,"}, {"70,"}, {"71,"},
    {"72,"}, {"73,"}, {"74,"}, {"75,"}, {"76,"}, {"77,"}, {"78,"}, {"79,"},
    {"80,"}, {"81,"}, {"82,"}, {"83,"}, {"84,"}, {"85,"}, {"86,"}, {"87,"},
    {"88,"}, {"89,"}, {"90,"}, {"91,"}, {"92,"}, {"93,"}, {"94,"}, {"95,"},
    {"96,"}, {"97,"}, {"98,"}, {"99,"}, {"100,"}, {"101,"}, {"102,"}, {"103,"},
    {"104,"}, {"105,"}, {"106,"}, {"107,"}, {"108,"}, {"109,"}, {"110,"}, {"111,"},
    {"112,"}, {"113,"}, {"114,"}, {"115,"}, {"116,"}, {"117,"}, {"118,"}, {"119,"},
    {"120,"}, {"121,"}, {"122,"}, {"123,"}, {"124,"}, {"125,"}, {"126,"}, {"127,"},
    {"128,"}, {"129,"}, {"130,"}, {"131,"}, {"132,"}, {"133,"}, {"134,"}, {"135,"},
    {"136,"}, {"137,"}, {"138,"}, {"139,"}, {"140,"}, {"141,"}, {"142,"}, {"143,"},
    {"144,"}, {"145,"}, {"146,"}, {"147,"}, {"148,"}, {"149,"}, {"150,"}, {"151,"},
    {"152,"}, {"153,"}, {"154,"}, {"155,"}, {"156,"}, {"157,"}, {"158,"}, {"159,"},
    {"160,"}, {"161,"}, {"162,"}, {"163,"}, {"164,"}, {"165,"}, {"166,"}, {"167,"},
    {"168,"}, {"169,"}, {"170,"}, {"171,"}, {"172,"}, {"173,"}, {"174,"}, {"175,"},
    {"176,"}, {"177,"}, {"178,"}, {"179,"}, {"180,"}, {"181,"}, {"182,"}, {"183,"},
    {"184,"}, {"185,"}, {"186,"}, {"187,"}, {"188,"}, {"189,"}, {"190,"}, {"191,"},
    {"192,"}, {"193,"}, {"194,"}, {"195,"}, {"196,"}, {"197,"}, {"198,"}, {"199,"},
    {"200,"}, {"201,"}, {"202,"}, {"203,"}, {"204,"}, {"205,"}, {"206,"}, {"207,"},
    {"208,"}, {"209,"}, {"210,"}, {"211,"}, {"212,"}, {"213,"}, {"214,"}, {"215,"},
    {"216,"}, {"217,"}, {"218,"}, {"219,"}, {"220,"}, {"221,"}, {"222,"}, {"223,"},
    {"224,"}, {"225,"}, {"226,"}, {"227,"}, {"228,"}, {"229,"}, {"230,"}, {"231,"},
    {"232,"}, {"233,"}, {"234,"}, {"235,"}, {"236,"}, {"237,"}, {"238,"}, {"239,"},
    {"240,"}, {"241,"}, {"242,"}, {"243,"}, {"244,"}, {"245,"}, {"246,"}, {"247,"},
    {"248,"}, {"249,"}, {"250,"}, {"251,"}, {"252,"}, {"253,"}, {"254,"}, {"255,"},
};
/* clang-format on */

as_status as_byte_list_write(as_buffer *out, as_slice bytes) {
  enum { ITEM_CHARS = sizeof LIST_ITEMS[0].text };
  if (bytes.length == 0) return AS_OK;
  if (bytes.length > SIZE_MAX / ITEM_CHARS) return AS_ERR_OOM;
  AS_TRY(as_buffer_reserve(out, bytes.length * ITEM_CHARS));
  uint8_t *at = out->data + out->length;
  for (size_t i = 0; i < bytes.length; i++) {
    uint8_t byte = bytes.data[i];
    memcpy(at, LIST_ITEMS[byte].text, ITEM_CHARS);
    at += 2 + (byte >= 10) + (byte >= 100);
  }
  out->length = (size_t)(at - out->data) - 1; /* without the last comma */
  return AS_OK;
}
