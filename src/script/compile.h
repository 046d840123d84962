/* Compiling the text of a script, which no hook sees: what it costs is charged before, and between two pieces
 * of the text the budget is looked at. */
#ifndef SCRIPT_COMPILE_H
#define SCRIPT_COMPILE_H

#include <lua.h>

#include "base/slice.h"

/* Each `and`, `or` and `elseif` is a jump, and the compiler walks the list of those before it in its chain:
 * 13,000 in one expression took 0.3 s. */
void compile_charge(lua_State *L, struct slice text);
/* Leaves the chunk or a message on the stack, and returns lua_load's status; then budget_ended tells whether
 * it was the call's end. */
int compile_load(lua_State *L, struct slice text, const char *name);

#endif /* SCRIPT_COMPILE_H */
