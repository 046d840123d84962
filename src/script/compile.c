#include "script/compile.h"

#include "script/budget.h"

/* Tenths of a step (1 ns) that compiling takes: a byte of source, and a jump for each jump before it. */
#define COMPILE_BYTE 5
#define COMPILE_JUMP 2
/* A name is looked for among the locals of all functions around: 20 microseconds for four bytes in the
 * deepest. */
#define COMPILE_PIECE 1024

static bool is_word_byte(uint8_t c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Those in comments and strings too: as many as matter stand in none. */
static size_t count_jumps(struct slice text)
{
	size_t count = 0;
	for (size_t i = 0, from = 0; i <= text.len; i++) {
		if (i < text.len && is_word_byte(text.data[i])) {
			continue;
		}
		struct slice word = slice_of(text.data + from, i - from);
		count += slice_equal(word, SLICE_LIT("and")) || slice_equal(word, SLICE_LIT("or")) ||
			 slice_equal(word, SLICE_LIT("elseif"));
		from = i + 1;
	}
	return count;
}

void compile_charge(lua_State *L, struct slice text)
{
	size_t jumps = count_jumps(text);
	budget_charge(L, 1 + text.len * COMPILE_BYTE / 10 + jumps * jumps * COMPILE_JUMP / 10);
}

static const char *read_piece(lua_State *L, void *owner, size_t *len)
{
	struct slice *rest = owner;
	const char *piece = (const char *)rest->data;
	budget_look(L);
	*len = rest->len < COMPILE_PIECE ? rest->len : COMPILE_PIECE;
	*rest = slice_skip(*rest, *len);
	return piece;
}

int compile_load(lua_State *L, struct slice text, const char *name)
{
	return lua_load(L, read_piece, &text, name, "t");
}
