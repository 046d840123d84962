#include "script/luapattern.h"

#include <stdint.h>

#include "base/err.h"

/* What to do when the rest does not match: undo a capture, or try the next way. */
enum choice_kind { UNDO_OPEN, UNDO_CLOSE, WITHOUT, FEWER, MORE };
struct choice {
	enum choice_kind kind;
	size_t at;    /* in the subject */
	size_t next;  /* in the pattern, behind the item; for MORE: its end */
	size_t item;  /* MORE: where the item begins; UNDO_CLOSE: the capture */
	size_t count; /* FEWER: repetitions taken */
};

struct matcher {
	struct luapattern *p;
	size_t s, i; /* positions in subject and pattern */
	size_t choice_count;
	struct choice choices[LUAPATTERN_CHOICES];
};

static int invalid(struct luapattern *p, const char *why)
{
	p->why = why;
	return ERR_INVALID;
}

/* ---- single characters ---- */

static bool is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}
static bool is_lower(uint8_t c)
{
	return c >= 'a' && c <= 'z';
}
static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}
static bool is_alpha(uint8_t c)
{
	return is_upper(c) || is_lower(c);
}
static bool is_graph(uint8_t c)
{
	return c > 0x20 && c < 0x7f;
}

static bool in_class(uint8_t c, uint8_t class)
{
	bool in;
	switch (class | 0x20) {
	case 'a':
		in = is_alpha(c);
		break;
	case 'c':
		in = c < 0x20 || c == 0x7f;
		break;
	case 'd':
		in = is_digit(c);
		break;
	case 'g':
		in = is_graph(c);
		break;
	case 'l':
		in = is_lower(c);
		break;
	case 'p':
		in = is_graph(c) && !is_alpha(c) && !is_digit(c);
		break;
	case 's':
		in = c == ' ' || (c >= 9 && c <= 13);
		break;
	case 'u':
		in = is_upper(c);
		break;
	case 'w':
		in = is_alpha(c) || is_digit(c);
		break;
	case 'x':
		in = is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
		break;
	case 'z': /* of Lua 5.1, and still there */
		in = c == 0;
		break;
	default:
		return class == c; /* an escaped character */
	}
	return is_upper(class) ? !in : in;
}

/* Behind the item that begins at i, or 0 with why. */
static size_t item_end(struct luapattern *p, size_t i)
{
	const uint8_t *pat = p->pattern.data;
	size_t len = p->pattern.len, begin = i;
	uint8_t c = pat[i++];
	if (c == '%') {
		if (i >= len) {
			invalid(p, "malformed pattern (ends with '%%')");
			return 0;
		}
		return i + 1;
	}
	if (c != '[') {
		return i;
	}
	if (i < len && pat[i] == '^') {
		i++;
	}
	do { /* a ']' in first place stands for itself */
		if (i >= len) {
			invalid(p, "malformed pattern (missing ']')");
			return 0;
		}
		i += pat[i] == '%' ? 2 : 1;
	} while (i >= len || pat[i] != ']');
	p->steps -= (int64_t)(i - begin) / 4;
	return i + 1;
}

/* Set from i ('[') to end (behind ']'). */
static bool in_set(struct luapattern *p, uint8_t c, size_t i, size_t end)
{
	const uint8_t *pat = p->pattern.data;
	bool wanted = true;
	size_t last = end - 1;
	p->steps -= (int64_t)(end - i) / 4;
	i++;
	if (pat[i] == '^') {
		wanted = false;
		i++;
	}
	while (i < last) {
		if (pat[i] == '%') {
			if (in_class(c, pat[i + 1])) {
				return wanted;
			}
			i += 2;
		} else if (i + 2 < last && pat[i + 1] == '-') {
			if (pat[i] <= c && c <= pat[i + 2]) {
				return wanted;
			}
			i += 3;
		} else {
			if (pat[i] == c) {
				return wanted;
			}
			i++;
		}
	}
	return !wanted;
}

static bool single(struct luapattern *p, size_t s, size_t i, size_t end)
{
	if (s >= p->subject.len) {
		return false;
	}
	uint8_t c = p->subject.data[s];
	switch (p->pattern.data[i]) {
	case '.':
		return true;
	case '%':
		return in_class(c, p->pattern.data[i + 1]);
	case '[':
		return in_set(p, c, i, end);
	default:
		return p->pattern.data[i] == c;
	}
}

/* ---- choices ---- */

static int push(struct matcher *m, struct choice choice)
{
	if (m->choice_count == LUAPATTERN_CHOICES) {
		return invalid(m->p, "pattern too complex");
	}
	m->choices[m->choice_count++] = choice;
	return 1;
}

