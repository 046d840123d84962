/* A source file before Lua sees it: its tokens are looked at once. Refused here, with
 * file and line: bytecode, `/`, `^`, float literals and integers over 64 bits (amounts are whole
 * numbers), `_ENV`, `<close>`, and imports that are not a plain text. Found here:
 * the `procedure { … }` statement and the imports. */
#ifndef SCRIPT_SOURCE_H
#define SCRIPT_SOURCE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define SOURCE_IMPORTS_MAX 32

struct source {
	struct slice name; /* "order/flash_buy.lua" */
	struct slice text;
	size_t declare_from, declare_to; /* bytes of `procedure { … }`; from == to when there is none */
	struct slice imports[SOURCE_IMPORTS_MAX]; /* "lib.money" */
	size_t import_count;
	uint32_t uses; /* bit i: the i-th of the names given to source_check occurs */
};

/* ---- tokens, for whoever reads a checked source again ---- */

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_MARK };
struct token {
	enum token_kind kind;
	struct slice text; /* TEXT: between its quotes */
	size_t from, to;
	unsigned line;
};
/* All tokens of a source that passed source_check, an END behind them; in arena. */
struct token *source_tokens(const struct source *source, struct arena *arena, size_t *count);
/* Of which of the names (bit i: the i-th of up to 32, NULL behind them) such a source declares a variable
 * anywhere: a local, a loop's, a parameter. */
uint32_t source_declares(const struct token *tokens, size_t count, const char *const *names);
/* A name, keyword or mark with this text. */
static inline bool token_is(const struct token *token, const char *text)
{
	return (token->kind == TOKEN_NAME || token->kind == TOKEN_MARK) &&
	       slice_equal(token->text, slice_str(text));
}

/* names: up to 32 names to look for, NULL at the end. */
int source_check(struct source *source, struct slice name, struct slice text, const char *const *names,
		 struct err *err);

#endif /* SCRIPT_SOURCE_H */
