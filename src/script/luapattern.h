/* Lua's patterns (manual §6.4.1), matched without recursion and within a number
 * of steps: choices are kept on a small stack of our own, and a pattern that makes
 * the matcher go back too often ends with ERR_BUDGET. Classes are ASCII's, whatever the locale. */
#ifndef SCRIPT_LUAPATTERN_H
#define SCRIPT_LUAPATTERN_H

#include "base/slice.h"

#define LUAPATTERN_CAPTURES 32
#define LUAPATTERN_CHOICES 256 /* open choices and captures; more: "pattern too complex" */

enum { LUAPATTERN_UNCLOSED = -1, LUAPATTERN_POSITION = -2 };
struct luapattern_capture {
	size_t start;
	ptrdiff_t len; /* or LUAPATTERN_UNCLOSED, LUAPATTERN_POSITION */
};

struct luapattern {
	struct slice subject, pattern;
	int64_t steps; /* may still be made; goes down */
	struct luapattern_capture captures[LUAPATTERN_CAPTURES];
	int capture_count;
	const char *why; /* on ERR_INVALID */
	int why_number;  /* for a %d in it */
};

/* Matches the pattern (without a '^') with the subject from at on: 1 and *end, 0 when it does
 * not match there, ERR_INVALID (why), ERR_BUDGET. */
int luapattern_match(struct luapattern *p, size_t at, size_t *end);
/* True when nothing in it is magic: a plain search will do. */
bool luapattern_is_plain(struct slice pattern);
/* Finds the first place of the pattern, as it stands, from at on: 1 and where, 0, ERR_BUDGET. Where much of it
 * is alike at many places, and does not match, it takes as long as the steps say, as Lua's own. */
int luapattern_find_plain(struct luapattern *p, size_t at, size_t *found);

#endif /* SCRIPT_LUAPATTERN_H */
