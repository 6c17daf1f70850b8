/* SPDX-License-Identifier: MIT */
#include "binding/system.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "binding/type.h"
#include "codec/digest.h"
#include "codec/gzip.h"
#include "io/clock.h"
#include "io/directory.h"
#include "io/file.h"
#include "io/lock.h"
#include "io/machine.h"
#include "io/process.h"
#include "io/random.h"
#include "io/terminal.h"

static const char *const DIRECTORY_READER_TYPE = "authstate.directory_reader";
static const char *const PROCESS_MARK_TYPE = "authstate.process_mark";

enum { MAX_RANDOM_BYTES = 256, MAX_ARGUMENTS = 64 };

/* true, or nil and the words for an errno. */
static int push_outcome(lua_State *L, int failure) {
  if (failure == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, strerror(failure));
  return 2;
}

static int system_now_ms(lua_State *L) {
  lua_pushnumber(L, as_clock_now_ms());
  return 1;
}

static int system_sleep_ms(lua_State *L) {
  as_clock_sleep_ms(luaL_checknumber(L, 1));
  return 0;
}

static int system_random(lua_State *L) {
  uint8_t block[MAX_RANDOM_BYTES];
  lua_Integer length = luaL_checkinteger(L, 1);
  luaL_argcheck(L, length >= 1 && length <= MAX_RANDOM_BYTES, 1, "1 to 256 expected");
  if (as_random_fill(block, (size_t)length) != AS_OK)
    return luaL_error(L, "getrandom: %s", strerror(errno));
  lua_pushlstring(L, (const char *)block, (size_t)length);
  return 1;
}

/* nginx takes coroutine.isyieldable away. */
static int system_is_yieldable(lua_State *L) {
  lua_pushboolean(L, lua_isyieldable(L));
  return 1;
}

static int system_is_first(lua_State *L) {
  lua_pushboolean(L, as_process_is_first(luaL_checkstring(L, 1)));
  return 1;
}

static int push_hex(lua_State *L, const uint8_t *digest, size_t length) {
  static const char digits[] = "0123456789abcdef";
  char text[2 * AS_DIGEST_MAX_BYTES];
  for (size_t i = 0; i < length; i++) {
    text[2 * i] = digits[digest[i] >> 4];
    text[2 * i + 1] = digits[digest[i] & 15];
  }
  lua_pushlstring(L, text, 2 * length);
  return 1;
}

static int push_digest(lua_State *L, as_digest_kind kind) {
  size_t length;
  uint8_t digest[AS_DIGEST_MAX_BYTES];
  const char *bytes = luaL_checklstring(L, 1, &length);
  if (as_digest(kind, as_slice_of(bytes, length), digest) != AS_OK)
    return luaL_error(L, "the digest is not available in this libcrypto");
  return push_hex(L, digest, as_digest_length(kind));
}

static int system_sha1_hex(lua_State *L) {
  return push_digest(L, AS_DIGEST_SHA1);
}

static int system_sha256_hex(lua_State *L) {
  return push_digest(L, AS_DIGEST_SHA256);
}

static int system_gunzip(lua_State *L) {
  size_t length;
  const char *bytes = luaL_checklstring(L, 1, &length);
  size_t max_bytes = (size_t)luaL_checknumber(L, 2);
  as_mem mem;
  as_buffer text;
  as_mem_init(&mem);
  as_buffer_init(&text, &mem);
  const char *reason = NULL;
  as_status status = as_gunzip(as_slice_of(bytes, length), max_bytes, &text, &reason);
  if (status == AS_OK) {
    /* Raises only when Lua itself is out of memory. */
    lua_pushlstring(L, (const char *)text.data, text.length);
    as_buffer_free(&text);
    return 1;
  }
  as_buffer_free(&text);
  lua_pushnil(L);
  lua_pushstring(L, reason);
  return 2;
}

static int system_make_directory(lua_State *L) {
  return push_outcome(L, as_directory_make(luaL_checkstring(L, 1)));
}