/* Goes to the newest way not yet tried: 1, or 0 when there is none. */
static int back(struct matcher *m)
{
	while (m->choice_count > 0) {
		struct choice *choice = &m->choices[m->choice_count - 1];
		m->p->steps--;
		switch (choice->kind) {
		case UNDO_OPEN:
			m->p->capture_count--;
			m->choice_count--;
			break;
		case UNDO_CLOSE:
			m->p->captures[choice->item].len = LUAPATTERN_UNCLOSED;
			m->choice_count--;
			break;
		case WITHOUT:
			m->s = choice->at;
			m->i = choice->next;
			m->choice_count--;
			return 1;
		case FEWER:
			choice->count--;
			m->s = choice->at + choice->count;
			m->i = choice->next;
			m->choice_count -= choice->count == 0;
			return 1;
		case MORE:
			if (single(m->p, choice->at, choice->item, choice->next)) {
				m->s = ++choice->at;
				m->i = choice->next + 1;
				return 1;
			}
			m->choice_count--;
			break;
		}
	}
	return 0;
}

/* ---- items: 1 go on, 0 does not match, negative error ---- */

static int open_capture(struct matcher *m)
{
	struct luapattern *p = m->p;
	if (p->capture_count == LUAPATTERN_CAPTURES) {
		return invalid(p, "too many captures");
	}
	bool position = m->i + 1 < p->pattern.len && p->pattern.data[m->i + 1] == ')';
	p->captures[p->capture_count++] =
		(struct luapattern_capture){m->s, position ? LUAPATTERN_POSITION : LUAPATTERN_UNCLOSED};
	m->i += position ? 2 : 1;
	return push(m, (struct choice){.kind = UNDO_OPEN});
}

static int close_capture(struct matcher *m)
{
	struct luapattern *p = m->p;
	int n = p->capture_count;
	while (n > 0 && p->captures[n - 1].len != LUAPATTERN_UNCLOSED) {
		n--;
	}
	if (n == 0) {
		return invalid(p, "invalid pattern capture");
	}
	p->captures[n - 1].len = (ptrdiff_t)(m->s - p->captures[n - 1].start);
	m->i++;
	return push(m, (struct choice){.kind = UNDO_CLOSE, .item = (size_t)n - 1});
}

static int balance(struct matcher *m)
{
	struct luapattern *p = m->p;
	if (m->i + 3 >= p->pattern.len) {
		return invalid(p, "malformed pattern (missing arguments to '%%b')");
	}
	uint8_t begin = p->pattern.data[m->i + 2], end = p->pattern.data[m->i + 3];
	if (m->s >= p->subject.len || p->subject.data[m->s] != begin) {
		return 0;
	}
	size_t depth = 1;
	for (size_t s = m->s + 1; s < p->subject.len; s++) {
		uint8_t c = p->subject.data[s];
		p->steps--;
		if (c == end) {
			if (--depth == 0) {
				m->s = s + 1;
				m->i += 4;
				return 1;
			}
		} else if (c == begin) {
			depth++;
		}
	}
	return 0;
}

static int frontier(struct matcher *m)
{
	struct luapattern *p = m->p;
	size_t set = m->i + 2;
	if (set >= p->pattern.len || p->pattern.data[set] != '[') {
		return invalid(p, "missing '[' after '%%f' in pattern");
	}
	size_t end = item_end(p, set);
	if (end == 0) {
		return ERR_INVALID;
	}
	uint8_t before = m->s == 0 ? 0 : p->subject.data[m->s - 1];
	uint8_t here = m->s >= p->subject.len ? 0 : p->subject.data[m->s];
	if (in_set(p, before, set, end) || !in_set(p, here, set, end)) {
		return 0;
	}
	m->i = end;
	return 1;
}

static int back_reference(struct matcher *m)
{
	struct luapattern *p = m->p;
	int n = p->pattern.data[m->i + 1] - '1';
	if (n < 0 || n >= p->capture_count || p->captures[n].len == LUAPATTERN_UNCLOSED) {
		p->why_number = n + 1;
		return invalid(p, "invalid capture index %%%d in pattern");
	}
	if (p->captures[n].len == LUAPATTERN_POSITION) {
		return 0; /* a number is in no subject */
	}
	size_t len = (size_t)p->captures[n].len;
	p->steps -= (int64_t)len / 16;
	if (p->subject.len - m->s < len ||
	    memcmp(p->subject.data + p->captures[n].start, p->subject.data + m->s, len) != 0) {
		return 0;
	}
	m->s += len;
	m->i += 2;
	return 1;
}

