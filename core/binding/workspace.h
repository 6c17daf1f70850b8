/* SPDX-License-Identifier: MIT */
/* as_workspace is the memory that turning values into bytes and back needs besides the
 * Lua heap: one per Lua state, kept in the registry, used again by each call.
 *
 * It is a userdata with __gc, and whoever takes it has it on the stack. So nothing leaks
 * when Lua raises in between. A call that comes while it is taken (from a finalizer, or
 * after an error left it taken) gets a new one, which the registry keeps from then on. */
#ifndef AS_BINDING_WORKSPACE_H
#define AS_BINDING_WORKSPACE_H

#include <lua.h>

#include "base/buffer.h"
#include "codec/transcode.h"

/* Where the search for an address begins. */
static inline size_t as_name_addresses_slot(const char *address) {
  uint32_t low = (uint32_t)((uintptr_t)address >> 3);
  return (low * UINT32_C(2654435769)) >> 24;
}

/* Where Lua keeps the strings that are well-known names, and our metatables: they never
 * move. */
typedef struct as_name_addresses {
  const void *array_metatable;
  const void *bytes_metatable;
  struct {
    const char *address;
    int number;
  } slots[AS_NAMES_SLOTS];
} as_name_addresses;

/* The number of the name that is the string at an address, or AS_NAME_OTHER. */
static inline int as_name_addresses_find(const as_name_addresses *names,
                                         const char *address) {
  size_t slot = as_name_addresses_slot(address);
  for (; names->slots[slot].address != NULL; slot = (slot + 1) % AS_NAMES_SLOTS) {
    if (names->slots[slot].address == address) return names->slots[slot].number;
  }
  return AS_NAME_OTHER;
}

typedef struct as_workspace {
  as_mem mem;
  as_buffer stored;  /* a value on its way to Redis */
  as_buffer text;    /* JSON text on its way to Lua, or to be stored */
  as_buffer cbor;    /* structure on its way to Lua, or to be stored */
  as_buffer members; /* of tables on their way to be stored */
  as_transcoder transcoder;
  as_name_addresses names;
  int constants; /* stack index of the table of constants */
  bool is_taken;
} as_workspace;

/* Pushes the state's workspace, buffers empty, then the table of constants (value.h), and
 * returns it. Valid until released, in this C function. */
as_workspace *as_workspace_take(lua_State *L);

/* The same without a search, and nothing is pushed but in rare cases: for a C function
 * with the two upvalues that as_workspace_push_upvalues pushes. */
as_workspace *as_workspace_take_upvalue(lua_State *L);
void as_workspace_push_upvalues(lua_State *L);

/* Lets the next call use the workspace. What was pushed stays on the stack; what its
 * buffers hold is lost. */
void as_workspace_release(as_workspace *workspace);

#endif