static int system_real_path(lua_State *L) {
  char path[AS_DIRECTORY_PATH_SIZE];
  int failure = as_directory_resolve(luaL_checkstring(L, 1), path);
  if (failure != 0) return push_outcome(L, failure);
  lua_pushstring(L, path);
  return 1;
}

static int system_check_directory(lua_State *L) {
  static const char *const faults[] = {"fine",    "missing",        "not_a_directory",
                                       "foreign", "open_to_others", "not_writable"};
  as_directory_fault fault = as_directory_check(luaL_checkstring(L, 1));
  if (fault == AS_DIRECTORY_FINE) return push_outcome(L, 0);
  lua_pushnil(L);
  lua_pushstring(L, faults[fault]);
  return 2;
}

static int system_is_directory(lua_State *L) {
  lua_pushboolean(L, as_directory_is(luaL_checkstring(L, 1)));
  return 1;
}

static int system_is_link(lua_State *L) {
  lua_pushboolean(L, as_directory_is_link(luaL_checkstring(L, 1)));
  return 1;
}

static int system_sync_directory(lua_State *L) {
  return push_outcome(L, as_directory_sync(luaL_checkstring(L, 1)));
}

/* A userdata, so that a Lua error amid the listing does not leave the stream open. */
static int reader_close(lua_State *L) {
  as_directory_close(luaL_checkudata(L, 1, DIRECTORY_READER_TYPE));
  return 0;
}

/* A list of names, or nil and the words for an errno. */
static int system_list_directory(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  as_directory_reader *reader = lua_newuserdata(L, sizeof *reader);
  reader->stream = NULL;
  luaL_getmetatable(L, DIRECTORY_READER_TYPE);
  lua_setmetatable(L, -2);
  int failure = as_directory_open(reader, path);
  if (failure != 0) return push_outcome(L, failure);
  lua_newtable(L);
  const char *name;
  for (int i = 1; (name = as_directory_next(reader, &failure)) != NULL; i++) {
    lua_pushstring(L, name);
    lua_rawseti(L, -2, i);
  }
  as_directory_close(reader);
  return failure == 0 ? 1 : push_outcome(L, failure);
}

static int system_write_file(lua_State *L) {
  size_t length;
  const char *path = luaL_checkstring(L, 1);
  const char *bytes = luaL_checklstring(L, 2, &length);
  return push_outcome(L, as_file_write(path, as_slice_of(bytes, length)));
}

static int system_file_exists(lua_State *L) {
  lua_pushboolean(L, as_file_exists(luaL_checkstring(L, 1)));
  return 1;
}

static int system_truncate_file(lua_State *L) {
  lua_Number length = luaL_checknumber(L, 2);
  luaL_argcheck(L, length >= 0, 2, "a length expected");
  return push_outcome(L, as_file_truncate(luaL_checkstring(L, 1), (off_t)length));
}

static int system_lock_open(lua_State *L) {
  int fd = as_lock_open(luaL_checkstring(L, 1), lua_toboolean(L, 2));
  if (fd < 0) return push_outcome(L, errno);
  lua_pushinteger(L, fd);
  return 1;
}

static int system_lock_try(lua_State *L) {
  static const char *const modes[] = {"shared", "exclusive", NULL};
  int fd = (int)luaL_checkinteger(L, 1);
  int mode = luaL_checkoption(L, 2, NULL, modes);
  int failure = as_lock_try(fd, mode == 0 ? AS_LOCK_SHARED : AS_LOCK_EXCLUSIVE);
  if (failure != 0 && failure != EWOULDBLOCK) return push_outcome(L, failure);
  lua_pushboolean(L, failure == 0);
  return 1;
}

static int system_lock_close(lua_State *L) {
  as_lock_close((int)luaL_checkinteger(L, 1));
  return 0;
}

static int system_lock_release(lua_State *L) {
  as_lock_release((int)luaL_checkinteger(L, 1));
  return 0;
}

