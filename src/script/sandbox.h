/* What a script can reach: a whitelist of functions, each of them bounded,
 * deterministic, and without a way out. No load, require, io, os, debug, collectgarbage, string.dump,
 * random or addresses; pairs and next go in sorted order; libraries and the metatable of strings are locked;
 * setmetatable takes no __gc, __close and __mode; patterns run on our own matcher;
 * whatever works on much data charges the budget (budget.h).
 *
 * Two flavours: procedures (integers only) and Redis (what Lua 5.1 scripts expect of these: floats,
 * coroutines, unpack; cjson and the like are added by whoever serves them). */
#ifndef SCRIPT_SANDBOX_H
#define SCRIPT_SANDBOX_H

#include <lua.h>

#include "script/budget.h"

/* A number with a point becomes a text in half a microsecond or more, and four digits a number in 10 ns. */
#define SANDBOX_FLOAT_STEPS 50
#define SANDBOX_DIGITS_A_STEP 4

/* So many values at most come out of a text or a list at once; Lua's own bound of the C stack is higher, but
 * not by much. */
#define SANDBOX_VALUES_MAX 8000

enum sandbox_flavour { SANDBOX_PROCEDURE, SANDBOX_REDIS };

/* Leaves a new table of all globals of the flavour on the stack, libraries among them as locked tables.
 * Opens what it needs and drops the rest; also locks the metatable of strings. Once a state. Must
 * run below lua_pcall (memory). */
void sandbox_open(lua_State *L, enum sandbox_flavour flavour);
/* Names of the globals that sandbox_open provides, sorted, NULL at the end. */
const char *const *sandbox_names(enum sandbox_flavour flavour);

/* Takes the table on top of the stack and leaves a locked, empty table in its place that reads
 * through to it. what names it in errors ("table string is read-only"). */
void sandbox_lock(lua_State *L, const char *what);
/* True when the value at index is a table made by sandbox_lock, or has a metatable that is hidden. */
bool sandbox_is_locked(lua_State *L, int index);
/* Raises when the value at argument arg is no table that a script may change. */
void sandbox_check_table(lua_State *L, int arg);

/* The text of any value, without addresses, honouring __tostring; pushes it. */
const char *sandbox_tostring(lua_State *L, int index, size_t *len);
/* Charges for the text of the value at index when that is a number with a point. */
void sandbox_charge_float(lua_State *L, int index);
/* So does this, and for Redis makes the text of it, in its place: that of a whole number has no point in 5.1. For
 * whatever takes a number for a text. */
void sandbox_float_text(lua_State *L, int index);

/* The text for an error value at index: never raises, no addresses. Valid while on the stack. */
const char *sandbox_error_text(lua_State *L, int index);

/* Pushes an array of the keys of the table at index (absolute), in the order of pairs. Raises for keys
 * without order. */
void sandbox_push_sorted_keys(lua_State *L, int index);

/* ---- inside the room: the libraries ---- */

/* Each sets its functions in the table on top of the stack. */
void sandbox_string_open(lua_State *L,
			 enum sandbox_flavour flavour); /* needs Lua's own string library at index -2 */
void sandbox_table_open(lua_State *L, enum sandbox_flavour flavour);
void sandbox_coroutine_open(lua_State *L);
void sandbox_pairs_open(lua_State *L);
void sandbox_metatable_open(lua_State *L, enum sandbox_flavour flavour);

#endif /* SCRIPT_SANDBOX_H */
