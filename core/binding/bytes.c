/* SPDX-License-Identifier: MIT */
#include "binding/bytes.h"

#include <lauxlib.h>

#include "binding/type.h"
#include "codec/base64.h"

/* Its address is the metatable's key in the registry. */
static const char METATABLE_KEY;

static const char HEX[] = "0123456789abcdef";

void as_bytes_push_metatable(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&METATABLE_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

uint8_t *as_bytes_new(lua_State *L, size_t length, int metatable) {
  uint8_t *block = lua_newuserdata(L, length);
  lua_pushvalue(L, metatable);
  lua_setmetatable(L, -2);
  return block;
}

void as_bytes_push(lua_State *L, as_slice content) {
  as_bytes_push_metatable(L);
  uint8_t *block = as_bytes_new(L, content.length, lua_gettop(L));
  if (content.length > 0) memcpy(block, content.data, content.length);
  lua_remove(L, -2);
}

bool as_bytes_test(lua_State *L, int index, as_slice *out_content) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return false;
  as_bytes_push_metatable(L);
  bool is_bytes = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  if (!is_bytes) return false;
  *out_content = as_slice_of(lua_touserdata(L, index), lua_objlen(L, index));
  return true;
}

static as_slice check_bytes(lua_State *L, int index) {
  as_slice content = as_slice_of(NULL, 0);
  if (!as_bytes_test(L, index, &content)) luaL_typerror(L, index, "bytes");
  return content;
}

static int bytes_raw(lua_State *L) {
  as_slice content = check_bytes(L, 1);
  lua_pushlstring(L, (const char *)content.data, content.length);
  return 1;
}

static int bytes_hex(lua_State *L) {
  as_slice content = check_bytes(L, 1);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (size_t i = 0; i < content.length; i++) {
    luaL_addchar(&text, HEX[content.data[i] >> 4]);
    luaL_addchar(&text, HEX[content.data[i] & 15]);
  }
  luaL_pushresult(&text);
  return 1;
}

static int bytes_base64(lua_State *L) {
  as_slice content = check_bytes(L, 1);
  size_t length = as_base64_encoded_length(content.length);
  uint8_t *text = lua_newuserdata(L, length);
  as_base64_encode(content, text);
  lua_pushlstring(L, (const char *)text, length);
  return 1;
}

static int bytes_length(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_bytes(L, 1).length);
  return 1;
}

static int bytes_equals(lua_State *L) {
  as_slice left, right;
  bool is_equal = as_bytes_test(L, 1, &left) && as_bytes_test(L, 2, &right) &&
                  as_slice_equals(left, right);
  lua_pushboolean(L, is_equal);
  return 1;
}

static int bytes_tostring(lua_State *L) {
  lua_pushfstring(L, "bytes(%d)", (int)check_bytes(L, 1).length);
  return 1;
}

static int new_from_string(lua_State *L) {
  as_bytes_push(L, as_string_check(L, 1));
  return 1;
}

static int new_from_base64(lua_State *L) {
  as_slice text = as_string_check(L, 1);
  as_bytes_push_metatable(L);
  uint8_t *block = as_bytes_new(L, as_base64_decoded_length(text), lua_gettop(L));
  if (as_base64_decode(text, block)) return 1;
  return luaL_error(L,
                    "from_base64: not base64; accepted are A-Z a-z 0-9 + / in groups of "
                    "four, the last one padded with =");
}

static int hex_value(uint8_t digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

static bool decode_hex(as_slice text, uint8_t *out) {
  if (text.length % 2 != 0) return false;
  for (size_t i = 0; i < text.length; i += 2) {
    int high = hex_value(text.data[i]), low = hex_value(text.data[i + 1]);
    if (high < 0 || low < 0) return false;
    out[i / 2] = (uint8_t)(high << 4 | low);
  }
  return true;
}

static int new_from_hex(lua_State *L) {
  as_slice text = as_string_check(L, 1);
  as_bytes_push_metatable(L);
  uint8_t *block = as_bytes_new(L, text.length / 2, lua_gettop(L));
  if (decode_hex(text, block)) return 1;
  return luaL_error(L,
                    "from_hex: not hexadecimal; accepted are 0-9 a-f A-F, two for each "
                    "byte");
}

static int is_bytes(lua_State *L) {
  as_slice content;
  luaL_checkany(L, 1);
  lua_pushboolean(L, as_bytes_test(L, 1, &content));
  return 1;
}

static const luaL_Reg METHODS[] = {
    {"raw", bytes_raw},
    {"hex", bytes_hex},
    {"base64", bytes_base64},
    {NULL, NULL},
};

static const luaL_Reg METAMETHODS[] = {
    {"__len", bytes_length},
    {"__eq", bytes_equals},
    {"__tostring", bytes_tostring},
    {NULL, NULL},
};

static const luaL_Reg FUNCTIONS[] = {
    {"bytes", new_from_string},
    {"from_base64", new_from_base64},
    {"from_hex", new_from_hex},
    {"is_bytes", is_bytes},
    {NULL, NULL},
};

static void make_metatable(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&METATABLE_KEY);
  lua_newtable(L);
  luaL_register(L, NULL, METAMETHODS);
  lua_newtable(L);
  luaL_register(L, NULL, METHODS);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "authstate.bytes");
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__name");
  lua_setfield(L, -2, "__metatable");
  lua_rawset(L, LUA_REGISTRYINDEX);
}

void as_binding_bytes_open(lua_State *L) {
  as_bytes_push_metatable(L);
  bool is_made = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (!is_made) make_metatable(L);
  luaL_register(L, NULL, FUNCTIONS);
}
