/* SPDX-License-Identifier: MIT */
#include "binding/tls_stream.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/tls.h"
#include "binding/type.h"
#include "io/tls_stream.h"

static const char *const STREAM_TYPE = "authstate.tls_stream";

enum { BLOCK_BYTES = 64 * 1024 };

typedef struct bound_stream {
  as_mem mem;
  as_tls_stream *stream;
} bound_stream;

static int push_failure(lua_State *L, const char *reason) {
  lua_pushnil(L);
  lua_pushstring(L, reason);
  return 2;
}

static int stream_new(lua_State *L) {
  const as_tls *tls = as_binding_tls_check(L, 1);
  const char *host = luaL_checkstring(L, 2);
  bound_stream *bound = lua_newuserdata(L, sizeof *bound);
  memset(bound, 0, sizeof *bound);
  as_mem_init(&bound->mem);
  luaL_getmetatable(L, STREAM_TYPE);
  lua_setmetatable(L, -2);
  char reason[AS_TLS_REASON_SIZE];
  as_status status = as_tls_stream_new(&bound->mem, tls, host, &bound->stream, reason);
  if (status == AS_OK) return 1;
  return push_failure(L, status == AS_ERR_OOM ? as_status_sentence(status) : reason);
}

static as_tls_stream *check_stream(lua_State *L) {
  const bound_stream *bound = luaL_checkudata(L, 1, STREAM_TYPE);
  luaL_argcheck(L, bound->stream != NULL, 1, "the stream was not made");
  return bound->stream;
}

static int stream_handshake(lua_State *L) {
  char reason[AS_TLS_REASON_SIZE];
  bool is_done = false;
  if (!as_tls_stream_handshake(check_stream(L), &is_done, reason))
    return push_failure(L, reason);
  lua_pushboolean(L, is_done);
  return 1;
}

static int stream_feed(lua_State *L) {
  as_tls_stream *stream = check_stream(L);
  size_t length;
  const char *bytes = luaL_checklstring(L, 2, &length);
  as_status status = as_tls_stream_feed(stream, as_slice_of(bytes, length));
  if (status != AS_OK) return luaL_error(L, "tls: %s", as_status_sentence(status));
  return 0;
}

static int stream_output(lua_State *L) {
  as_tls_stream *stream = check_stream(L);
  size_t most = (size_t)luaL_checknumber(L, 2);
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  while (most > 0) {
    as_slice bytes = as_tls_stream_output(stream);
    if (bytes.length == 0) break;
    size_t length = bytes.length < most ? bytes.length : most;
    luaL_addlstring(&out, (const char *)bytes.data, length);
    as_tls_stream_sent(stream, length);
    most -= length;
  }
  luaL_pushresult(&out);
  return 1;
}

static int stream_write(lua_State *L) {
  as_tls_stream *stream = check_stream(L);
  char reason[AS_TLS_REASON_SIZE];
  size_t length, taken = 0;
  const char *bytes = luaL_checklstring(L, 2, &length);
  luaL_argcheck(L, length > 0, 2, "nothing to write");
  if (!as_tls_stream_write(stream, as_slice_of(bytes, length), &taken, reason))
    return push_failure(L, reason);
  lua_pushnumber(L, (lua_Number)taken);
  return 1;
}

static int stream_read(lua_State *L) {
  as_tls_stream *stream = check_stream(L);
  uint8_t block[BLOCK_BYTES];
  char reason[AS_TLS_REASON_SIZE];
  size_t length = 0;
  as_tls_read result = as_tls_stream_read(stream, block, sizeof block, &length, reason);
  if (result == AS_TLS_READ_END) return push_failure(L, reason);
  lua_pushlstring(L, (const char *)block, length);
  return 1;
}

static int stream_collect(lua_State *L) {
  bound_stream *bound = luaL_checkudata(L, 1, STREAM_TYPE);
  as_tls_stream_del(bound->stream);
  bound->stream = NULL;
  return 0;
}

void as_binding_tls_stream_open(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"handshake", stream_handshake}, {"feed", stream_feed}, {"output", stream_output},
      {"write", stream_write},         {"read", stream_read}, {NULL, NULL},
  };
  as_binding_new_type(L, STREAM_TYPE, methods, stream_collect);
  lua_pushcfunction(L, stream_new);
  lua_setfield(L, -2, "tls_stream");
}
