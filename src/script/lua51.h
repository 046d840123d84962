/* Lua 5.1 for the authors of EVAL and FUNCTION scripts, on the engine of 5.4.
 *
 * Numbers: 5.4 has integers and floats, 5.1 only floats, and a float that is whole prints "3" in
 * 5.1 and "3.0" in 5.4. Functions that print are ours. The operator `..` cannot be hooked for numbers, so
 * lua51_translate writes `a << C << b` for `a .. b`: << has the same rank among the operators of 5.1, which
 * has no shifts, and C is a value whose metamethods join. (`a .. C .. b` would do as well, but in 5.4.4 a
 * concatenation that calls a metamethod may lose its result when the stack has to grow.) An integer keeps all
 * its digits, where 5.1 would print 1e+15 (docs/protocol.md).
 *
 * Source: escapes that 5.4 does not know ("\-") mean the letter, as in 5.1; `goto` is a name. */
#ifndef SCRIPT_LUA51_H
#define SCRIPT_LUA51_H

#include <lua.h>

#include "base/buf.h"

/* Appends source in the words of 5.4 to out; lines keep their numbers. Any bytes are accepted: what is
 * wrong with them the compiler says. */
void lua51_translate(struct slice source, struct buf *out);
/* After sandbox_open, with its table on top of the stack: replaces and adds what 5.1 has differently. Once a
 * state. */
void lua51_open(lua_State *L);
/* Compiles a translated text with the table at index env as its globals; leaves the function or a message.
 * Returns lua_load's status. chunk_name as "@user_script". */
int lua51_load(lua_State *L, struct slice translated, const char *chunk_name, int env);
/* Pushes the one argument that a chunk so compiled takes. */
void lua51_push_operator(lua_State *L);
/* A number as 5.1 prints it; returns the length. out holds 32 bytes. */
size_t lua51_number_text(lua_State *L, int index, char *out);
/* Makes a whole number of the argument when it is a number, or a text of one, as 5.1 does with places and counts:
 * what is behind the point goes. */
void lua51_cut(lua_State *L, int arg);
/* Rewrites a message of 5.4's ("a nil value (local 't')") as 5.1 says it; pushes it. */
void lua51_push_message(lua_State *L, const char *message);

/* ---- between lua51.c and lua51_libs.c ---- */

void lua51_open_libraries(lua_State *L, int globals);
/* Pushes the number at index as text. */
void lua51_push_number_text(lua_State *L, int index);
/* Puts wrapper around what the table at index has under name: its upvalue 1, to which lua51_pass_on goes on.
 */
void lua51_wrap(lua_State *L, int index, const char *name, lua_CFunction wrapper);
int lua51_pass_on(lua_State *L, int results);

#endif /* SCRIPT_LUA51_H */
