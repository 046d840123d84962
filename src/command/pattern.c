/* Glob patterns. A '*' is tried by remembering where it stood and how far its
 * match went: on a mismatch only the last '*' takes one byte more, because an
 * earlier one could not do better. So the worst case is pattern × text, not exponential. */
#include "command/room.h"

/* A class from its '[' on. *matched says whether c is in it; returns where the pattern goes on. As in
 * Redis an unclosed class ends with the pattern. */
static size_t class_match(struct slice pattern, size_t at, uint8_t c, bool *matched)
{
	bool negated, found = false;

	at++;
	negated = at < pattern.len && pattern.data[at] == '^';
	at += negated;
	for (; at < pattern.len && pattern.data[at] != ']'; at++) {
		if (pattern.data[at] == '\\' && at + 1 < pattern.len) {
			at++;
			found |= pattern.data[at] == c;
		} else if (at + 2 < pattern.len && pattern.data[at + 1] == '-') {
			uint8_t low = pattern.data[at], high = pattern.data[at + 2];
			found |= low <= high ? c >= low && c <= high : c >= high && c <= low;
			at += 2;
		} else {
			found |= pattern.data[at] == c;
		}
	}
	*matched = found != negated;
	return at < pattern.len ? at + 1 : at;
}

/* One element of the pattern that is not '*' against one byte; *next behind the element. */
static bool element_match(struct slice pattern, size_t at, uint8_t c, size_t *next)
{
	bool matched;

	switch (pattern.data[at]) {
	case '?':
		*next = at + 1;
		return true;
	case '[':
		*next = class_match(pattern, at, c, &matched);
		return matched;
	case '\\':
		at += at + 1 < pattern.len;
		*next = at + 1;
		return pattern.data[at] == c;
	default:
		*next = at + 1;
		return pattern.data[at] == c;
	}
}

bool glob_match(struct slice pattern, struct slice text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

	while (t < text.len) {
		size_t next;
		if (p < pattern.len && pattern.data[p] == '*') {
			star = ++p;
			star_text = t;
		} else if (p < pattern.len && element_match(pattern, p, text.data[t], &next)) {
			p = next;
			t++;
		} else if (star != SIZE_MAX) {
			p = star;
			t = ++star_text;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.data[p] == '*') {
		p++;
	}
	return p == pattern.len;
}

struct slice pattern_prefix(struct slice pattern, struct arena *arena)
{
	uint8_t *prefix = arena_alloc(arena, pattern.len);
	size_t len = 0;

	for (size_t i = 0; i < pattern.len; i++) {
		uint8_t c = pattern.data[i];
		if (c == '*' || c == '?' || c == '[') {
			break;
		}
		if (c == '\\' && i + 1 < pattern.len) {
			c = pattern.data[++i];
		}
		prefix[len++] = c;
	}
	return slice_of(prefix, len);
}

/* A class may be as long as a request: each key with another first byte goes through all of it. */
#define PATTERN_SHORT 64

size_t pattern_rows(struct slice pattern, size_t rows)
{
	size_t few = rows / (1 + pattern.len / PATTERN_SHORT);
	return few > 0 ? few : 1;
}