static int system_start_daemon(lua_State *L) {
  char *argv[MAX_ARGUMENTS + 1] = {NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  size_t count = lua_objlen(L, 1);
  luaL_argcheck(L, count >= 1 && count <= MAX_ARGUMENTS, 1, "1 to 64 arguments expected");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 1, (int)i + 1);
    luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 1, (int)i + 1);
    argv[i] = (char *)(uintptr_t)lua_tostring(L, -1); /* the table keeps it alive */
    lua_pop(L, 1);
  }
  const char *log_path = luaL_checkstring(L, 2);
  int kept_fd = (int)luaL_checkinteger(L, 3);
  return push_outcome(L, as_process_start_daemon(argv, log_path, kept_fd));
}

static int mark_collect(lua_State *L) {
  uint32_t **mark = luaL_checkudata(L, 1, PROCESS_MARK_TYPE);
  as_process_mark_del(*mark);
  *mark = NULL;
  return 0;
}

static int system_process_mark(lua_State *L) {
  uint32_t **mark = lua_newuserdata(L, sizeof *mark);
  *mark = NULL;
  luaL_getmetatable(L, PROCESS_MARK_TYPE);
  lua_setmetatable(L, -2);
  *mark = as_process_mark_new();
  return *mark != NULL ? 1 : 0;
}

static int system_process_id(lua_State *L) {
  lua_pushinteger(L, as_process_id());
  return 1;
}

static int system_user_id(lua_State *L) {
  lua_pushinteger(L, as_process_user());
  return 1;
}

static int system_kill_process(lua_State *L) {
  return push_outcome(L, as_process_kill((pid_t)luaL_checkinteger(L, 1)));
}

static int system_is_terminal(lua_State *L) {
  lua_pushboolean(L, as_terminal_is((int)luaL_checkinteger(L, 1)));
  return 1;
}

static int push_amount(lua_State *L, double amount) {
  if (amount < 0) return luaL_error(L, "sysconf: %s", strerror(errno));
  lua_pushnumber(L, amount);
  return 1;
}

static int system_cores(lua_State *L) {
  return push_amount(L, (double)as_machine_cores());
}

static int system_memory_bytes(lua_State *L) {
  return push_amount(L, as_machine_memory_bytes());
}

static const luaL_Reg system_functions[] = {
    {"now_ms", system_now_ms},
    {"sleep_ms", system_sleep_ms},
    {"random", system_random},
    {"is_yieldable", system_is_yieldable},
    {"is_first", system_is_first},
    {"sha1_hex", system_sha1_hex},
    {"sha256_hex", system_sha256_hex},
    {"gunzip", system_gunzip},
    {"make_directory", system_make_directory},
    {"real_path", system_real_path},
    {"check_directory", system_check_directory},
    {"is_directory", system_is_directory},
    {"is_link", system_is_link},
    {"list_directory", system_list_directory},
    {"sync_directory", system_sync_directory},
    {"write_file", system_write_file},
    {"file_exists", system_file_exists},
    {"truncate_file", system_truncate_file},
    {"lock_open", system_lock_open},
    {"lock_try", system_lock_try},
    {"lock_close", system_lock_close},
    {"lock_release", system_lock_release},
    {"start_daemon", system_start_daemon},
    {"process_id", system_process_id},
    {"process_mark", system_process_mark},
    {"user_id", system_user_id},
    {"kill_process", system_kill_process},
    {"is_terminal", system_is_terminal},
    {"cores", system_cores},
    {"memory_bytes", system_memory_bytes},
    {NULL, NULL},
};

static const luaL_Reg no_methods[] = {{NULL, NULL}};

void as_binding_system_open(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  as_binding_new_type(L, PROCESS_MARK_TYPE, none, mark_collect);
  as_binding_new_type(L, DIRECTORY_READER_TYPE, no_methods, reader_close);
  for (const luaL_Reg *each = system_functions; each->name != NULL; each++) {
    lua_pushcfunction(L, each->func);
    lua_setfield(L, -2, each->name);
  }
}