static int repeated(struct matcher *m)
{
	struct luapattern *p = m->p;
	size_t item = m->i, end = item_end(p, item);
	if (end == 0) {
		return ERR_INVALID;
	}
	uint8_t suffix = end < p->pattern.len ? p->pattern.data[end] : 0;
	bool fits = single(p, m->s, item, end);
	size_t from = m->s, count = 0;

	switch (suffix) {
	case '?':
		m->i = end + 1;
		if (!fits) {
			return 1;
		}
		m->s++;
		return push(m, (struct choice){.kind = WITHOUT, .at = from, .next = end + 1});
	case '-':
		m->i = end + 1;
		return push(m, (struct choice){.kind = MORE, .at = from, .item = item, .next = end});
	case '+':
		if (!fits) {
			return 0;
		}
		from++;
		fits = single(p, from, item, end);
		break;
	case '*':
		break;
	default:
		m->s += fits;
		m->i = end;
		return fits;
	}
	for (; fits && p->steps >= 0; p->steps--) {
		count++;
		fits = single(p, from + count, item, end);
	}
	m->s = from + count;
	m->i = end + 1;
	return count == 0
		       ? 1
		       : push(m, (struct choice){.kind = FEWER, .at = from, .next = end + 1, .count = count});
}

static int item(struct matcher *m)
{
	const struct luapattern *p = m->p;
	uint8_t next = m->i + 1 < p->pattern.len ? p->pattern.data[m->i + 1] : 0;
	switch (p->pattern.data[m->i]) {
	case '(':
		return open_capture(m);
	case ')':
		return close_capture(m);
	case '$':
		if (m->i + 1 == p->pattern.len) {
			m->i++;
			return m->s == p->subject.len;
		}
		return repeated(m);
	case '%':
		if (next == 'b') {
			return balance(m);
		}
		if (next == 'f') {
			return frontier(m);
		}
		return is_digit(next) ? back_reference(m) : repeated(m);
	default:
		return repeated(m);
	}
}

int luapattern_match(struct luapattern *p, size_t at, size_t *end)
{
	struct matcher m;
	m.p = p;
	m.s = at;
	m.i = 0;
	m.choice_count = 0;
	p->capture_count = 0;
	while (m.i < p->pattern.len) {
		if (--p->steps < 0) {
			return ERR_BUDGET;
		}
		int status = item(&m);
		if (status == 0) {
			status = back(&m);
			if (status == 0) {
				return 0;
			}
		}
		if (status < 0) {
			return status;
		}
	}
	for (int n = 0; n < p->capture_count; n++) {
		if (p->captures[n].len == LUAPATTERN_UNCLOSED) {
			return invalid(p, "unfinished capture");
		}
	}
	*end = m.s;
	return 1;
}

bool luapattern_is_plain(struct slice pattern)
{
	for (size_t i = 0; i < pattern.len; i++) {
		if (pattern.data[i] != 0 && strchr("^$*+?.([%-", pattern.data[i]) != NULL) {
			return false;
		}
	}
	return true;
}

/* Bytes that are compared, or passed over, in the time of a step. */
#define PIECE 64

/* How far a and b are alike, in whole pieces, and len when they are alike. */
static size_t alike(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t at = 0;
	while (len - at >= PIECE && memcmp(a + at, b + at, PIECE) == 0) {
		at += PIECE;
	}
	return len - at < PIECE && memcmp(a + at, b + at, len - at) == 0 ? len : at;
}

int luapattern_find_plain(struct luapattern *p, size_t at, size_t *found)
{
	struct slice subject = p->subject, what = p->pattern;
	if (at > subject.len || what.len > subject.len - at) {
		return 0;
	}
	*found = at;
	if (what.len == 0) {
		return 1;
	}
	const uint8_t *place = subject.data + at, *last = subject.data + subject.len - what.len;
	while (place <= last && p->steps >= 0) {
		const uint8_t *begin = place;
		place = memchr(place, what.data[0], (size_t)(last - place) + 1);
		p->steps -= (int64_t)((place == NULL ? last : place) - begin) / PIECE + 1;
		if (place == NULL) {
			return 0;
		}
		size_t len = alike(place, what.data, what.len);
		p->steps -= (int64_t)len / PIECE;
		if (len == what.len) {
			*found = (size_t)(place - subject.data);
			return 1;
		}
		place++;
	}
	return p->steps < 0 ? ERR_BUDGET : 0;
}
