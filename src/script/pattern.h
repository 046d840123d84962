/* Lua's patterns (manual §6.4.1), matched without recursion and within a number
 * of steps: choices are kept on a small stack of our own, and a pattern that makes
 * the matcher go back too often ends with ERR_BUDGET. Classes are ASCII's, whatever the locale. */
#ifndef SCRIPT_PATTERN_H
#define SCRIPT_PATTERN_H

#include "base/slice.h"

#define PATTERN_CAPTURES 32
#define PATTERN_CHOICES 256 /* open choices and captures; more: "pattern too complex" */

enum { PATTERN_UNCLOSED = -1, PATTERN_POSITION = -2 };
struct pattern_capture {
	size_t start;
	ptrdiff_t len; /* or PATTERN_UNCLOSED, PATTERN_POSITION */
};

struct pattern {
	struct slice subject, pattern;
	int64_t steps; /* may still be made; goes down */
	struct pattern_capture captures[PATTERN_CAPTURES];
	int capture_count;
	const char *why; /* on ERR_INVALID */
	int why_number;  /* for a %d in it */
};

/* Matches the pattern (without a '^') with the subject from at on: 1 and *end, 0 when it does
 * not match there, ERR_INVALID (why), ERR_BUDGET. */
int pattern_match(struct pattern *p, size_t at, size_t *end);
/* True when nothing in it is magic: a plain search will do. */
bool pattern_is_plain(struct slice pattern);
/* Offset of the first what in subject from at on, or SIZE_MAX. Linear. */
size_t pattern_find_plain(struct slice subject, size_t at, struct slice what);

#endif /* SCRIPT_PATTERN_H */
